//! What a worker of another user must reach: handed over as descriptors, so that the directories above stay closed to
//! it, and opened to its group no wider than it needs.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

use crate::unix_socket::open_directory;
use serde_json::Value;

/// The descriptors that are the spawner's to give: the worker leaves 3 to 15 open.
pub const FIRST: i32 = 3;
const LAST: i32 = 15;

/// Keeps the numbers that will be given free of everything else, so that a child can put its own there without
/// overwriting what the start of a process needs. Call it before anything is opened.
pub fn reserve() -> io::Result<()> {
    loop {
        let descriptor = OwnedFd::from(File::open("/dev/null")?);
        if descriptor.as_raw_fd() > LAST {
            return Ok(());
        }
        std::mem::forget(descriptor);
    }
}

/// Descriptors that go to a worker, in order: the first one becomes number [`FIRST`].
#[derive(Debug, Default)]
pub struct Handover(
    /// The descriptors.
    pub Vec<OwnedFd>,
);

impl Handover {
    fn give(&mut self, descriptor: OwnedFd) -> String {
        self.0.push(descriptor);
        format!("/proc/self/fd/{}", FIRST as usize + self.0.len() - 1)
    }

    /// Rewrites the paths in a worker's configuration to descriptors that its user can use.
    pub fn rewrite(&mut self, config: &mut Value, gid: u32) -> io::Result<()> {
        for pointer in ["/ledgerDir", "/turnsDir", "/environment/SOFTGPU_STATE_DIR"] {
            if let Some(Value::String(path)) = config.pointer_mut(pointer) {
                *path = self.directory(Path::new(path.as_str()), gid)?;
            }
        }
        if let Some(Value::String(path)) = config.pointer_mut("/controlSocket") {
            let socket = Path::new(path.as_str());
            let (Some(directory), Some(name)) = (socket.parent(), socket.file_name()) else {
                return Err(io::Error::other("controlSocket: it names no socket"));
            };
            *path = format!("{}/{}", self.directory(directory, gid)?, name.display());
        }
        if let Some(Value::String(path)) = config.pointer_mut("/driver")
            && path.starts_with('/')
            && !open_to_all(Path::new(path.as_str()))
        {
            *path = self.give(File::open(path.as_str())?.into());
        }
        Ok(())
    }

    /// Lets the group make, find and open files in a directory (not list it), and write those that root made before.
    fn directory(&mut self, path: &Path, gid: u32) -> io::Result<String> {
        std::fs::create_dir_all(path)?;
        let directory = File::options()
            .read(true)
            .custom_flags(libc::O_DIRECTORY)
            .open(path)?;
        // Sticky: what root made here, records above all, no worker can remove or replace.
        set_rights(&directory, gid, 0o1730)?;
        for entry in std::fs::read_dir(path)?.flatten() {
            // Never through a link that a worker made, nor a file that it linked here from elsewhere.
            let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
            let Ok(file) = File::options()
                .read(true)
                .custom_flags(flags)
                .open(entry.path())
            else {
                continue;
            };
            let found = file.metadata()?;
            let record = entry
                .path()
                .extension()
                .is_some_and(|extension| extension == "json");
            if found.is_file()
                && found.nlink() == 1
                && found.uid() == 0
                && found.gid() != gid
                && !record
            {
                set_rights(&file, gid, 0o660)?;
            }
        }
        Ok(self.give(open_directory(path)?))
    }
}

fn set_rights(file: &File, gid: u32, mode: u32) -> io::Result<()> {
    fchown(file, None, Some(gid))?;
    // SAFETY: the descriptor is open for the call.
    if unsafe { libc::fchmod(file.as_raw_fd(), mode) } < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Whether every user can read the file at this path.
fn open_to_all(path: &Path) -> bool {
    let directories = path.ancestors().skip(1);
    let allows = |path: &Path, bits: u32| {
        std::fs::metadata(path).is_ok_and(|found| found.mode() & bits == bits)
    };
    allows(path, 0o004)
        && directories
            .into_iter()
            .all(|directory| allows(directory, 0o001))
}
