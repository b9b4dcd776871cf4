//! Numbers that Rust has no stable type or rounding for: half precision and directed rounding.

/// Bits of an IEEE half.
#[derive(Debug, Clone, Copy)]
pub(crate) struct F16(pub u16);

/// By value: zeros are equal and NaN is equal to nothing.
impl PartialEq for F16 {
    #[inline(always)]
    fn eq(&self, other: &F16) -> bool {
        self.to_f32() == other.to_f32()
    }
}

/// Directions other than to nearest even, as const generic parameters.
pub(crate) const TO_ZERO: u8 = 1;
pub(crate) const DOWN: u8 = 2;
pub(crate) const UP: u8 = 3;
pub(crate) const NEAREST: u8 = 0;

impl F16 {
    /// Exact.
    #[inline(always)]
    pub fn to_f32(self) -> f32 {
        let sign = u32::from(self.0 & 0x8000) << 16;
        let rest = u32::from(self.0 & 0x7fff) << 13;
        let exponent = rest & 0x0f80_0000;
        let normal = rest + (112 << 23);
        let special = rest + (224 << 23);
        // A subnormal: put its digits behind 2^-14 and take 2^-14 away again.
        let small = (f32::from_bits(rest + (113 << 23)) - f32::from_bits(113 << 23)).to_bits();
        let bits = if exponent == 0x0f80_0000 {
            special
        } else if exponent == 0 {
            small
        } else {
            normal
        };
        f32::from_bits(sign | bits)
    }

    /// To nearest even.
    #[inline(always)]
    pub fn from_f32(value: f32) -> F16 {
        let bits = value.to_bits();
        let sign = (bits >> 16) & 0x8000;
        let magnitude = bits & 0x7fff_ffff;
        let normal = magnitude
            .wrapping_sub(112 << 23)
            .wrapping_add(0xfff + ((magnitude >> 13) & 1))
            >> 13;
        // Adding 0.5 puts the half's subnormal digits at the bottom of the single, rounded by the addition.
        let small = (f32::from_bits(magnitude) + 0.5)
            .to_bits()
            .wrapping_sub(0.5f32.to_bits());
        let result = if magnitude > 0x7f80_0000 {
            0x7fff
        } else if magnitude >= 0x4780_0000 {
            0x7c00
        } else if magnitude < 0x3880_0000 {
            small
        } else {
            normal
        };
        F16((sign | result) as u16)
    }

    /// In the direction `MODE`.
    #[inline(always)]
    pub fn from_f32_rounded<const MODE: u8>(value: f32) -> F16 {
        let nearest = F16::from_f32(value);
        if MODE == NEAREST || value.is_nan() {
            return nearest;
        }
        let back = nearest.to_f32();
        let bits = nearest.0;
        let (above, below) = (back > value, back < value);
        let negative = bits & 0x8000 != 0;
        F16(match MODE {
            TO_ZERO if !negative && above || negative && below => bits - 1,
            DOWN if above && bits == 0 => 0x8001,
            DOWN if above => {
                if negative {
                    bits + 1
                } else {
                    bits - 1
                }
            }
            UP if below && bits == 0x8000 => 1,
            UP if below => {
                if negative {
                    bits - 1
                } else {
                    bits + 1
                }
            }
            _ => bits,
        })
    }

    /// From a double, rounded once.
    #[inline(always)]
    pub fn from_f64<const MODE: u8>(value: f64) -> F16 {
        F16::from_f32_rounded::<MODE>(odd_single(value))
    }
}

/// The single nearest to `value` when exact, else the neighbour with an odd last digit: rounding it again, to fewer
/// digits, gives what rounding `value` once would.
#[inline(always)]
pub(crate) fn odd_single(value: f64) -> f32 {
    let nearest = value as f32;
    let back = f64::from(nearest);
    if back == value || value.is_nan() || nearest.to_bits() & 1 == 1 {
        return nearest;
    }
    if (back > value) == (value > 0.0) || nearest.is_infinite() {
        f32::from_bits(nearest.to_bits() - 1)
    } else {
        f32::from_bits(nearest.to_bits() + 1)
    }
}

/// `sum + error`, where the error is below half a last digit, as a double with an odd last digit when inexact.
#[inline(always)]
pub(crate) fn odd_double(sum: f64, error: f64) -> f64 {
    if error == 0.0 || error.is_nan() || !sum.is_finite() || sum.to_bits() & 1 == 1 {
        return sum;
    }
    if (error > 0.0) == (sum > 0.0) {
        f64::from_bits(sum.to_bits() + 1)
    } else {
        f64::from_bits(sum.to_bits() - 1)
    }
}

/// The rounding error of `a + b = sum`.
#[inline(always)]
pub(crate) fn sum_error(a: f64, b: f64, sum: f64) -> f64 {
    let rest = sum - a;
    (a - (sum - rest)) + (b - rest)
}

/// An integer (sign and magnitude) as a float with `digits` significant bits, in the direction `MODE`. The result is
/// exact in a double when `digits` is at most 53.
#[inline(always)]
pub(crate) fn integer_to_float<const MODE: u8>(negative: bool, magnitude: u64, digits: u32) -> f64 {
    let drop = (64 - magnitude.leading_zeros()).saturating_sub(digits);
    let kept = magnitude >> drop;
    let rest = magnitude - (kept << drop);
    let up = match MODE {
        NEAREST => {
            let half = (1u64 << drop) >> 1;
            rest > half || (drop > 0 && rest == half && kept & 1 == 1)
        }
        DOWN => negative && rest != 0,
        UP => !negative && rest != 0,
        _ => false,
    };
    let value = (kept + u64::from(up)) as f64 * (1u128 << drop) as f64;
    if negative { -value } else { value }
}
