//! Instructions in which the lanes of a warp exchange something.

use super::lanes::store;
use super::op::{Op, handler};
use super::warp::Warp;

/// In an operand: there is none.
pub(crate) const ABSENT: u32 = u32::MAX;

/// The lanes named by the membership register, or the active ones where the instruction names none.
#[inline(always)]
unsafe fn members(w: &Warp, operand: u32) -> u32 {
    if operand == ABSENT {
        return w.active;
    }
    // SAFETY: the caller keeps the handler's contract.
    unsafe { (*w.at::<[u32; 32]>(operand))[w.active.trailing_zeros() as usize & 31] }
}

/// Waits for the members, where that is needed: `Some` is what the handler returns.
#[inline(always)]
unsafe fn gather(w: &mut Warp, op: *const Op, operand: u32) -> Option<*const Op> {
    // SAFETY: the caller keeps the handler's contract.
    let members = unsafe { members(w, operand) };
    (members & !w.active & !w.exited != 0 && !w.together).then(|| w.park_at_sync(op, members))
}

pub(crate) const SHFL_UP: u8 = 0;
pub(crate) const SHFL_DOWN: u8 = 1;
pub(crate) const SHFL_BFLY: u8 = 2;
pub(crate) const SHFL_IDX: u8 = 3;

/// d = a of another lane, by b and c; x are the members, y the predicate that says whether that lane was in range.
#[inline(always)]
unsafe fn shfl_body<const MODE: u8>(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: the handler's contract.
    unsafe {
        let o = &*op;
        if let Some(next) = gather(w, op, o.x) {
            return next;
        }
        let a = &*w.at::<[u32; 32]>(o.a);
        let b = &*w.at::<[u32; 32]>(o.b);
        let c = &*w.at::<[u32; 32]>(o.c);
        let source = |i: usize| {
            let lane = i as u32;
            let (by, clamp, segment) = (b[i] & 31, c[i] & 31, (c[i] >> 8) & 31);
            let last = (lane & segment) | (clamp & !segment);
            let (from, valid) = match MODE {
                SHFL_UP => (
                    lane.wrapping_sub(by),
                    lane as i32 - by as i32 >= last as i32,
                ),
                SHFL_DOWN => (lane + by, lane + by <= last),
                SHFL_BFLY => (lane ^ by, lane ^ by <= last),
                _ => {
                    let from = (lane & segment) | (by & !segment);
                    (from, from <= last)
                }
            };
            (if valid { from & 31 } else { lane }, valid)
        };
        let mut valid = 0;
        let mut moved = [0u32; 32];
        for (i, moved) in moved.iter_mut().enumerate() {
            let (from, good) = source(i);
            *moved = a[from as usize];
            valid |= u32::from(good) << i;
        }
        store(w.mask, w.at::<[u32; 32]>(o.d), |i| moved[i]);
        if o.y != ABSENT {
            w.set_predicate(o.y, valid);
        }
        op.add(1)
    }
}
handler!(shfl, shfl_body, <; const MODE: u8>);

pub(crate) const VOTE_ALL: u32 = 0;
pub(crate) const VOTE_ANY: u32 = 1;
pub(crate) const VOTE_UNI: u32 = 2;
pub(crate) const VOTE_BALLOT: u32 = 3;

/// d = vote over predicate a, flipped by c; x are the members, y what to find out.
#[inline(always)]
unsafe fn vote_body(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: the handler's contract.
    unsafe {
        let o = &*op;
        if let Some(next) = gather(w, op, o.x) {
            return next;
        }
        let voters = members(w, o.x) & w.active;
        let yes = (w.predicate(o.a) ^ o.c) & voters;
        let whole = |holds: bool| if holds { !0 } else { 0 };
        match o.y {
            VOTE_ALL => w.set_predicate(o.d, whole(yes == voters)),
            VOTE_ANY => w.set_predicate(o.d, whole(yes != 0)),
            VOTE_UNI => w.set_predicate(o.d, whole(yes == voters || yes == 0)),
            _ => store(w.mask, w.at::<[u32; 32]>(o.d), |_| yes),
        }
        op.add(1)
    }
}
handler!(vote, vote_body);

/// d = the active lanes.
#[inline(always)]
unsafe fn active_mask_body(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: the handler's contract.
    unsafe {
        let active = w.active;
        store(w.mask, w.at::<[u32; 32]>((*op).d), |_| active);
        op.add(1)
    }
}
handler!(active_mask, active_mask_body);

/// Waits until the members in register x are here.
unsafe fn warp_sync_body(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: the handler's contract.
    unsafe {
        match gather(w, op, (*op).x) {
            Some(next) => next,
            None => op.add(1),
        }
    }
}
handler!(warp_sync, warp_sync_body);

/// How `redux.sync` combines, as `Op::y`.
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
pub(crate) enum Reduce {
    Add,
    And,
    Or,
    Xor,
    MinUnsigned,
    MaxUnsigned,
    MinSigned,
    MaxSigned,
}

/// d = a of all members x combined as y says.
unsafe fn redux_body(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: the handler's contract.
    unsafe {
        let o = &*op;
        if let Some(next) = gather(w, op, o.x) {
            return next;
        }
        let a = &*w.at::<[u32; 32]>(o.a);
        let voters = members(w, o.x) & w.active;
        let mut values = (0..32)
            .filter(|lane| voters & (1 << lane) != 0)
            .map(|lane| a[lane as usize]);
        let first = values.next().unwrap_or(0);
        let is = |reduce: Reduce| o.y == reduce as u32;
        let result = values.fold(first, |sum, v| {
            if is(Reduce::Add) {
                sum.wrapping_add(v)
            } else if is(Reduce::And) {
                sum & v
            } else if is(Reduce::Or) {
                sum | v
            } else if is(Reduce::Xor) {
                sum ^ v
            } else if is(Reduce::MinUnsigned) {
                sum.min(v)
            } else if is(Reduce::MaxUnsigned) {
                sum.max(v)
            } else if is(Reduce::MinSigned) {
                (sum as i32).min(v as i32) as u32
            } else {
                (sum as i32).max(v as i32) as u32
            }
        });
        store(w.mask, w.at::<[u32; 32]>(o.d), |_| result);
        op.add(1)
    }
}
handler!(redux, redux_body);
