//! Each PTX feature against the same C compiled for the CPU, on generated inputs. `kernels/dual.h` tells how a kernel is
//! written for both. Needs clang, so `scripts/check-ptx.sh` runs it and a plain `cargo test` does not.

#[path = "../support/mod.rs"]
mod support;

mod reference;

use aquifer_ptx::{Launch, Module, launch};
use reference::{OUTPUTS, Reference, SPARE};
use std::sync::atomic::AtomicBool;
use support::{Arena, Params, Random, load_with};

/// Words in which something special begins or ends: as integers, floats, upper halves of doubles and halves.
#[rustfmt::skip]
const EDGES: [u32; 44] = [
    0, 1, 2, 7, 31, 32, 33, 63, 64, 127, 128, 255, 256, 0x3c00, 0x7bff, 0x7c00, 0x7e00, 0x7fff, 0x8000, 0x8001, 0xfc00,
    0xffff, 0x0001_0000, 0x007f_ffff, 0x0080_0000, 0x3380_0000, 0x3f00_0000, 0x3f80_0000, 0x3fc0_0000, 0x3ff0_0000,
    0x4b00_0001, 0x4f00_0000, 0x7f7f_ffff, 0x7f80_0000, 0x7fc0_0000, 0x7ff0_0000, 0x7fff_ffff, 0x8000_0000, 0x8000_0001,
    0x8080_0000, 0xbf80_0000, 0xcf00_0000, 0xff80_0000, 0xffff_ffff,
];

/// Three words for each thread: every pair of edges, then random bits, small integers and floats near one another.
fn inputs(threads: usize) -> Vec<u32> {
    let mut random = Random(3);
    let mut words = Vec::with_capacity(3 * threads);
    for thread in 0..threads {
        let r = [random.next(), random.next(), random.next()];
        let any = r.map(|r| r as u32);
        words.extend(match thread.checked_sub(EDGES.len() * EDGES.len()) {
            None => [
                EDGES[thread / EDGES.len()],
                EDGES[thread % EDGES.len()],
                EDGES[any[2] as usize % EDGES.len()],
            ],
            Some(rest) => match rest % 4 {
                0 => any,
                1 => any.map(|word| word % 61),
                2 => any.map(|word| (word & 0x83ff_ffff) | 0x3c00_0000),
                _ => [
                    any[0],
                    any[0].wrapping_add(any[1] % 3),
                    EDGES[any[2] as usize % EDGES.len()],
                ],
            },
        });
    }
    words
}

const BLOCKS: u32 = 29;
const BLOCK_SIZE: u32 = 100;

fn interpret(module: &Module, input: &[u32], arena: &mut Arena, threads: usize) -> Vec<u32> {
    let lanes = input.len() / 3;
    let at_output = arena.put(&vec![0u32; lanes * OUTPUTS + SPARE]);
    let params = Params::default()
        .u64(arena.put(input))
        .u64(at_output)
        .u32(lanes as u32);
    let sizes = Launch {
        grid: [BLOCKS, 1, 1],
        block: [BLOCK_SIZE, 1, 1],
        dynamic_shared_bytes: 48 * 1024 - 8192,
        params: &params.0,
        deadline: None,
    };
    if let Err(fault) = launch(module, 0, &sizes, arena, &AtomicBool::new(false), threads) {
        panic!("{fault}");
    }
    arena.get(at_output, lanes * OUTPUTS + SPARE)
}

/// Runs `kernels/NAME.cu` on both machines: the interpreter with and without vector instructions and on three threads.
fn check(name: &str) {
    let reference = Reference::compile(name);
    let input = inputs((BLOCKS * BLOCK_SIZE) as usize);
    let wanted = reference.run(&input, BLOCKS, BLOCK_SIZE);
    let text = reference::ptx(name);
    for (how, module, threads) in [
        ("with vectors", Module::parse(text.as_bytes(), 80), 1),
        (
            "without vectors",
            Module::parse_portable(text.as_bytes(), 80),
            1,
        ),
        ("on three threads", Module::parse(text.as_bytes(), 80), 3),
    ] {
        let mut arena = Arena::new(8 << 20);
        let module = load_with(module, &text, &mut arena);
        let found = interpret(&module, &input, &mut arena, threads);
        let differences = differences(name, &reference, &input, &wanted, &found);
        assert!(
            differences.is_empty(),
            "{name} {how}: {} words differ\n{}",
            differences.len(),
            differences
                .iter()
                .take(20)
                .cloned()
                .collect::<Vec<_>>()
                .join("\n")
        );
    }
    assert!(wanted.iter().any(|&word| word != 0), "{name} puts nothing");
}

fn near(wanted: f64, found: f64, relative: f64, absolute: f64) -> bool {
    wanted == found
        || wanted.is_nan() && found.is_nan()
        || (wanted - found).abs() <= (relative * wanted.abs()).max(absolute)
}

/// A line for each word that is not as wanted.
fn differences(
    name: &str,
    reference: &Reference,
    input: &[u32],
    wanted: &[u32],
    found: &[u32],
) -> Vec<String> {
    let lines = reference.lines();
    let (relative, absolute) = reference.bounds();
    let mut list = Vec::new();
    let mut at = 0;
    while at < wanted.len() {
        let (thread, word) = (at / OUTPUTS, at % OUTPUTS);
        let shared = thread >= input.len() / 3;
        let approximate = !shared && (relative[word] != 0.0 || absolute[word] != 0.0);
        let words = if approximate { 2 } else { 1 };
        let (w, f) = (&wanted[at..at + words], &found[at..at + words]);
        at += words;
        if w == f {
            continue;
        }
        if approximate {
            let double =
                |words: &[u32]| f64::from_bits(u64::from(words[1]) << 32 | u64::from(words[0]));
            let (w, f) = (double(w), double(f));
            if !near(w, f, relative[word], absolute[word]) {
                let given = as_hex(&input[3 * thread..3 * thread + 3]);
                list.push(format!(
                    "{name}.cu:{}: word {word}, thread {thread} of {given}: C gives {w:e}, PTX {f:e}",
                    lines[word]
                ));
            }
        } else if shared {
            let word = at - words - input.len() / 3 * OUTPUTS;
            list.push(format!(
                "{name}.cu: together[{word}]: C gives {}, PTX {}",
                as_hex(w),
                as_hex(f)
            ));
        } else {
            let given = as_hex(&input[3 * thread..3 * thread + 3]);
            list.push(format!(
                "{name}.cu:{}: word {word}, thread {thread} of {given}: C gives {}, PTX {}",
                lines[word],
                as_hex(w),
                as_hex(f)
            ));
        }
    }
    list
}

fn as_hex(words: &[u32]) -> String {
    words
        .iter()
        .map(|word| format!("{word:08x}"))
        .collect::<Vec<_>>()
        .join(" ")
}

macro_rules! features {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            check(stringify!($name));
        }
    )*};
}
features! {
    atomic
    barrier
    bits
    call
    constant
    control
    convert
    float
    half
    integer
    local
    math
    shared
    vector
    warp
}
