//! Finding the PTX in what a program hands in: plain text, or a fat binary with one entry per architecture.
//!
//! Neither carries a length that could be trusted more than the program itself; fat binaries are read only inside the
//! size that their header states, and every size in them is checked against it.

use aquifer_cuda::*;

/// Why there is no PTX: what the call returns, and a sentence for the log.
pub type Refusal = (CUresult, String);

const WRAPPER_MAGIC: u32 = 0x4662_43b1;
const FATBIN_MAGIC: u32 = 0xba55_ed50;
const ELF_MAGIC: u32 = u32::from_le_bytes(*b"\x7fELF");
const KIND_PTX: u16 = 1;
const FLAG_LZ4: u64 = 0x2000;
const FLAG_ZSTD: u64 = 0x8000;
/// Text beyond this is taken for something without an end.
const TEXT_MAX: usize = 256 << 20;
const FATBIN_MAX: u64 = 4 << 30;

/// Reads an image at an address.
///
/// # Safety
/// The image must be PTX that ends in NUL, a fat binary or its wrapper, or at least four readable bytes.
pub unsafe fn ptx_at(image: *const u8, target_sm: u32) -> Result<Vec<u8>, Refusal> {
    if image.is_null() {
        return Err((
            CUDA_ERROR_INVALID_VALUE,
            "the image is a null pointer".into(),
        ));
    }
    // SAFETY: four readable bytes, as the caller promises.
    let magic = unsafe { image.cast::<u32>().read_unaligned() };
    match magic {
        WRAPPER_MAGIC => {
            // SAFETY: a wrapper has two words and a pointer to the data; version 2 points to a list of such pointers.
            let (version, data) = unsafe {
                (
                    image.add(4).cast::<u32>().read_unaligned(),
                    image.add(8).cast::<*const u8>().read_unaligned(),
                )
            };
            if version != 1 || data.is_null() {
                let message =
                    format!("fat binary wrapper of version {version}; only version 1 is read");
                return Err((CUDA_ERROR_INVALID_IMAGE, message));
            }
            // SAFETY: the data is a fat binary, which states its own size.
            unsafe { fat_binary_at(data, target_sm) }
        }
        // SAFETY: as above.
        FATBIN_MAGIC => unsafe { fat_binary_at(image, target_sm) },
        ELF_MAGIC => Err((
            CUDA_ERROR_NO_BINARY_FOR_GPU,
            "machine code for a real GPU; software GPUs run PTX".into(),
        )),
        // SAFETY: what is neither is text that ends in NUL, as the caller promises.
        _ => unsafe { text_at(image) },
    }
}

/// # Safety
/// There must be a NUL at or after `image`.
unsafe fn text_at(image: *const u8) -> Result<Vec<u8>, Refusal> {
    // SAFETY: as the caller promises.
    let length = unsafe { libc::strnlen(image.cast(), TEXT_MAX) };
    if length == 0 || length == TEXT_MAX {
        return Err((
            CUDA_ERROR_INVALID_IMAGE,
            "neither PTX text nor a fat binary".into(),
        ));
    }
    // SAFETY: as many bytes were just read.
    Ok(unsafe { std::slice::from_raw_parts(image, length) }.to_vec())
}

/// # Safety
/// There must be as many readable bytes at `image` as the fat binary's header states.
unsafe fn fat_binary_at(image: *const u8, target_sm: u32) -> Result<Vec<u8>, Refusal> {
    // SAFETY: a fat binary has a header of 16 bytes.
    let header = unsafe { std::slice::from_raw_parts(image, 16) };
    let size = number(header, 8, 8).unwrap_or(0);
    let broken = || (CUDA_ERROR_INVALID_IMAGE, "damaged fat binary".to_owned());
    if number(header, 0, 4) != Some(u64::from(FATBIN_MAGIC)) || size > FATBIN_MAX {
        return Err(broken());
    }
    let skip = number(header, 6, 2).unwrap_or(16);
    // SAFETY: the payload follows the header in as many bytes as it says.
    let payload = unsafe { std::slice::from_raw_parts(image.add(skip as usize), size as usize) };
    choose(payload, target_sm)
}

