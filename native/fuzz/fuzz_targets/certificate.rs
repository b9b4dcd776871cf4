//! What is read of a peer's certificate and of its key.
#![no_main]

use aquifer_control::certificate::not_after;
use aquifer_control::identity::HolderKey;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = not_after(data);
    if let Some(key) = HolderKey::from_spki(data) {
        assert!(HolderKey::parse(&key.to_string()) == Some(key));
    }
});
