//! Calls that wait for the worker, beside a raw ping-pong that carries as many bytes.

use crate::program::{PARAMETER_BYTES, Program};
use crate::raw::Raw;
use crate::samples::{Report, Samples, time};
use aquifer_protocol::frame::frame_bytes;
use aquifer_protocol::generated::{ContextSynchronize, ContextSynchronizeReply, Launch};

/// Launches of one token of a language model.
const LAUNCHES: usize = 200;
const ROUNDS: usize = 40;
const REQUEST: usize = frame_bytes::<ContextSynchronize>(0);
const REPLY: usize = frame_bytes::<ContextSynchronizeReply>(0);

/// Waits with nothing to wait for.
pub fn synchronize(program: &Program, raw: Option<&mut Raw>, over: &str) -> Result<(), String> {
    let what = "a blocking ping-pong that carries as many bytes";
    let measured = interleaved(raw, (REQUEST, 100), || program.synchronize())?;
    report(format!("synchronize.{over}"), what, measured);
    Ok(())
}

/// 200 launches and one wait.
pub fn token(program: &Program, raw: Option<&mut Raw>, over: &str) -> Result<(), String> {
    let bytes = LAUNCHES * frame_bytes::<Launch>(PARAMETER_BYTES) + REQUEST;
    let what = "a blocking ping-pong that carries as many bytes one way";
    let measured = interleaved(raw, (bytes, 50), || {
        program.launch(LAUNCHES, || {})?;
        program.synchronize()
    })?;
    report(format!("token.{over}"), what, measured);
    Ok(())
}

/// Ours and raw in turns of `count`, so that whatever else the machine does hits both. The first turn of each warms up.
fn interleaved(
    mut raw: Option<&mut Raw>,
    (request, count): (usize, usize),
    mut ours: impl FnMut() -> Result<(), String>,
) -> Result<(Samples, Option<Samples>), String> {
    let mut own = Samples::default();
    let mut beside = Samples::default();
    for round in 0..=ROUNDS {
        for _ in 0..count {
            let ns = time(&mut ours)?;
            if round > 0 {
                own.push(ns);
            }
        }
        if let Some(raw) = &mut raw {
            let keep = |ns| {
                if round > 0 {
                    beside.push(ns);
                }
            };
            raw.ping_pong((request, REPLY), count, keep)
                .map_err(|error| error.to_string())?;
        }
    }
    Ok((own, raw.map(|_| beside)))
}

fn report(name: String, what: &str, (ours, raw): (Samples, Option<Samples>)) {
    let report = Report::new(name, &ours);
    match raw {
        Some(raw) => report.beside(what, &raw).print(),
        None => report.print(),
    }
}
