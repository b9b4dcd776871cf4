//! Single and double precision arithmetic.

use super::super::builder::{Builder, used};
use super::super::instruction::Slot;
use super::super::modifiers::Modifiers;
use super::super::names::class_of;
use super::super::operand::exactly;
use super::{by_type, half};
use crate::error::LoadError;
use crate::exec::float::*;
use crate::exec::op::{Handler, Isa};
use crate::exec::{directed, lanes};
use crate::number::{DOWN, NEAREST, TO_ZERO, UP};
use crate::scalar::Scalar::{self, *};
use crate::text::syntax::Instruction;

pub(super) const ROUNDINGS: &[(&str, u8)] =
    &[("rn", NEAREST), ("rz", TO_ZERO), ("rm", DOWN), ("rp", UP)];

/// The handler of a directed operation for one of the three modes.
macro_rules! by_mode {
    ($isa:expr, $ty:expr, $mode:expr, $lift:path, $op:ident) => {{
        use $lift as lift;
        match ($ty, $mode) {
            (F32, TO_ZERO) => lift::<directed::$op<f32, TO_ZERO>>($isa),
            (F32, DOWN) => lift::<directed::$op<f32, DOWN>>($isa),
            (F32, _) => lift::<directed::$op<f32, UP>>($isa),
            (_, TO_ZERO) => lift::<directed::$op<f64, TO_ZERO>>($isa),
            (_, DOWN) => lift::<directed::$op<f64, DOWN>>($isa),
            (_, _) => lift::<directed::$op<f64, UP>>($isa),
        }
    }};
}

/// A value with subnormals flushed to zero.
pub(super) fn flushed(b: &mut Builder, ty: Scalar, value: Slot) -> Slot {
    let temp = Slot::Def(b.temp(class_of(ty)));
    let run = match ty {
        F16 => lanes::unary::<Flush<crate::number::F16>>(b.isa),
        F16x2 => lanes::unary::<Packed<Flush<crate::number::F16>>>(b.isa),
        F64 => lanes::unary::<Flush<f64>>(b.isa),
        _ => lanes::unary::<Flush<f32>>(b.isa),
    };
    b.unary(run, temp, value);
    used(temp)
}

/// Does `work` on sources flushed and with a result flushed and saturated as asked.
pub(super) fn dressed(
    b: &mut Builder,
    ty: Scalar,
    (flush, saturate): (bool, bool),
    d: Slot,
    sources: &[Slot],
    work: impl FnOnce(&mut Builder, Slot, &[Slot]),
) {
    if !flush && !saturate {
        return work(b, d, sources);
    }
    let sources: Vec<Slot> = if flush {
        sources.iter().map(|&s| flushed(b, ty, s)).collect()
    } else {
        sources.to_vec()
    };
    let raw = Slot::Def(b.temp(class_of(ty)));
    work(b, raw, &sources);
    let mut value = used(raw);
    if flush && saturate {
        value = flushed(b, ty, value);
    }
    let last = match (saturate, ty) {
        (true, F16) => lanes::unary::<Saturate<crate::number::F16>>(b.isa),
        (true, F16x2) => lanes::unary::<Packed<Saturate<crate::number::F16>>>(b.isa),
        (true, F64) => lanes::unary::<Saturate<f64>>(b.isa),
        (true, _) => lanes::unary::<Saturate<f32>>(b.isa),
        (false, F16) => lanes::unary::<Flush<crate::number::F16>>(b.isa),
        (false, F16x2) => lanes::unary::<Packed<Flush<crate::number::F16>>>(b.isa),
        (false, F64) => lanes::unary::<Flush<f64>>(b.isa),
        (false, _) => lanes::unary::<Flush<f32>>(b.isa),
    };
    b.unary(last, d, value);
}

/// `{.rnd}{.ftz}{.sat}.f32` or `{.rnd}.f64`, after which the modifiers end.
fn dress(m: &mut Modifiers) -> Result<(u8, bool, bool, Scalar), LoadError> {
    let mode = m.choice(ROUNDINGS).unwrap_or(NEAREST);
    let (flush, saturate) = (m.accept("ftz"), m.accept("sat"));
    let ty = m.scalar(if flush || saturate {
        &[F32]
    } else {
        &[F32, F64]
    })?;
    m.end()?;
    Ok((mode, flush, saturate, ty))
}

