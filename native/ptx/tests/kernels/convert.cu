/* Conversions: integers cut, extended and saturated; floats to integers and back in each rounding. */
#include "dual.h"

DEVICE f32 flush(f32 x) { return __builtin_fabsf(x) < 0x1p-126f ? __builtin_copysignf(0.0f, x) : x; }

/* A float already rounded to a whole number, clamped to the bounds of T; NaN becomes zero. */
#define CLAMP(T, low, high, x) ({ const f64 w_ = (x); w_ != w_ ? (T)0 : w_ <= (f64)(low) ? (T)(low) : w_ >= (f64)(high) ? (T)(high) : (T)w_; })
#define S64_LOW (-0x7fffffffffffffffll - 1)
#define TO_INTEGERS(suffix, whole) \
    PTX1(s32_f32_##suffix, "cvt." #suffix ".s32.f32", s32, f32, CLAMP(s32, -0x80000000ll, 0x7fffffffll, whole)) \
    PTX1(u32_f32_##suffix, "cvt." #suffix ".u32.f32", u32, f32, CLAMP(u32, 0, 0xffffffffll, whole)) \
    PTX1(s64_f32_##suffix, "cvt." #suffix ".s64.f32", s64, f32, CLAMP(s64, S64_LOW, 0x7fffffffffffffffll, whole)) \
    PTX1(u64_f32_##suffix, "cvt." #suffix ".u64.f32", u64, f32, CLAMP(u64, 0, 0xffffffffffffffffull, whole)) \
    PTX1(s16_f32_##suffix, "cvt." #suffix ".s16.f32", s16, f32, CLAMP(s16, -32768, 32767, whole)) \
    PTX1(s32_f64_##suffix, "cvt." #suffix ".s32.f64", s32, f64, CLAMP(s32, -0x80000000ll, 0x7fffffffll, whole)) \
    PTX1(u64_f64_##suffix, "cvt." #suffix ".u64.f64", u64, f64, CLAMP(u64, 0, 0xffffffffffffffffull, whole)) \
    PTX1(f32_f32_##suffix, "cvt." #suffix ".f32.f32", f32, f32, (f32)whole) \
    PTX1(f64_f64_##suffix, "cvt." #suffix ".f64.f64", f64, f64, whole)
TO_INTEGERS(rni, nearbyint(x))
TO_INTEGERS(rzi, trunc(x))
TO_INTEGERS(rmi, floor(x))
TO_INTEGERS(rpi, ceil(x))
PTX1(s32_ftz, "cvt.rpi.ftz.s32.f32", s32, f32, CLAMP(s32, -0x80000000ll, 0x7fffffffll, ceil(flush(x))))

#define TO_FLOATS(suffix, mode) \
    PTX1(f32_s32_##suffix, "cvt." #suffix ".f32.s32", f32, s32, TOWARD(mode, f32, x)) \
    PTX1(f32_u32_##suffix, "cvt." #suffix ".f32.u32", f32, u32, TOWARD(mode, f32, x)) \
    PTX1(f32_u16_##suffix, "cvt." #suffix ".f32.u16", f32, u16, TOWARD(mode, f32, x)) \
    PTX1(f64_s32_##suffix, "cvt." #suffix ".f64.s32", f64, s32, TOWARD(mode, f64, x)) \
    PTX1(f64_s64_##suffix, "cvt." #suffix ".f64.s64", f64, s64, TOWARD(mode, f64, x)) \
    PTX1(f32_s64_##suffix, "cvt." #suffix ".f32.s64", f32, s64, TOWARD(mode, f32, x)) \
    PTX1(f32_f64_##suffix, "cvt." #suffix ".f32.f64", f32, f64, TOWARD(mode, f32, x))
TO_FLOATS(rn, FE_TONEAREST)
TO_FLOATS(rz, FE_TOWARDZERO)
TO_FLOATS(rm, FE_DOWNWARD)
TO_FLOATS(rp, FE_UPWARD)
PTX1(f32_f64_sat, "cvt.rn.sat.f32.f64", f32, f64, x > 0.0 ? x < 1.0 ? (f32)x : 1.0f : 0.0f)
PTX1(f32_f64_ftz, "cvt.rn.ftz.f32.f64", f32, f64, flush((f32)x))
PTX1(f64_f32, "cvt.f64.f32", f64, f32, x)
PTX1(f64_f32_ftz, "cvt.ftz.f64.f32", f64, f32, flush(x))
PTX1(f32_sat, "cvt.sat.f32.f32", f32, f32, x > 0.0f ? x < 1.0f ? x : 1.0f : 0.0f)

#define BETWEEN(x, low, high) ((x) < (low) ? (low) : (x) > (high) ? (high) : (x))
PTX1(s8_s32_sat, "cvt.sat.s8.s32", s32, s32, BETWEEN(x, -128, 127))
PTX1(u8_s32_sat, "cvt.sat.u8.s32", u32, s32, (u32)BETWEEN(x, 0, 255))
PTX1(s16_u32_sat, "cvt.sat.s16.u32", s32, u32, (s32)BETWEEN(x, 0, 32767))
PTX1(u16_s64_sat, "cvt.sat.u16.s64", u16, s64, (u16)BETWEEN(x, 0, 65535))
PTX1(u32_s64_sat, "cvt.sat.u32.s64", u32, s64, (u32)BETWEEN(x, 0, 0xffffffffll))
PTX1(s32_u64_sat, "cvt.sat.s32.u64", s32, u64, (s32)(x > 0x7fffffff ? 0x7fffffff : x))
PTX1(u64_s32_sat, "cvt.sat.u64.s32", u64, s32, (u64)(x < 0 ? 0 : x))
PTX1(s8_s32, "cvt.s8.s32", s32, s32, (s8)x)
PTX1(u8_u32, "cvt.u8.u32", u32, u32, (u8)x)
PTX1(s64_s8, "cvt.s64.s8", s64, u32, (s8)x)

#define PUT_INTEGERS(suffix) \
    PUT(s32_f32_##suffix(x)), PUT(u32_f32_##suffix(x)), PUT(s16_f32_##suffix(x)), PUT(s32_f64_##suffix(p)); \
    PUT64(s64_f32_##suffix(x)), PUT64(u64_f32_##suffix(x)), PUT64(u64_f64_##suffix(p)); \
    PUTF(f32_f32_##suffix(x)), PUTD(f64_f64_##suffix(p)); \
    PUT(s32_f32_##suffix((f32)(s32)b * 0.5f)), PUTF(f32_f32_##suffix((f32)(s32)b * 0.5f))
#define PUT_FLOATS(suffix) \
    PUTF(f32_s32_##suffix(a)), PUTF(f32_u32_##suffix(a)), PUTF(f32_u16_##suffix(a)), PUTF(f32_s64_##suffix(ab)); \
    PUTD(f64_s32_##suffix(a)), PUTD(f64_s64_##suffix(ab)), PUTF(f32_f64_##suffix(p)), PUTF(f32_f64_##suffix(1e-30 * x))

KERNEL {
    BEGIN;
    const u64 ab = wide(a, b);
    const f32 x = as_f32(a);
    const f64 p = as_f64(ab);
    PUTF((f32)a), PUTF((f32)(s32)a), PUTF((f32)ab), PUTF((f32)(s64)ab), PUTD((f64)ab), PUTD((f64)(s64)ab), PUTF((f32)p), PUTD((f64)x);
    PUT64((s64)(s8)a), PUT64((u64)(s64)(s16)a), PUT64((s64)(s32)a), PUT64((u64)(u8)a), PUT((s32)(s16)a), PUT((u16)(s8)a);
    PUT_INTEGERS(rni);
    PUT_INTEGERS(rzi);
    PUT_INTEGERS(rmi);
    PUT_INTEGERS(rpi);
    PUT(s32_ftz(x));
    PUT_FLOATS(rn);
    PUT_FLOATS(rz);
    PUT_FLOATS(rm);
    PUT_FLOATS(rp);
    PUTF(f32_f64_sat(p)), PUTF(f32_f64_ftz(p)), PUTD(f64_f32(x)), PUTD(f64_f32_ftz(x)), PUTF(f32_sat(x));
    PUT(s8_s32_sat(a)), PUT(u8_s32_sat(a)), PUT(s16_u32_sat(a)), PUT(u16_s64_sat(ab)), PUT(u32_s64_sat(ab)), PUT(s32_u64_sat(ab));
    PUT64(u64_s32_sat(a)), PUT(s8_s32(a)), PUT(u8_u32(a)), PUT64(s64_s8(a));
}
