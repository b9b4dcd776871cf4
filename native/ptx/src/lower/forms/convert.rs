//! `cvt`: one handler or a chain of them.

use super::super::builder::{Builder, used};
use super::super::instruction::{Class, Slot};
use super::super::modifiers::{Modifiers, types};
use super::super::names::class_of;
use super::super::operand::exactly;
use super::float::{ROUNDINGS, flushed};
use crate::error::LoadError;
use crate::exec::convert::*;
use crate::exec::float::{Ceil, Floor, RoundEven, Saturate, Trunc};
use crate::exec::lanes;
use crate::exec::op::{Handler, Isa};
use crate::number::{DOWN, F16 as Half, NEAREST, TO_ZERO, UP};
use crate::scalar::Scalar::{self, *};
use crate::text::syntax::{Instruction, Operand};

/// Rounding to an integral value.
const INTEGRAL: &[(&str, u8)] = &[
    ("rni", NEAREST),
    ("rzi", TO_ZERO),
    ("rmi", DOWN),
    ("rpi", UP),
];

/// The handler for a pair of integer types.
macro_rules! integers {
    ($isa:expr, $op:ident, $from:expr, $to:expr) => {{
        macro_rules! to {
            ($a:ty) => {
                match $to {
                    U8 => lanes::unary::<$op<$a, u8>>($isa),
                    S8 => lanes::unary::<$op<$a, i8>>($isa),
                    U16 => lanes::unary::<$op<$a, u16>>($isa),
                    S16 => lanes::unary::<$op<$a, i16>>($isa),
                    U32 => lanes::unary::<$op<$a, u32>>($isa),
                    S32 => lanes::unary::<$op<$a, i32>>($isa),
                    U64 => lanes::unary::<$op<$a, u64>>($isa),
                    _ => lanes::unary::<$op<$a, i64>>($isa),
                }
            };
        }
        match $from {
            U8 => to!(u8),
            S8 => to!(i8),
            U16 => to!(u16),
            S16 => to!(i16),
            U32 => to!(u32),
            S32 => to!(i32),
            U64 => to!(u64),
            _ => to!(i64),
        }
    }};
}

fn to_integer(isa: Isa, from: Scalar, to: Scalar) -> Handler {
    macro_rules! to {
        ($a:ty) => {
            match to {
                U8 => lanes::unary::<ToInteger<$a, u8>>(isa),
                S8 => lanes::unary::<ToInteger<$a, i8>>(isa),
                U16 => lanes::unary::<ToInteger<$a, u16>>(isa),
                S16 => lanes::unary::<ToInteger<$a, i16>>(isa),
                U32 => lanes::unary::<ToInteger<$a, u32>>(isa),
                S32 => lanes::unary::<ToInteger<$a, i32>>(isa),
                U64 => lanes::unary::<ToInteger<$a, u64>>(isa),
                _ => lanes::unary::<ToInteger<$a, i64>>(isa),
            }
        };
    }
    if from == F64 { to!(f64) } else { to!(f32) }
}

/// From an integer of 32 or 64 bits.
fn to_float(isa: Isa, from: Scalar, to: Scalar, mode: u8) -> Handler {
    macro_rules! mode {
        ($a:ty, $d:ty) => {
            match mode {
                NEAREST => lanes::unary::<ToFloat<$a, $d, NEAREST>>(isa),
                TO_ZERO => lanes::unary::<ToFloat<$a, $d, TO_ZERO>>(isa),
                DOWN => lanes::unary::<ToFloat<$a, $d, DOWN>>(isa),
                _ => lanes::unary::<ToFloat<$a, $d, UP>>(isa),
            }
        };
    }
    macro_rules! to {
        ($a:ty) => {
            match to {
                F16 => mode!($a, Half),
                F32 => mode!($a, f32),
                _ => mode!($a, f64),
            }
        };
    }
    match from {
        U32 => to!(u32),
        S32 => to!(i32),
        U64 => to!(u64),
        _ => to!(i64),
    }
}

