//! The other process: does what it is ordered to until the connection ends.

use super::link::Link;
use super::socket::Socket;
use std::io::{Error, Result};
use std::os::fd::{FromRawFd, OwnedFd};

/// Bytes of a batched message.
pub const MESSAGE: usize = 128;
/// Bytes read in one call where messages are batched, and memory that streams go into: as a worker does.
const BUFFER: usize = 512 << 10;

/// What the peer is to do next.
pub enum Order {
    /// `count` times: receive `request` bytes and send `reply` bytes.
    Echo {
        request: u64,
        reply: u64,
        count: u64,
    },
    /// Receive so many bytes, then send 8.
    Take(u64),
    /// Send so many bytes, in pieces.
    Give { bytes: u64, piece: u64 },
    /// Receive so many messages, then send the sum of their numbers.
    Messages(u64),
}

impl Order {
    pub fn send(&self, link: &mut Link) -> Result<()> {
        let words = match *self {
            Self::Echo {
                request,
                reply,
                count,
            } => [0, request, reply, count],
            Self::Take(bytes) => [1, bytes, 0, 0],
            Self::Give { bytes, piece } => [2, bytes, piece, 0],
            Self::Messages(count) => [3, count, 0, 0],
        };
        link.send(&words.map(u64::to_le_bytes).concat())
    }

    fn receive(link: &mut Link) -> Result<Self> {
        let mut bytes = [0; 32];
        link.receive(&mut bytes)?;
        let word = |index: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[8 * index..8 * index + 8]);
            u64::from_le_bytes(word)
        };
        match [word(0), word(1), word(2), word(3)] {
            [0, request, reply, count] => Ok(Self::Echo {
                request,
                reply,
                count,
            }),
            [1, bytes, ..] => Ok(Self::Take(bytes)),
            [2, bytes, piece, _] => Ok(Self::Give { bytes, piece }),
            [3, count, ..] => Ok(Self::Messages(count)),
            _ => Err(Error::other("an unknown order")),
        }
    }
}

/// Serves the connection that is standard input.
pub fn serve(over: &str) -> Result<()> {
    // SAFETY: whoever starts a peer gives it the socket as its standard input, which nothing else here uses.
    let socket = Socket::new(unsafe { OwnedFd::from_raw_fd(0) });
    answer(match over {
        "tls" => Link::tls_server(socket)?,
        _ => Link::plain(socket),
    })
}

/// Serves a connection until it ends.
pub fn answer(mut link: Link) -> Result<()> {
    // Kept between orders, as device memory is: its pages are touched once.
    let mut memory = Vec::new();
    loop {
        let order = match Order::receive(&mut link) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        };
        carry_out(order, &mut link, &mut memory)?;
    }
}

fn carry_out(order: Order, link: &mut Link, memory: &mut Vec<u8>) -> Result<()> {
    let mut room = |bytes: u64| -> Result<usize> {
        let bytes = usize::try_from(bytes).map_err(Error::other)?;
        if memory.len() < bytes {
            memory.resize(bytes, 1);
        }
        Ok(bytes)
    };
    match order {
        Order::Echo {
            request,
            reply,
            count,
        } => {
            let (request, reply) = (room(request)?, room(reply)?);
            for _ in 0..count {
                link.receive(&mut memory[..request])?;
                link.send(&memory[..reply])?;
            }
        }
        Order::Take(bytes) => {
            let bytes = room(bytes)?;
            link.receive(&mut memory[..bytes])?;
            link.send(&[0; 8])?;
        }
        Order::Give { bytes, piece } => {
            let (bytes, piece) = (room(bytes)?, room(piece)?);
            for part in memory[..bytes].chunks(piece.max(1)) {
                link.send(part)?;
            }
        }
        Order::Messages(count) => {
            let buffer = room(BUFFER as u64)?;
            let sum = sum_of_numbers(link, &mut memory[..buffer], count)?;
            link.send(&sum.to_le_bytes())?;
        }
    }
    Ok(())
}

fn sum_of_numbers(link: &mut Link, buffer: &mut [u8], count: u64) -> Result<u64> {
    let (mut left, mut filled, mut sum) = (count, 0, 0u64);
    while left > 0 {
        filled += link.receive_some(&mut buffer[filled..])?;
        let whole = filled / MESSAGE * MESSAGE;
        for message in buffer[..whole].chunks_exact(MESSAGE) {
            let mut number = [0; 8];
            number.copy_from_slice(&message[..8]);
            sum = sum.wrapping_add(u64::from_le_bytes(number));
            left -= 1;
        }
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
    Ok(sum)
}
