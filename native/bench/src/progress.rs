//! A program that goes on and on, and whoever looks at its calls from outside: what its guest's migration does to it.

use crate::program::Program;
use std::collections::HashMap;
use std::ffi::CString;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// Two calls of a program that gets on come within this. Signs of life, and what TCP sends again, do not.
const CLOSE: Duration = Duration::from_millis(50);
/// Shorter times without a call are not worth telling.
const TOLD: Duration = Duration::from_millis(20);
const ETHERTYPE_IPV4: u16 = 0x0800;
const TCP: u8 = 6;

/// Waits for the worker again and again, until it is killed.
pub fn go_on() -> std::result::Result<(), String> {
    let program = Program::start()?;
    program.synchronize()?;
    println!("going on");
    loop {
        program.synchronize()?;
    }
}

/// Prints, in ns, each time during which no program got on, of those that connect through `interface` to the TCP port: from the
/// last call to the next two.
pub fn watch(interface: &str, port: &str) -> std::result::Result<(), String> {
    let port: u16 = port.parse().map_err(|_| "a port is wanted".to_owned())?;
    watch_packets(interface, port).map_err(|error| format!("{interface}: {error}"))
}

fn watch_packets(interface: &str, port: u16) -> Result<()> {
    let socket = packets_of(interface)?;
    println!("watching");
    let mut flows: HashMap<[u8; 6], Instant> = HashMap::new();
    let mut last: Option<Instant> = None;
    let mut packet = [0; 128];
    loop {
        // SAFETY: `packet` is writable for its whole length.
        let got = unsafe {
            libc::recv(
                socket.as_raw_fd(),
                packet.as_mut_ptr().cast(),
                packet.len(),
                0,
            )
        };
        let got = usize::try_from(got).map_err(|_| Error::last_os_error())?;
        let now = Instant::now();
        let Some(from) = sender_of_data(&packet[..got], port) else {
            continue;
        };
        let before = flows.insert(from, now);
        if before.is_none_or(|before| now - before > CLOSE) {
            continue;
        }
        if let Some(gap) = last.map(|last| now - last).filter(|gap| *gap > TOLD) {
            println!("{}", gap.as_nanos());
        }
        last = Some(now);
    }
}

/// The packets of an interface, from their IP header on.
fn packets_of(interface: &str) -> Result<OwnedFd> {
    let checked = |result: i32| match result {
        0.. => Ok(result),
        _ => Err(Error::last_os_error()),
    };
    let protocol = ETHERTYPE_IPV4.to_be();
    // SAFETY: takes integers.
    let raw = checked(unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_DGRAM, protocol.into()) })?;
    // SAFETY: a fresh descriptor that nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    let name = CString::new(interface)?;
    // SAFETY: all-zero is a valid sockaddr_ll; a string that ends in a zero.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol;
    // SAFETY: as above.
    address.sll_ifindex = unsafe { libc::if_nametoindex(name.as_ptr()) } as i32;
    let length = size_of::<libc::sockaddr_ll>() as u32;
    // SAFETY: a whole sockaddr_ll, which lives through the call.
    checked(unsafe { libc::bind(raw, (&raw const address).cast(), length) })?;
    Ok(socket)
}

/// Address and port that sent this packet, if it carries data to `port` by TCP.
fn sender_of_data(packet: &[u8], port: u16) -> Option<[u8; 6]> {
    let head = usize::from(packet.first()? & 15) * 4;
    let whole = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
    let tcp = packet.get(head..)?;
    let tcp_head = usize::from(tcp.get(12)? >> 4) * 4;
    let to = u16::from_be_bytes([*tcp.get(2)?, *tcp.get(3)?]);
    let carries_data = whole > head + tcp_head;
    if *packet.get(9)? != TCP || to != port || !carries_data {
        return None;
    }
    let (address, from) = (packet.get(12..16)?, tcp.get(..2)?);
    [address, from].concat().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of 10.77.0.11:4000 with so many bytes of data.
    fn packet(port: u16, data: u16) -> Vec<u8> {
        let mut packet = vec![0; 40];
        packet[0] = 0x45;
        packet[2..4].copy_from_slice(&(40 + data).to_be_bytes());
        packet[9] = TCP;
        packet[12..16].copy_from_slice(&[10, 77, 0, 11]);
        packet[20..22].copy_from_slice(&4000u16.to_be_bytes());
        packet[22..24].copy_from_slice(&port.to_be_bytes());
        packet[32] = 5 << 4;
        packet
    }

    #[test]
    fn only_data_to_the_port_counts() {
        let sender = [10, 77, 0, 11, 0x0f, 0xa0];
        assert_eq!(sender_of_data(&packet(9960, 1), 9960), Some(sender));
        assert_eq!(sender_of_data(&packet(9960, 0), 9960), None);
        assert_eq!(sender_of_data(&packet(9961, 1), 9960), None);
        assert_eq!(sender_of_data(&packet(9960, 1)[..30], 9960), None);
    }
}
