//! Atomic read-modify-write, on the host's own atomics: several threads and processes agree.

use super::float::{self, Packed};
use super::lanes::{Binary, Value};
use super::memory::visit;
use super::op::{Op, handler};
use super::resolve::{Access, Pattern, SHARED, resolve};
use super::warp::Warp;
use crate::number::F16;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

/// What becomes of the old value.
pub(crate) trait Update {
    type T: Atomic;
    /// Whether lanes use it to wait for others.
    const WAITS: bool = false;
    fn update(old: Self::T, b: Self::T, c: Self::T) -> Self::T;
}

/// A value that memory holds and the host can exchange atomically.
pub(crate) trait Atomic: Value {
    /// # Safety
    /// The pointer must be valid and aligned for the type.
    unsafe fn modify(pointer: *mut u8, update: impl Fn(Self) -> Self) -> Self;
}

macro_rules! atomic {
    ($($t:ty, $bits:ty, $atomic:ident, $from:expr, $to:expr;)*) => {$(
        impl Atomic for $t {
            #[inline(always)]
            unsafe fn modify(pointer: *mut u8, update: impl Fn(Self) -> Self) -> Self {
                let (from, to): (fn($bits) -> $t, fn($t) -> $bits) = ($from, $to);
                // SAFETY: the caller's promise; device memory is only touched through pointers.
                let cell = unsafe { $atomic::from_ptr(pointer.cast()) };
                let mut old = cell.load(Ordering::Relaxed);
                loop {
                    let new = to(update(from(old)));
                    match cell.compare_exchange_weak(old, new, Ordering::SeqCst, Ordering::Relaxed) {
                        Ok(_) => return from(old),
                        Err(seen) => old = seen,
                    }
                }
            }
        }
    )*};
}
atomic! {
    u16, u16, AtomicU16, |b| b, |v| v;
    F16, u16, AtomicU16, F16, |v| v.0;
    u32, u32, AtomicU32, |b| b, |v| v;
    i32, u32, AtomicU32, |b| b as i32, |v| v as u32;
    f32, u32, AtomicU32, f32::from_bits, f32::to_bits;
    u64, u64, AtomicU64, |b| b, |v| v;
    i64, u64, AtomicU64, |b| b as i64, |v| v as u64;
    f64, u64, AtomicU64, f64::from_bits, f64::to_bits;
}

macro_rules! updates {
    ($($name:ident($old:ident, $b:ident) for $($t:ty)* = $body:expr;)*) => {$(
        pub(crate) struct $name<T>(PhantomData<T>);
        $(impl Update for $name<$t> {
            type T = $t;
            #[inline(always)]
            fn update($old: $t, $b: $t, _: $t) -> $t { $body }
        })*
    )*};
}
updates! {
    Add(old, b) for u32 u64 = old.wrapping_add(b);
    AddFloat(old, b) for f32 f64 = old + b;
    And(old, b) for u32 u64 = old & b;
    Or(old, b) for u32 u64 = old | b;
    Xor(old, b) for u32 u64 = old ^ b;
    Min(old, b) for u32 i32 u64 i64 = old.min(b);
    Max(old, b) for u32 i32 u64 i64 = old.max(b);
    Increment(old, b) for u32 = if old >= b { 0 } else { old + 1 };
    Decrement(old, b) for u32 = if old == 0 || old > b { b } else { old - 1 };
}

/// old + b on halves.
pub(crate) struct AddHalf;
impl Update for AddHalf {
    type T = F16;
    #[inline(always)]
    fn update(old: F16, b: F16, _: F16) -> F16 {
        float::Add::<F16>::apply(old, b)
    }
}

/// old + b on two halves at once.
pub(crate) struct AddHalves;
impl Update for AddHalves {
    type T = u32;
    #[inline(always)]
    fn update(old: u32, b: u32, _: u32) -> u32 {
        Packed::<float::Add<F16>>::apply(old, b)
    }
}

/// b, whatever was there.
pub(crate) struct Exchange<T>(PhantomData<T>);
impl<T: Atomic> Update for Exchange<T> {
    type T = T;
    const WAITS: bool = true;
    #[inline(always)]
    fn update(_: T, b: T, _: T) -> T {
        b
    }
}

/// c where b was there.
pub(crate) struct CompareExchange<T>(PhantomData<T>);
impl<T: Atomic + PartialEq> Update for CompareExchange<T> {
    type T = T;
    const WAITS: bool = true;
    #[inline(always)]
    fn update(old: T, b: T, c: T) -> T {
        if old == b { c } else { old }
    }
}

/// In `Op::d`: the old value is not wanted.
pub(crate) const UNWANTED: u32 = u32::MAX;

/// d = [a + y]; [a + y] = update(d, b, c). x is unused.
#[inline(always)]
unsafe fn atomic_body<U: Update, const SPACE: u8>(w: &mut Warp, op: *const Op) -> *const Op {
    // SAFETY: the handler's contract; `resolve` has checked what is touched, alignment included.
    unsafe {
        let o = &*op;
        let size = std::mem::size_of::<U::T>();
        let addresses = &*w.at::<[u64; 32]>(o.a);
        let offset = i64::from(o.y as i32) as u64;
        let pattern = resolve::<SPACE>(w, op, addresses, offset, size as u64, Access::Atomic);
        if let Pattern::Fault = pattern {
            return std::ptr::null();
        }
        if U::WAITS {
            w.spin += 1;
        }
        let b = &*w.at::<[<U::T as Value>::Cell; 32]>(o.b);
        let c = &*w.at::<[<U::T as Value>::Cell; 32]>(o.c);
        let d = if o.d == UNWANTED {
            None
        } else {
            Some(w.at::<<U::T as Value>::Cell>(o.d))
        };
        visit(w, &pattern, addresses, size, |lane, pointer| {
            let (b, c) = (U::T::get(b[lane]), U::T::get(c[lane]));
            // A block runs on one thread, so nobody else sees its shared memory.
            let old = if SPACE == SHARED {
                let cell = pointer.cast::<U::T>();
                let old = cell.read();
                cell.write(U::update(old, b, c));
                old
            } else {
                U::T::modify(pointer, |old| U::update(old, b, c))
            };
            if let Some(d) = d {
                d.add(lane).write(old.put());
            }
        });
        op.add(1)
    }
}
handler!(atomic, atomic_body, <U: Update; const SPACE: u8>);
