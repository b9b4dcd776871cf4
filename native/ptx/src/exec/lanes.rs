//! Lane-wise operations: a function of one lane, lifted over the 32 lanes of a warp.
//!
//! A register of up to 32 bits is 32 cells of u32, one of 64 bits 32 cells of u64. A destination may be the same register
//! as a source.

use super::op::{Op, handler};
use super::warp::Warp;
use crate::number::F16;

pub(crate) const LANES: usize = 32;

/// A type that a lane of a register can hold.
pub(crate) trait Value: Copy {
    type Cell: Cell;
    /// Reads the low bits of the cell.
    fn get(cell: Self::Cell) -> Self;
    /// Writes the cell, extended as the type's sign asks.
    fn put(self) -> Self::Cell;
}

macro_rules! value {
    ($($t:ty, $cell:ty, $get:expr, $put:expr;)*) => {$(
        impl Value for $t {
            type Cell = $cell;
            #[inline(always)]
            fn get(cell: $cell) -> Self { let get: fn($cell) -> $t = $get; get(cell) }
            #[inline(always)]
            fn put(self) -> $cell { let put: fn($t) -> $cell = $put; put(self) }
        }
    )*};
}

value! {
    u8, u32, |c| c as u8, |v| u32::from(v);
    i8, u32, |c| c as i8, |v| v as u32;
    u16, u32, |c| c as u16, |v| u32::from(v);
    i16, u32, |c| c as i16, |v| v as u32;
    u32, u32, |c| c, |v| v;
    i32, u32, |c| c as i32, |v| v as u32;
    f32, u32, f32::from_bits, f32::to_bits;
    F16, u32, |c| F16(c as u16), |v| u32::from(v.0);
    u64, u64, |c| c, |v| v;
    i64, u64, |c| c as i64, |v| v as u64;
    f64, u64, f64::from_bits, f64::to_bits;
}

pub(crate) trait Unary {
    type A: Value;
    type D: Value;
    fn apply(a: Self::A) -> Self::D;
}

pub(crate) trait Binary {
    type A: Value;
    type B: Value;
    type D: Value;
    fn apply(a: Self::A, b: Self::B) -> Self::D;
}

pub(crate) trait Ternary {
    type A: Value;
    type B: Value;
    type C: Value;
    type D: Value;
    fn apply(a: Self::A, b: Self::B, c: Self::C) -> Self::D;
}

/// A comparison of two values.
pub(crate) trait Compare {
    type A: Value;
    fn apply(a: Self::A, b: Self::A) -> bool;
}

/// A property of one value.
pub(crate) trait Test {
    type A: Value;
    fn apply(a: Self::A) -> bool;
}

type Cells<V> = [<V as Value>::Cell; LANES];

/// Stores `result(lane)` into the lanes of `mask`. All results are computed before any is stored, so `d` may be a source
/// too; and since the compiler sees that, it vectorises without asking.
///
/// # Safety
/// `d` must be valid for reads and writes.
#[inline(always)]
pub(crate) unsafe fn store<C: Cell>(mask: u32, d: *mut [C; LANES], result: impl Fn(usize) -> C) {
    let mut results = [C::ZERO; LANES];
    for (lane, cell) in results.iter_mut().enumerate() {
        *cell = result(lane);
    }
    // SAFETY: the caller's promise.
    unsafe {
        if mask == !0 {
            *d = results;
        } else {
            let old = *d;
            let mut blended = [C::ZERO; LANES];
            for lane in 0..LANES {
                blended[lane] = if mask & (1 << lane) != 0 {
                    results[lane]
                } else {
                    old[lane]
                };
            }
            *d = blended;
        }
    }
}

/// What a register is made of.
pub(crate) trait Cell: Copy {
    const ZERO: Self;
}
impl Cell for u32 {
    const ZERO: u32 = 0;
}
impl Cell for u64 {
    const ZERO: u64 = 0;
}

/// Gathers one bit of each lane.
#[inline(always)]
pub(crate) fn collect(bit: impl Fn(usize) -> bool) -> u32 {
    let mut bits = 0u32;
    for lane in 0..LANES {
        bits |= u32::from(bit(lane)) << lane;
    }
    bits
}

