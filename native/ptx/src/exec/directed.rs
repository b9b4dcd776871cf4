//! Arithmetic rounded toward zero, down or up.

use super::lanes::{Binary, Ternary, Unary};
use crate::exact::{self, DOUBLE, SINGLE};
use std::marker::PhantomData;

pub(crate) struct Add<F, const MODE: u8>(PhantomData<F>);
pub(crate) struct Sub<F, const MODE: u8>(PhantomData<F>);
pub(crate) struct Mul<F, const MODE: u8>(PhantomData<F>);
pub(crate) struct Div<F, const MODE: u8>(PhantomData<F>);
pub(crate) struct Fma<F, const MODE: u8>(PhantomData<F>);
pub(crate) struct Sqrt<F, const MODE: u8>(PhantomData<F>);
pub(crate) struct Reciprocal<F, const MODE: u8>(PhantomData<F>);

macro_rules! directed {
    ($f:ident $format:ident: $(Unary $unary:ident($x:ident) = $one:expr;)* $(Binary $name:ident($a:ident, $b:ident) = $two:expr;)*) => {
        $(impl<const MODE: u8> Unary for $unary<$f, MODE> {
            type A = $f;
            type D = $f;
            fn apply(x: $f) -> $f {
                let $x = f64::from(x);
                $one as $f
            }
        })*
        $(impl<const MODE: u8> Binary for $name<$f, MODE> {
            type A = $f;
            type B = $f;
            type D = $f;
            fn apply(a: $f, b: $f) -> $f {
                let ($a, $b) = (f64::from(a), f64::from(b));
                $two as $f
            }
        })*
        impl<const MODE: u8> Ternary for Fma<$f, MODE> {
            type A = $f;
            type B = $f;
            type C = $f;
            type D = $f;
            fn apply(a: $f, b: $f, c: $f) -> $f {
                exact::fma::<MODE>(a.into(), b.into(), c.into(), $format) as $f
            }
        }
    };
}

macro_rules! formats {
    ($($f:ident $format:ident)*) => {$(
        directed! { $f $format:
            Unary Sqrt(x) = exact::root::<MODE>(x, $format);
            Unary Reciprocal(x) = exact::divide::<MODE>(1.0, x, $format);
            Binary Add(a, b) = exact::fma::<MODE>(a, 1.0, b, $format);
            Binary Sub(a, b) = exact::fma::<MODE>(a, 1.0, -b, $format);
            Binary Mul(a, b) = exact::multiply::<MODE>(a, b, $format);
            Binary Div(a, b) = exact::divide::<MODE>(a, b, $format);
        }
    )*};
}
formats!(f32 SINGLE f64 DOUBLE);
