/* Half precision in C, by way of double, which holds every half, sum and product of halves exactly. */
DEVICE f64 half_value(u16 h) {
    const f64 sign = h >> 15 ? -1.0 : 1.0;
    const s32 exponent = h >> 10 & 31, digits = h & 1023;
    if (exponent == 31) return digits ? NAN : sign * INFINITY;
    return sign * (exponent ? ldexp(1024 + digits, exponent - 25) : ldexp(digits, -24));
}

/* In the direction of fenv.h; NaN is canonical. */
DEVICE u16 half_of(f64 value, int mode) {
    s32 exponent;
    if (value != value) return 0x7fff;
    const u16 sign = (u16)(signbit(value) ? 0x8000 : 0);
    if (isinf(value)) return sign | 0x7c00;
    (void)frexp(value, &exponent);
    const s32 last = exponent - 11 < -24 ? -24 : exponent - 11;
    const f64 digits = fabs(TOWARD(mode, f64, nearbyint(ldexp(value, -last))));
    const f64 magnitude = ldexp(digits, last);
    if (magnitude > 65504.0) {
        const bool away = mode == FE_TONEAREST || mode == (sign ? FE_DOWNWARD : FE_UPWARD);
        return sign | (away ? 0x7c00 : 0x7bff);
    }
    (void)frexp(magnitude, &exponent);
    if (magnitude < ldexp(1, -14)) return sign | (u16)ldexp(magnitude, 24);
    return sign | (u16)((exponent + 14) << 10) | ((u16)ldexp(magnitude, 11 - exponent) & 1023);
}

/* a * b + c rounded once: the sum of doubles is made odd where it is not exact, so that the next rounding is the only one. */
DEVICE u16 half_fma(u16 a, u16 b, u16 c) {
    const f64 product = half_value(a) * half_value(b), z = half_value(c);
    f64 sum = product + z;
    if (isfinite(sum)) {
        const f64 rest = sum - product, error = (product - (sum - rest)) + (z - rest);
        u64 bits;
        __builtin_memcpy(&bits, &sum, 8);
        if (error != 0 && !(bits & 1)) sum = nextafter(sum, error > 0 ? INFINITY : -INFINITY);
    }
    return half_of(sum, FE_TONEAREST);
}
