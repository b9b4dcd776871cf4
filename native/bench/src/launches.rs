//! Launches, alone and in numbers.

use crate::program::Program;
use crate::raw::Raw;
use crate::samples::{Report, Samples, time};
use std::time::Instant;

const LOOP: usize = 100_000;
/// Launches of one sample of the rate.
const MANY: usize = 400_000;
const ROUNDS: usize = 9;

/// What a launch costs its caller, in a loop: from the end of one to the end of the next, the clock included.
pub fn enqueue(program: &Program, over: &str) -> Result<(), String> {
    let count = if crate::is_guest(over) {
        LOOP / 5
    } else {
        LOOP
    };
    program.launch(count / 10, || {})?;
    program.synchronize()?;
    let mut samples = Samples::with_capacity(count);
    let mut last = Instant::now();
    program.launch(count, || {
        let now = Instant::now();
        samples.push((now - last).as_nanos() as u64);
        last = now;
    })?;
    program.synchronize()?;
    Report::new(format!("launch-enqueue.{over}"), &samples).print();
    Ok(())
}

/// Launches carried out in a second, beside batched messages of the same size.
pub fn rate(program: &Program, raw: Option<&mut Raw>, over: &str) -> Result<(), String> {
    let (mut ours, mut messages) = (Samples::default(), Samples::default());
    let mut raw = raw;
    for _ in 0..ROUNDS {
        ours.push(time(|| {
            program.launch(MANY, || {})?;
            program.synchronize()
        })?);
        if let Some(raw) = &mut raw {
            messages.push(time(|| raw.messages(MANY)).map_err(|error| error.to_string())?);
        }
    }
    let report = Report::new(format!("launch-rate.{over}"), &ours).rate(MANY as f64);
    let report = match raw {
        Some(_) => report.beside(
            "messages of 128 bytes, batched by 32 KiB, that the peer looks at",
            &messages,
        ),
        None => report,
    };
    report.each(MANY).print();
    Ok(())
}
