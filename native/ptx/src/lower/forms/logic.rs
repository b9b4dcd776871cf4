//! Bits: logic, shifts, fields.

use super::super::builder::Builder;
use super::super::instruction::{Instruction as Lowered, Slot};
use super::super::modifiers::{Modifiers, types};
use super::super::operand::exactly;
use super::by_type;
use super::integer::{simple_binary, simple_unary};
use crate::error::LoadError;
use crate::exec::integer::*;
use crate::exec::{lanes, predicate};
use crate::scalar::Scalar::*;
use crate::text::syntax::{Instruction, Operand};

pub(super) fn bitwise<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let ty = m.scalar(&[Pred, B16, B32, B64])?;
    m.end()?;
    let run = match (i.opcode, ty) {
        ("and", Pred) => Some(predicate::and(b.isa)),
        ("or", Pred) => Some(predicate::or(b.isa)),
        (_, Pred) => Some(predicate::xor(b.isa)),
        ("and", _) => {
            by_type!(b.isa, ty, lanes::binary, And::<_>, B16 => u16, B32 => u32, B64 => u64)
        }
        ("or", _) => {
            by_type!(b.isa, ty, lanes::binary, Or::<_>, B16 => u16, B32 => u32, B64 => u64)
        }
        _ => by_type!(b.isa, ty, lanes::binary, Xor::<_>, B16 => u16, B32 => u32, B64 => u64),
    };
    simple_binary(b, i, ty, run)
}

pub(super) fn not<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let ty = m.scalar(if i.opcode == "not" {
        &[Pred, B16, B32, B64]
    } else {
        types::BITS
    })?;
    m.end()?;
    if ty == Pred {
        let [d, x] = exactly(i)?;
        let (d, x) = (b.target(d, ty)?, b.source(x, ty)?);
        b.binary(predicate::not(b.isa), d, x, x);
        return Ok(());
    }
    let run = match i.opcode {
        "not" => by_type!(b.isa, ty, lanes::unary, Not::<_>, B16 => u16, B32 => u32, B64 => u64),
        _ => by_type!(b.isa, ty, lanes::unary, Cnot::<_>, B16 => u16, B32 => u32, B64 => u64),
    };
    simple_unary(b, i, ty, run)
}

pub(super) fn shift<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let left = i.opcode == "shl";
    let ty = m.scalar(if left { types::BITS } else { types::SELECTS })?;
    m.end()?;
    let run = if left {
        by_type!(b.isa, ty, lanes::binary, Shl::<_>, B16 => u16, B32 => u32, B64 => u64)
    } else {
        by_type!(b.isa, ty, lanes::binary, Shr::<_>, B16 | U16 => u16, S16 => i16, B32 | U32 => u32, S32 => i32,
            B64 | U64 => u64, S64 => i64)
    };
    let Some(run) = run else {
        return Err(m.refusal("an integer type"));
    };
    let [d, x, y] = exactly(i)?;
    let (d, x, y) = (b.target(d, ty)?, b.source(x, ty)?, b.source(y, U32)?);
    b.binary(run, d, x, y);
    Ok(())
}

pub(super) fn funnel<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let left = m.need("one of .l and .r", &[("l", true), ("r", false)])?;
    let wrap = m.need(
        "one of .wrap and .clamp",
        &[("wrap", true), ("clamp", false)],
    )?;
    m.scalar(&[B32])?;
    m.end()?;
    let run = match (left, wrap) {
        (true, true) => lanes::ternary::<FunnelLeftWrap>(b.isa),
        (true, false) => lanes::ternary::<FunnelLeftClamp>(b.isa),
        (false, true) => lanes::ternary::<FunnelRightWrap>(b.isa),
        (false, false) => lanes::ternary::<FunnelRightClamp>(b.isa),
    };
    let [d, x, y, z] = exactly(i)?;
    let (d, x, y, z) = (
        b.target(d, B32)?,
        b.source(x, B32)?,
        b.source(y, B32)?,
        b.source(z, U32)?,
    );
    b.ternary(run, d, x, y, z);
    Ok(())
}

