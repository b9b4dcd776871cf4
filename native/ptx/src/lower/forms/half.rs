//! Half precision, single and packed.

use super::super::builder::{Builder, used};
use super::super::instruction::Slot;
use super::super::modifiers::Modifiers;
use super::super::names::class_of;
use super::super::operand::exactly;
use super::float::dressed;
use crate::error::LoadError;
use crate::exec::float::*;
use crate::exec::lanes;
use crate::number::F16 as Half;
use crate::scalar::Scalar::{self, *};
use crate::text::syntax::Instruction;

const TYPES: &[Scalar] = &[F16, F16x2];

/// The handler for a half or a packed pair.
macro_rules! by_pack {
    ($isa:expr, $ty:expr, $lift:path, $op:ident) => {{
        use $lift as lift;
        if $ty == F16 {
            lift::<$op<Half>>($isa)
        } else {
            lift::<Packed<$op<Half>>>($isa)
        }
    }};
}

/// add, sub and mul.
pub(super) fn arithmetic<'a>(
    b: &mut Builder<'a, '_>,
    i: &Instruction<'a>,
) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    m.accept("rn");
    let dress = (m.accept("ftz"), m.accept("sat"));
    let ty = m.scalar(TYPES)?;
    m.end()?;
    let run = match i.opcode {
        "add" => by_pack!(b.isa, ty, lanes::binary, Add),
        "sub" => by_pack!(b.isa, ty, lanes::binary, Sub),
        "mul" => by_pack!(b.isa, ty, lanes::binary, Mul),
        _ => return Err(m.refusal("an integer type")),
    };
    let [d, x, y] = exactly(i)?;
    let (d, x, y) = (b.target(d, ty)?, b.source(x, ty)?, b.source(y, ty)?);
    dressed(b, ty, dress, d, &[x, y], |b, d, s| {
        b.binary(run, d, s[0], s[1])
    });
    Ok(())
}

pub(super) fn fma<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    m.need(".rn", &[("rn", ())])?;
    let dress = (m.accept("ftz"), m.accept("sat"));
    let relu = !dress.1 && m.accept("relu");
    let ty = m.scalar(TYPES)?;
    m.end()?;
    let [d, x, y, z] = exactly(i)?;
    let (d, x, y, z) = (
        b.target(d, ty)?,
        b.source(x, ty)?,
        b.source(y, ty)?,
        b.source(z, ty)?,
    );
    let run = by_pack!(b.isa, ty, lanes::ternary, Fma);
    let sum = if relu {
        Slot::Def(b.temp(class_of(ty)))
    } else {
        d
    };
    dressed(b, ty, dress, sum, &[x, y, z], |b, d, s| {
        b.ternary(run, d, s[0], s[1], s[2])
    });
    if relu {
        let run = by_pack!(b.isa, ty, lanes::unary, Relu);
        b.unary(run, d, used(sum));
    }
    Ok(())
}

/// abs and neg.
pub(super) fn sign<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let flush = m.accept("ftz");
    let ty = m.scalar(TYPES)?;
    m.end()?;
    let run = match i.opcode {
        "abs" => by_pack!(b.isa, ty, lanes::unary, Abs),
        _ => by_pack!(b.isa, ty, lanes::unary, Neg),
    };
    let [d, x] = exactly(i)?;
    let (d, x) = (b.target(d, ty)?, b.source(x, ty)?);
    dressed(b, ty, (flush, false), d, &[x], |b, d, s| {
        b.unary(run, d, s[0])
    });
    Ok(())
}

/// min and max.
pub(super) fn extreme<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let (flush, nan) = (m.accept("ftz"), m.accept("NaN"));
    let ty = m.scalar(TYPES)?;
    m.end()?;
    let run = match (i.opcode, nan) {
        ("min", false) => by_pack!(b.isa, ty, lanes::binary, Min),
        ("min", true) => by_pack!(b.isa, ty, lanes::binary, MinNan),
        (_, false) => by_pack!(b.isa, ty, lanes::binary, Max),
        (_, true) => by_pack!(b.isa, ty, lanes::binary, MaxNan),
    };
    let [d, x, y] = exactly(i)?;
    let (d, x, y) = (b.target(d, ty)?, b.source(x, ty)?, b.source(y, ty)?);
    dressed(b, ty, (flush, false), d, &[x, y], |b, d, s| {
        b.binary(run, d, s[0], s[1])
    });
    Ok(())
}

/// ex2 and tanh.
pub(super) fn approximate<'a>(
    b: &mut Builder<'a, '_>,
    i: &Instruction<'a>,
) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    m.need(".approx", &[("approx", ())])?;
    let ty = m.scalar(TYPES)?;
    m.end()?;
    let run = match (i.opcode, ty) {
        ("ex2", F16) => lanes::unary::<Exp2Half>(b.isa),
        ("ex2", _) => lanes::unary::<Packed<Exp2Half>>(b.isa),
        ("tanh", F16) => lanes::unary::<TanhHalf>(b.isa),
        ("tanh", _) => lanes::unary::<Packed<TanhHalf>>(b.isa),
        _ => {
            return Err(i
                .place
                .error(format!("`{}` has no half precision form", i.opcode)));
        }
    };
    let [d, x] = exactly(i)?;
    let (d, x) = (b.target(d, ty)?, b.source(x, ty)?);
    b.unary(run, d, x);
    Ok(())
}
