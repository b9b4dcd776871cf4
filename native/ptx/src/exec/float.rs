//! Floating point arithmetic of one lane.

use super::lanes::{Binary, Compare, Ternary, Test, Unary, Value};
use crate::number::{self, F16};
use std::marker::PhantomData;

/// What the generic operations need of a floating point type.
pub(crate) trait Float: Value + PartialOrd {
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    fn fma(self, by: Self, plus: Self) -> Self;
    fn neg(self) -> Self;
    fn abs(self) -> Self;
    fn sqrt(self) -> Self;
    fn nan(self) -> bool;
    fn infinite(self) -> bool;
    fn subnormal(self) -> bool;
    fn sign(self) -> bool;
    fn flush(self) -> Self;
    fn copysign(self, from: Self) -> Self;
    fn one() -> Self;
    fn zero() -> Self;
    fn not_a_number() -> Self;
    fn round_even(self) -> Self;
    fn floor(self) -> Self;
    fn ceil(self) -> Self;
    fn trunc(self) -> Self;
}

macro_rules! float {
    ($($t:ident)*) => {$(
        impl Float for $t {
            #[inline(always)]
            fn add(self, other: Self) -> Self { self + other }
            #[inline(always)]
            fn sub(self, other: Self) -> Self { self - other }
            #[inline(always)]
            fn mul(self, other: Self) -> Self { self * other }
            #[inline(always)]
            fn div(self, other: Self) -> Self { self / other }
            #[inline(always)]
            fn fma(self, by: Self, plus: Self) -> Self { self.mul_add(by, plus) }
            #[inline(always)]
            fn neg(self) -> Self { -self }
            #[inline(always)]
            fn abs(self) -> Self { $t::abs(self) }
            #[inline(always)]
            fn sqrt(self) -> Self { $t::sqrt(self) }
            #[inline(always)]
            fn nan(self) -> bool { self.is_nan() }
            #[inline(always)]
            fn infinite(self) -> bool { self.is_infinite() }
            #[inline(always)]
            fn subnormal(self) -> bool { self.abs() < $t::MIN_POSITIVE && self != 0.0 }
            #[inline(always)]
            fn sign(self) -> bool { self.is_sign_negative() }
            #[inline(always)]
            fn flush(self) -> Self {
                if self.abs() < $t::MIN_POSITIVE { (0.0 as $t).copysign(self) } else { self }
            }
            #[inline(always)]
            fn copysign(self, from: Self) -> Self { $t::copysign(self, from) }
            #[inline(always)]
            fn one() -> Self { 1.0 }
            #[inline(always)]
            fn zero() -> Self { 0.0 }
            #[inline(always)]
            fn not_a_number() -> Self { $t::NAN }
            #[inline(always)]
            fn round_even(self) -> Self { self.round_ties_even() }
            #[inline(always)]
            fn floor(self) -> Self { $t::floor(self) }
            #[inline(always)]
            fn ceil(self) -> Self { $t::ceil(self) }
            #[inline(always)]
            fn trunc(self) -> Self { $t::trunc(self) }
        }
    )*};
}
float!(f32 f64);

impl PartialOrd for F16 {
    #[inline(always)]
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.to_f32().partial_cmp(&other.to_f32())
    }
}

