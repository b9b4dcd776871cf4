//! Moves and address conversions.

use super::super::builder::{Builder, used};
use super::super::instruction::{Class, Slot};
use super::super::modifiers::{Modifiers, types};
use super::super::names::{Location, class_of};
use super::super::operand::exactly;
use crate::error::LoadError;
use crate::exec::convert::{HighHalf, Join, JoinHalves, Low, LowHalf, Quarter};
use crate::exec::resolve::{LOCAL_BASE, PARAM_BASE, SHARED_BASE, SPACE_BYTES};
use crate::exec::special::Special;
use crate::exec::{convert, integer, lanes, predicate};
use crate::scalar::Scalar::{self, *};
use crate::text::syntax::{Instruction, Operand};

pub(super) fn mov<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let ty = m.scalar(types::MOVES)?;
    m.end()?;
    let [d, x] = exactly(i)?;
    match (d, x) {
        (Operand::Vector { items, .. }, _) => return unpack(b, items, x, ty),
        (_, Operand::Vector { items, .. }) => return pack(b, d, items, ty),
        _ => {}
    }
    let target = b.target(d, ty)?;
    if let Operand::Name {
        name,
        component,
        place,
    } = x
    {
        if let Some((which, wide)) = Special::from_name(name, *component) {
            let expected = if wide { 8 } else { 4 };
            if ty.bytes() != expected {
                return Err(place.error(format!("`{name}` has {} bits", expected * 8)));
            }
            b.special(which, wide, target);
            return Ok(());
        }
        if component.is_none() && b.scopes.register(name).is_none() {
            return address(b, name, 0, *place, target, ty);
        }
    }
    if let Operand::Sum {
        name,
        offset,
        place,
    } = x
    {
        return address(b, name, *offset, *place, target, ty);
    }
    let source = b.source(x, ty)?;
    let run = b.copy_handler(class_of(ty));
    if ty == Pred {
        b.binary(predicate::copy(b.isa), target, source, source);
    } else {
        b.unary(run, target, source);
    }
    Ok(())
}

/// d = a variable's address in its own space.
fn address<'a>(
    b: &mut Builder<'a, '_>,
    name: &'a str,
    offset: i64,
    place: crate::error::Place,
    d: Slot,
    ty: Scalar,
) -> Result<(), LoadError> {
    let value = b.address_of(name, offset, place)?;
    match (class_of(ty), ty.bytes()) {
        (Class::Double, _) => {
            let run = b.copy_handler(Class::Double);
            b.unary(run, d, value);
        }
        (Class::Word, 4) if b.variable(name) != Some(Location::Global) => {
            b.unary(lanes::unary::<Low>(b.isa), d, value);
        }
        _ => return Err(place.error("an address needs a 64-bit register")),
    }
    Ok(())
}

/// `mov.b64 {lo, hi}, x`.
fn unpack<'a>(
    b: &mut Builder<'a, '_>,
    items: &[Operand<'a>],
    x: &Operand<'a>,
    ty: Scalar,
) -> Result<(), LoadError> {
    let source = b.source(x, ty)?;
    let isa = b.isa;
    let (part, runs) = match (ty.bytes(), items.len()) {
        (8, 2) => (
            B32,
            vec![lanes::unary::<Low>(isa), lanes::unary::<convert::High>(isa)],
        ),
        (4, 2) => (
            B16,
            vec![lanes::unary::<LowHalf>(isa), lanes::unary::<HighHalf>(isa)],
        ),
        (8, 4) => (
            B16,
            vec![
                lanes::unary::<Quarter<0>>(isa),
                lanes::unary::<Quarter<1>>(isa),
                lanes::unary::<Quarter<2>>(isa),
                lanes::unary::<Quarter<3>>(isa),
            ],
        ),
        _ => {
            return Err(x
                .place()
                .error("a register is taken apart into two halves or four quarters"));
        }
    };
    // A target may be the source's own register only once it is not needed any more, so parts go to new ones first.
    for (item, run) in items.iter().zip(runs) {
        let d = b.target(item, part)?;
        b.unary(run, d, source);
    }
    Ok(())
}

/// `mov.b64 x, {lo, hi}`.
fn pack<'a>(
    b: &mut Builder<'a, '_>,
    d: &Operand<'a>,
    items: &[Operand<'a>],
    ty: Scalar,
) -> Result<(), LoadError> {
    let d = b.target(d, ty)?;
    let mut parts = Vec::new();
    let part = match (ty.bytes(), items.len()) {
        (8, 2) => B32,
        (4, 2) | (8, 4) => B16,
        _ => {
            return Err(items
                .first()
                .map_or_else(Default::default, |o| o.place())
                .error("parts of this size do not make up the register"));
        }
    };
    for item in items {
        parts.push(b.source(item, part)?);
    }
    match parts[..] {
        [low, high] if part == B32 => b.binary(lanes::binary::<Join>(b.isa), d, low, high),
        [low, high] => b.binary(lanes::binary::<JoinHalves>(b.isa), d, low, high),
        [p, q, r, s] => {
            let (low, high) = (
                Slot::Def(b.temp(Class::Word)),
                Slot::Def(b.temp(Class::Word)),
            );
            b.binary(lanes::binary::<JoinHalves>(b.isa), low, p, q);
            b.binary(lanes::binary::<JoinHalves>(b.isa), high, r, s);
            b.binary(lanes::binary::<Join>(b.isa), d, used(low), used(high));
        }
        _ => {}
    }
    Ok(())
}

/// What is added to an address of the space to make it generic.
pub(super) const BASES: &[(&str, u64)] = &[
    ("global", 0),
    ("const", 0),
    ("shared", SHARED_BASE),
    ("shared::cta", SHARED_BASE),
    ("local", LOCAL_BASE),
    ("param", PARAM_BASE),
    ("param::entry", PARAM_BASE),
];

pub(super) fn cvta<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let back = m.accept("to");
    let base = m.need("a state space", BASES)?;
    let ty = m.scalar(&[U64])?;
    m.end()?;
    let [d, x] = exactly(i)?;
    let d = b.target(d, ty)?;
    let x = match x {
        Operand::Name {
            name,
            component: None,
            place,
        } if b.scopes.register(name).is_none() => b.address_of(name, 0, *place)?,
        Operand::Sum {
            name,
            offset,
            place,
        } => b.address_of(name, *offset, *place)?,
        register => b.source(register, ty)?,
    };
    if base == 0 {
        let run = b.copy_handler(Class::Double);
        b.unary(run, d, x);
    } else {
        let by = b.double(if back { base.wrapping_neg() } else { base });
        b.binary(lanes::binary::<integer::Add<u64>>(b.isa), d, x, by);
    }
    Ok(())
}

pub(super) fn isspacep<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let base = m.need("a state space", BASES)?;
    m.end()?;
    let [d, x] = exactly(i)?;
    let (d, x) = (b.target(d, Pred)?, b.source(x, U64)?);
    let (from, limit) = if base == 0 {
        (0, SHARED_BASE)
    } else {
        (base, SPACE_BYTES)
    };
    let inside = b.add_to(x, 0u64.wrapping_sub(from));
    let limit = b.double(limit);
    b.binary(lanes::compare::<integer::Lt<u64>>(b.isa), d, inside, limit);
    Ok(())
}
