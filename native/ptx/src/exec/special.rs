//! Special registers.

use super::lanes::store;
use super::op::{Op, handler};
use super::warp::Warp;
use std::time::{SystemTime, UNIX_EPOCH};

/// Which special register, as `Op::x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Special {
    TidX,
    TidY,
    TidZ,
    NtidX,
    NtidY,
    NtidZ,
    CtaidX,
    CtaidY,
    CtaidZ,
    NctaidX,
    NctaidY,
    NctaidZ,
    Laneid,
    Warpid,
    Nwarpid,
    Smid,
    Nsmid,
    Gridid,
    LanemaskEq,
    LanemaskLe,
    LanemaskLt,
    LanemaskGe,
    LanemaskGt,
    Clock,
    ClockHigh,
    Clock64,
    GlobalTimer,
    GlobalTimerLow,
    GlobalTimerHigh,
    DynamicSharedBytes,
    TotalSharedBytes,
    WarpSize,
    Zero,
}

impl Special {
    /// The register of that name (`%tid` with component `x`) and whether it has 64 bits.
    pub fn from_name(name: &str, component: Option<&str>) -> Option<(Special, bool)> {
        use Special::*;
        let axis = |choices: [Special; 3]| match component? {
            "x" => Some((choices[0], false)),
            "y" => Some((choices[1], false)),
            "z" => Some((choices[2], false)),
            _ => None,
        };
        match name {
            "%tid" => return axis([TidX, TidY, TidZ]),
            "%ntid" => return axis([NtidX, NtidY, NtidZ]),
            "%ctaid" => return axis([CtaidX, CtaidY, CtaidZ]),
            "%nctaid" => return axis([NctaidX, NctaidY, NctaidZ]),
            _ if component.is_some() => return None,
            _ => {}
        }
        Some(match name {
            "%laneid" => (Laneid, false),
            "%warpid" => (Warpid, false),
            "%nwarpid" => (Nwarpid, false),
            "%smid" => (Smid, false),
            "%nsmid" => (Nsmid, false),
            "%gridid" => (Gridid, true),
            "%lanemask_eq" => (LanemaskEq, false),
            "%lanemask_le" => (LanemaskLe, false),
            "%lanemask_lt" => (LanemaskLt, false),
            "%lanemask_ge" => (LanemaskGe, false),
            "%lanemask_gt" => (LanemaskGt, false),
            "%clock" => (Clock, false),
            "%clock_hi" => (ClockHigh, false),
            "%clock64" => (Clock64, true),
            "%globaltimer" => (GlobalTimer, true),
            "%globaltimer_lo" => (GlobalTimerLow, false),
            "%globaltimer_hi" => (GlobalTimerHigh, false),
            "%dynamic_smem_size" => (DynamicSharedBytes, false),
            "%total_smem_size" => (TotalSharedBytes, false),
            "WARP_SZ" => (WarpSize, false),
            "%envreg0" | "%envreg1" | "%envreg2" => (Zero, false),
            _ => return None,
        })
    }
}

fn nanoseconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |t| t.as_nanos() as u64)
}

fn uniform(w: &Warp, which: u32) -> u64 {
    let context = w.context();
    // SAFETY: the block outlives its warps' runs.
    let block = unsafe { &*w.block };
    let is = |special: Special| which == special as u32;
    let axes = [
        (Special::NtidX, context.block),
        (Special::CtaidX, block.id),
        (Special::NctaidX, context.grid),
    ];
    for (first, values) in axes {
        if let Some(axis) = which.checked_sub(first as u32).filter(|axis| *axis < 3) {
            return u64::from(values[axis as usize]);
        }
    }
    if is(Special::Warpid) {
        u64::from(w.index)
    } else if is(Special::Nwarpid) {
        u64::from(context.block.iter().product::<u32>().div_ceil(32))
    } else if is(Special::Smid) {
        u64::from(block.thread)
    } else if is(Special::Nsmid) {
        u64::from(context.threads)
    } else if is(Special::Clock)
        || is(Special::Clock64)
        || is(Special::GlobalTimer)
        || is(Special::GlobalTimerLow)
    {
        nanoseconds()
    } else if is(Special::ClockHigh) || is(Special::GlobalTimerHigh) {
        nanoseconds() >> 32
    } else if is(Special::DynamicSharedBytes) {
        u64::from(context.dynamic_shared_bytes)
    } else if is(Special::TotalSharedBytes) {
        w.shared_bytes
    } else if is(Special::WarpSize) {
        32
    } else {
        0
    }
}

/// d = special register x, of 64 bits with y set.
#[inline(always)]
unsafe fn special_body(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: the handler's contract.
    unsafe {
        let o = &*op;
        let mask = w.mask;
        if o.y != 0 {
            let value = uniform(w, o.x);
            store(mask, w.at::<[u64; 32]>(o.d), |_| value);
            return op.add(1);
        }
        let d = w.at::<[u32; 32]>(o.d);
        let is = |special: Special| o.x == special as u32;
        if o.x <= Special::TidZ as u32 {
            let ids = &w.thread_ids[o.x as usize];
            store(mask, d, |i| ids[i]);
        } else if is(Special::Laneid) {
            store(mask, d, |i| i as u32);
        } else if is(Special::LanemaskEq) {
            store(mask, d, |i| 1 << i);
        } else if is(Special::LanemaskLe) {
            store(mask, d, |i| u32::MAX >> (31 - i));
        } else if is(Special::LanemaskLt) {
            store(mask, d, |i| (1 << i) - 1);
        } else if is(Special::LanemaskGe) {
            store(mask, d, |i| u32::MAX << i);
        } else if is(Special::LanemaskGt) {
            store(mask, d, |i| !(u32::MAX >> (31 - i)));
        } else {
            let value = uniform(w, o.x) as u32;
            store(mask, d, |_| value);
        }
        op.add(1)
    }
}
handler!(special, special_body);
