//! What was measured, and how it is told: one JSON object a line, in the form of bench/result.ts.

use serde::Serialize;
use std::time::Instant;

/// Times in ns.
#[derive(Default)]
pub struct Samples(Vec<u64>);

impl Samples {
    pub fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    #[inline]
    pub fn push(&mut self, ns: u64) {
        self.0.push(ns);
    }

    /// Keeps a time, unless it only warmed up.
    pub fn push_if(&mut self, keep: bool, ns: u64) {
        if keep {
            self.push(ns);
        }
    }

    /// The p-th percentile by nearest rank; 0 when there is none.
    pub fn percentile(&self, p: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * p).div_ceil(100).max(1);
        sorted.get(rank - 1).map_or(0.0, |ns| *ns as f64)
    }
}

/// How long `run` takes, in ns.
pub fn time<E>(run: impl FnOnce() -> Result<(), E>) -> Result<u64, E> {
    let start = Instant::now();
    run()?;
    Ok(start.elapsed().as_nanos() as u64)
}

/// One figure.
#[derive(Serialize)]
pub struct Report<'a> {
    name: String,
    unit: &'static str,
    p50: f64,
    p99: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    samples: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
}

impl<'a> Report<'a> {
    pub fn new(name: String, samples: &Samples) -> Self {
        Self {
            name,
            unit: "ns",
            p50: samples.percentile(50),
            p99: samples.percentile(99),
            value: None,
            samples: samples.0.len(),
            reference: None,
            ratio: None,
        }
    }

    /// Adds a rate: `amount` per median time, in a second.
    pub fn rate(mut self, amount: f64) -> Self {
        self.value = Some(amount / self.p50 * 1e9);
        self
    }

    /// Compares the medians; `what` says in words what `raw` is.
    pub fn beside(mut self, what: &'a str, raw: &Samples) -> Self {
        self.reference = Some(what);
        self.ratio = Some(self.p50 / raw.percentile(50));
        self
    }

    /// Tells the times of one of `count` things that every sample did.
    pub fn each(mut self, count: usize) -> Self {
        self.p50 /= count as f64;
        self.p99 /= count as f64;
        self
    }

    pub fn print(&self) {
        if let Ok(line) = serde_json::to_string(self) {
            println!("{line}");
        }
    }
}
