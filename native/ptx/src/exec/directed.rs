//! Arithmetic rounded toward zero, down or up.

use super::lanes::{Binary, Ternary, Unary};
use crate::number::{direct, narrow, odd_double, sum_error};
use std::marker::PhantomData;

pub(crate) struct Add<F, const MODE: u8>(PhantomData<F>);
pub(crate) struct Sub<F, const MODE: u8>(PhantomData<F>);
pub(crate) struct Mul<F, const MODE: u8>(PhantomData<F>);
pub(crate) struct Div<F, const MODE: u8>(PhantomData<F>);
pub(crate) struct Fma<F, const MODE: u8>(PhantomData<F>);
pub(crate) struct Sqrt<F, const MODE: u8>(PhantomData<F>);
pub(crate) struct Reciprocal<F, const MODE: u8>(PhantomData<F>);

/// The exact zero sum of opposites is negative when rounding down, else positive.
#[inline(always)]
fn zero_sum<const MODE: u8>(a: f64, b: f64, sum: f64) -> f64 {
    let opposite = a.is_sign_negative() != b.is_sign_negative();
    if sum == 0.0 && opposite {
        if MODE == crate::number::DOWN {
            -0.0
        } else {
            0.0
        }
    } else {
        sum
    }
}

#[inline(always)]
fn sum64<const MODE: u8>(a: f64, b: f64) -> f64 {
    let sum = a + b;
    if !a.is_finite() || !b.is_finite() {
        return sum;
    }
    if sum.is_infinite() {
        return direct::<MODE>(sum, -sum);
    }
    if sum == 0.0 {
        return zero_sum::<MODE>(a, b, sum);
    }
    direct::<MODE>(sum, sum_error(a, b, sum))
}

#[inline(always)]
fn sum32<const MODE: u8>(a: f32, b: f32) -> f32 {
    let (a, b) = (f64::from(a), f64::from(b));
    let sum = a + b;
    narrow::<MODE>(odd_double(
        zero_sum::<MODE>(a, b, sum),
        sum_error(a, b, sum),
    ))
}

/// The sign of `a * b - result`, also where the product underflows.
#[inline(always)]
fn product_lacks(a: f64, b: f64, result: f64) -> f64 {
    if result.abs() > 1e-250 {
        return a.mul_add(b, -result);
    }
    const SCALE: f64 = 1.606_938_044_258_990_3e60; // 2^200
    let (small, large) = if a.abs() < b.abs() { (a, b) } else { (b, a) };
    (small * SCALE).mul_add(large, -(result * SCALE))
}

impl<const MODE: u8> Binary for Add<f32, MODE> {
    type A = f32;
    type B = f32;
    type D = f32;
    #[inline(always)]
    fn apply(a: f32, b: f32) -> f32 {
        sum32::<MODE>(a, b)
    }
}

impl<const MODE: u8> Binary for Add<f64, MODE> {
    type A = f64;
    type B = f64;
    type D = f64;
    #[inline(always)]
    fn apply(a: f64, b: f64) -> f64 {
        sum64::<MODE>(a, b)
    }
}

impl<const MODE: u8> Binary for Sub<f32, MODE> {
    type A = f32;
    type B = f32;
    type D = f32;
    #[inline(always)]
    fn apply(a: f32, b: f32) -> f32 {
        sum32::<MODE>(a, -b)
    }
}

impl<const MODE: u8> Binary for Sub<f64, MODE> {
    type A = f64;
    type B = f64;
    type D = f64;
    #[inline(always)]
    fn apply(a: f64, b: f64) -> f64 {
        sum64::<MODE>(a, -b)
    }
}

impl<const MODE: u8> Binary for Mul<f32, MODE> {
    type A = f32;
    type B = f32;
    type D = f32;
    #[inline(always)]
    fn apply(a: f32, b: f32) -> f32 {
        narrow::<MODE>(f64::from(a) * f64::from(b))
    }
}

impl<const MODE: u8> Binary for Mul<f64, MODE> {
    type A = f64;
    type B = f64;
    type D = f64;
    #[inline(always)]
    fn apply(a: f64, b: f64) -> f64 {
        let product = a * b;
        if !a.is_finite() || !b.is_finite() {
            return product;
        }
        let lacks = if product.is_infinite() {
            -product
        } else {
            product_lacks(a, b, product)
        };
        direct_from_zero::<MODE>(product, lacks)
    }
}

/// `direct`, with the step away from a zero result included.
#[inline(always)]
fn direct_from_zero<const MODE: u8>(nearest: f64, lacking: f64) -> f64 {
    match MODE {
        crate::number::UP if lacking > 0.0 => nearest.next_up(),
        crate::number::DOWN if lacking < 0.0 => nearest.next_down(),
        _ => direct::<MODE>(nearest, lacking),
    }
}

