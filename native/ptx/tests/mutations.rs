//! Good PTX made bad in random ways: reading it may fail and running it may fault, but neither may do anything else.

mod support;

use aquifer_ptx::{Fault, Launch, Module, launch};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use support::{Arena, Params, Random};

const SEEDS: [&str; 3] = [
    include_str!("../../../examples/kernels/matmul.ptx"),
    include_str!("../../../examples/kernels/histogram.ptx"),
    include_str!("seed.ptx"),
];

/// Pieces that a text is cut into and put together from.
fn tokens(text: &str) -> Vec<&str> {
    text.split_inclusive(|c: char| !c.is_alphanumeric() && c != '_' && c != '%' && c != '$')
        .collect()
}

const ODD: [&str; 16] = [
    "0",
    "-1",
    "4294967295",
    "18446744073709551615",
    "0x7fffffffffffffff",
    "%tid.x",
    "{",
    "}",
    "[",
    "];",
    ".v4",
    ".f64",
    ".u8",
    "@%p1 ",
    "bar.sync 0;",
    "0f7fffffff",
];

fn mutate(text: &str, random: &mut Random) -> String {
    let mut pieces = tokens(text);
    for _ in 0..1 + random.next() % 4 {
        let at = random.next() as usize % pieces.len();
        let other = random.next() as usize % pieces.len();
        match random.next() % 6 {
            0 => drop(pieces.remove(at)),
            1 => pieces.swap(at, other),
            2 => pieces.insert(at, pieces[other]),
            3 => pieces[at] = pieces[other],
            4 => pieces[at] = ODD[random.next() as usize % ODD.len()],
            _ => pieces.truncate(pieces.len() - (random.next() as usize % pieces.len().min(3))),
        }
    }
    pieces.concat()
}

#[test]
fn nothing_but_errors_comes_of_mutated_ptx() {
    let mut random = Random(4);
    let (mut read, mut ran, mut faulted) = (0, 0, 0);
    for round in 0..6000 {
        let text = mutate(SEEDS[round % SEEDS.len()], &mut random);
        let Ok(mut module) = Module::parse(text.as_bytes(), 80) else {
            continue;
        };
        read += 1;
        let mut arena = Arena::new(1 << 16);
        let places: Vec<(String, u64)> = (module.globals().iter())
            .filter(|global| global.size <= 1 << 12)
            .map(|global| {
                (
                    global.name.clone(),
                    arena.put(&vec![0u8; global.size as usize]),
                )
            })
            .collect();
        let place = |name: &str| {
            places
                .iter()
                .find(|place| place.0 == name)
                .map(|place| place.1)
        };
        if module.bind(place).is_err() {
            continue;
        }
        let at = arena.put(&[7u32; 1024]);
        let params = Params::default()
            .u64(at)
            .u64(at)
            .u64(at)
            .u32(40)
            .u64(at)
            .u64(9);
        for kernel in 0..module.kernels().len() {
            let sizes = Launch {
                grid: [2, 1, 1],
                block: [48, 1, 1],
                dynamic_shared_bytes: 64,
                params: &params.0,
                deadline: Some(Instant::now() + Duration::from_millis(20)),
            };
            match launch(&module, kernel, &sizes, &arena, &AtomicBool::new(false), 2) {
                Ok(_) => ran += 1,
                Err(Fault::InvalidLaunch(why)) => assert!(!why.is_empty()),
                Err(_) => faulted += 1,
            }
        }
    }
    // How many faults were timeouts depends on the machine; how many launches there were does not.
    assert!(
        read > 300 && ran + faulted > 300,
        "{read} read, {ran} ran, {faulted} faulted"
    );
}
