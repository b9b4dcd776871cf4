//! Integer arithmetic. Where an opcode also has floating point forms, those are handed on.

use super::super::builder::{Builder, used};
use super::super::instruction::{Class, Instruction as Lowered, Slot};
use super::super::modifiers::{Modifiers, types};
use super::super::names::class_of;
use super::super::operand::exactly;
use super::{by_type, float, half};
use crate::error::LoadError;
use crate::exec::integer::{self as ops, *};
use crate::exec::lanes;
use crate::exec::op::{Handler, Isa};
use crate::scalar::Scalar::{self, *};
use crate::text::syntax::Instruction;

/// The handler of a two-operand operation that does not care about signs.
pub(super) fn unsigned_binary(isa: Isa, opcode: &str, ty: Scalar) -> Option<Handler> {
    match opcode {
        "add" => {
            by_type!(isa, ty, lanes::binary, Add::<_>, U16 | S16 => u16, U32 | S32 => u32, U64 | S64 => u64)
        }
        "sub" => {
            by_type!(isa, ty, lanes::binary, Sub::<_>, U16 | S16 => u16, U32 | S32 => u32, U64 | S64 => u64)
        }
        _ => None,
    }
}

/// Whether the last modifier names a floating point type.
fn floating(i: &Instruction) -> Option<Scalar> {
    i.modifiers
        .last()
        .and_then(|m| Scalar::from_name(m.0))
        .filter(|scalar| scalar.float())
}

pub(super) fn add<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    match floating(i) {
        Some(F16 | F16x2) => return half::arithmetic(b, i),
        Some(_) => return float::arithmetic(b, i),
        None => {}
    }
    let mut m = Modifiers::new(i);
    let saturate = m.accept("sat");
    let carry_out = !saturate && m.accept("cc");
    let ty = if saturate {
        m.scalar(&[S32])?
    } else {
        m.scalar(types::INTEGERS)?
    };
    m.end()?;
    let [d, x, y] = exactly(i)?;
    let (d, x, y) = (b.target(d, ty)?, b.source(x, ty)?, b.source(y, ty)?);
    let carry_in = i.opcode.ends_with('c');
    let adds = i.opcode.starts_with("add");
    if saturate {
        if carry_in {
            return Err(m.refusal("no .sat"));
        }
        let run = if adds {
            lanes::binary::<AddSaturated>(b.isa)
        } else {
            lanes::binary::<SubSaturated>(b.isa)
        };
        b.binary(run, d, x, y);
    } else if carry_in || carry_out {
        if ty.bytes() < 4 {
            return Err(m.refusal("32 or 64 bits with a carry"));
        }
        with_carry(b, adds, ty, (d, x, y), carry_in, carry_out);
    } else if let Some(run) = unsigned_binary(b.isa, i.opcode, ty) {
        b.binary(run, d, x, y);
    }
    Ok(())
}

fn with_carry(
    b: &mut Builder,
    adds: bool,
    ty: Scalar,
    (d, x, y): (Slot, Slot, Slot),
    takes: bool,
    gives: bool,
) {
    let run = match (adds, ty.bytes()) {
        (true, 4) => lanes::add_carry::<u32>(b.isa),
        (true, _) => lanes::add_carry::<u64>(b.isa),
        (false, 4) => lanes::sub_borrow::<u32>(b.isa),
        (false, _) => lanes::sub_borrow::<u64>(b.isa),
    };
    let carry = b.carry();
    let taken = if takes {
        Slot::Use(carry)
    } else {
        b.constants.value(Class::Predicate, 0)
    };
    let given = b.temp(Class::Predicate);
    b.push(Lowered {
        d,
        a: x,
        b: y,
        c: taken,
        x: Slot::Def(given),
        ..Lowered::new(run)
    });
    if gives {
        let copy = b.copy_handler(Class::Predicate);
        b.binary(copy, Slot::Def(carry), Slot::Use(given), Slot::Use(given));
    }
}

/// Which part of a product is wanted.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Low,
    High,
    Wide,
}

const PARTS: &[(&str, Part)] = &[("lo", Part::Low), ("hi", Part::High), ("wide", Part::Wide)];

fn widened(ty: Scalar) -> Option<Scalar> {
    match ty {
        U16 => Some(U32),
        S16 => Some(S32),
        U32 => Some(U64),
        S32 => Some(S64),
        _ => None,
    }
}

fn product(isa: Isa, part: Part, ty: Scalar) -> Option<Handler> {
    match part {
        Part::Low => {
            by_type!(isa, ty, lanes::binary, Mul::<_>, U16 | S16 => u16, U32 | S32 => u32, U64 | S64 => u64)
        }
        Part::High => by_type!(isa, ty, lanes::binary, MulHigh::<_>,
            U16 => u16, S16 => i16, U32 => u32, S32 => i32, U64 => u64, S64 => i64),
        Part::Wide => {
            by_type!(isa, ty, lanes::binary, MulWide::<_>, U16 => u16, S16 => i16, U32 => u32, S32 => i32)
        }
    }
}