/// A result computed in single precision has more than twice the digits of a half, so rounding it again is exact for
/// one operation.
impl Float for F16 {
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        F16::from_f32(self.to_f32() + other.to_f32())
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        F16::from_f32(self.to_f32() - other.to_f32())
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        F16::from_f32(self.to_f32() * other.to_f32())
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        F16::from_f32(self.to_f32() / other.to_f32())
    }
    #[inline(always)]
    fn fma(self, by: Self, plus: Self) -> Self {
        // The product is exact in a double; the sum is made odd so that the last rounding is the only one.
        let product = f64::from(self.to_f32()) * f64::from(by.to_f32());
        let plus = f64::from(plus.to_f32());
        let sum = product + plus;
        F16::from_f64::<{ number::NEAREST }>(number::odd_double(
            sum,
            number::sum_error(product, plus, sum),
        ))
    }
    #[inline(always)]
    fn neg(self) -> Self {
        F16(self.0 ^ 0x8000)
    }
    #[inline(always)]
    fn abs(self) -> Self {
        F16(self.0 & 0x7fff)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        F16::from_f32(self.to_f32().sqrt())
    }
    #[inline(always)]
    fn nan(self) -> bool {
        self.0 & 0x7fff > 0x7c00
    }
    #[inline(always)]
    fn infinite(self) -> bool {
        self.0 & 0x7fff == 0x7c00
    }
    #[inline(always)]
    fn subnormal(self) -> bool {
        self.0 & 0x7c00 == 0 && self.0 & 0x3ff != 0
    }
    #[inline(always)]
    fn sign(self) -> bool {
        self.0 & 0x8000 != 0
    }
    #[inline(always)]
    fn flush(self) -> Self {
        if self.0 & 0x7c00 == 0 {
            F16(self.0 & 0x8000)
        } else {
            self
        }
    }
    #[inline(always)]
    fn copysign(self, from: Self) -> Self {
        F16(self.0 & 0x7fff | from.0 & 0x8000)
    }
    #[inline(always)]
    fn one() -> Self {
        F16(0x3c00)
    }
    #[inline(always)]
    fn zero() -> Self {
        F16(0)
    }
    #[inline(always)]
    fn not_a_number() -> Self {
        F16(0x7fff)
    }
    #[inline(always)]
    fn round_even(self) -> Self {
        F16::from_f32(self.to_f32().round_ties_even())
    }
    #[inline(always)]
    fn floor(self) -> Self {
        F16::from_f32(self.to_f32().floor())
    }
    #[inline(always)]
    fn ceil(self) -> Self {
        F16::from_f32(self.to_f32().ceil())
    }
    #[inline(always)]
    fn trunc(self) -> Self {
        F16::from_f32(self.to_f32().trunc())
    }
}

macro_rules! operations {
    (Unary $($name:ident($a:ident) = $body:expr;)*) => {$(
        pub(crate) struct $name<F>(PhantomData<F>);
        impl<F: Float> Unary for $name<F> {
            type A = F;
            type D = F;
            #[inline(always)]
            fn apply($a: F) -> F { $body }
        }
    )*};
    (Binary $($name:ident($a:ident, $b:ident) = $body:expr;)*) => {$(
        pub(crate) struct $name<F>(PhantomData<F>);
        impl<F: Float> Binary for $name<F> {
            type A = F;
            type B = F;
            type D = F;
            #[inline(always)]
            fn apply($a: F, $b: F) -> F { $body }
        }
    )*};
    (Compare $($name:ident($a:ident, $b:ident) = $body:expr;)*) => {$(
        pub(crate) struct $name<F>(PhantomData<F>);
        impl<F: Float> Compare for $name<F> {
            type A = F;
            #[inline(always)]
            fn apply($a: F, $b: F) -> bool { $body }
        }
    )*};
    (Test $($name:ident($a:ident) = $body:expr;)*) => {$(
        pub(crate) struct $name<F>(PhantomData<F>);
        impl<F: Float> Test for $name<F> {
            type A = F;
            #[inline(always)]
            fn apply($a: F) -> bool { $body }
        }
    )*};
}

operations! { Unary
    Neg(a) = a.neg();
    Abs(a) = a.abs();
    Sqrt(a) = a.sqrt();
    Reciprocal(a) = F::one().div(a);
    ReciprocalSqrt(a) = F::one().div(a.sqrt());
    Flush(a) = a.flush();
    // NaN becomes zero, as PTX asks.
    Saturate(a) = if a > F::zero() { if a < F::one() { a } else { F::one() } } else { F::zero() };
    Relu(a) = if a > F::zero() || a.nan() { a } else { F::zero() };
    RoundEven(a) = a.round_even();
    Floor(a) = a.floor();
    Ceil(a) = a.ceil();
    Trunc(a) = a.trunc();
}

operations! { Binary
    Add(a, b) = a.add(b);
    Sub(a, b) = a.sub(b);
    Mul(a, b) = a.mul(b);
    Div(a, b) = a.div(b);
    Min(a, b) = if a < b || b.nan() || (a == b && a.sign()) { a } else { b };
    Max(a, b) = if a > b || b.nan() || (a == b && !a.sign()) { a } else { b };
    MinNan(a, b) = if a.nan() || b.nan() { F::not_a_number() } else if a < b || (a == b && a.sign()) { a } else { b };
    MaxNan(a, b) = if a.nan() || b.nan() { F::not_a_number() } else if a > b || (a == b && !a.sign()) { a } else { b };
    // PTX: the sign of the first operand, the magnitude of the second.
    CopySign(a, b) = b.copysign(a);
    AddFlush(a, b) = a.flush().add(b.flush()).flush();
    SubFlush(a, b) = a.flush().sub(b.flush()).flush();
    MulFlush(a, b) = a.flush().mul(b.flush()).flush();
}