#[inline(always)]
unsafe fn unary_body<O: Unary>(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: the handler's contract: operands are in bounds.
    unsafe {
        let o = &*op;
        let a = &*w.at::<Cells<O::A>>(o.a);
        let d = w.at::<Cells<O::D>>(o.d);
        store(w.mask, d, |i| O::apply(O::A::get(a[i])).put());
        op.add(1)
    }
}
handler!(unary, unary_body, <O: Unary>);

#[inline(always)]
unsafe fn binary_body<O: Binary>(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: as in `unary_body`.
    unsafe {
        let o = &*op;
        let a = &*w.at::<Cells<O::A>>(o.a);
        let b = &*w.at::<Cells<O::B>>(o.b);
        let d = w.at::<Cells<O::D>>(o.d);
        store(w.mask, d, |i| {
            O::apply(O::A::get(a[i]), O::B::get(b[i])).put()
        });
        op.add(1)
    }
}
handler!(binary, binary_body, <O: Binary>);

#[inline(always)]
unsafe fn ternary_body<O: Ternary>(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: as in `unary_body`.
    unsafe {
        let o = &*op;
        let a = &*w.at::<Cells<O::A>>(o.a);
        let b = &*w.at::<Cells<O::B>>(o.b);
        let c = &*w.at::<Cells<O::C>>(o.c);
        let d = w.at::<Cells<O::D>>(o.d);
        store(w.mask, d, |i| {
            O::apply(O::A::get(a[i]), O::B::get(b[i]), O::C::get(c[i])).put()
        });
        op.add(1)
    }
}
handler!(ternary, ternary_body, <O: Ternary>);

#[inline(always)]
unsafe fn compare_body<O: Compare>(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: as in `unary_body`.
    unsafe {
        let o = &*op;
        let a = &*w.at::<Cells<O::A>>(o.a);
        let b = &*w.at::<Cells<O::A>>(o.b);
        let bits = collect(|i| O::apply(O::A::get(a[i]), O::A::get(b[i])));
        w.set_predicate(o.d, bits);
        op.add(1)
    }
}
handler!(compare, compare_body, <O: Compare>);

#[inline(always)]
unsafe fn test_body<O: Test>(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: as in `unary_body`.
    unsafe {
        let o = &*op;
        let a = &*w.at::<Cells<O::A>>(o.a);
        let bits = collect(|i| O::apply(O::A::get(a[i])));
        w.set_predicate(o.d, bits);
        op.add(1)
    }
}
handler!(test, test_body, <O: Test>);

/// d = c ? a : b, with a predicate c.
#[inline(always)]
unsafe fn select_body<V: Value>(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: as in `unary_body`.
    unsafe {
        let o = &*op;
        let a = &*w.at::<Cells<V>>(o.a);
        let b = &*w.at::<Cells<V>>(o.b);
        let bits = w.predicate(o.c);
        let d = w.at::<Cells<V>>(o.d);
        store(
            w.mask,
            d,
            |i| if bits & (1 << i) != 0 { a[i] } else { b[i] },
        );
        op.add(1)
    }
}
handler!(select, select_body, <V: Value>);

/// d = a + b + carry c (a predicate); x is where the carry goes.
#[inline(always)]
unsafe fn add_carry_body<V: Carry>(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: as in `unary_body`.
    unsafe {
        let o = &*op;
        let a = &*w.at::<Cells<V>>(o.a);
        let b = &*w.at::<Cells<V>>(o.b);
        let carry = w.predicate(o.c);
        let d = w.at::<Cells<V>>(o.d);
        let out = collect(|i| V::add(V::get(a[i]), V::get(b[i]), carry & (1 << i) != 0).1);
        store(w.mask, d, |i| {
            V::add(V::get(a[i]), V::get(b[i]), carry & (1 << i) != 0)
                .0
                .put()
        });
        w.set_predicate(o.x, out);
        op.add(1)
    }
}
handler!(add_carry, add_carry_body, <V: Carry>);

