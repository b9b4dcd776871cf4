//! Predicates as 32-bit masks.

use super::op::{Op, handler};
use super::warp::Warp;

macro_rules! predicates {
    ($($name:ident $body:ident ($a:ident, $b:ident) = $value:expr;)*) => {$(
        #[inline(always)]
        unsafe fn $body(w: &mut Warp, op: *const Op) -> *const Op {
            // SAFETY: the handler's contract.
            unsafe {
                let o = &*op;
                let ($a, $b) = (w.predicate(o.a), w.predicate(o.b));
                w.set_predicate(o.d, $value);
                op.add(1)
            }
        }
        handler!($name, $body);
    )*};
}

predicates! {
    and and_body(a, b) = a & b;
    or or_body(a, b) = a | b;
    xor xor_body(a, b) = a ^ b;
    // b is not looked at, and is the same operand.
    not not_body(a, b) = { let _ = b; !a };
    copy copy_body(a, b) = { let _ = b; a };
}
