//! The approximated functions of PTX. All work in double precision inside, which keeps them far within the errors that
//! PTX allows, and are free of branches so that they vectorise.

/// Adding this puts a double's integer part, rounded to nearest, into its low digits.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

/// 2^x.
#[inline(always)]
pub(crate) fn exp2(x: f32) -> f32 {
    let wide = f64::from(x);
    let bounded = wide.clamp(-200.0, 200.0);
    let shifted = bounded + ROUNDER;
    let r = bounded - (shifted - ROUNDER);
    let scale = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    // ln(2)^k / k!
    let mut sum = 1.321_548_679_014_431e-6;
    for term in [
        1.525_273_380_405_984e-5,
        1.540_353_039_338_161e-4,
        1.333_355_814_642_844_4e-3,
        9.618_129_107_628_477e-3,
        5.550_410_866_482_158e-2,
        2.402_265_069_591_007e-1,
        std::f64::consts::LN_2,
        1.0,
    ] {
        sum = sum * r + term;
    }
    let result = (sum * scale) as f32;
    if x.is_nan() { x } else { result }
}

/// Logarithm to base 2.
#[inline(always)]
pub(crate) fn log2(x: f32) -> f32 {
    let bits = f64::from(x).to_bits();
    let fraction = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    let exponent =
        f64::from_bits(0x4330_0000_0000_0000 | (bits >> 52)) - (4_503_599_627_370_496.0 + 1023.0);
    let high = fraction > std::f64::consts::SQRT_2;
    let m = if high { fraction * 0.5 } else { fraction };
    let e = if high { exponent + 1.0 } else { exponent };
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let mut sum = 1.0 / 13.0;
    for term in [1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0, 1.0] {
        sum = sum * square + term;
    }
    let result = (e + s * sum * (2.0 * std::f64::consts::LOG2_E)) as f32;
    if x == 0.0 {
        f32::NEG_INFINITY
    } else if x < 0.0 {
        f32::NAN
    } else if x.is_infinite() || x.is_nan() {
        x
    } else {
        result
    }
}

/// Sine and cosine of the argument less the nearest multiple of a quarter turn, and that multiple modulo 4.
#[inline(always)]
fn quarter(x: f32) -> (f64, f64, u64) {
    // Pi/2 in two parts: the first has 30 digits, so that its products with a whole number are exact.
    const HIGH: f64 = 1.570_796_325_802_803;
    const LOW: f64 = 9.920_935_739_003_51e-10;
    let wide = f64::from(x);
    let shifted = wide * std::f64::consts::FRAC_2_PI + ROUNDER;
    let k = shifted - ROUNDER;
    let r = (wide - k * HIGH) - k * LOW;
    let square = r * r;
    let mut sine = -1.0 / 39_916_800.0;
    for term in [1.0 / 362_880.0, -1.0 / 5040.0, 1.0 / 120.0, -1.0 / 6.0, 1.0] {
        sine = sine * square + term;
    }
    let mut cosine = -1.0 / 3_628_800.0;
    for term in [1.0 / 40_320.0, -1.0 / 720.0, 1.0 / 24.0, -0.5, 1.0] {
        cosine = cosine * square + term;
    }
    (r * sine, cosine, shifted.to_bits() & 3)
}

/// Sine of x radians.
#[inline(always)]
pub(crate) fn sin(x: f32) -> f32 {
    let (sine, cosine, quarters) = quarter(x);
    let value = if quarters & 1 == 0 { sine } else { cosine };
    let value = (if quarters & 2 == 0 { value } else { -value }) as f32;
    // The sign of zero stays.
    if x == 0.0 { x } else { value }
}

/// Cosine of x radians.
#[inline(always)]
pub(crate) fn cos(x: f32) -> f32 {
    let (sine, cosine, quarters) = quarter(x);
    let value = if quarters & 1 == 0 { cosine } else { sine };
    (if (quarters + 1) & 2 == 0 {
        value
    } else {
        -value
    }) as f32
}

/// Hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let magnitude = x.abs();
    let power = f64::from(exp2(magnitude * (2.0 * std::f32::consts::LOG2_E)));
    let value = (1.0 - 2.0 / (power + 1.0)) as f32;
    let value = if magnitude < 1.0e-3 { magnitude } else { value };
    if x.is_nan() { x } else { value.copysign(x) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(from: f32, to: f32, check: impl Fn(f32)) {
        let steps = 200_000;
        for i in 0..=steps {
            check(from + (to - from) * (i as f32 / steps as f32));
        }
    }

    #[test]
    fn exp2_is_within_two_ulp_of_the_exact_power() {
        sweep(-149.0, 127.9, |x| {
            let exact = f64::from(x).exp2();
            let error = (f64::from(exp2(x)) - exact).abs();
            assert!(error <= exact * 2f64.powi(-22) + 1e-45, "exp2({x})");
        });
        assert_eq!(exp2(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp2(f32::INFINITY), f32::INFINITY);
        assert!(exp2(f32::NAN).is_nan());
    }

    #[test]
    fn log2_is_within_its_bound() {
        for i in 1..2_000_000u32 {
            let x = f32::from_bits(i * 1060);
            let exact = f64::from(x).log2();
            let error = (f64::from(log2(x)) - exact).abs();
            assert!(error <= 2f64.powi(-22) * exact.abs().max(0.5), "log2({x})");
        }
        assert_eq!(log2(0.0), f32::NEG_INFINITY);
        assert!(log2(-1.0).is_nan());
        assert_eq!(log2(f32::INFINITY), f32::INFINITY);
    }

    #[test]
    fn sine_and_cosine_are_within_2_to_the_minus_21() {
        sweep(-320.0, 320.0, |x| {
            assert!(
                (f64::from(sin(x)) - f64::from(x).sin()).abs() < 2f64.powi(-21),
                "sin({x})"
            );
            assert!(
                (f64::from(cos(x)) - f64::from(x).cos()).abs() < 2f64.powi(-21),
                "cos({x})"
            );
        });
        assert!(sin(f32::INFINITY).is_nan());
        assert_eq!(sin(-0.0).to_bits(), (-0.0f32).to_bits());
    }

    #[test]
    fn tanh_is_within_2_to_the_minus_11_relative() {
        sweep(-20.0, 20.0, |x| {
            let exact = f64::from(x).tanh();
            assert!(
                (f64::from(tanh(x)) - exact).abs() <= exact.abs() * 2f64.powi(-11),
                "tanh({x})"
            );
        });
    }
}
