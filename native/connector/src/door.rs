//! A socket that programs connect to.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

use aquifer_control::poll::Poller;
use aquifer_control::refusal::Refusal;
use aquifer_control::unix_socket;

pub struct Door {
    pub mode: u32,
    pub listener: UnixListener,
    /// Device and inode of the socket's name.
    inode: (u64, u64),
    pub token: u64,
}

impl Door {
    /// Listens at `path`, in place of what listened there before.
    pub fn open(path: &Path, mode: u32, token: u64, poller: &Poller) -> Result<Self, Refusal> {
        if !path.is_absolute() {
            return Err(Refusal::new(
                "BadRequest",
                format!("socketPath: {} is not absolute", path.display()),
            ));
        }
        let opened = unix_socket::listen(path, mode).and_then(|listener| {
            poller.add(&listener, token)?;
            Ok(Self {
                mode,
                listener,
                inode: inode_of(path)?,
                token,
            })
        });
        opened.map_err(|error| failed(path, &error))
    }

    /// Whether the path still leads to this socket.
    pub fn is_there(&self, path: &Path) -> bool {
        inode_of(path).is_ok_and(|inode| inode == self.inode)
    }

    /// Keeps the socket, so that programs that wait at it already are served, not sent away.
    pub fn set_mode(&mut self, path: &Path, mode: u32) -> Result<(), Refusal> {
        if mode != self.mode {
            std::fs::set_permissions(path, Permissions::from_mode(mode))
                .map_err(|error| failed(path, &error))?;
            self.mode = mode;
        }
        Ok(())
    }

    /// Removes the socket's name, if it is still this one's.
    pub fn close(self, path: &Path) -> io::Result<()> {
        if self.is_there(path) {
            std::fs::remove_file(path)?;
        }
        Ok(())
    }
}

fn inode_of(path: &Path) -> io::Result<(u64, u64)> {
    let found = std::fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

fn failed(path: &Path, error: &io::Error) -> Refusal {
    Refusal::new("SocketFailed", format!("{}: {error}", path.display()))
}