/// The PTX of the newest architecture that the device can run.
fn choose(payload: &[u8], target_sm: u32) -> Result<Vec<u8>, Refusal> {
    let broken = || (CUDA_ERROR_INVALID_IMAGE, "damaged fat binary".to_owned());
    let mut best: Option<(u64, &[u8])> = None;
    let mut compressed = None;
    let mut rest = payload;
    while !rest.is_empty() {
        let kind = number(rest, 0, 2).ok_or_else(broken)?;
        let header = number(rest, 4, 4).ok_or_else(broken)?;
        let size = number(rest, 8, 8).ok_or_else(broken)?;
        let end = header
            .checked_add(size)
            .and_then(|end| usize::try_from(end).ok())
            .ok_or_else(broken)?;
        let body = rest
            .get(header as usize..end)
            .filter(|_| header >= 64)
            .ok_or_else(broken)?;
        let sm = number(rest, 28, 4).ok_or_else(broken)?;
        let flags = number(rest, 40, 8).ok_or_else(broken)?;
        if kind == u64::from(KIND_PTX) && sm <= u64::from(target_sm) {
            if flags & (FLAG_LZ4 | FLAG_ZSTD) != 0 {
                compressed = Some(if flags & FLAG_LZ4 != 0 { "LZ4" } else { "zstd" });
            } else if best.is_none_or(|(other, _)| sm > other) {
                best = Some((sm, body));
            }
        }
        rest = rest.get(end..).ok_or_else(broken)?;
    }
    if let Some((_, body)) = best {
        let length = body
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(body.len());
        return Ok(body.get(..length).unwrap_or(body).to_vec());
    }
    let message = match compressed {
        Some(how) => format!(
            "the fat binary's PTX is compressed ({how}); build it with -Xfatbin=-no-compress"
        ),
        None => format!("the fat binary has no PTX for sm_{target_sm} or older"),
    };
    Err((CUDA_ERROR_NO_BINARY_FOR_GPU, message))
}

fn number(bytes: &[u8], offset: usize, size: usize) -> Option<u64> {
    let mut value = [0; 8];
    value
        .get_mut(..size)?
        .copy_from_slice(bytes.get(offset..offset + size)?);
    Some(u64::from_le_bytes(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: u16, sm: u32, flags: u64, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 80];
        bytes[..2].copy_from_slice(&kind.to_le_bytes());
        bytes[4..8].copy_from_slice(&80u32.to_le_bytes());
        bytes[8..16].copy_from_slice(&(body.len() as u64).to_le_bytes());
        bytes[28..32].copy_from_slice(&sm.to_le_bytes());
        bytes[40..48].copy_from_slice(&flags.to_le_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn the_newest_ptx_that_the_device_can_run_is_chosen() {
        let payload = [
            entry(2, 80, 0, b"ELF"),
            entry(1, 52, 0, b"old\0"),
            entry(1, 75, 0, b"new\0"),
            entry(1, 90, 0, b"x"),
        ];
        assert_eq!(choose(&payload.concat(), 80).unwrap(), b"new");
    }

    #[test]
    fn compressed_and_absent_ptx_are_told_apart() {
        let (code, message) = choose(&entry(1, 80, FLAG_ZSTD, b"?"), 80).unwrap_err();
        assert!(code == CUDA_ERROR_NO_BINARY_FOR_GPU && message.contains("zstd"));
        let (code, message) = choose(&entry(2, 80, 0, b"ELF"), 80).unwrap_err();
        assert!(code == CUDA_ERROR_NO_BINARY_FOR_GPU && message.contains("no PTX"));
    }

    #[test]
    fn any_cut_of_a_fat_binary_is_refused_without_reading_beyond_it() {
        let whole = [entry(2, 80, 0, b"ELF"), entry(1, 52, 0, b"text")].concat();
        for length in 1..whole.len() {
            if length != 83 {
                assert_eq!(
                    choose(&whole[..length], 80).unwrap_err().0,
                    CUDA_ERROR_INVALID_IMAGE,
                    "{length}"
                );
            }
        }
        let mut huge = entry(1, 52, 0, b"text");
        huge[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(choose(&huge, 80).unwrap_err().0, CUDA_ERROR_INVALID_IMAGE);
    }
}