pub(crate) struct Fma<F>(PhantomData<F>);
impl<F: Float> Ternary for Fma<F> {
    type A = F;
    type B = F;
    type C = F;
    type D = F;
    #[inline(always)]
    fn apply(a: F, b: F, c: F) -> F {
        a.fma(b, c)
    }
}

pub(crate) struct FmaFlush<F>(PhantomData<F>);
impl<F: Float> Ternary for FmaFlush<F> {
    type A = F;
    type B = F;
    type C = F;
    type D = F;
    #[inline(always)]
    fn apply(a: F, b: F, c: F) -> F {
        a.flush().fma(b.flush(), c.flush()).flush()
    }
}

#[inline(always)]
fn unordered<F: Float>(a: F, b: F) -> bool {
    a.nan() | b.nan()
}

operations! { Compare
    Eq(a, b) = a == b;
    Ne(a, b) = (a != b) & !unordered(a, b);
    Lt(a, b) = a < b;
    Le(a, b) = a <= b;
    Gt(a, b) = a > b;
    Ge(a, b) = a >= b;
    EqU(a, b) = (a == b) | unordered(a, b);
    NeU(a, b) = a != b;
    LtU(a, b) = (a < b) | unordered(a, b);
    LeU(a, b) = (a <= b) | unordered(a, b);
    GtU(a, b) = (a > b) | unordered(a, b);
    GeU(a, b) = (a >= b) | unordered(a, b);
    Ordered(a, b) = !unordered(a, b);
    Unordered(a, b) = unordered(a, b);
}

operations! { Test
    IsFinite(a) = !(a.nan() | a.infinite());
    IsInfinite(a) = a.infinite();
    IsNumber(a) = !a.nan();
    IsNan(a) = a.nan();
    IsNormal(a) = !(a.nan() | a.infinite() | a.subnormal() | (a == F::zero()));
    IsSubnormal(a) = a.subnormal();
}

/// Two halves of a word, each through the same operation.
pub(crate) struct Packed<O>(PhantomData<O>);

#[inline(always)]
fn halves(word: u32) -> (F16, F16) {
    (F16(word as u16), F16((word >> 16) as u16))
}

#[inline(always)]
fn pack(low: F16, high: F16) -> u32 {
    u32::from(low.0) | u32::from(high.0) << 16
}

impl<O: Unary<A = F16, D = F16>> Unary for Packed<O> {
    type A = u32;
    type D = u32;
    #[inline(always)]
    fn apply(a: u32) -> u32 {
        let (low, high) = halves(a);
        pack(O::apply(low), O::apply(high))
    }
}

impl<O: Binary<A = F16, B = F16, D = F16>> Binary for Packed<O> {
    type A = u32;
    type B = u32;
    type D = u32;
    #[inline(always)]
    fn apply(a: u32, b: u32) -> u32 {
        let ((a, c), (b, d)) = (halves(a), halves(b));
        pack(O::apply(a, b), O::apply(c, d))
    }
}

impl<O: Ternary<A = F16, B = F16, C = F16, D = F16>> Ternary for Packed<O> {
    type A = u32;
    type B = u32;
    type C = u32;
    type D = u32;
    #[inline(always)]
    fn apply(a: u32, b: u32, c: u32) -> u32 {
        let ((a, d), (b, e), (c, f)) = (halves(a), halves(b), halves(c));
        pack(O::apply(a, b, c), O::apply(d, e, f))
    }
}

macro_rules! single {
    ($($name:ident = $function:path;)*) => {$(
        pub(crate) struct $name;
        impl Unary for $name {
            type A = f32;
            type D = f32;
            #[inline(always)]
            fn apply(a: f32) -> f32 { $function(a) }
        }
    )*};
}
single! {
    Exp2 = crate::math::exp2;
    Log2 = crate::math::log2;
    Sin = crate::math::sin;
    Cos = crate::math::cos;
    Tanh = crate::math::tanh;
}

macro_rules! half {
    ($($name:ident = $function:path;)*) => {$(
        pub(crate) struct $name;
        impl Unary for $name {
            type A = F16;
            type D = F16;
            #[inline(always)]
            fn apply(a: F16) -> F16 { F16::from_f32($function(a.to_f32())) }
        }
    )*};
}
half! {
    Exp2Half = crate::math::exp2;
    TanhHalf = crate::math::tanh;
}