pub(super) fn extract<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let ty = m.scalar(&[U32, S32, U64, S64])?;
    m.end()?;
    let run = by_type!(b.isa, ty, lanes::ternary, Bfe::<_>, U32 => u32, S32 => i32, U64 => u64, S64 => i64);
    let Some(run) = run else {
        return Err(m.refusal("32 or 64 bits"));
    };
    let [d, x, y, z] = exactly(i)?;
    let (d, x, y, z) = (
        b.target(d, ty)?,
        b.source(x, ty)?,
        b.source(y, U32)?,
        b.source(z, U32)?,
    );
    b.ternary(run, d, x, y, z);
    Ok(())
}

pub(super) fn insert<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let ty = m.scalar(&[B32, B64])?;
    m.end()?;
    let run = if ty == B32 {
        lanes::insert::<u32>(b.isa)
    } else {
        lanes::insert::<u64>(b.isa)
    };
    let [d, x, y, at, length] = exactly(i)?;
    let d = b.target(d, ty)?;
    let (x, y, at, length) = (
        b.source(x, ty)?,
        b.source(y, ty)?,
        b.source(at, U32)?,
        b.source(length, U32)?,
    );
    b.push(Lowered {
        d,
        a: x,
        b: y,
        c: at,
        x: length,
        ..Lowered::new(run)
    });
    Ok(())
}

pub(super) fn bits<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    if i.opcode == "bfind" {
        let shift = m.accept("shiftamt");
        let ty = m.scalar(&[U32, S32, U64, S64])?;
        m.end()?;
        let run = if shift {
            by_type!(b.isa, ty, lanes::unary, BfindShift::<_>, U32 => u32, S32 => i32, U64 => u64, S64 => i64)
        } else {
            by_type!(b.isa, ty, lanes::unary, Bfind::<_>, U32 => u32, S32 => i32, U64 => u64, S64 => i64)
        };
        let Some(run) = run else {
            return Err(m.refusal("32 or 64 bits"));
        };
        let [d, x] = exactly(i)?;
        let (d, x) = (b.target(d, U32)?, b.source(x, ty)?);
        b.unary(run, d, x);
        return Ok(());
    }
    let ty = m.scalar(&[B32, B64])?;
    m.end()?;
    let run = match i.opcode {
        "brev" => by_type!(b.isa, ty, lanes::unary, Brev::<_>, B32 => u32, B64 => u64),
        "clz" => by_type!(b.isa, ty, lanes::unary, Clz::<_>, B32 => u32, B64 => u64),
        _ => by_type!(b.isa, ty, lanes::unary, Popc::<_>, B32 => u32, B64 => u64),
    };
    let Some(run) = run else {
        return Err(m.refusal("32 or 64 bits"));
    };
    let [d, x] = exactly(i)?;
    let result = if i.opcode == "brev" { ty } else { U32 };
    let (d, x) = (b.target(d, result)?, b.source(x, ty)?);
    b.unary(run, d, x);
    Ok(())
}

pub(super) fn permute<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    m.scalar(&[B32])?;
    let isa = b.isa;
    let modes = [
        ("f4e", lanes::ternary::<PermuteF4e>(isa)),
        ("b4e", lanes::ternary::<PermuteB4e>(isa)),
        ("rc8", lanes::ternary::<PermuteRc8>(isa)),
        ("ecl", lanes::ternary::<PermuteEcl>(isa)),
        ("ecr", lanes::ternary::<PermuteEcr>(isa)),
        ("rc16", lanes::ternary::<PermuteRc16>(isa)),
    ];
    let run = m
        .choice(&modes)
        .unwrap_or_else(|| lanes::ternary::<Permute>(isa));
    m.end()?;
    let [d, x, y, z] = exactly(i)?;
    let (d, x, y, z) = (
        b.target(d, B32)?,
        b.source(x, B32)?,
        b.source(y, B32)?,
        b.source(z, B32)?,
    );
    b.ternary(run, d, x, y, z);
    Ok(())
}

pub(super) fn lop3<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    m.scalar(&[B32])?;
    m.end()?;
    let [d, x, y, z, table] = exactly(i)?;
    let Operand::Integer {
        value: table @ 0..=255,
        ..
    } = table
    else {
        return Err(table
            .place()
            .error("the table of lop3 is a number from 0 to 255"));
    };
    let (d, x, y, z) = (
        b.target(d, B32)?,
        b.source(x, B32)?,
        b.source(y, B32)?,
        b.source(z, B32)?,
    );
    b.push(Lowered {
        d,
        a: x,
        b: y,
        c: z,
        x: Slot::Raw(*table as u32),
        ..Lowered::new(lanes::lop3(b.isa))
    });
    Ok(())
}
