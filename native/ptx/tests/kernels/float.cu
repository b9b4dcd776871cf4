/* Single and double precision, correctly rounded: arithmetic, directed roundings, flushing, saturation, comparisons. */
#include "dual.h"

/* A subnormal becomes zero of its sign. */
DEVICE f32 flush(f32 x) { return __builtin_fabsf(x) < 0x1p-126f ? __builtin_copysignf(0.0f, x) : x; }
/* NaN becomes zero. */
DEVICE f32 saturate(f32 x) { return x > 0.0f ? x < 1.0f ? x : 1.0f : 0.0f; }
DEVICE f32 least(f32 x, f32 y) { return x != x ? y : y != y ? x : x < y || (x == y && __builtin_signbit(x)) ? x : y; }
DEVICE f32 most(f32 x, f32 y) { return x != x ? y : y != y ? x : x > y || (x == y && !__builtin_signbit(x)) ? x : y; }
DEVICE f64 least64(f64 x, f64 y) { return x != x ? y : y != y ? x : x < y || (x == y && __builtin_signbit(x)) ? x : y; }
DEVICE f64 most64(f64 x, f64 y) { return x != x ? y : y != y ? x : x > y || (x == y && !__builtin_signbit(x)) ? x : y; }

#define DIRECTED(suffix, mode) \
    PTX2(add32_##suffix, "add." #suffix ".f32", f32, f32, f32, TOWARD(mode, f32, x + y)) \
    PTX2(sub32_##suffix, "sub." #suffix ".f32", f32, f32, f32, TOWARD(mode, f32, x - y)) \
    PTX2(mul32_##suffix, "mul." #suffix ".f32", f32, f32, f32, TOWARD(mode, f32, x * y)) \
    PTX2(div32_##suffix, "div." #suffix ".f32", f32, f32, f32, TOWARD(mode, f32, x / y)) \
    PTX3(fma32_##suffix, "fma." #suffix ".f32", f32, f32, f32, f32, TOWARD(mode, f32, fmaf(x, y, z))) \
    PTX1(rcp32_##suffix, "rcp." #suffix ".f32", f32, f32, TOWARD(mode, f32, 1.0f / x)) \
    PTX1(sqrt32_##suffix, "sqrt." #suffix ".f32", f32, f32, TOWARD(mode, f32, sqrtf(x))) \
    PTX2(add64_##suffix, "add." #suffix ".f64", f64, f64, f64, TOWARD(mode, f64, x + y)) \
    PTX2(mul64_##suffix, "mul." #suffix ".f64", f64, f64, f64, TOWARD(mode, f64, x * y)) \
    PTX2(div64_##suffix, "div." #suffix ".f64", f64, f64, f64, TOWARD(mode, f64, x / y)) \
    PTX3(fma64_##suffix, "fma." #suffix ".f64", f64, f64, f64, f64, TOWARD(mode, f64, fma(x, y, z))) \
    PTX1(rcp64_##suffix, "rcp." #suffix ".f64", f64, f64, TOWARD(mode, f64, 1.0 / x)) \
    PTX1(sqrt64_##suffix, "sqrt." #suffix ".f64", f64, f64, TOWARD(mode, f64, sqrt(x)))
DIRECTED(rn, FE_TONEAREST)
DIRECTED(rz, FE_TOWARDZERO)
DIRECTED(rm, FE_DOWNWARD)
DIRECTED(rp, FE_UPWARD)

PTX2(add_ftz, "add.ftz.f32", f32, f32, f32, flush(flush(x) + flush(y)))
PTX2(mul_ftz, "mul.ftz.f32", f32, f32, f32, flush(flush(x) * flush(y)))
PTX3(fma_ftz, "fma.rn.ftz.f32", f32, f32, f32, f32, flush(fmaf(flush(x), flush(y), flush(z))))
PTX2(add_sat, "add.sat.f32", f32, f32, f32, saturate(x + y))
PTX2(mul_ftz_sat, "mul.ftz.sat.f32", f32, f32, f32, saturate(flush(flush(x) * flush(y))))
PTX3(fma_sat, "fma.rn.sat.f32", f32, f32, f32, f32, saturate(fmaf(x, y, z)))
PTX2(min32, "min.f32", f32, f32, f32, least(x, y))
PTX2(max32, "max.f32", f32, f32, f32, most(x, y))
PTX2(max_nan, "max.NaN.f32", f32, f32, f32, x != x || y != y ? NAN : most(x, y))
PTX2(min_ftz, "min.ftz.f32", f32, f32, f32, least(flush(x), flush(y)))
PTX2(min64, "min.f64", f64, f64, f64, least64(x, y))
PTX2(max64, "max.f64", f64, f64, f64, most64(x, y))
PTX1(abs32, "abs.f32", f32, f32, fabsf(x))
PTX1(neg_ftz, "neg.ftz.f32", f32, f32, -flush(x))
PTX2(copysign32, "copysign.f32", f32, f32, f32, copysignf(y, x))
PTX2(set_lt, "set.lt.u32.f32", u32, f32, f32, x < y ? ~0u : 0)
PTX2(set_ltu, "set.ltu.u32.f32", u32, f32, f32, !(x >= y) ? ~0u : 0)
PTX2(set_equ, "set.equ.u32.f64", u32, f64, f64, !(x < y || x > y) ? ~0u : 0)
PTX2(set_num, "set.num.f32.f32", f32, f32, f32, x == x && y == y ? 1.0f : 0.0f)
PTX2(set_ftz, "set.eq.ftz.u32.f32", u32, f32, f32, flush(x) == flush(y) ? ~0u : 0)

#define PUT_DIRECTED(suffix) \
    PUTF(add32_##suffix(x, y)), PUTF(sub32_##suffix(x, y)), PUTF(mul32_##suffix(x, y)), PUTF(div32_##suffix(x, y)); \
    PUTF(fma32_##suffix(x, y, z)), PUTF(rcp32_##suffix(x)), PUTF(sqrt32_##suffix(x)); \
    PUTD(add64_##suffix(p, q)), PUTD(mul64_##suffix(p, q)), PUTD(div64_##suffix(p, q)); \
    PUTD(fma64_##suffix(p, q, r)), PUTD(rcp64_##suffix(p)), PUTD(sqrt64_##suffix(p))

KERNEL {
    BEGIN;
    const f32 x = as_f32(a), y = as_f32(b), z = as_f32(c);
    const f64 p = as_f64(wide(a, b)), q = as_f64(wide(b, a)), r = as_f64(wide(c, b));
    PUTF(x + y), PUTF(x - y), PUTF(x * y), PUTF(x / y), PUTF(x * y + z), PUTF(-x);
    PUTD(p + q), PUTD(p - q), PUTD(p * q), PUTD(p / q), PUTD(p * q + r), PUTD(-p);
    PUTF(__builtin_fmaf(x, y, z)), PUTD(__builtin_fma(p, q, r)), PUTD((f64)x * y + z);
    PUT((x < y) | (x <= y) << 1 | (x > y) << 2 | (x >= y) << 3 | (x == y) << 4 | (x != y) << 5);
    PUT((!(p < q)) | (!(p <= q)) << 1 | (!(p > q)) << 2 | (!(p >= q)) << 3 | (p == q) << 4 | (p != q) << 5);
    PUTF(x < y ? z : x), PUTD(p > r ? q : p);
    PUT_DIRECTED(rn);
    PUT_DIRECTED(rz);
    PUT_DIRECTED(rm);
    PUT_DIRECTED(rp);
    PUTF(add_ftz(x, y)), PUTF(mul_ftz(x, y)), PUTF(fma_ftz(x, y, z));
    PUTF(add_sat(x, y)), PUTF(mul_ftz_sat(x, y)), PUTF(fma_sat(x, y, z));
    PUTF(min32(x, y)), PUTF(max32(x, y)), PUTF(max_nan(x, y)), PUTF(min_ftz(x, y)), PUTD(min64(p, q)), PUTD(max64(p, q));
    PUTF(abs32(x)), PUTF(neg_ftz(x)), PUTF(copysign32(x, y));
    PUT(set_lt(x, y)), PUT(set_ltu(x, y)), PUT(set_equ(p, q)), PUTF(set_num(x, y)), PUT(set_ftz(x, y));
}
