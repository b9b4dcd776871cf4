//! Conversions between number types, one lane.

use super::lanes::{Binary, Unary, Value};
use crate::exact::{self, SINGLE};
use crate::number::{F16, NEAREST, integer_to_float};
use std::marker::PhantomData;

/// Integer to integer, cut or extended.
pub(crate) struct Cast<A, D>(PhantomData<(A, D)>);
/// Integer to integer, clamped to what the result can hold.
pub(crate) struct Clamp<A, D>(PhantomData<(A, D)>);
/// An integral float to an integer, clamped; NaN gives 0.
pub(crate) struct ToInteger<A, D>(PhantomData<(A, D)>);
/// Integer to float in the direction `MODE`.
pub(crate) struct ToFloat<A, D, const MODE: u8>(PhantomData<(A, D)>);
/// Float to float in the direction `MODE`.
pub(crate) struct Resize<A, D, const MODE: u8>(PhantomData<(A, D)>);
/// Two singles to packed halves; the first goes to the high half.
pub(crate) struct PackHalves<const MODE: u8>;

/// A type that `as` converts to every integer type.
pub(crate) trait As<D> {
    fn cast(self) -> D;
    fn clamp(self) -> D;
}

macro_rules! casts {
    ($($a:ident: $($d:ident)*;)*) => {$($(
        impl As<$d> for $a {
            #[inline(always)]
            fn cast(self) -> $d { self as $d }
            #[inline(always)]
            fn clamp(self) -> $d {
                match $d::try_from(self) {
                    Ok(value) => value,
                    #[allow(unused_comparisons)]
                    Err(_) => if self < 0 { $d::MIN } else { $d::MAX },
                }
            }
        }
    )*)*};
}
casts! {
    u8: u8 i8 u16 i16 u32 i32 u64 i64;
    i8: u8 i8 u16 i16 u32 i32 u64 i64;
    u16: u8 i8 u16 i16 u32 i32 u64 i64;
    i16: u8 i8 u16 i16 u32 i32 u64 i64;
    u32: u8 i8 u16 i16 u32 i32 u64 i64;
    i32: u8 i8 u16 i16 u32 i32 u64 i64;
    u64: u8 i8 u16 i16 u32 i32 u64 i64;
    i64: u8 i8 u16 i16 u32 i32 u64 i64;
}

impl<A: Value + As<D>, D: Value> Unary for Cast<A, D> {
    type A = A;
    type D = D;
    #[inline(always)]
    fn apply(a: A) -> D {
        a.cast()
    }
}

impl<A: Value + As<D>, D: Value> Unary for Clamp<A, D> {
    type A = A;
    type D = D;
    #[inline(always)]
    fn apply(a: A) -> D {
        a.clamp()
    }
}

macro_rules! to_integer {
    ($($d:ident)*) => {$(
        impl Unary for ToInteger<f32, $d> {
            type A = f32;
            type D = $d;
            #[inline(always)]
            fn apply(a: f32) -> $d { a as $d }
        }
        impl Unary for ToInteger<f64, $d> {
            type A = f64;
            type D = $d;
            #[inline(always)]
            fn apply(a: f64) -> $d { a as $d }
        }
    )*};
}
to_integer!(u8 i8 u16 i16 u32 i32 u64 i64);

macro_rules! to_float {
    ($($a:ident)*) => {$(
        impl<const MODE: u8> Unary for ToFloat<$a, f32, MODE> {
            type A = $a;
            type D = f32;
            #[inline(always)]
            #[allow(unused_comparisons)]
            fn apply(a: $a) -> f32 {
                if MODE == NEAREST {
                    return a as f32;
                }
                integer_to_float::<MODE>(a < 0, a.abs_diff(0) as u64, 24) as f32
            }
        }
        impl<const MODE: u8> Unary for ToFloat<$a, f64, MODE> {
            type A = $a;
            type D = f64;
            #[inline(always)]
            #[allow(unused_comparisons)]
            fn apply(a: $a) -> f64 {
                if MODE == NEAREST {
                    return a as f64;
                }
                integer_to_float::<MODE>(a < 0, a.abs_diff(0) as u64, 53)
            }
        }
        impl<const MODE: u8> Unary for ToFloat<$a, F16, MODE> {
            type A = $a;
            type D = F16;
            #[inline(always)]
            #[allow(unused_comparisons)]
            fn apply(a: $a) -> F16 {
                let magnitude = a.abs_diff(0) as u64;
                // Beyond 2^20 nothing changes: it overflows, and which way is up to the mode.
                F16::from_f64::<MODE>(integer_to_float::<MODE>(a < 0, magnitude.min(1 << 20), 53))
            }
        }
    )*};
}
to_float!(u8 i8 u16 i16 u32 i32 u64 i64);

macro_rules! resize {
    ($($a:ty => $d:ty, |$v:ident| $body:expr;)*) => {$(
        impl<const MODE: u8> Unary for Resize<$a, $d, MODE> {
            type A = $a;
            type D = $d;
            #[inline(always)]
            fn apply($v: $a) -> $d { $body }
        }
    )*};
}
resize! {
    f32 => f64, |v| f64::from(v);
    f64 => f32, |v| if MODE == NEAREST { v as f32 } else { exact::narrow::<MODE>(v, SINGLE) as f32 };
    f32 => F16, |v| F16::from_f32_rounded::<MODE>(v);
    f64 => F16, |v| F16::from_f64::<MODE>(v);
    F16 => f32, |v| v.to_f32();
    F16 => f64, |v| f64::from(v.to_f32());
}

impl<const MODE: u8> Binary for PackHalves<MODE> {
    type A = f32;
    type B = f32;
    type D = u32;
    #[inline(always)]
    fn apply(a: f32, b: f32) -> u32 {
        let half = |v| u32::from(F16::from_f32_rounded::<MODE>(v).0);
        half(b) | half(a) << 16
    }
}

/// Two words to one of twice the size, low first, and back.
pub(crate) struct Join;
pub(crate) struct JoinHalves;
pub(crate) struct Low;
pub(crate) struct High;
pub(crate) struct LowHalf;
pub(crate) struct HighHalf;
/// A quarter, by number, of a 64-bit word.
pub(crate) struct Quarter<const N: u32>;

impl Binary for Join {
    type A = u32;
    type B = u32;
    type D = u64;
    #[inline(always)]
    fn apply(a: u32, b: u32) -> u64 {
        u64::from(a) | u64::from(b) << 32
    }
}

impl Binary for JoinHalves {
    type A = u16;
    type B = u16;
    type D = u32;
    #[inline(always)]
    fn apply(a: u16, b: u16) -> u32 {
        u32::from(a) | u32::from(b) << 16
    }
}

macro_rules! part {
    ($($name:ident: $a:ty => $d:ty, |$v:ident| $body:expr;)*) => {$(
        impl Unary for $name {
            type A = $a;
            type D = $d;
            #[inline(always)]
            fn apply($v: $a) -> $d { $body }
        }
    )*};
}
part! {
    Low: u64 => u32, |v| v as u32;
    High: u64 => u32, |v| (v >> 32) as u32;
    LowHalf: u32 => u16, |v| v as u16;
    HighHalf: u32 => u16, |v| (v >> 16) as u16;
}

impl<const N: u32> Unary for Quarter<N> {
    type A = u64;
    type D = u16;
    #[inline(always)]
    fn apply(v: u64) -> u16 {
        (v >> (16 * N)) as u16
    }
}
