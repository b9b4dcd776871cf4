//! How a data connection begins at the gateway, and the tokens of control messages.
#![no_main]

use aquifer_control::preamble::{PREAMBLE_LENGTH, Preamble, Token16, begins_preamble};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(bytes) = data.first_chunk::<PREAMBLE_LENGTH>()
        && let Some(preamble) = Preamble::decode(bytes)
    {
        assert!(begins_preamble(bytes[0]));
        assert_eq!(preamble.encode(), *bytes);
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(token) = Token16::parse(text)
    {
        assert_eq!(token.to_string(), text);
    }
});