fn resize(isa: Isa, from: Scalar, to: Scalar, mode: u8) -> Option<Handler> {
    macro_rules! mode {
        ($a:ty, $d:ty) => {
            match mode {
                NEAREST => lanes::unary::<Resize<$a, $d, NEAREST>>(isa),
                TO_ZERO => lanes::unary::<Resize<$a, $d, TO_ZERO>>(isa),
                DOWN => lanes::unary::<Resize<$a, $d, DOWN>>(isa),
                _ => lanes::unary::<Resize<$a, $d, UP>>(isa),
            }
        };
    }
    Some(match (from, to) {
        (F64, F32) => mode!(f64, f32),
        (F64, F16) => mode!(f64, Half),
        (F32, F16) => mode!(f32, Half),
        (F32, F64) => lanes::unary::<Resize<f32, f64, NEAREST>>(isa),
        (F16, F32) => lanes::unary::<Resize<Half, f32, NEAREST>>(isa),
        (F16, F64) => lanes::unary::<Resize<Half, f64, NEAREST>>(isa),
        _ => return None,
    })
}

fn integral(isa: Isa, ty: Scalar, mode: u8) -> Handler {
    macro_rules! mode {
        ($t:ty) => {
            match mode {
                NEAREST => lanes::unary::<RoundEven<$t>>(isa),
                TO_ZERO => lanes::unary::<Trunc<$t>>(isa),
                DOWN => lanes::unary::<Floor<$t>>(isa),
                _ => lanes::unary::<Ceil<$t>>(isa),
            }
        };
    }
    match ty {
        F16 => mode!(Half),
        F32 => mode!(f32),
        _ => mode!(f64),
    }
}

fn saturate(isa: Isa, ty: Scalar) -> Handler {
    match ty {
        F16 => lanes::unary::<Saturate<Half>>(isa),
        F32 => lanes::unary::<Saturate<f32>>(isa),
        _ => lanes::unary::<Saturate<f64>>(isa),
    }
}

/// A chain of one-operand steps from a value to its last form.
struct Chain<'b, 'a, 'p> {
    b: &'b mut Builder<'a, 'p>,
    value: Slot,
}

impl Chain<'_, '_, '_> {
    fn step(&mut self, run: Handler, result: Scalar) {
        let temp = Slot::Def(self.b.temp(class_of(result)));
        self.b.unary(run, temp, self.value);
        self.value = used(temp);
    }

    /// Copies the result to its register; a wider one gets it extended.
    fn end(self, d: Slot, declared: Scalar, ty: Scalar) {
        let isa = self.b.isa;
        let run = match (class_of(declared), class_of(ty)) {
            (Class::Double, Class::Word) if ty.signed() => lanes::unary::<Cast<i32, i64>>(isa),
            (Class::Double, Class::Word) => lanes::unary::<Cast<u32, u64>>(isa),
            (class, _) => self.b.copy_handler(class),
        };
        match (class_of(declared) == class_of(ty), self.b.code.last_mut()) {
            // The last step can write its register directly.
            (true, Some(last)) if last.d == unused(self.value) => last.d = d,
            _ => self.b.unary(run, d, self.value),
        }
    }
}

fn unused(slot: Slot) -> Slot {
    match slot {
        Slot::Use(v) => Slot::Def(v),
        other => other,
    }
}

