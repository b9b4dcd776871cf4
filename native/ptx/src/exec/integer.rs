//! Integer arithmetic and logic of one lane.

use super::lanes::{Binary, Compare, Ternary, Unary, Value};
use std::marker::PhantomData;

/// What the generic operations need of an integer type.
pub(crate) trait Integer: Value + Ord {
    type Wide: Integer;
    const BITS: u32;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn mul_high(self, other: Self) -> Self;
    fn widen(self) -> Self::Wide;
    fn div(self, other: Self) -> Self;
    fn rem(self, other: Self) -> Self;
    fn and(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    fn shl(self, amount: u32) -> Self;
    fn shr(self, amount: u32) -> Self;
    fn abs(self) -> Self;
    fn clz(self) -> u32;
    fn ones(self) -> u32;
    fn reverse(self) -> Self;
    fn zero() -> Self;
    fn all_ones() -> Self;
    fn negative(self) -> bool;
}

macro_rules! integer {
    ($($t:ident, $wide:ident, $double:ident, $abs:expr;)*) => {$(
        #[allow(unused_comparisons)]
        impl Integer for $t {
            type Wide = $wide;
            const BITS: u32 = $t::BITS;
            #[inline(always)]
            fn add(self, other: Self) -> Self { self.wrapping_add(other) }
            #[inline(always)]
            fn sub(self, other: Self) -> Self { self.wrapping_sub(other) }
            #[inline(always)]
            fn mul(self, other: Self) -> Self { self.wrapping_mul(other) }
            #[inline(always)]
            fn mul_high(self, other: Self) -> Self {
                ($double::from(self).wrapping_mul($double::from(other)) >> $t::BITS) as $t
            }
            #[inline(always)]
            fn widen(self) -> $wide { self as $wide }
            // The hardware gives all ones for a division by zero, and PTX leaves it open.
            #[inline(always)]
            fn div(self, other: Self) -> Self { if other == 0 { !0 } else { self.wrapping_div(other) } }
            #[inline(always)]
            fn rem(self, other: Self) -> Self { if other == 0 { self } else { self.wrapping_rem(other) } }
            #[inline(always)]
            fn and(self, other: Self) -> Self { self & other }
            #[inline(always)]
            fn or(self, other: Self) -> Self { self | other }
            #[inline(always)]
            fn xor(self, other: Self) -> Self { self ^ other }
            #[inline(always)]
            fn shl(self, amount: u32) -> Self {
                let shifted = self.wrapping_shl(amount);
                if amount < $t::BITS { shifted } else { 0 }
            }
            #[inline(always)]
            fn shr(self, amount: u32) -> Self {
                let shifted = self.wrapping_shr(amount);
                // Too far: what is left is the sign.
                if amount < $t::BITS { shifted } else { self.wrapping_shr($t::BITS - 1) & (0 as $t).wrapping_sub((self < (0 as $t)) as $t) }
            }
            #[inline(always)]
            fn abs(self) -> Self { let abs: fn($t) -> $t = $abs; abs(self) }
            #[inline(always)]
            fn clz(self) -> u32 { self.leading_zeros() }
            #[inline(always)]
            fn ones(self) -> u32 { self.count_ones() }
            #[inline(always)]
            fn reverse(self) -> Self { self.reverse_bits() }
            #[inline(always)]
            fn zero() -> Self { 0 }
            #[inline(always)]
            fn all_ones() -> Self { !0 }
            #[inline(always)]
            fn negative(self) -> bool { self < 0 }
        }
    )*};
}

integer! {
    u16, u32, u32, |v| v;
    i16, i32, i32, i16::wrapping_abs;
    u32, u64, u64, |v| v;
    i32, i64, i64, i32::wrapping_abs;
    u64, u64, u128, |v| v;
    i64, i64, i128, i64::wrapping_abs;
}

macro_rules! operations {
    ($($kind:ident $name:ident: ($($arg:ident: $t:ty),*) -> $d:ty = $body:expr;)*) => {$(
        pub(crate) struct $name<I>(PhantomData<I>);
        operations!(@$kind $name ($($arg: $t),*) -> $d = $body);
    )*};
    (@Unary $name:ident ($a:ident: $ta:ty) -> $d:ty = $body:expr) => {
        impl<I: Integer> Unary for $name<I> {
            type A = $ta;
            type D = $d;
            #[inline(always)]
            fn apply($a: $ta) -> $d { $body }
        }
    };
    (@Binary $name:ident ($a:ident: $ta:ty, $b:ident: $tb:ty) -> $d:ty = $body:expr) => {
        impl<I: Integer> Binary for $name<I> {
            type A = $ta;
            type B = $tb;
            type D = $d;
            #[inline(always)]
            fn apply($a: $ta, $b: $tb) -> $d { $body }
        }
    };
    (@Ternary $name:ident ($a:ident: $ta:ty, $b:ident: $tb:ty, $c:ident: $tc:ty) -> $d:ty = $body:expr) => {
        impl<I: Integer> Ternary for $name<I> {
            type A = $ta;
            type B = $tb;
            type C = $tc;
            type D = $d;
            #[inline(always)]
            fn apply($a: $ta, $b: $tb, $c: $tc) -> $d { $body }
        }
    };
    (@Compare $name:ident ($a:ident: $ta:ty, $b:ident: $tb:ty) -> $d:ty = $body:expr) => {
        impl<I: Integer> Compare for $name<I> {
            type A = $ta;
            #[inline(always)]
            fn apply($a: $ta, $b: $ta) -> bool { $body }
        }
    };
}

operations! {
    Unary Move: (a: I) -> I = a;
    Unary Not: (a: I) -> I = a.xor(I::all_ones());
    Unary Cnot: (a: I) -> I = if a == I::zero() { I::zero().sub(I::all_ones()) } else { I::zero() };
    Unary Neg: (a: I) -> I = I::zero().sub(a);
    Unary Abs: (a: I) -> I = a.abs();
    Unary Clz: (a: I) -> u32 = a.clz();
    Unary Popc: (a: I) -> u32 = a.ones();
    Unary Brev: (a: I) -> I = a.reverse();
    Unary Bfind: (a: I) -> u32 = find_leading(a);
    Unary BfindShift: (a: I) -> u32 = { let at = find_leading(a); if at == !0 { at } else { I::BITS - 1 - at } };
    Binary Add: (a: I, b: I) -> I = a.add(b);
    Binary Sub: (a: I, b: I) -> I = a.sub(b);
    Binary Mul: (a: I, b: I) -> I = a.mul(b);
    Binary MulHigh: (a: I, b: I) -> I = a.mul_high(b);
    Binary MulWide: (a: I, b: I) -> I::Wide = a.widen().mul(b.widen());
    Binary Div: (a: I, b: I) -> I = a.div(b);
    Binary Rem: (a: I, b: I) -> I = a.rem(b);
    Binary Min: (a: I, b: I) -> I = if a < b { a } else { b };
    Binary Max: (a: I, b: I) -> I = if a > b { a } else { b };
    Binary And: (a: I, b: I) -> I = a.and(b);
    Binary Or: (a: I, b: I) -> I = a.or(b);
    Binary Xor: (a: I, b: I) -> I = a.xor(b);
    Binary Shl: (a: I, b: u32) -> I = a.shl(b);
    Binary Shr: (a: I, b: u32) -> I = a.shr(b);
    Ternary Mad: (a: I, b: I, c: I) -> I = a.mul(b).add(c);
    Ternary MadHigh: (a: I, b: I, c: I) -> I = a.mul_high(b).add(c);
    Ternary MadWide: (a: I, b: I, c: I::Wide) -> I::Wide = a.widen().mul(b.widen()).add(c);
    Ternary Sad: (a: I, b: I, c: I) -> I = c.add(if a < b { b.sub(a) } else { a.sub(b) });
    Ternary Bfe: (a: I, b: u32, c: u32) -> I = extract(a, b & 255, c & 255);
    Compare Eq: (a: I, b: I) -> bool = a == b;
    Compare Ne: (a: I, b: I) -> bool = a != b;
    Compare Lt: (a: I, b: I) -> bool = a < b;
    Compare Le: (a: I, b: I) -> bool = a <= b;
    Compare Gt: (a: I, b: I) -> bool = a > b;
    Compare Ge: (a: I, b: I) -> bool = a >= b;
}

/// Position of the highest bit that differs from the sign; !0 when there is none.
#[inline(always)]
fn find_leading<I: Integer>(a: I) -> u32 {
    let magnitude = if a.negative() {
        a.xor(I::all_ones())
    } else {
        a
    };
    (I::BITS - 1).wrapping_sub(magnitude.clz())
}

/// `length` bits from `position`, sign-extended for signed types.
#[inline(always)]
fn extract<I: Integer>(a: I, position: u32, length: u32) -> I {
    let end = position + length;
    // Beyond the top, a signed value goes on with its sign and an unsigned one with zeros, as `shr` does.
    if length == 0 {
        I::zero()
    } else if end >= I::BITS {
        a.shr(position)
    } else {
        a.shl(I::BITS - end).shr(I::BITS - length)
    }
}

macro_rules! fixed {
    (Binary $($name:ident: ($a:ident: $ta:ty, $b:ident: $tb:ty) -> $d:ty = $body:expr;)*) => {$(
        pub(crate) struct $name;
        impl Binary for $name {
            type A = $ta;
            type B = $tb;
            type D = $d;
            #[inline(always)]
            fn apply($a: $ta, $b: $tb) -> $d { $body }
        }
    )*};
    (Ternary $($name:ident: ($a:ident: $ta:ty, $b:ident: $tb:ty, $c:ident: $tc:ty) -> $d:ty = $body:expr;)*) => {$(
        pub(crate) struct $name;
        impl Ternary for $name {
            type A = $ta;
            type B = $tb;
            type C = $tc;
            type D = $d;
            #[inline(always)]
            fn apply($a: $ta, $b: $tb, $c: $tc) -> $d { $body }
        }
    )*};
}

fixed! { Binary
    Mul24Low: (a: u32, b: u32) -> u32 = (a & 0xff_ffff).wrapping_mul(b & 0xff_ffff);
    Mul24LowSigned: (a: i32, b: i32) -> i32 = (a << 8 >> 8).wrapping_mul(b << 8 >> 8);
}

fixed! { Ternary
    FunnelLeftWrap: (a: u32, b: u32, c: u32) -> u32 = funnel_left(a, b, c & 31);
    FunnelLeftClamp: (a: u32, b: u32, c: u32) -> u32 = funnel_left(a, b, c.min(32));
    FunnelRightWrap: (a: u32, b: u32, c: u32) -> u32 = funnel_right(a, b, c & 31);
    FunnelRightClamp: (a: u32, b: u32, c: u32) -> u32 = funnel_right(a, b, c.min(32));
    Permute: (a: u32, b: u32, c: u32) -> u32 = permute(a, b, c);
    PermuteF4e: (a: u32, b: u32, c: u32) -> u32 = permute(a, b, 0x3210 + 0x1111 * (c & 3));
    PermuteB4e: (a: u32, b: u32, c: u32) -> u32 = permute(a, b, [0x5670, 0x6701, 0x7012, 0x0123][(c & 3) as usize]);
    PermuteRc8: (a: u32, b: u32, c: u32) -> u32 = permute(a, b, 0x1111 * (c & 3));
    PermuteEcl: (a: u32, b: u32, c: u32) -> u32 = permute(a, b, [0x3210, 0x3211, 0x3222, 0x3333][(c & 3) as usize]);
    PermuteEcr: (a: u32, b: u32, c: u32) -> u32 = permute(a, b, [0x0000, 0x1110, 0x2210, 0x3210][(c & 3) as usize]);
    PermuteRc16: (a: u32, b: u32, c: u32) -> u32 = permute(a, b, [0x1010, 0x3232][(c & 1) as usize]);
    Dp4aUU: (a: u32, b: u32, c: u32) -> u32 = dot(a, b, c, false, false);
    Dp4aUS: (a: u32, b: u32, c: u32) -> u32 = dot(a, b, c, false, true);
    Dp4aSU: (a: u32, b: u32, c: u32) -> u32 = dot(a, b, c, true, false);
    Dp4aSS: (a: u32, b: u32, c: u32) -> u32 = dot(a, b, c, true, true);
}

#[inline(always)]
fn funnel_left(a: u32, b: u32, amount: u32) -> u32 {
    ((((u64::from(b) << 32) | u64::from(a)) << amount) >> 32) as u32
}

#[inline(always)]
fn funnel_right(a: u32, b: u32, amount: u32) -> u32 {
    (((u64::from(b) << 32) | u64::from(a)) >> amount) as u32
}

#[inline(always)]
fn permute(a: u32, b: u32, selector: u32) -> u32 {
    let bytes = (u64::from(b) << 32) | u64::from(a);
    let mut result = 0;
    for i in 0..4 {
        let choice = selector >> (i * 4);
        let byte = (bytes >> ((choice & 7) * 8)) as u8;
        let byte = if choice & 8 != 0 {
            ((byte as i8) >> 7) as u8
        } else {
            byte
        };
        result |= u32::from(byte) << (i * 8);
    }
    result
}

#[inline(always)]
fn dot(a: u32, b: u32, c: u32, a_signed: bool, b_signed: bool) -> u32 {
    let part = |word: u32, i: u32, signed: bool| {
        let byte = (word >> (i * 8)) as u8;
        if signed {
            i32::from(byte as i8)
        } else {
            i32::from(byte)
        }
    };
    let mut sum = c;
    for i in 0..4 {
        sum = sum.wrapping_add((part(a, i, a_signed) * part(b, i, b_signed)) as u32);
    }
    sum
}

fixed! { Binary
    AddSaturated: (a: i32, b: i32) -> i32 = a.saturating_add(b);
    SubSaturated: (a: i32, b: i32) -> i32 = a.saturating_sub(b);
}
