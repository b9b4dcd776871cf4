//! What the library shows to the program that loads it.

mod stage;

use aquifer_cuda::symbols;
use stage::driver::{Driver, library};
use std::collections::BTreeSet;
use std::process::Command;

fn dynamic_symbols(kind: &str) -> BTreeSet<String> {
    let output = Command::new("nm")
        .args(["-D", kind])
        .arg(library())
        .output()
        .expect("nm (binutils) is installed");
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .filter_map(|line| line.split_whitespace().last())
        .map(|name| name.to_owned())
        .collect()
}

#[test]
fn every_entry_point_of_cuda_13_is_exported() {
    let exported = dynamic_symbols("--defined-only");
    let missing: Vec<_> = symbols::all()
        .iter()
        .filter(|symbol| !exported.contains(symbol.symbol))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn nothing_but_cuda_and_nvml_is_exported() {
    let of_ours = |name: &String| {
        let rest = name
            .strip_prefix("cu")
            .or_else(|| name.strip_prefix("nvml"));
        rest.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_uppercase()))
    };
    let foreign: Vec<_> = dynamic_symbols("--defined-only")
        .into_iter()
        .filter(|name| !of_ours(name))
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}

#[test]
fn loading_starts_no_thread() {
    let threads = || std::fs::read_dir("/proc/self/task").expect("proc").count();
    let before = threads();
    let driver = Driver::open();
    let mut version = 0;
    let get: extern "C" fn(*mut i32) -> u32 = driver.get("cuDriverGetVersion");
    assert_eq!(get(&mut version), 0);
    assert_eq!((version, threads()), (13000, before));
}

#[test]
fn the_name_that_programs_look_for_is_in_the_library() {
    let output = Command::new("readelf")
        .args(["-d"])
        .arg(library())
        .output()
        .expect("readelf (binutils) is installed");
    assert!(String::from_utf8_lossy(&output.stdout).contains("[libcuda.so.1]"));
}
