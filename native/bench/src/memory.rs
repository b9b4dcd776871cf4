//! Device memory, taken and given back.

use crate::program::Program;
use crate::samples::{Report, Samples, time};

const PAIRS: usize = 20_000;
const BYTES: usize = 1 << 20;

/// One allocation of 1 MiB and its release.
pub fn allocate_and_free(program: &Program, over: &str) -> Result<(), String> {
    let mut samples = Samples::with_capacity(PAIRS);
    for turn in 0..PAIRS + PAIRS / 10 {
        let ns = time(|| {
            let address = program.allocate(BYTES)?;
            program.free(address)
        })?;
        if turn >= PAIRS / 10 {
            samples.push(ns);
        }
    }
    program.synchronize()?;
    Report::new(format!("alloc-free.{over}"), &samples).print();
    Ok(())
}
