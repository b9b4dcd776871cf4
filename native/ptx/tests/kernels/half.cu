/* Half precision, single and packed, correctly rounded. */
#include "dual.h"
#ifndef __CUDA__
#include "half.h"
#define R(value) half_of(value, FE_TONEAREST)
#define X half_value(x)
#define Y half_value(y)
#define PACKED(f) ((u32)f((u16)x, (u16)y) | (u32)f((u16)(x >> 16), (u16)(y >> 16)) << 16)
DEVICE u16 sum(u16 x, u16 y) { return R(X + Y); }
DEVICE u16 product(u16 x, u16 y) { return R(X * Y); }
DEVICE u16 least(u16 x, u16 y) { return X != X ? (Y != Y ? 0x7fff : y) : Y != Y ? x : X < Y || (X == Y && x >> 15) ? x : y; }
DEVICE u16 most(u16 x, u16 y) { return X != X ? (Y != Y ? 0x7fff : y) : Y != Y ? x : X > Y || (X == Y && !(x >> 15)) ? x : y; }
DEVICE u16 flush(u16 x) { return x & 0x7c00 ? x : x & 0x8000; }
DEVICE u32 packed_fma(u32 x, u32 y, u32 z) {
    return half_fma((u16)x, (u16)y, (u16)z) | (u32)half_fma((u16)(x >> 16), (u16)(y >> 16), (u16)(z >> 16)) << 16;
}
#endif

PTX2(add16, "add.f16", u16, u16, u16, sum(x, y))
PTX2(sub16, "sub.f16", u16, u16, u16, R(X - Y))
PTX2(mul16, "mul.rn.f16", u16, u16, u16, product(x, y))
PTX3(fma16, "fma.rn.f16", u16, u16, u16, u16, half_fma(x, y, z))
PTX2(add_sat, "add.sat.f16", u16, u16, u16, X + Y > 0 ? X + Y < 1 ? sum(x, y) : 0x3c00 : 0)
PTX2(mul_ftz, "mul.ftz.f16", u16, u16, u16, flush(product(flush(x), flush(y))))
PTX2(add_2, "add.f16x2", u32, u32, u32, PACKED(sum))
PTX2(mul_2, "mul.f16x2", u32, u32, u32, PACKED(product))
PTX3(fma_2, "fma.rn.f16x2", u32, u32, u32, u32, packed_fma(x, y, z))
PTX1(neg16, "neg.f16", u16, u16, x ^ 0x8000)
PTX1(abs16, "abs.f16", u16, u16, x & 0x7fff)
PTX1(neg_2, "neg.f16x2", u32, u32, x ^ 0x80008000)
PTX2(min16, "min.f16", u16, u16, u16, least(x, y))
PTX2(max_2, "max.f16x2", u32, u32, u32, PACKED(most))
PTX2(set_gt, "set.gt.u32.f16", u32, u16, u16, X > Y ? ~0u : 0)
PTX2(set_eq, "set.eq.u32.f16", u32, u16, u16, X == Y ? ~0u : 0)
PTX2(set_leu, "set.leu.u32.f16", u32, u16, u16, X > Y ? 0 : ~0u)

PTX1(f32_f16, "cvt.f32.f16", f32, u16, (f32)X)
PTX1(f64_f16, "cvt.f64.f16", f64, u16, X)
PTX1(f16_f32, "cvt.rn.f16.f32", u16, f32, R(x))
PTX1(f16_f32_rz, "cvt.rz.f16.f32", u16, f32, half_of(x, FE_TOWARDZERO))
PTX1(f16_f32_rm, "cvt.rm.f16.f32", u16, f32, half_of(x, FE_DOWNWARD))
PTX1(f16_f32_rp, "cvt.rp.f16.f32", u16, f32, half_of(x, FE_UPWARD))
PTX1(f16_f64, "cvt.rn.f16.f64", u16, f64, R(x))
PTX1(f16_f64_rm, "cvt.rm.f16.f64", u16, f64, half_of(x, FE_DOWNWARD))
PTX1(f16_s32, "cvt.rn.f16.s32", u16, s32, R((f64)x))
PTX1(f16_u16_rz, "cvt.rz.f16.u16", u16, u16, half_of(x, FE_TOWARDZERO))
PTX1(f16_s64_rp, "cvt.rp.f16.s64", u16, s64, half_of((f64)(x > 99999 ? 99999 : x < -99999 ? -99999 : x), FE_UPWARD))
PTX1(s32_f16, "cvt.rni.s32.f16", s32, u16, X != X ? 0 : X > 65504 ? 0x7fffffff : X < -65504 ? -0x7fffffff - 1 : (s32)nearbyint(X))
PTX1(u16_f16, "cvt.rzi.u16.f16", u16, u16, X != X || X <= 0 ? 0 : X > 65504 ? 0xffff : (u16)X)
PTX1(f16_f16, "cvt.rmi.f16.f16", u16, u16, half_of(floor(X), FE_TONEAREST))
PTX2(f16x2_f32, "cvt.rn.f16x2.f32", u32, f32, f32, (u32)R(x) << 16 | R(y))

/* One NaN for all, as for the other floats. */
#define PUTH(value) ({ const u16 h_ = (value); PUT((h_ & 0x7fff) > 0x7c00 ? 0x7fff : h_); })
#define PUTHH(value) ({ const u32 hh_ = (value); PUTH((u16)hh_); PUTH((u16)(hh_ >> 16)); })

KERNEL {
    BEGIN;
    const u16 x = (u16)a, y = (u16)b, z = (u16)c;
    const u32 xx = a << 16 | (b >> 16), yy = b << 16 | (c & 0xffff), zz = c << 16 | (a & 0xffff);
    PUTH(add16(x, y)), PUTH(sub16(x, y)), PUTH(mul16(x, y)), PUTH(fma16(x, y, z)), PUTH(add_sat(x, y)), PUTH(mul_ftz(x, y));
    PUTHH(add_2(xx, yy)), PUTHH(mul_2(xx, yy)), PUTHH(fma_2(xx, yy, zz));
    PUTH(neg16(x)), PUTH(abs16(x)), PUTHH(neg_2(xx)), PUTH(min16(x, y)), PUTHH(max_2(xx, yy)), PUT(set_gt(x, y)), PUT(set_leu(x, y)), PUT(set_eq(x, y)), PUT(set_eq(x, x));
    /* The full range of both, and floats that are about as large as halves can be. */
    const f32 single[3] = {as_f32(a), as_f32((a & 0x8fffffffu) | 0x30000000u), as_f32((b & 0x87ffffffu) | 0x40000000u)};
    for (u32 n = 0; n < 3; n++) {
        PUTH(f16_f32(single[n])), PUTH(f16_f32_rz(single[n])), PUTH(f16_f32_rm(single[n])), PUTH(f16_f32_rp(single[n]));
        PUTH(f16_f64(single[n] + as_f64(wide(c & 0x3c0fffff, b)))), PUTH(f16_f64_rm(single[n]));
    }
    PUTF(f32_f16(x)), PUTD(f64_f16(x)), PUTH(f16_f64(as_f64(wide(a, b))));
    PUTH(f16_s32((s32)a)), PUTH(f16_s32((s32)b >> 12)), PUTH(f16_u16_rz(x)), PUTH(f16_s64_rp((s64)wide(a, b) >> (c & 63)));
    PUT(s32_f16(x)), PUT(u16_f16(x)), PUTH(f16_f16(x)), PUTHH(f16x2_f32(single[1], single[2]));
}
