//! Reads /etc/ld.so.cache of an image: which files the loader takes for a library before it looks into its trusted
//! directories. The image is a stranger's. What the loader would not take for a cache is read as an empty one.

use std::collections::BTreeSet;
use std::ffi::CStr;

// glibc, sysdeps/generic/dl-cache.h. Numbers are in the order of the machine's bytes.
const OLD_MAGIC: &[u8] = b"ld.so-1.7.0\0";
const OLD_HEADER_BYTES: usize = 16;
const OLD_ENTRY_BYTES: usize = 12;
const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER_BYTES: usize = 48;
const ENTRY_BYTES: usize = 24;
/// FLAG_ELF_LIBC6 with FLAG_X8664_LIB64: a 64-bit program takes no other entry.
const X86_64: u32 = 0x0303;

/// The files that the cache names for one of these libraries, as paths inside the image.
pub fn files_of<'cache>(cache: &'cache [u8], libraries: &[&CStr]) -> BTreeSet<&'cache CStr> {
    entries(cache)
        .filter(|(library, _)| libraries.contains(library))
        .map(|(_, file)| file)
        .collect()
}

fn entries(cache: &[u8]) -> impl Iterator<Item = (&CStr, &CStr)> {
    let cache = current_format(cache).unwrap_or_default();
    let count = number(cache, MAGIC.len()).map_or(0, |count| count as usize);
    let table = cache.get(HEADER_BYTES..).unwrap_or_default();
    // The loader uses none of a table that is cut off.
    let count = if count <= table.len() / ENTRY_BYTES {
        count
    } else {
        0
    };
    let entries = table.chunks_exact(ENTRY_BYTES).take(count);
    entries.filter_map(move |entry| {
        if number(entry, 0)? != X86_64 {
            return None;
        }
        Some((
            text(cache, number(entry, 4)?)?,
            text(cache, number(entry, 8)?)?,
        ))
    })
}

/// Until glibc 2.32 the current format came after one for the loaders of the last century.
fn current_format(cache: &[u8]) -> Option<&[u8]> {
    let start = if cache.starts_with(OLD_MAGIC) {
        let count = number(cache, OLD_MAGIC.len())? as usize;
        let end = count
            .checked_mul(OLD_ENTRY_BYTES)?
            .checked_add(OLD_HEADER_BYTES)?;
        end.checked_next_multiple_of(8)?
    } else {
        0
    };
    cache.get(start..).filter(|rest| rest.starts_with(MAGIC))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*bytes))
}

fn text(cache: &[u8], at: u32) -> Option<&CStr> {
    CStr::from_bytes_until_nul(cache.get(at as usize..)?).ok()
}

#[cfg(test)]
#[path = "loader_cache_tests.rs"]
mod tests;
