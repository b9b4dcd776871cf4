//! Branches, calls, exits and barriers.
//!
//! Operations that end a basic block carry in `y` how many PTX instructions the block has up to and with them.

use super::fragment::Call;
use super::op::{Op, handler};
use super::warp::Warp;
use crate::error::Fault;

#[inline(always)]
fn count(w: &mut Warp, instructions: u32) {
    w.lane_instructions += u64::from(instructions) * u64::from(w.active.count_ones());
    w.fuel -= i64::from(instructions);
}

/// To d.
#[inline(always)]
unsafe fn jump_body(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: the handler's contract.
    let (target, instructions) = unsafe { ((*op).d, (*op).y) };
    count(w, instructions);
    if target <= w.index_of(op) {
        w.back_to(target)
    } else {
        w.go(target)
    }
}
handler!(jump, jump_body);

/// Counts a block that runs on into one where lanes meet.
#[inline(always)]
unsafe fn meet_body(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: the handler's contract.
    unsafe {
        count(w, (*op).y);
        let next = w.index_of(op) + 1;
        w.go(next)
    }
}
handler!(meet, meet_body);

/// To d in the lanes where predicate a, flipped by c, holds; x is where the ways meet again.
#[inline(always)]
unsafe fn branch_body(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: the handler's contract.
    unsafe {
        let o = &*op;
        count(w, o.y);
        let taken = w.active & (w.predicate(o.a) ^ o.c);
        let here = w.index_of(op);
        if taken == 0 {
            w.go(here + 1)
        } else if taken == w.active {
            if o.d <= here {
                w.back_to(o.d)
            } else {
                w.go(o.d)
            }
        } else {
            w.diverge(taken, o.d, here + 1, o.x)
        }
    }
}
handler!(branch, branch_body);

/// To the target in `extra[d..d + b]` that register a picks; x is where the ways meet again.
unsafe fn switch_body(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: the handler's contract.
    unsafe {
        let o = &*op;
        count(w, o.y);
        let choice = *w.at::<[u32; 32]>(o.a);
        let mut rest = w.active;
        let mut parts: Vec<(u32, u32)> = Vec::new();
        while rest != 0 {
            let lane = rest.trailing_zeros() as usize;
            let mut same = 0;
            for other in lane..32 {
                same |=
                    u32::from(rest & (1 << other) != 0 && choice[other] == choice[lane]) << other;
            }
            rest &= !same;
            // An index beyond the list is undefined; the last target is as good as any.
            let index = choice[lane].min(o.b - 1);
            let target = w.program().extra[(o.d + index) as usize];
            match parts.iter_mut().find(|part| part.0 == target) {
                Some(part) => part.1 |= same,
                None => parts.push((target, same)),
            }
        }
        if let [(target, _)] = parts[..] {
            if target <= w.index_of(op) {
                w.back_to(target)
            } else {
                w.go(target)
            }
        } else {
            w.split(&parts, o.x)
        }
    }
}
handler!(switch, switch_body);

/// Restricts what follows to predicate a, flipped by c; skips d operations when no lane is left.
#[inline(always)]
unsafe fn guard_body(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: the handler's contract; d stays within the program.
    unsafe {
        let o = &*op;
        w.mask = w.active & (w.predicate(o.a) ^ o.c);
        if w.mask == 0 {
            w.mask = w.active;
            return op.add(o.d as usize);
        }
        op.add(1)
    }
}
handler!(guard, guard_body);

#[inline(always)]
unsafe fn unguard_body(w: &mut Warp, op: *const Op) -> *const Op {
    w.mask = w.active;
    // SAFETY: never the last operation.
    unsafe { op.add(1) }
}
handler!(unguard, unguard_body);

/// Calls d. a are the bytes of any function's registers, b the caller's local bytes and x the callee's.
unsafe fn call_body(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: the handler's contract.
    unsafe {
        let o = &*op;
        count(w, o.y);
        let call = Call {
            return_to: w.index_of(op) + 1,
            frame: w.frame,
            local_frame: w.local_frame,
            reconverge: w.reconverge,
        };
        let current = w.current as usize;
        w.fragments[current].calls.push(call);
        w.frame += o.a;
        w.local_frame += o.b;
        w.reconverge = super::fragment::NONE;
        if !w.reserve(o.a) || u64::from(w.local_frame) + u64::from(o.x) > w.local_stride {
            let (kernel, line) = (w.program().name.clone(), w.line_of(op));
            return w.fail(Fault::StackOverflow { kernel, line });
        }
        w.op_at(o.d)
    }
}
handler!(call, call_body);

unsafe fn ret_body(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: the handler's contract.
    let instructions = unsafe { (*op).y };
    count(w, instructions);
    let current = w.current as usize;
    let Some(call) = w.fragments[current].calls.pop() else {
        return w.exit_lanes(op);
    };
    w.frame = call.frame;
    w.local_frame = call.local_frame;
    w.reconverge = call.reconverge;
    w.rebase();
    w.go(call.return_to)
}
handler!(ret, ret_body);

unsafe fn exit_body(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: the handler's contract.
    let instructions = unsafe { (*op).y };
    count(w, instructions);
    w.exit_lanes(op)
}
handler!(exit, exit_body);

unsafe fn trap_body(w: &mut Warp, op: *const Op) -> *const Op {
    let (kernel, line) = (w.program().name.clone(), w.line_of(op));
    w.fail(Fault::IllegalInstruction { kernel, line })
}
handler!(trap, trap_body);

unsafe fn assert_body(w: &mut Warp, op: *const Op) -> *const Op {
    let (kernel, line) = (w.program().name.clone(), w.line_of(op));
    w.fail(Fault::Assert { kernel, line })
}
handler!(assert, assert_body);

/// The value of the first lane for which the operation has effect.
#[inline(always)]
unsafe fn leading(w: &Warp, operand: u32) -> u32 {
    // SAFETY: the caller keeps the handler's contract.
    unsafe { (*w.at::<[u32; 32]>(operand))[w.mask.trailing_zeros() as usize & 31] }
}

/// Waits at barrier a for b threads (0: all). c: 0 sync, 1 arrive. x: reduction of predicate d, see `block`.
unsafe fn barrier_body(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: the handler's contract; the block outlives its warps' runs.
    unsafe {
        let o = &*op;
        count(w, o.y);
        let barrier = leading(w, o.a) & 15;
        let threads = leading(w, o.b);
        let lanes = w.active;
        let votes = if o.x == 0 {
            0
        } else {
            w.predicate(o.d) & lanes
        };
        (*w.block).arrive(barrier, lanes.count_ones(), threads, votes.count_ones());
        let next = w.index_of(op) + 1;
        if o.c == 1 {
            w.op_at(next)
        } else {
            w.park_at_barrier(barrier, next)
        }
    }
}
handler!(barrier, barrier_body);

/// After barrier a of a reduction: its result into d, as x asks (1 popc into a register, 2 and, 3 or into a predicate).
unsafe fn reduced_body(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: as for `barrier_body`.
    unsafe {
        let o = &*op;
        let (votes, threads) = (*w.block).reduced(leading(w, o.a) & 15);
        match o.x {
            1 => {
                let mask = w.mask;
                super::lanes::store(mask, w.at::<[u32; 32]>(o.d), |_| votes);
            }
            2 => w.set_predicate(o.d, if votes == threads { !0 } else { 0 }),
            _ => w.set_predicate(o.d, if votes > 0 { !0 } else { 0 }),
        }
        op.add(1)
    }
}
handler!(reduced, reduced_body);
