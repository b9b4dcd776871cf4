//! The loader cache of a stranger's image, which the hook reads as root.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../container-hook/src/loader_cache.rs"]
mod loader_cache;

fuzz_target!(|cache: &[u8]| {
    for file in loader_cache::files_of(cache, &[c"libcuda.so.1", c"libnvidia-ml.so.1"]) {
        assert!(file.count_bytes() < cache.len());
    }
});
