//! Raw peers: the same bytes between two processes over the same kind of connection, with nothing of Aquifer between.

mod link;
pub mod peer;
mod socket;
mod tls;

use link::Link;
use peer::Order;
use socket::Socket;
use std::io::{self, Result};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command};

/// Bytes of one write of a stream, as large as the kind of connection likes them.
const UNIX_PIECE: usize = 256 << 10;
const TLS_PIECE: usize = 128 << 10;
/// Bytes of one write of batched messages.
const BATCH: usize = 32 << 10;

/// A process that answers, and the connection to it.
pub struct Raw {
    link: Link,
    /// Where it is on this machine.
    child: Option<Child>,
    piece: usize,
}

impl Raw {
    /// Starts a peer for `unix` or `tls`, or goes to one for `tap`; there is none for anything else.
    pub fn start(over: &str) -> Result<Option<Self>> {
        match over {
            "unix" => {
                let (ours, theirs) = UnixStream::pair()?;
                let child = Self::peer("unix", theirs.into())?;
                Ok(Some(Self {
                    link: Link::plain(Socket::new(ours.into())),
                    child: Some(child),
                    piece: UNIX_PIECE,
                }))
            }
            "tls" => {
                let listener = TcpListener::bind("127.0.0.1:0")?;
                let ours = TcpStream::connect(listener.local_addr()?)?;
                let child = Self::peer("tls", listener.accept()?.0.into())?;
                Ok(Some(Self {
                    link: Link::tls_client(Socket::new(ours.into()))?,
                    child: Some(child),
                    piece: TLS_PIECE,
                }))
            }
            // From a guest: the peer is on the host, where `aquifer-bench listen` is.
            "tap" | "vsock" => {
                let address = std::env::var("AQUIFER_BENCH_PEER").map_err(io::Error::other)?;
                let ours = match address.strip_prefix("vsock:") {
                    Some(port) => Socket::vsock(port.parse().map_err(io::Error::other)?)?,
                    None => Socket::new(TcpStream::connect(address)?.into()),
                };
                Ok(Some(Self {
                    link: Link::tls_client(ours)?,
                    child: None,
                    piece: TLS_PIECE,
                }))
            }
            _ => Ok(None),
        }
    }

    /// Serves the guests that connect to these addresses, HOST:PORT or the path of a socket, until it is killed. No connection
    /// outlives it, whatever became of the guest.
    pub fn listen(addresses: &[&str]) -> Result<()> {
        let mut doors = Vec::new();
        for address in addresses {
            let next: Box<dyn Fn() -> Result<OwnedFd> + Send> = if address.starts_with('/') {
                let listener = UnixListener::bind(address)?;
                Box::new(move || Ok(listener.accept()?.0.into()))
            } else {
                let listener = TcpListener::bind(address)?;
                Box::new(move || Ok(listener.accept()?.0.into()))
            };
            doors.push(std::thread::spawn(move || -> Result<()> {
                loop {
                    let socket = next()?;
                    std::thread::spawn(move || {
                        // How it ends is told where it was wanted: in the guest.
                        let _ = Link::tls_server(Socket::new(socket)).and_then(peer::answer);
                    });
                }
            }));
        }
        println!("listening");
        for door in doors {
            door.join().map_err(|_| io::Error::other("a panic"))??;
        }
        Ok(())
    }

    /// This program again, with the socket as its standard input.
    fn peer(over: &str, socket: OwnedFd) -> Result<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["peer", over]).stdin(socket).spawn()
    }

    /// `count` times: `request` bytes there, `reply` bytes back. `each` gets what every turn takes.
    pub fn ping_pong(
        &mut self,
        (request, reply): (usize, usize),
        count: usize,
        mut each: impl FnMut(u64),
    ) -> Result<()> {
        let order = Order::Echo {
            request: request as u64,
            reply: reply as u64,
            count: count as u64,
        };
        order.send(&mut self.link)?;
        let (sent, mut received) = (vec![1; request], vec![0; reply]);
        for _ in 0..count {
            let turn = crate::samples::time(|| {
                self.link.send(&sent)?;
                self.link.receive(&mut received)
            });
            each(turn?);
        }
        Ok(())
    }

    /// Sends `memory` once, piece by piece, and waits until the peer has all of it.
    pub fn stream_out(&mut self, memory: &[u8]) -> Result<()> {
        Order::Take(memory.len() as u64).send(&mut self.link)?;
        for piece in memory.chunks(self.piece) {
            self.link.send(piece)?;
        }
        self.link.receive(&mut [0; 8])
    }

    /// Asks for as many bytes as `memory` has and receives them.
    pub fn stream_in(&mut self, memory: &mut [u8]) -> Result<()> {
        let (bytes, piece) = (memory.len() as u64, self.piece as u64);
        Order::Give { bytes, piece }.send(&mut self.link)?;
        self.link.receive(memory)
    }

    /// Sends `count` messages of 128 bytes, many in one write, and waits until the peer has looked at each.
    pub fn messages(&mut self, count: usize) -> Result<()> {
        Order::Messages(count as u64).send(&mut self.link)?;
        let mut batch = [0u8; BATCH];
        let mut message = [0u8; peer::MESSAGE];
        let mut filled = 0;
        for number in 0..count as u64 {
            message[..8].copy_from_slice(&number.to_le_bytes());
            batch[filled..filled + peer::MESSAGE].copy_from_slice(&message);
            filled += peer::MESSAGE;
            if filled == BATCH {
                self.link.send(&batch)?;
                filled = 0;
            }
        }
        self.link.send(&batch[..filled])?;
        let mut sum = [0; 8];
        self.link.receive(&mut sum)?;
        let wanted = (count as u64 * (count as u64).saturating_sub(1)) / 2;
        if u64::from_le_bytes(sum) == wanted {
            Ok(())
        } else {
            Err(io::Error::other("the raw peer saw other messages"))
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Nothing is written, which ends the peer; it is killed in case it does not listen.
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