/// d = a - b - borrow c (a predicate); x is where the borrow goes.
#[inline(always)]
unsafe fn sub_borrow_body<V: Carry>(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: as in `unary_body`.
    unsafe {
        let o = &*op;
        let a = &*w.at::<Cells<V>>(o.a);
        let b = &*w.at::<Cells<V>>(o.b);
        let borrow = w.predicate(o.c);
        let d = w.at::<Cells<V>>(o.d);
        let out = collect(|i| V::sub(V::get(a[i]), V::get(b[i]), borrow & (1 << i) != 0).1);
        store(w.mask, d, |i| {
            V::sub(V::get(a[i]), V::get(b[i]), borrow & (1 << i) != 0)
                .0
                .put()
        });
        w.set_predicate(o.x, out);
        op.add(1)
    }
}
handler!(sub_borrow, sub_borrow_body, <V: Carry>);

/// Addition and subtraction with a carry.
pub(crate) trait Carry: Value {
    fn add(self, other: Self, carry: bool) -> (Self, bool);
    fn sub(self, other: Self, borrow: bool) -> (Self, bool);
}

macro_rules! carry {
    ($($t:ty)*) => {$(
        impl Carry for $t {
            #[inline(always)]
            fn add(self, other: Self, carry: bool) -> (Self, bool) {
                let (sum, first) = self.overflowing_add(other);
                let (sum, second) = sum.overflowing_add(carry.into());
                (sum, first | second)
            }
            #[inline(always)]
            fn sub(self, other: Self, borrow: bool) -> (Self, bool) {
                let (difference, first) = self.overflowing_sub(other);
                let (difference, second) = difference.overflowing_sub(borrow.into());
                (difference, first | second)
            }
        }
    )*};
}
carry!(u32 u64);

/// d = b with x bits of a put in at bit c.
#[inline(always)]
unsafe fn insert_body<V: Insert>(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: as in `unary_body`.
    unsafe {
        let o = &*op;
        let a = &*w.at::<Cells<V>>(o.a);
        let b = &*w.at::<Cells<V>>(o.b);
        let at = &*w.at::<[u32; LANES]>(o.c);
        let length = &*w.at::<[u32; LANES]>(o.x);
        let d = w.at::<Cells<V>>(o.d);
        store(w.mask, d, |i| {
            V::get(b[i])
                .insert(V::get(a[i]), at[i] & 255, length[i] & 255)
                .put()
        });
        op.add(1)
    }
}
handler!(insert, insert_body, <V: Insert>);

/// Putting a bit field into a word.
pub(crate) trait Insert: Value {
    fn insert(self, field: Self, at: u32, length: u32) -> Self;
}

macro_rules! insert {
    ($($t:ident)*) => {$(
        impl Insert for $t {
            #[inline(always)]
            fn insert(self, field: Self, at: u32, length: u32) -> Self {
                if at >= $t::BITS || length == 0 {
                    return self;
                }
                let ones = if length >= $t::BITS { !0 } else { ((1 as $t) << length) - 1 };
                (self & !(ones << at)) | ((field & ones) << at)
            }
        }
    )*};
}
insert!(u32 u64);

/// d = the function of a, b and c whose table is x.
#[inline(always)]
unsafe fn lop3_body(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: as in `unary_body`.
    unsafe {
        let o = &*op;
        let a = &*w.at::<[u32; LANES]>(o.a);
        let b = &*w.at::<[u32; LANES]>(o.b);
        let c = &*w.at::<[u32; LANES]>(o.c);
        let d = w.at::<[u32; LANES]>(o.d);
        // Each bit of the table, as a whole word.
        let table: [u32; 8] = std::array::from_fn(|bit| 0u32.wrapping_sub((o.x >> bit) & 1));
        store(w.mask, d, |i| {
            let (a, b, c) = (a[i], b[i], c[i]);
            let pick = |base: usize| {
                let low = (table[base] & !c) | (table[base + 1] & c);
                let high = (table[base + 2] & !c) | (table[base + 3] & c);
                (low & !b) | (high & b)
            };
            (pick(0) & !a) | (pick(4) & a)
        });
        op.add(1)
    }
}
handler!(lop3, lop3_body);
