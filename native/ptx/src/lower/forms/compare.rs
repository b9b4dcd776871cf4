//! Comparisons and selections.

use super::super::builder::{Builder, used};
use super::super::instruction::{Class, Slot};
use super::super::modifiers::{Modifiers, types};
use super::super::names::class_of;
use super::super::operand::exactly;
use super::by_type;
use super::float::flushed;
use crate::error::LoadError;
use crate::exec::float as floats;
use crate::exec::integer as integers;
use crate::exec::op::{Handler, Isa};
use crate::exec::{convert, lanes, predicate};
use crate::number::F16 as Half;
use crate::scalar::Scalar::{self, *};
use crate::text::syntax::{Instruction, Operand};

/// The comparison, when the type has it.
fn comparison(isa: Isa, name: &str, ty: Scalar) -> Option<Handler> {
    macro_rules! floats {
        ($op:ident) => {{
            use floats::$op;
            by_type!(isa, ty, lanes::compare, $op::<_>, F16 => Half, F32 => f32, F64 => f64)
        }};
    }
    macro_rules! bits {
        ($op:ident) => {{
            use integers::$op;
            by_type!(isa, ty, lanes::compare, $op::<_>,
                B16 | U16 | S16 => u16, B32 | U32 | S32 => u32, B64 | U64 | S64 => u64)
        }};
    }
    macro_rules! ordered {
        ($op:ident) => {{
            use integers::$op;
            by_type!(isa, ty, lanes::compare, $op::<_>,
                U16 => u16, S16 => i16, U32 => u32, S32 => i32, U64 => u64, S64 => i64)
        }};
    }
    let unsigned = matches!(ty, U16 | U32 | U64);
    match (ty.float(), name) {
        (true, "eq") => floats!(Eq),
        (true, "ne") => floats!(Ne),
        (true, "lt") => floats!(Lt),
        (true, "le") => floats!(Le),
        (true, "gt") => floats!(Gt),
        (true, "ge") => floats!(Ge),
        (true, "equ") => floats!(EqU),
        (true, "neu") => floats!(NeU),
        (true, "ltu") => floats!(LtU),
        (true, "leu") => floats!(LeU),
        (true, "gtu") => floats!(GtU),
        (true, "geu") => floats!(GeU),
        (true, "num") => floats!(Ordered),
        (true, "nan") => floats!(Unordered),
        (false, "eq") => bits!(Eq),
        (false, "ne") => bits!(Ne),
        (false, "lt") => ordered!(Lt),
        (false, "le") => ordered!(Le),
        (false, "gt") => ordered!(Gt),
        (false, "ge") => ordered!(Ge),
        (false, "lo") if unsigned => ordered!(Lt),
        (false, "ls") if unsigned => ordered!(Le),
        (false, "hi") if unsigned => ordered!(Gt),
        (false, "hs") if unsigned => ordered!(Ge),
        _ => None,
    }
}

#[derive(Clone, Copy)]
enum Combine {
    And,
    Or,
    Xor,
}

const COMBINES: &[(&str, Combine)] = &[
    ("and", Combine::And),
    ("or", Combine::Or),
    ("xor", Combine::Xor),
];

/// The modifiers that setp and set share up to the types.
struct Test<'a> {
    name: &'a str,
    combine: Option<Combine>,
    flush: bool,
}

fn test<'a>(m: &mut Modifiers<'_, 'a>) -> Result<Test<'a>, LoadError> {
    const NAMES: [&str; 18] = [
        "eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs", "equ", "neu", "ltu", "leu",
        "gtu", "geu", "num", "nan",
    ];
    let name = m
        .peek()
        .filter(|name| NAMES.contains(name))
        .ok_or_else(|| m.refusal("a comparison"))?;
    m.accept(name);
    let combine = m.choice(COMBINES);
    let flush = m.accept("ftz");
    Ok(Test {
        name,
        combine,
        flush,
    })
}

