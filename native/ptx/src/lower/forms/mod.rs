//! The instructions of PTX, one function per opcode: exactly the forms that run, everything else is refused.

mod atomic;
mod compare;
mod control;
mod convert;
mod float;
mod half;
mod integer;
mod logic;
mod memory;
mod moves;
mod warp;

use super::builder::Builder;
use super::instruction::Slot;
use crate::error::LoadError;
use crate::text::syntax::Instruction;

/// Opcodes that a guard must not split: control transfers, and what waits for other lanes.
pub(crate) fn joins_lanes(opcode: &str) -> bool {
    matches!(
        opcode,
        "ret" | "exit" | "call" | "bar" | "barrier" | "shfl" | "vote" | "redux" | "brx"
    )
}

/// Picks the handler of a generic operation by a scalar type; None for types it is not listed for.
macro_rules! by_type {
    ($isa:expr, $ty:expr, $lift:path, $op:ident::<_>, $($scalar:pat => $t:ty),*) => {
        match $ty {
            $($scalar => Some({ use $lift as lift; lift::<$op<$t>>($isa) }),)*
            _ => None,
        }
    };
}
pub(crate) use by_type;

/// Lowers one instruction. `guard` is that of a branch; other guards are the builder's affair.
pub(crate) fn lower<'a>(
    b: &mut Builder<'a, '_>,
    i: &'a Instruction<'a>,
    guard: Option<(Slot, bool)>,
) -> Result<(), LoadError> {
    match i.opcode {
        "add" | "sub" | "addc" | "subc" => integer::add(b, i),
        "mul" => integer::multiply(b, i),
        "mad" | "madc" => integer::multiply_add(b, i),
        "mul24" | "mad24" => integer::multiply24(b, i),
        "div" => integer::divide(b, i),
        "rem" => integer::remainder(b, i),
        "sad" => integer::sad(b, i),
        "abs" | "neg" => integer::sign(b, i),
        "min" | "max" => integer::extreme(b, i),
        "dp4a" => integer::dot(b, i),
        "and" | "or" | "xor" => logic::bitwise(b, i),
        "not" | "cnot" => logic::not(b, i),
        "shl" | "shr" => logic::shift(b, i),
        "shf" => logic::funnel(b, i),
        "bfe" => logic::extract(b, i),
        "bfi" => logic::insert(b, i),
        "brev" | "clz" | "popc" | "bfind" => logic::bits(b, i),
        "prmt" => logic::permute(b, i),
        "lop3" => logic::lop3(b, i),
        "fma" => float::fma(b, i),
        "rcp" | "sqrt" => float::root(b, i),
        "rsqrt" | "ex2" | "lg2" | "sin" | "cos" | "tanh" => float::approximate(b, i),
        "copysign" => float::copysign(b, i),
        "testp" => compare::testp(b, i),
        "setp" => compare::setp(b, i),
        "set" => compare::set(b, i),
        "selp" => compare::selp(b, i),
        "slct" => compare::slct(b, i),
        "cvt" => convert::cvt(b, i),
        "mov" => moves::mov(b, i),
        "cvta" => moves::cvta(b, i),
        "isspacep" => moves::isspacep(b, i),
        "ld" | "ldu" => memory::load(b, i),
        "st" => memory::store(b, i),
        "prefetch" | "prefetchu" => memory::prefetch(b, i),
        "membar" | "fence" => memory::fence(b, i),
        "atom" | "red" => atomic::atom(b, i),
        "bra" => control::bra(b, i, guard),
        "brx" => control::brx(b, i),
        "call" => control::call(b, i),
        "ret" => control::ret(b, i),
        "exit" => control::exit(b, i),
        "trap" | "brkpt" => control::trap(b, i),
        "nanosleep" => control::nanosleep(b, i),
        "bar" | "barrier" => control::barrier(b, i),
        "shfl" => warp::shfl(b, i),
        "vote" => warp::vote(b, i),
        "activemask" => warp::activemask(b, i),
        "redux" => warp::redux(b, i),
        other => Err(i.place.error(format!("unknown instruction `{other}`"))),
    }
}