pub(super) fn multiply<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    match floating(i) {
        Some(F16 | F16x2) => return half::arithmetic(b, i),
        Some(_) => return float::arithmetic(b, i),
        None => {}
    }
    let mut m = Modifiers::new(i);
    let part = m.need("one of .lo, .hi and .wide", PARTS)?;
    let ty = m.scalar(types::INTEGERS)?;
    m.end()?;
    let result = if part == Part::Wide {
        widened(ty)
    } else {
        Some(ty)
    };
    let (Some(run), Some(result)) = (product(b.isa, part, ty), result) else {
        return Err(m.refusal("16 or 32 bits with .wide"));
    };
    let [d, x, y] = exactly(i)?;
    let (d, x, y) = (b.target(d, result)?, b.source(x, ty)?, b.source(y, ty)?);
    b.binary(run, d, x, y);
    Ok(())
}

pub(super) fn multiply_add<'a>(
    b: &mut Builder<'a, '_>,
    i: &Instruction<'a>,
) -> Result<(), LoadError> {
    if floating(i).is_some() {
        return float::fma(b, i);
    }
    let mut m = Modifiers::new(i);
    let part = m.need("one of .lo, .hi and .wide", PARTS)?;
    let saturate = part == Part::High && m.accept("sat");
    let carry_out = !saturate && part != Part::Wide && m.accept("cc");
    let ty = m.scalar(if saturate { &[S32] } else { types::INTEGERS })?;
    m.end()?;
    let result = if part == Part::Wide {
        widened(ty)
    } else {
        Some(ty)
    };
    let Some(result) = result else {
        return Err(m.refusal("16 or 32 bits with .wide"));
    };
    let [d, x, y, z] = exactly(i)?;
    let (d, x, y, z) = (
        b.target(d, result)?,
        b.source(x, ty)?,
        b.source(y, ty)?,
        b.source(z, result)?,
    );
    let carry_in = i.opcode == "madc";
    if carry_in || carry_out || saturate {
        let Some(run) = product(b.isa, part, ty).filter(|_| part != Part::Wide && ty.bytes() >= 4)
        else {
            return Err(m.refusal("a low or high product of 32 or 64 bits with a carry"));
        };
        let partial = Slot::Def(b.temp(class_of(ty)));
        b.binary(run, partial, x, y);
        if saturate {
            b.binary(lanes::binary::<AddSaturated>(b.isa), d, used(partial), z);
        } else {
            with_carry(b, true, ty, (d, used(partial), z), carry_in, carry_out);
        }
        return Ok(());
    }
    let run = match part {
        Part::Low => {
            by_type!(b.isa, ty, lanes::ternary, Mad::<_>, U16 | S16 => u16, U32 | S32 => u32, U64 | S64 => u64)
        }
        Part::High => by_type!(b.isa, ty, lanes::ternary, MadHigh::<_>,
            U16 => u16, S16 => i16, U32 => u32, S32 => i32, U64 => u64, S64 => i64),
        Part::Wide => {
            by_type!(b.isa, ty, lanes::ternary, MadWide::<_>, U16 => u16, S16 => i16, U32 => u32, S32 => i32)
        }
    };
    let Some(run) = run else {
        return Err(m.refusal("16 or 32 bits with .wide"));
    };
    b.ternary(run, d, x, y, z);
    Ok(())
}

pub(super) fn multiply24<'a>(
    b: &mut Builder<'a, '_>,
    i: &Instruction<'a>,
) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    m.need(".lo", &[("lo", ())])?;
    let ty = m.scalar(types::WORDS)?;
    m.end()?;
    let run = match ty {
        U32 => lanes::binary::<Mul24Low>(b.isa),
        _ => lanes::binary::<Mul24LowSigned>(b.isa),
    };
    if i.opcode == "mul24" {
        let [d, x, y] = exactly(i)?;
        let (d, x, y) = (b.target(d, ty)?, b.source(x, ty)?, b.source(y, ty)?);
        b.binary(run, d, x, y);
        return Ok(());
    }
    let [d, x, y, z] = exactly(i)?;
    let (d, x, y, z) = (
        b.target(d, ty)?,
        b.source(x, ty)?,
        b.source(y, ty)?,
        b.source(z, ty)?,
    );
    let partial = Slot::Def(b.temp(Class::Word));
    b.binary(run, partial, x, y);
    b.binary(lanes::binary::<Add<u32>>(b.isa), d, used(partial), z);
    Ok(())
}

