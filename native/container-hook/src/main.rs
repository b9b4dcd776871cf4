//! The hook that a container runtime calls when it makes a container with a vGPU (createContainer: all is mounted, and
//! the host is still seen). The client libraries lie in the loader's trusted directories then; where the image's loader
//! cache names another file for one of them, which the loader would take first, the client library is shown there too.
//!
//! It runs as root and reads an image of a stranger: links are followed inside of the image alone, nothing of it is
//! executed, and nothing but mounts of the container is changed.

mod loader_cache;
mod rootfs;

use std::ffi::CStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;

use crate::rootfs::{Rootfs, Within, cover};

/// What each client library stands for, and one of the places where it is mounted.
const LIBRARIES: [(&[&CStr], &CStr); 2] = [
    (
        &[c"libcuda.so.1", c"libcuda.so"],
        c"/usr/lib64/libcuda.so.1",
    ),
    (
        &[c"libnvidia-ml.so.1", c"libnvidia-ml.so"],
        c"/usr/lib64/libnvidia-ml.so.1",
    ),
];

const CACHE: &CStr = c"/etc/ld.so.cache";
/// Caches have about 100 bytes a library.
const MOST_CACHE_BYTES: u64 = 16 << 20;
/// Of one library. Images have one or two.
const MOST_FILES: usize = 64;
/// What the runtime tells of a container, and its configuration.
const MOST_JSON_BYTES: u64 = 16 << 20;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        // The runtime shows it in the events of the pod.
        Err(reason) => {
            eprintln!("aquifer container-hook: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let path = root_of(&json(std::io::stdin(), "the container's state")?)?;
    let named = |error: std::io::Error| format!("{}: {error}", path.display());
    let rootfs = Rootfs::open(&path).map_err(named)?;
    let cache = rootfs.read(CACHE, MOST_CACHE_BYTES);
    let cache = cache.map_err(|error| format!("{CACHE:?} of the image: {error}"))?;
    let cache = cache.unwrap_or_default();
    for (names, own) in LIBRARIES {
        let files = loader_cache::files_of(&cache, names);
        if files.len() > MOST_FILES {
            return Err(format!(
                "{CACHE:?} of the image names {} files for {:?}",
                files.len(),
                names[0]
            ));
        }
        for file in files {
            show(&rootfs, own, file).map_err(|error| format!("{file:?} of the image: {error}"))?;
        }
    }
    Ok(())
}

/// Shows the client library at a path of the image. What is mounted there already, by us or by the user, stays.
fn show(rootfs: &Rootfs, own: &CStr, file: &CStr) -> std::io::Result<()> {
    let Some(target) = rootfs.find(file, Within::Image)? else {
        return Ok(());
    };
    if rootfs.find(own, Within::Image)?.is_some() {
        return Err(not_mounted(own));
    }
    let source = rootfs.find(own, Within::Container)?;
    cover(&target, &source.ok_or_else(|| not_mounted(own))?)
}

fn not_mounted(own: &CStr) -> std::io::Error {
    std::io::Error::other(format!("nothing is mounted at {own:?}"))
}

/// Where the container's file system is: its bundle's configuration says so.
fn root_of(state: &Value) -> Result<PathBuf, String> {
    let bundle = state["bundle"].as_str();
    let bundle = Path::new(bundle.ok_or("the container's state names no bundle")?);
    let file = bundle.join("config.json");
    let named = |error: std::io::Error| format!("{}: {error}", file.display());
    let config = json(
        std::fs::File::open(&file).map_err(named)?,
        &file.display().to_string(),
    )?;
    let root = config["root"]["path"].as_str();
    root.map(|root| bundle.join(root))
        .ok_or_else(|| format!("{}: names no root", file.display()))
}

fn json(from: impl Read, name: &str) -> Result<Value, String> {
    serde_json::from_reader(from.take(MOST_JSON_BYTES)).map_err(|error| format!("{name}: {error}"))
}
