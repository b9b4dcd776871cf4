//! Floating point results in the directions that a CPU does not offer beside its own rounding: computed exactly in integers,
//! then rounded once. All values pass as doubles, which hold every single.

use crate::number::{DOWN, UP};

/// A format's digits, the exponent of its last subnormal digit, and that of the first power of two beyond it.
#[derive(Clone, Copy)]
pub(crate) struct Format {
    digits: i32,
    lowest: i32,
    beyond: i32,
}

pub(crate) const SINGLE: Format = Format {
    digits: 24,
    lowest: -149,
    beyond: 128,
};
pub(crate) const DOUBLE: Format = Format {
    digits: 53,
    lowest: -1074,
    beyond: 1024,
};

/// A number other than zero: `magnitude` times a power of two. The magnitude's last bit also stands for whatever was cut off
/// below it, and there are always more bits than a format has digits when something was.
#[derive(Clone, Copy)]
struct Exact {
    negative: bool,
    magnitude: u128,
    exponent: i32,
}

/// Where the top bit of a normalised magnitude is: one above is free for a carry.
const TOP: i32 = 126;

impl Exact {
    /// `value` is finite and not zero; the result is normalised.
    fn new(value: f64) -> Exact {
        let bits = value.to_bits();
        let (fraction, biased) = (bits & 0x000f_ffff_ffff_ffff, (bits >> 52 & 0x7ff) as i32);
        let (digits, exponent) = match biased {
            0 => (fraction, -1074),
            _ => (fraction | 1 << 52, biased - 1075),
        };
        Exact {
            negative: value.is_sign_negative(),
            magnitude: u128::from(digits),
            exponent,
        }
        .normal()
    }

    fn normal(self) -> Exact {
        let shift = self.magnitude.leading_zeros() as i32 - (127 - TOP);
        Exact {
            magnitude: self.magnitude << shift,
            exponent: self.exponent - shift,
            ..self
        }
    }

    /// The 53 digits that a normalised double has, as an integer, and their exponent.
    fn digits(self) -> (u128, i32) {
        (self.magnitude >> (TOP - 52), self.exponent + (TOP - 52))
    }

    fn round<const MODE: u8>(self, format: Format) -> f64 {
        let bits = 128 - self.magnitude.leading_zeros() as i32;
        let last = (self.exponent + bits - format.digits).max(format.lowest);
        let drop = last - self.exponent;
        let (kept, inexact) = match drop {
            128.. => (0, true),
            1.. => {
                let kept = self.magnitude >> drop;
                (kept, kept << drop != self.magnitude)
            }
            _ => (self.magnitude << -drop, false),
        };
        let away = match MODE {
            DOWN => self.negative,
            UP => !self.negative,
            _ => false,
        };
        let kept = kept as u64 + u64::from(inexact && away);
        let magnitude = if last + 64 - kept.leading_zeros() as i32 > format.beyond {
            match away {
                true => f64::INFINITY,
                false => power(format.beyond - 1) * (2.0 - power(1 - format.digits)),
            }
        } else {
            kept as f64 * power(last)
        };
        if self.negative { -magnitude } else { magnitude }
    }
}

/// 2^exponent, which a double holds.
fn power(exponent: i32) -> f64 {
    match exponent {
        -1022.. => f64::from_bits(((exponent + 1023) as u64) << 52),
        _ => f64::from_bits(1 << (exponent + 1074)),
    }
}

fn product(a: f64, b: f64) -> Exact {
    let (a, b) = (Exact::new(a), Exact::new(b));
    let ((x, p), (y, q)) = (a.digits(), b.digits());
    Exact {
        negative: a.negative != b.negative,
        magnitude: x * y,
        exponent: p + q,
    }
    .normal()
}

/// The sum, or None for zero. Both are normalised, with zeros below the 106 digits that a product has at most.
fn sum(a: Exact, b: Exact) -> Option<Exact> {
    let ordered = (a.exponent, a.magnitude) >= (b.exponent, b.magnitude);
    let (large, small) = if ordered { (a, b) } else { (b, a) };
    // What falls off the end can only be told from zero when the numbers are too far apart to cancel.
    let addend = match large.exponent - small.exponent {
        0 => small.magnitude,
        shift @ 1..=127 => {
            let kept = small.magnitude >> shift;
            kept | u128::from(kept << shift != small.magnitude)
        }
        _ => 1,
    };
    let magnitude = if large.negative == small.negative {
        large.magnitude + addend
    } else {
        large.magnitude - addend
    };
    (magnitude != 0).then_some(Exact { magnitude, ..large })
}

pub(crate) fn fma<const MODE: u8>(a: f64, b: f64, c: f64, format: Format) -> f64 {
    let plain = a.mul_add(b, c);
    if !(a.is_finite() && b.is_finite() && c.is_finite()) {
        return plain;
    }
    let opposite = if MODE == DOWN { -0.0 } else { 0.0 };
    if a == 0.0 || b == 0.0 {
        let negative = a.is_sign_negative() != b.is_sign_negative();
        // Zeros of unlike signs make one whose sign the direction decides.
        return if c == 0.0 && negative != c.is_sign_negative() {
            opposite
        } else {
            c
        };
    }
    if c == 0.0 {
        return product(a, b).round::<MODE>(format);
    }
    sum(product(a, b), Exact::new(c)).map_or(opposite, |sum| sum.round::<MODE>(format))
}

pub(crate) fn multiply<const MODE: u8>(a: f64, b: f64, format: Format) -> f64 {
    if !(a.is_finite() && b.is_finite()) || a == 0.0 || b == 0.0 {
        return a * b;
    }
    product(a, b).round::<MODE>(format)
}

pub(crate) fn divide<const MODE: u8>(a: f64, b: f64, format: Format) -> f64 {
    if !(a.is_finite() && b.is_finite()) || a == 0.0 || b == 0.0 {
        return a / b;
    }
    const MORE: i32 = 74;
    let (a, b) = (Exact::new(a), Exact::new(b));
    let ((x, p), (y, q)) = (a.digits(), b.digits());
    let quotient = (x << MORE) / y;
    let exact = quotient * y == x << MORE;
    Exact {
        negative: a.negative != b.negative,
        magnitude: quotient | u128::from(!exact),
        exponent: p - MORE - q,
    }
    .round::<MODE>(format)
}

pub(crate) fn root<const MODE: u8>(a: f64, format: Format) -> f64 {
    if !(a > 0.0 && a.is_finite()) {
        return a.sqrt();
    }
    let Exact {
        magnitude,
        exponent,
        ..
    } = Exact::new(a);
    // Half of an even exponent is one.
    let (magnitude, exponent) = match exponent % 2 {
        0 => (magnitude, exponent),
        _ => (magnitude >> 1, exponent + 1),
    };
    let root = magnitude.isqrt();
    let exact = root * root == magnitude;
    Exact {
        negative: false,
        magnitude: root | u128::from(!exact),
        exponent: exponent / 2,
    }
    .round::<MODE>(format)
}

/// A double as a number of another format.
pub(crate) fn narrow<const MODE: u8>(value: f64, format: Format) -> f64 {
    match value.is_finite() && value != 0.0 {
        true => Exact::new(value).round::<MODE>(format),
        false => value,
    }
}
