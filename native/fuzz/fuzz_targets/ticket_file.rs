//! A ticket file, which a user may have from anywhere.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The connector is a program, not a library: its reader is taken in as files.
#[allow(dead_code)]
#[path = "../../connector/src/address.rs"]
mod address;

#[allow(dead_code)]
#[path = "../../connector/src/ticket_file.rs"]
mod ticket_file;

fuzz_target!(|data: &[u8]| {
    if let Ok(file) = ticket_file::TicketFile::parse(data) {
        assert!(!file.addresses.is_empty());
    }
});