/// add, sub and mul.
pub(super) fn arithmetic<'a>(
    b: &mut Builder<'a, '_>,
    i: &Instruction<'a>,
) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let (mode, flush, saturate, ty) = dress(&mut m)?;
    let isa = b.isa;
    let [d, x, y] = exactly(i)?;
    let (d, x, y) = (b.target(d, ty)?, b.source(x, ty)?, b.source(y, ty)?);
    let fused = flush && mode == NEAREST;
    let run = match (i.opcode, mode) {
        ("add", NEAREST) if fused => lanes::binary::<AddFlush<f32>>(isa),
        ("sub", NEAREST) if fused => lanes::binary::<SubFlush<f32>>(isa),
        ("mul", NEAREST) if fused => lanes::binary::<MulFlush<f32>>(isa),
        ("add", NEAREST) if ty == F32 => lanes::binary::<Add<f32>>(isa),
        ("sub", NEAREST) if ty == F32 => lanes::binary::<Sub<f32>>(isa),
        ("mul", NEAREST) if ty == F32 => lanes::binary::<Mul<f32>>(isa),
        ("add", NEAREST) => lanes::binary::<Add<f64>>(isa),
        ("sub", NEAREST) => lanes::binary::<Sub<f64>>(isa),
        ("mul", NEAREST) => lanes::binary::<Mul<f64>>(isa),
        ("add", mode) => by_mode!(isa, ty, mode, lanes::binary, Add),
        ("sub", mode) => by_mode!(isa, ty, mode, lanes::binary, Sub),
        ("mul", mode) => by_mode!(isa, ty, mode, lanes::binary, Mul),
        _ => return Err(m.refusal("an integer type")),
    };
    dressed(b, ty, (flush && !fused, saturate), d, &[x, y], |b, d, s| {
        b.binary(run, d, s[0], s[1])
    });
    Ok(())
}

/// `fma.rnd` and `mad.rnd`, which are the same.
pub(super) fn fma<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    if i.modifiers
        .last()
        .is_some_and(|m| m.0 == "f16" || m.0 == "f16x2")
    {
        return half::fma(b, i);
    }
    let mut m = Modifiers::new(i);
    if m.peek()
        .is_none_or(|name| ROUNDINGS.iter().all(|r| r.0 != name))
    {
        return Err(m.refusal("a rounding such as .rn"));
    }
    let (mode, flush, saturate, ty) = dress(&mut m)?;
    let fused = flush && mode == NEAREST;
    let run = match (mode, ty) {
        (NEAREST, _) if fused => lanes::ternary::<FmaFlush<f32>>(b.isa),
        (NEAREST, F32) => lanes::ternary::<Fma<f32>>(b.isa),
        (NEAREST, _) => lanes::ternary::<Fma<f64>>(b.isa),
        (mode, ty) => by_mode!(b.isa, ty, mode, lanes::ternary, Fma),
    };
    let [d, x, y, z] = exactly(i)?;
    let (d, x, y, z) = (
        b.target(d, ty)?,
        b.source(x, ty)?,
        b.source(y, ty)?,
        b.source(z, ty)?,
    );
    dressed(
        b,
        ty,
        (flush && !fused, saturate),
        d,
        &[x, y, z],
        |b, d, s| b.ternary(run, d, s[0], s[1], s[2]),
    );
    Ok(())
}

/// `div.approx`, `div.full` and `div.rnd`; the approximations are exact here.
pub(super) fn divide<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let approximate = m.choice(&[("approx", ()), ("full", ())]).is_some();
    let mode = if approximate {
        NEAREST
    } else {
        m.need("a rounding such as .rn", ROUNDINGS)?
    };
    let flush = m.accept("ftz");
    let ty = m.scalar(if flush || approximate {
        &[F32]
    } else {
        &[F32, F64]
    })?;
    m.end()?;
    let run = match (mode, ty) {
        (NEAREST, F32) => lanes::binary::<Div<f32>>(b.isa),
        (NEAREST, _) => lanes::binary::<Div<f64>>(b.isa),
        (mode, ty) => by_mode!(b.isa, ty, mode, lanes::binary, Div),
    };
    let [d, x, y] = exactly(i)?;
    let (d, x, y) = (b.target(d, ty)?, b.source(x, ty)?, b.source(y, ty)?);
    dressed(b, ty, (flush, false), d, &[x, y], |b, d, s| {
        b.binary(run, d, s[0], s[1])
    });
    Ok(())
}

