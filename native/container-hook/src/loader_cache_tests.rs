use std::ffi::CStr;

use super::*;

const CUDA: &CStr = c"libcuda.so.1";
const COMPAT: &CStr = c"/usr/local/cuda/compat/libcuda.so.1";

/// A cache as ldconfig writes it: header, table, strings.
fn cache(entries: &[(u32, &CStr, &CStr)]) -> Vec<u8> {
    let mut head = MAGIC.to_vec();
    let mut strings = Vec::new();
    let first = HEADER_BYTES + entries.len() * ENTRY_BYTES;
    let mut put = |text: &CStr| {
        let at = (first + strings.len()) as u32;
        strings.extend_from_slice(text.to_bytes_with_nul());
        at.to_ne_bytes()
    };
    let mut table = Vec::new();
    for (flags, library, file) in entries {
        table.extend_from_slice(&flags.to_ne_bytes());
        table.extend_from_slice(&put(library));
        table.extend_from_slice(&put(file));
        table.extend_from_slice(&[0; 12]);
    }
    head.extend_from_slice(&(entries.len() as u32).to_ne_bytes());
    head.extend_from_slice(&(strings.len() as u32).to_ne_bytes());
    head.resize(HEADER_BYTES, 0);
    [head, table, strings].concat()
}

/// The same after a table of the old format.
fn after_old(cache: &[u8], old_entries: u32) -> Vec<u8> {
    let mut old = OLD_MAGIC.to_vec();
    old.extend_from_slice(&old_entries.to_ne_bytes());
    old.resize(16 + 12 * old_entries as usize, 0);
    old.resize(old.len().next_multiple_of(8), 0);
    [&old, cache].concat()
}

fn found(cache: &[u8]) -> Vec<&CStr> {
    files_of(cache, &[CUDA]).into_iter().collect()
}

#[test]
fn the_files_of_a_library_are_found_once_each_and_no_others() {
    let entries = [
        (X86_64, c"libc.so.6", c"/lib/x86_64-linux-gnu/libc.so.6"),
        (X86_64, CUDA, COMPAT),
        (X86_64, CUDA, c"/opt/libcuda.so.1"),
        (X86_64, CUDA, COMPAT),
        (0x0003, CUDA, c"/usr/lib32/libcuda.so.1"),
        (X86_64, c"libcuda.so.1x", c"/other"),
    ];
    let cache = cache(&entries);
    assert_eq!(found(&cache), [c"/opt/libcuda.so.1", COMPAT]);
    assert_eq!(found(&after_old(&cache, 0)), [c"/opt/libcuda.so.1", COMPAT]);
    assert_eq!(found(&after_old(&cache, 3)), [c"/opt/libcuda.so.1", COMPAT]);
}

#[test]
fn what_is_no_cache_names_nothing() {
    let whole = cache(&[(X86_64, CUDA, COMPAT)]);
    let mut other_magic = whole.clone();
    other_magic[0] = b'G';
    let mut too_many = whole.clone();
    too_many[MAGIC.len()] = 200;
    let mut beyond = whole.clone();
    beyond[HEADER_BYTES + 4..HEADER_BYTES + 8].copy_from_slice(&u32::MAX.to_ne_bytes());
    let unended = &whole[..whole.len() - 1];
    let far = after_old(&whole, 1)[..12].to_vec();
    let far = [&far[..], &u32::MAX.to_ne_bytes()].concat();
    for cache in [&[], &other_magic[..], &too_many, &beyond, unended, &far] {
        assert!(found(cache).is_empty(), "{cache:?}");
    }
}

#[test]
fn no_byte_of_a_cache_makes_it_panic() {
    for whole in [
        cache(&[(X86_64, CUDA, COMPAT)]),
        after_old(&cache(&[(X86_64, CUDA, COMPAT)]), 2),
    ] {
        for end in 0..whole.len() {
            found(&whole[..end]);
        }
        for at in 0..whole.len() {
            for byte in 0..=u8::MAX {
                let mut other = whole.clone();
                other[at] = byte;
                found(&other);
            }
        }
    }
}

/// What the loader of this machine uses.
#[test]
fn the_cache_that_a_real_ldconfig_wrote_is_read() {
    let cache = std::fs::read("/etc/ld.so.cache").expect("this machine has a loader cache");
    let files = files_of(&cache, &[c"libc.so.6"]);
    assert!(!files.is_empty());
    for file in files {
        assert!(std::path::Path::new(file.to_str().unwrap()).exists());
    }
}