pub(super) fn cvt<'a>(b: &mut Builder<'a, '_>, i: &Instruction<'a>) -> Result<(), LoadError> {
    let mut m = Modifiers::new(i);
    let rounding = m.choice(ROUNDINGS);
    let whole = if rounding.is_none() {
        m.choice(INTEGRAL)
    } else {
        None
    };
    let (flush, sat) = (m.accept("ftz"), m.accept("sat"));
    if m.accept("f16x2") {
        m.scalar(&[F32])?;
        m.end()?;
        return pack(b, i, rounding, flush || sat);
    }
    let (to, from) = (m.scalar(types::CONVERTS)?, m.scalar(types::CONVERTS)?);
    m.end()?;
    check(&m, i, (to, from), (rounding, whole), flush)?;
    let [d, x] = exactly(i)?;
    let (d, declared) = b.any_target(d, to)?;
    let (x, held) = b.any_source(x, from)?;
    wide_enough(i, &i.operands[0], declared, to)?;
    wide_enough(i, &i.operands[1], held, from)?;
    let isa = b.isa;
    let mut chain = Chain { b, value: x };
    if class_of(held) == Class::Double && class_of(from) == Class::Word {
        chain.step(lanes::unary::<Low>(isa), U32);
    }
    if flush && from == F32 {
        chain.value = flushed(chain.b, F32, chain.value);
    }
    match (from.float(), to.float()) {
        (false, false) if sat => chain.step(integers!(isa, Clamp, from, to), to),
        (false, false) => chain.step(integers!(isa, Cast, from, to), to),
        (true, false) => {
            let mut single = from;
            if from == F16 {
                chain.step(lanes::unary::<Resize<Half, f32, NEAREST>>(isa), F32);
                single = F32;
            }
            chain.step(integral(isa, single, whole.unwrap_or(TO_ZERO)), single);
            chain.step(to_integer(isa, single, to), to);
        }
        (false, true) => {
            let mut integer = from;
            if from.bytes() < 4 {
                integer = if from.signed() { S32 } else { U32 };
                chain.step(integers!(isa, Cast, from, integer), integer);
            }
            chain.step(to_float(isa, integer, to, rounding.unwrap_or(NEAREST)), to);
        }
        (true, true) => match resize(isa, from, to, rounding.unwrap_or(NEAREST)) {
            Some(run) => chain.step(run, to),
            None => {
                if let Some(mode) = whole {
                    chain.step(integral(isa, to, mode), to);
                }
            }
        },
    }
    if sat && to.float() {
        chain.step(saturate(isa, to), to);
    }
    if flush && to == F32 {
        chain.value = flushed(chain.b, F32, chain.value);
    }
    chain.end(d, declared, to);
    Ok(())
}

/// A rounding is needed where digits can be lost, and only there.
fn check(
    m: &Modifiers,
    i: &Instruction,
    (to, from): (Scalar, Scalar),
    (rounding, whole): (Option<u8>, Option<u8>),
    flush: bool,
) -> Result<(), LoadError> {
    let narrowing = from.float() && to.float() && from.bytes() > to.bytes();
    let widening = from.float() && to.float() && from.bytes() < to.bytes();
    let refuse = |why: &str| Err(m.unsupported(i.place, why));
    if (narrowing || !from.float() && to.float()) && rounding.is_none() {
        return refuse("a rounding such as .rn is needed here");
    }
    if from.float() && !to.float() && whole.is_none() {
        return refuse("a rounding such as .rzi is needed here");
    }
    if rounding.is_some() && !(narrowing || !from.float() && to.float()) {
        return refuse("no rounding is possible here");
    }
    if whole.is_some() && (!from.float() || widening || narrowing) {
        return refuse("no rounding to an integer is possible here");
    }
    if flush && from != F32 && to != F32 {
        return refuse(".ftz needs .f32");
    }
    Ok(())
}

fn wide_enough(
    i: &Instruction,
    operand: &Operand,
    declared: Scalar,
    ty: Scalar,
) -> Result<(), LoadError> {
    let narrow = declared.bytes() < ty.bytes() || declared == Pred;
    if narrow || ty.float() && declared.bytes() != ty.bytes() {
        return Err(operand.place().error(format!(
            "this register's size does not suit `{}` here",
            i.opcode
        )));
    }
    Ok(())
}

/// `cvt.rnd.f16x2.f32 d, high, low`.
fn pack<'a>(
    b: &mut Builder<'a, '_>,
    i: &Instruction<'a>,
    rounding: Option<u8>,
    more: bool,
) -> Result<(), LoadError> {
    let run = match rounding.filter(|_| !more) {
        Some(NEAREST) => lanes::binary::<PackHalves<NEAREST>>(b.isa),
        Some(TO_ZERO) => lanes::binary::<PackHalves<TO_ZERO>>(b.isa),
        _ => {
            return Err(i
                .place
                .error("`cvt` to .f16x2 needs .rn or .rz and nothing else"));
        }
    };
    let [d, x, y] = exactly(i)?;
    let (d, x, y) = (b.target(d, F16x2)?, b.source(x, F32)?, b.source(y, F32)?);
    b.binary(run, d, x, y);
    Ok(())
}
