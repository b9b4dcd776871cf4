/* The approximations that PTX has, within the errors that its manual states. */
#include "dual.h"

PTX1(rcp_approx, "rcp.approx.f32", f32, f32, x)
PTX1(rcp_approx_ftz, "rcp.approx.ftz.f32", f32, f32, x)
PTX1(sqrt_approx, "sqrt.approx.f32", f32, f32, x)
PTX1(rsqrt_approx, "rsqrt.approx.f32", f32, f32, x)
PTX1(rsqrt_approx64, "rsqrt.approx.f64", f64, f64, x)
PTX1(rcp_approx64, "rcp.approx.ftz.f64", f64, f64, x)
PTX1(ex2, "ex2.approx.f32", f32, f32, x)
PTX1(ex2_ftz, "ex2.approx.ftz.f32", f32, f32, x)
PTX1(lg2, "lg2.approx.f32", f32, f32, x)
PTX1(sine, "sin.approx.f32", f32, f32, x)
PTX1(cosine, "cos.approx.f32", f32, f32, x)
PTX1(tangent, "tanh.approx.f32", f32, f32, x)
PTX2(div_approx, "div.approx.f32", f32, f32, f32, x / y)
PTX2(div_full, "div.full.f32", f32, f32, f32, x / y)
/* Half precision by its bits, given and taken as a single. */
PTX1(ex2_half, "ex2.approx.f16", u16, u16, x)
PTX1(tanh_half, "tanh.approx.f16", u16, u16, x)
PTX1(from_half, "cvt.f32.f16", f32, u16, x)
PTX1(to_half, "cvt.rn.f16.f32", u16, f32, x)

DEVICE f64 flush(f64 x) { return __builtin_fabs(x) < 0x1p-126 ? __builtin_copysign(0.0, x) : x; }

/* A number of the size that the function is meant for, from any bits. */
DEVICE f32 scaled(u32 bits, f32 size) { return (f32)((f64)(s32)bits * 0x1p-31) * size; }

#define SMALLEST 0x1p-149

KERNEL {
    BEGIN;
    const f32 x = as_f32(a), y = as_f32(b);
    const f64 p = as_f64(wide(a, b));
    NEAR(rcp_approx(x), (f64)(1.0f / x), 0x1p-22, SMALLEST);
    NEAR(rcp_approx_ftz(x), flush((f64)(1.0f / (f32)flush(x))), 0x1p-22, 0);
    NEAR(sqrt_approx(x), sqrt(x), 0x1p-23, SMALLEST);
    NEAR(rsqrt_approx(x), 1.0 / sqrt(x), 0x1p-22, 0);
    const f64 normal = as_f64((wide(a, b) & 0x8fffffffffffffffull) | 0x3000000000000000ull);
    NEAR(rsqrt_approx64(normal), 1.0 / sqrt(normal), 0x1p-20, 0);
    NEAR(rcp_approx64(normal), 1.0 / normal, 0x1p-20, 0);
    NEAR(ex2(x), (f64)(f32)exp2(x), 0x1p-22, SMALLEST);
    NEAR(ex2(scaled(a, 160)), (f64)(f32)exp2(scaled(a, 160)), 0x1p-22, SMALLEST);
    NEAR(ex2_ftz(scaled(b, 160)), flush((f64)(f32)exp2(scaled(b, 160))), 0x1p-22, 0x1p-126);
    NEAR(lg2(x), log2(x), 0x1p-22, 0x1p-22);
    NEAR(lg2(1.0f + scaled(a, 0.001f)), log2(1.0f + scaled(a, 0.001f)), 0x1p-22, 0x1p-22);
    NEAR(sine(scaled(a, 6.2831853f)), sin(scaled(a, 6.2831853f)), 0, 0x1p-20);
    NEAR(cosine(scaled(b, 6.2831853f)), cos(scaled(b, 6.2831853f)), 0, 0x1p-20);
    NEAR(sine(__builtin_fabsf(x) < 1e-3f ? x : 0.0f), sin(fabsf(x) < 1e-3f ? x : 0.0f), 0x1p-14, 0);
    NEAR(tangent(x), tanh(x), 0x1p-11, SMALLEST);
    NEAR(tangent(scaled(c, 4)), tanh(scaled(c, 4)), 0x1p-11, 0);
    /* div.approx may lose quotients by divisors beyond 2^126. */
    const f32 divisor = __builtin_fabsf(y) < 0x1p126f || y != y ? y : 3.0f;
    NEAR(div_approx(x, divisor), (f64)(x / divisor), 0x1p-22, 0x1p-126);
    NEAR(div_full(x, divisor), (f64)(x / divisor), 0x1p-22, 0x1p-126);
    const f32 few = (f32)((s32)(a % 2048) - 1024) * 0x1p-8f; /* A half has digits enough. */
    NEAR(from_half(ex2_half(to_half(few))), exp2(few), 0x1p-9, 0);
    NEAR(from_half(tanh_half(to_half(few))), tanh(few), 0x1p-10, 0);
    /* Correctly rounded by C's rules, so to the bit. */
    PUTF(__builtin_sqrtf(x)), PUTD(__builtin_sqrt(p)), PUTF(__builtin_fmaf(x, y, as_f32(c)));
    PUTF(__builtin_fabsf(x)), PUTF(__builtin_floorf(x)), PUTF(__builtin_ceilf(y)), PUTF(__builtin_truncf(x));
    PUTF(__builtin_nearbyintf(y)), PUTF(__builtin_copysignf(x, y)), PUTD(__builtin_floor(p)), PUTD(__builtin_trunc(p));
}