pub(super) fn divide<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    if floating(i).is_some() {
        return float::divide(b, i);
    }
    let mut m = Modifiers::new(i);
    let ty = m.scalar(types::INTEGERS)?;
    m.end()?;
    let run = by_type!(b.isa, ty, lanes::binary, Div::<_>,
        U16 => u16, S16 => i16, U32 => u32, S32 => i32, U64 => u64, S64 => i64);
    simple_binary(b, i, ty, run)
}

pub(super) fn remainder<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let ty = m.scalar(types::INTEGERS)?;
    m.end()?;
    let run = by_type!(b.isa, ty, lanes::binary, Rem::<_>,
        U16 => u16, S16 => i16, U32 => u32, S32 => i32, U64 => u64, S64 => i64);
    simple_binary(b, i, ty, run)
}

/// d = x op y, all of one type.
pub(super) fn simple_binary<'a>(
    b: &mut Builder<'a, '_>,
    i: &Instruction<'a>,
    ty: Scalar,
    run: Option<Handler>,
) -> Result<(), LoadError> {
    let Some(run) = run else {
        return Err(Modifiers::new(i).refusal("another type"));
    };
    let [d, x, y] = exactly(i)?;
    let (d, x, y) = (b.target(d, ty)?, b.source(x, ty)?, b.source(y, ty)?);
    b.binary(run, d, x, y);
    Ok(())
}

/// d = op x, both of one type.
pub(super) fn simple_unary<'a>(
    b: &mut Builder<'a, '_>,
    i: &Instruction<'a>,
    ty: Scalar,
    run: Option<Handler>,
) -> Result<(), LoadError> {
    let Some(run) = run else {
        return Err(Modifiers::new(i).refusal("another type"));
    };
    let [d, x] = exactly(i)?;
    let (d, x) = (b.target(d, ty)?, b.source(x, ty)?);
    b.unary(run, d, x);
    Ok(())
}

pub(super) fn sad<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let ty = m.scalar(types::INTEGERS)?;
    m.end()?;
    let run = by_type!(b.isa, ty, lanes::ternary, Sad::<_>,
        U16 => u16, S16 => i16, U32 => u32, S32 => i32, U64 => u64, S64 => i64);
    let Some(run) = run else {
        return Err(m.refusal("an integer type"));
    };
    let [d, x, y, z] = exactly(i)?;
    let (d, x, y, z) = (
        b.target(d, ty)?,
        b.source(x, ty)?,
        b.source(y, ty)?,
        b.source(z, ty)?,
    );
    b.ternary(run, d, x, y, z);
    Ok(())
}

pub(super) fn sign<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    match floating(i) {
        Some(F16 | F16x2) => return half::sign(b, i),
        Some(_) => return float::sign(b, i),
        None => {}
    }
    let mut m = Modifiers::new(i);
    let ty = m.scalar(&[S16, S32, S64])?;
    m.end()?;
    let run = match i.opcode {
        "abs" => by_type!(b.isa, ty, lanes::unary, Abs::<_>, S16 => i16, S32 => i32, S64 => i64),
        _ => by_type!(b.isa, ty, lanes::unary, Neg::<_>, S16 => u16, S32 => u32, S64 => u64),
    };
    simple_unary(b, i, ty, run)
}

pub(super) fn extreme<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    match floating(i) {
        Some(F16 | F16x2) => return half::extreme(b, i),
        Some(_) => return float::extreme(b, i),
        None => {}
    }
    let mut m = Modifiers::new(i);
    let ty = m.scalar(types::INTEGERS)?;
    m.end()?;
    let run = match i.opcode {
        "min" => by_type!(b.isa, ty, lanes::binary, Min::<_>,
            U16 => u16, S16 => i16, U32 => u32, S32 => i32, U64 => u64, S64 => i64),
        _ => by_type!(b.isa, ty, lanes::binary, Max::<_>,
            U16 => u16, S16 => i16, U32 => u32, S32 => i32, U64 => u64, S64 => i64),
    };
    simple_binary(b, i, ty, run)
}

pub(super) fn dot<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let (x_type, y_type) = (m.scalar(types::WORDS)?, m.scalar(types::WORDS)?);
    m.end()?;
    let run = match (x_type, y_type) {
        (U32, U32) => lanes::ternary::<ops::Dp4aUU>(b.isa),
        (U32, _) => lanes::ternary::<ops::Dp4aUS>(b.isa),
        (_, U32) => lanes::ternary::<ops::Dp4aSU>(b.isa),
        _ => lanes::ternary::<ops::Dp4aSS>(b.isa),
    };
    let [d, x, y, z] = exactly(i)?;
    let (d, x, y, z) = (
        b.target(d, U32)?,
        b.source(x, U32)?,
        b.source(y, U32)?,
        b.source(z, U32)?,
    );
    b.ternary(run, d, x, y, z);
    Ok(())
}