#[inline(always)]
fn quotient_lacks(a: f64, b: f64, quotient: f64) -> f64 {
    const SCALE: f64 = 1.606_938_044_258_990_3e60; // 2^200
    let rest = if a.abs() > 1e-200 {
        (-quotient).mul_add(b, a)
    } else if quotient.abs() < 1.0 {
        (-quotient * SCALE).mul_add(b, a * SCALE)
    } else {
        (-quotient).mul_add(b * SCALE, a * SCALE)
    };
    if b < 0.0 { -rest } else { rest }
}

impl<const MODE: u8> Binary for Div<f32, MODE> {
    type A = f32;
    type B = f32;
    type D = f32;
    #[inline(always)]
    fn apply(a: f32, b: f32) -> f32 {
        let (a, b) = (f64::from(a), f64::from(b));
        let quotient = a / b;
        let lacks = if quotient.is_finite() {
            quotient_lacks(a, b, quotient)
        } else {
            0.0
        };
        narrow::<MODE>(odd_double(quotient, lacks))
    }
}

impl<const MODE: u8> Binary for Div<f64, MODE> {
    type A = f64;
    type B = f64;
    type D = f64;
    #[inline(always)]
    fn apply(a: f64, b: f64) -> f64 {
        let quotient = a / b;
        if !a.is_finite() || !b.is_finite() || b == 0.0 {
            return quotient;
        }
        let lacks = if quotient.is_infinite() {
            -quotient
        } else {
            quotient_lacks(a, b, quotient)
        };
        direct_from_zero::<MODE>(quotient, lacks)
    }
}

impl<const MODE: u8> Unary for Reciprocal<f32, MODE> {
    type A = f32;
    type D = f32;
    #[inline(always)]
    fn apply(a: f32) -> f32 {
        Div::<f32, MODE>::apply(1.0, a)
    }
}

impl<const MODE: u8> Unary for Reciprocal<f64, MODE> {
    type A = f64;
    type D = f64;
    #[inline(always)]
    fn apply(a: f64) -> f64 {
        Div::<f64, MODE>::apply(1.0, a)
    }
}

impl<const MODE: u8> Ternary for Fma<f32, MODE> {
    type A = f32;
    type B = f32;
    type C = f32;
    type D = f32;
    #[inline(always)]
    fn apply(a: f32, b: f32, c: f32) -> f32 {
        let product = f64::from(a) * f64::from(b);
        let plus = f64::from(c);
        let sum = product + plus;
        let error = if sum.is_finite() {
            sum_error(product, plus, sum)
        } else {
            0.0
        };
        narrow::<MODE>(odd_double(zero_sum::<MODE>(product, plus, sum), error))
    }
}

impl<const MODE: u8> Ternary for Fma<f64, MODE> {
    type A = f64;
    type B = f64;
    type C = f64;
    type D = f64;
    #[inline(always)]
    fn apply(a: f64, b: f64, c: f64) -> f64 {
        let nearest = a.mul_add(b, c);
        if !a.is_finite() || !b.is_finite() || !c.is_finite() {
            return nearest;
        }
        if nearest.is_infinite() {
            return direct::<MODE>(nearest, -nearest);
        }
        // Product and sum as unevaluated pairs; what the result lacks is their total less the result.
        let product = a * b;
        if nearest == 0.0 {
            return zero_sum::<MODE>(product, c, nearest);
        }
        let low = a.mul_add(b, -product);
        let sum = product + c;
        let error = sum_error(product, c, sum);
        direct_from_zero::<MODE>(nearest, ((sum - nearest) + error) + low)
    }
}

impl<const MODE: u8> Unary for Sqrt<f32, MODE> {
    type A = f32;
    type D = f32;
    #[inline(always)]
    fn apply(a: f32) -> f32 {
        let a = f64::from(a);
        let root = a.sqrt();
        let lacks = if root.is_finite() && root != 0.0 {
            (-root).mul_add(root, a)
        } else {
            0.0
        };
        narrow::<MODE>(odd_double(root, lacks))
    }
}

impl<const MODE: u8> Unary for Sqrt<f64, MODE> {
    type A = f64;
    type D = f64;
    #[inline(always)]
    fn apply(a: f64) -> f64 {
        let root = a.sqrt();
        if !root.is_finite() || root == 0.0 {
            return root;
        }
        const SCALE: f64 = 1.267_650_600_228_229_4e30; // 2^100
        let lacks = if a < 1e-200 {
            (-root * SCALE).mul_add(root * SCALE, a * SCALE * SCALE)
        } else {
            (-root).mul_add(root, a)
        };
        direct::<MODE>(root, lacks)
    }
}
