//! Copies between pageable host memory and the device, beside a raw stream between two processes.

use crate::program::Program;
use crate::raw::Raw;
use crate::samples::{Report, Samples, time};

/// Name, bytes, rounds.
const SIZES: [(&str, usize, usize); 3] = [
    ("4k", 4 << 10, 400),
    ("1m", 1 << 20, 100),
    ("64m", 64 << 20, 15),
];

/// An emulated processor encrypts ten MB in a second: nothing else matters beside that, and there is no time for more.
const GUEST_ROUNDS: usize = 1;

/// Both directions in all sizes; what comes back is compared with what was sent.
pub fn measure(program: &Program, mut raw: Option<&mut Raw>, over: &str) -> Result<(), String> {
    let is_guest = crate::is_guest(over);
    let sizes = if is_guest { &SIZES[2..] } else { &SIZES[..] };
    for &(name, bytes, rounds) in sizes {
        let (warm_up, rounds) = if is_guest {
            (0, GUEST_ROUNDS)
        } else {
            (1, rounds)
        };
        let sent: Vec<u8> = (0..bytes).map(|at| ((at * 31) >> 5) as u8).collect();
        let mut received = vec![0; bytes];
        let address = program.allocate(bytes)?;
        let (mut out, mut back) = (Pair::default(), Pair::default());
        for round in 0..warm_up + rounds {
            let keep = round >= warm_up;
            out.ours
                .push_if(keep, time(|| program.to_device(address, &sent))?);
            if let Some(raw) = raw.as_deref_mut() {
                let ns = time(|| raw.stream_out(&sent)).map_err(|error| error.to_string())?;
                out.raw.push_if(keep, ns);
            }
            received.fill(0);
            back.ours
                .push_if(keep, time(|| program.to_host(&mut received, address))?);
            if received != sent {
                return Err(format!("a copy of {bytes} bytes came back changed"));
            }
            if let Some(raw) = raw.as_deref_mut() {
                let ns =
                    time(|| raw.stream_in(&mut received)).map_err(|error| error.to_string())?;
                back.raw.push_if(keep, ns);
            }
        }
        program.free(address)?;
        // A small copy to the device returns when its bytes are taken, which no stream that is waited for compares with.
        let waits = name != "4k";
        out.report(
            format!("copy-h2d-{name}.{over}"),
            bytes,
            raw.is_some() && waits,
        );
        back.report(format!("copy-d2h-{name}.{over}"), bytes, raw.is_some());
    }
    Ok(())
}

#[derive(Default)]
struct Pair {
    ours: Samples,
    raw: Samples,
}

impl Pair {
    fn report(&self, name: String, bytes: usize, compare: bool) {
        let report = Report::new(name, &self.ours).rate(bytes as f64);
        match compare {
            true => report
                .beside(
                    "a raw stream of as many bytes into memory that is in use",
                    &self.raw,
                )
                .print(),
            false => report.print(),
        }
    }
}