impl Builder<'_, '_> {
    fn combine(&mut self, how: Combine, d: Slot, x: Slot, y: Slot) {
        let run = match how {
            Combine::And => predicate::and(self.isa),
            Combine::Or => predicate::or(self.isa),
            Combine::Xor => predicate::xor(self.isa),
        };
        self.binary(run, d, x, y);
    }
}

/// Compares into d (and the opposite into `other`), combined with a third predicate.
fn compare(
    b: &mut Builder,
    run: Handler,
    combine: Option<(Combine, Slot)>,
    (d, other): (Slot, Option<Slot>),
    (x, y): (Slot, Slot),
) {
    if combine.is_none() && other.is_none() {
        return b.binary(run, d, x, y);
    }
    let raw = Slot::Def(b.temp(Class::Predicate));
    b.binary(run, raw, x, y);
    for (target, opposite) in [(Some(d), false), (other, true)] {
        let Some(target) = target else { continue };
        let mut value = used(raw);
        if opposite {
            let flipped = Slot::Def(b.temp(Class::Predicate));
            b.binary(predicate::not(b.isa), flipped, value, value);
            value = used(flipped);
        }
        match combine {
            Some((how, with)) => b.combine(how, target, value, with),
            None => b.binary(predicate::copy(b.isa), target, value, value),
        }
    }
}

pub(super) fn setp<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let test = test(&mut m)?;
    let ty = m.scalar(if test.flush {
        &[F16, F16x2, F32]
    } else {
        types::COMPARES
    })?;
    m.end()?;
    let (target, x, y, third) = match &i.operands[..] {
        [d, x, y] if test.combine.is_none() => (d, x, y, None),
        [d, x, y, z] if test.combine.is_some() => (d, x, y, Some(z)),
        _ => {
            return Err(i.place.error(
                "`setp` takes a target, two values and, with .and, .or or .xor, a predicate",
            ));
        }
    };
    let (d, other) = match target {
        Operand::Pair {
            first,
            second,
            place,
        } => {
            let name = |name| Operand::Name {
                name,
                component: None,
                place: *place,
            };
            (
                b.target(&name(*first), Pred)?,
                Some(b.target(&name(*second), Pred)?),
            )
        }
        single => (b.target(single, Pred)?, None),
    };
    let (mut x, mut y) = (b.source(x, ty)?, b.source(y, ty)?);
    let with = third
        .map(|operand| b.predicate_source(operand))
        .transpose()?;
    if test.flush {
        (x, y) = (flushed(b, ty, x), flushed(b, ty, y));
    }
    let scalar = if ty == F16x2 { F16 } else { ty };
    let Some(run) = comparison(b.isa, test.name, scalar) else {
        return Err(i
            .place
            .error(format!("`.{}` does not compare this type", test.name)));
    };
    let combine = test.combine.zip(with);
    if ty != F16x2 {
        compare(b, run, combine, (d, other), (x, y));
        return Ok(());
    }
    // One predicate for each half.
    let Some(other) = other else {
        return Err(i.place.error("a packed comparison has two targets, `p|q`"));
    };
    compare(b, run, combine, (d, None), (x, y));
    let (high_x, high_y) = (high_half(b, x), high_half(b, y));
    compare(b, run, combine, (other, None), (high_x, high_y));
    Ok(())
}

fn high_half(b: &mut Builder, value: Slot) -> Slot {
    let temp = Slot::Def(b.temp(Class::Word));
    b.unary(lanes::unary::<convert::HighHalf>(b.isa), temp, value);
    used(temp)
}

