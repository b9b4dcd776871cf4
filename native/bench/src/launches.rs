//! Launches, alone and in numbers.

use crate::program::Program;
use crate::samples::{Report, Samples};
use std::time::Instant;

const LOOP: usize = 100_000;

/// What a launch costs its caller, in a loop: from the end of one to the end of the next, the clock included.
pub fn enqueue(program: &Program, over: &str) -> Result<(), String> {
    program.launch(LOOP / 10, || {})?;
    program.synchronize()?;
    let mut samples = Samples::with_capacity(LOOP);
    let mut last = Instant::now();
    program.launch(LOOP, || {
        let now = Instant::now();
        samples.push((now - last).as_nanos() as u64);
        last = now;
    })?;
    program.synchronize()?;
    Report::new(format!("launch-enqueue.{over}"), &samples).print();
    Ok(())
}