/// rcp and sqrt.
pub(super) fn root<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let approximate = m.accept("approx");
    let mode = if approximate {
        NEAREST
    } else {
        m.need(".approx or a rounding", ROUNDINGS)?
    };
    let flush = m.accept("ftz");
    let doubles = !approximate && !flush || approximate && flush && i.opcode == "rcp";
    let ty = m.scalar(if doubles { &[F32, F64] } else { &[F32] })?;
    m.end()?;
    let run = match (i.opcode, mode, ty) {
        ("rcp", NEAREST, F32) => lanes::unary::<Reciprocal<f32>>(b.isa),
        ("rcp", NEAREST, _) => lanes::unary::<Reciprocal<f64>>(b.isa),
        ("rcp", mode, ty) => by_mode!(b.isa, ty, mode, lanes::unary, Reciprocal),
        (_, NEAREST, F32) => lanes::unary::<Sqrt<f32>>(b.isa),
        (_, NEAREST, _) => lanes::unary::<Sqrt<f64>>(b.isa),
        (_, mode, ty) => by_mode!(b.isa, ty, mode, lanes::unary, Sqrt),
    };
    let [d, x] = exactly(i)?;
    let (d, x) = (b.target(d, ty)?, b.source(x, ty)?);
    dressed(b, ty, (flush, false), d, &[x], |b, d, s| {
        b.unary(run, d, s[0])
    });
    Ok(())
}

/// rsqrt, ex2, lg2, sin, cos and tanh, which only exist as approximations.
pub(super) fn approximate<'a>(
    b: &mut Builder<'a, '_>,
    i: &Instruction<'a>,
) -> Result<(), LoadError> {
    if i.modifiers
        .last()
        .is_some_and(|m| m.0 == "f16" || m.0 == "f16x2")
    {
        return half::approximate(b, i);
    }
    let mut m = Modifiers::new(i);
    m.need(".approx", &[("approx", ())])?;
    let flush = i.opcode != "tanh" && m.accept("ftz");
    let ty = m.scalar(if i.opcode == "rsqrt" {
        &[F32, F64]
    } else {
        &[F32]
    })?;
    m.end()?;
    let run = match (i.opcode, ty) {
        ("rsqrt", F32) => lanes::unary::<ReciprocalSqrt<f32>>(b.isa),
        ("rsqrt", _) => lanes::unary::<ReciprocalSqrt<f64>>(b.isa),
        ("ex2", _) => lanes::unary::<Exp2>(b.isa),
        ("lg2", _) => lanes::unary::<Log2>(b.isa),
        ("sin", _) => lanes::unary::<Sin>(b.isa),
        ("cos", _) => lanes::unary::<Cos>(b.isa),
        _ => lanes::unary::<Tanh>(b.isa),
    };
    let [d, x] = exactly(i)?;
    let (d, x) = (b.target(d, ty)?, b.source(x, ty)?);
    dressed(b, ty, (flush, false), d, &[x], |b, d, s| {
        b.unary(run, d, s[0])
    });
    Ok(())
}

/// abs and neg.
pub(super) fn sign<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let flush = m.accept("ftz");
    let ty = m.scalar(if flush { &[F32] } else { &[F32, F64] })?;
    m.end()?;
    let run = match i.opcode {
        "abs" => by_type!(b.isa, ty, lanes::unary, Abs::<_>, F32 => f32, F64 => f64),
        _ => by_type!(b.isa, ty, lanes::unary, Neg::<_>, F32 => f32, F64 => f64),
    };
    let Some(run) = run else {
        return Err(m.refusal("another type"));
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
    let ty = m.scalar(if flush || nan { &[F32] } else { &[F32, F64] })?;
    m.end()?;
    let run = extreme_handler(b.isa, i.opcode == "min", nan, ty);
    let [d, x, y] = exactly(i)?;
    let (d, x, y) = (b.target(d, ty)?, b.source(x, ty)?, b.source(y, ty)?);
    dressed(b, ty, (flush, false), d, &[x, y], |b, d, s| {
        b.binary(run, d, s[0], s[1])
    });
    Ok(())
}

fn extreme_handler(isa: Isa, min: bool, nan: bool, ty: Scalar) -> Handler {
    match (min, nan, ty) {
        (true, false, F32) => lanes::binary::<Min<f32>>(isa),
        (true, false, _) => lanes::binary::<Min<f64>>(isa),
        (false, false, F32) => lanes::binary::<Max<f32>>(isa),
        (false, false, _) => lanes::binary::<Max<f64>>(isa),
        (true, true, _) => lanes::binary::<MinNan<f32>>(isa),
        (false, true, _) => lanes::binary::<MaxNan<f32>>(isa),
    }
}

pub(super) fn copysign<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let ty = m.scalar(&[F32, F64])?;
    m.end()?;
    let run = by_type!(b.isa, ty, lanes::binary, CopySign::<_>, F32 => f32, F64 => f64);
    super::integer::simple_binary(b, i, ty, run)
}