/// As setp, with a number for a result: all ones or 1.0 where it holds.
pub(super) fn set<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let test = test(&mut m)?;
    let result = m.scalar(&[U32, S32, F32])?;
    let ty = m.scalar(if test.flush { &[F32] } else { types::COMPARES })?;
    m.end()?;
    let run = comparison(b.isa, test.name, ty).filter(|_| ty != F16x2);
    let Some(run) = run else {
        return Err(i
            .place
            .error(format!("`.{}` does not compare this type", test.name)));
    };
    let (d, x, y, third) = match &i.operands[..] {
        [d, x, y] if test.combine.is_none() => (d, x, y, None),
        [d, x, y, z] if test.combine.is_some() => (d, x, y, Some(z)),
        _ => {
            return Err(i.place.error(
                "`set` takes a target, two values and, with .and, .or or .xor, a predicate",
            ));
        }
    };
    let d = b.target(d, result)?;
    let (mut x, mut y) = (b.source(x, ty)?, b.source(y, ty)?);
    let with = third
        .map(|operand| b.predicate_source(operand))
        .transpose()?;
    if test.flush {
        (x, y) = (flushed(b, ty, x), flushed(b, ty, y));
    }
    let holds = Slot::Def(b.temp(Class::Predicate));
    compare(b, run, test.combine.zip(with), (holds, None), (x, y));
    let yes = b.word(if result == F32 { 1.0f32.to_bits() } else { !0 });
    let no = b.word(0);
    b.ternary(lanes::select::<u32>(b.isa), d, yes, no, used(holds));
    Ok(())
}

pub(super) fn selp<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let ty = m.scalar(types::SELECTS)?;
    m.end()?;
    let [d, x, y, p] = exactly(i)?;
    let (d, x, y, p) = (
        b.target(d, ty)?,
        b.source(x, ty)?,
        b.source(y, ty)?,
        b.predicate_source(p)?,
    );
    let run = select(b.isa, ty);
    b.ternary(run, d, x, y, p);
    Ok(())
}

fn select(isa: Isa, ty: Scalar) -> Handler {
    match class_of(ty) {
        Class::Double => lanes::select::<u64>(isa),
        _ => lanes::select::<u32>(isa),
    }
}

/// x where c is at least zero, else y.
pub(super) fn slct<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let flush = m.accept("ftz");
    let ty = m.scalar(types::SELECTS)?;
    let by = m.scalar(if flush { &[F32] } else { &[S32, F32] })?;
    m.end()?;
    let [d, x, y, c] = exactly(i)?;
    let (d, x, y, mut c) = (
        b.target(d, ty)?,
        b.source(x, ty)?,
        b.source(y, ty)?,
        b.source(c, by)?,
    );
    if flush {
        c = flushed(b, by, c);
    }
    let zero = b.word(0);
    let holds = Slot::Def(b.temp(Class::Predicate));
    let run = match by {
        F32 => lanes::compare::<floats::Ge<f32>>(b.isa),
        _ => lanes::compare::<integers::Ge<i32>>(b.isa),
    };
    b.binary(run, holds, c, zero);
    let run = select(b.isa, ty);
    b.ternary(run, d, x, y, used(holds));
    Ok(())
}

pub(super) fn testp<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let names = [
        "finite",
        "infinite",
        "number",
        "notanumber",
        "normal",
        "subnormal",
    ];
    let name = m
        .peek()
        .filter(|name| names.contains(name))
        .ok_or_else(|| m.refusal("a property"))?;
    m.accept(name);
    let ty = m.scalar(&[F32, F64])?;
    m.end()?;
    use floats::*;
    let run = match name {
        "finite" => by_type!(b.isa, ty, lanes::test, IsFinite::<_>, F32 => f32, F64 => f64),
        "infinite" => by_type!(b.isa, ty, lanes::test, IsInfinite::<_>, F32 => f32, F64 => f64),
        "number" => by_type!(b.isa, ty, lanes::test, IsNumber::<_>, F32 => f32, F64 => f64),
        "notanumber" => by_type!(b.isa, ty, lanes::test, IsNan::<_>, F32 => f32, F64 => f64),
        "normal" => by_type!(b.isa, ty, lanes::test, IsNormal::<_>, F32 => f32, F64 => f64),
        _ => by_type!(b.isa, ty, lanes::test, IsSubnormal::<_>, F32 => f32, F64 => f64),
    };
    let Some(run) = run else {
        return Err(m.refusal(".f32 or .f64"));
    };
    let [d, x] = exactly(i)?;
    let (d, x) = (b.target(d, Pred)?, b.source(x, ty)?);
    b.unary(run, d, x);
    Ok(())
}
