/* Integer instructions that C has no word for, each against its definition in the PTX manual. */
#include "dual.h"

DEVICE u32 high32(u64 x) { return (u32)(x >> 32); }
DEVICE s32 clamp32(s64 x) { return x > 0x7fffffff ? 0x7fffffff : x < -0x80000000ll ? -0x7fffffff - 1 : (s32)x; }
DEVICE u32 reverse(u32 x) { u32 r = 0; for (u32 n = 0; n < 32; n++) r |= (x >> n & 1) << (31 - n); return r; }
DEVICE u64 reverse64(u64 x) { return wide(reverse((u32)x), reverse(high32(x))); }
/* Bits `length` from `start`, without or with the sign of the last bit that is inside. */
DEVICE u64 field(u64 x, u32 start, u32 length, u32 bits, int is_signed) {
    u64 r = 0;
    start &= 255, length &= 255;
    const u32 last = length == 0 ? 0 : start + length - 1 < bits - 1 ? start + length - 1 : bits - 1;
    const u64 sign = is_signed && length > 0 ? x >> last & 1 : 0;
    for (u32 n = 0; n < bits; n++) r |= (n < length && start + n < bits ? x >> (start + n) & 1 : sign) << n;
    return r;
}
DEVICE u64 insert(u64 x, u64 into, u32 start, u32 length, u32 bits) {
    start &= 255, length &= 255;
    for (u32 n = 0; n < length && start + n < bits; n++) into = (into & ~(1ull << (start + n))) | (x >> n & 1) << (start + n);
    return into;
}
DEVICE u32 permute(u32 x, u32 y, u32 selector) {
    u32 r = 0;
    for (u32 n = 0; n < 4; n++) {
        const u32 pick = selector >> (4 * n), byte = (u32)(wide(y, x) >> (8 * (pick & 7))) & 255;
        r |= (pick & 8 ? (byte & 128 ? 255 : 0) : byte) << (8 * n);
    }
    return r;
}
DEVICE u32 find(u64 x, u32 bits) { for (u32 n = bits; n-- > 0;) if (x >> n & 1) return n; return ~0u; }
DEVICE u32 dot(u32 x, u32 y, u32 z) { for (u32 n = 0; n < 32; n += 8) z += (x >> n & 255) * (y >> n & 255); return z; }
DEVICE s32 signed_dot(s32 x, s32 y, s32 z) {
    u32 sum = (u32)z;
    for (u32 n = 0; n < 32; n += 8) sum += (u32)((s8)(x >> n) * (s8)(y >> n));
    return (s32)sum;
}
DEVICE s64 low24(s32 x) { return (s32)((u32)x << 8) >> 8; }

PTX2(mul_hi_u32, "mul.hi.u32", u32, u32, u32, high32((u64)x * y))
PTX2(mul_hi_s32, "mul.hi.s32", s32, s32, s32, (s32)high32((u64)((s64)x * y)))
PTX2(mul_hi_u16, "mul.hi.u16", u16, u16, u16, (u16)((u32)x * y >> 16))
PTX2(mul_hi_s16, "mul.hi.s16", s16, s16, s16, (s16)((s32)x * y >> 16))
PTX2(mul_wide_u16, "mul.wide.u16", u32, u16, u16, (u32)x * y)
PTX2(mul_wide_s16, "mul.wide.s16", s32, s16, s16, (s32)x * y)
PTX3(mad_hi_u32, "mad.hi.u32", u32, u32, u32, u32, high32((u64)x * y) + z)
PTX3(mad_hi_sat, "mad.hi.sat.s32", s32, s32, s32, s32, clamp32(((s64)x * y >> 32) + z))
PTX3(mad_wide_s32, "mad.wide.s32", s64, s32, s32, s64, (s64)((u64)((s64)x * y) + (u64)z))
PTX2(mul24_u32, "mul24.lo.u32", u32, u32, u32, (u32)((u64)(x & 0xffffff) * (y & 0xffffff)))
PTX2(mul24_s32, "mul24.lo.s32", s32, s32, s32, (s32)(u32)(low24(x) * low24(y)))
PTX3(mad24_u32, "mad24.lo.u32", u32, u32, u32, u32, (u32)((u64)(x & 0xffffff) * (y & 0xffffff)) + z)
PTX2(add_sat, "add.sat.s32", s32, s32, s32, clamp32((s64)x + y))
PTX2(sub_sat, "sub.sat.s32", s32, s32, s32, clamp32((s64)x - y))
PTX3(sad_u32, "sad.u32", u32, u32, u32, u32, z + (x < y ? y - x : x - y))
PTX3(sad_s32, "sad.s32", u32, s32, s32, u32, z + (x < y ? (u32)y - (u32)x : (u32)x - (u32)y))
PTX1(abs_s32, "abs.s32", s32, s32, x < 0 ? (s32)-(u32)x : x)
PTX1(neg_s64, "neg.s64", s64, s64, (s64)-(u64)x)
PTX2(shl_b32, "shl.b32", u32, u32, u32, y > 31 ? 0 : x << y)
PTX2(shr_u32, "shr.u32", u32, u32, u32, y > 31 ? 0 : x >> y)
PTX2(shr_s32, "shr.s32", s32, s32, u32, x >> (y > 31 ? 31 : y))
PTX2(shl_b64, "shl.b64", u64, u64, u32, y > 63 ? 0 : x << y)
PTX2(shr_u64, "shr.u64", u64, u64, u32, y > 63 ? 0 : x >> y)
PTX2(shr_s64, "shr.s64", s64, s64, u32, x >> (y > 63 ? 63 : y))
PTX2(shl_b16, "shl.b16", u16, u16, u32, (u16)(y > 15 ? 0 : x << y))
PTX2(shr_s16, "shr.s16", s16, s16, u32, (s16)(x >> (y > 15 ? 15 : y)))
PTX3(shf_l_wrap, "shf.l.wrap.b32", u32, u32, u32, u32, (z & 31) ? y << (z & 31) | x >> (32 - (z & 31)) : y)
PTX3(shf_r_wrap, "shf.r.wrap.b32", u32, u32, u32, u32, (u32)(wide(y, x) >> (z & 31)))
PTX3(shf_l_clamp, "shf.l.clamp.b32", u32, u32, u32, u32, z > 31 ? x : z ? y << z | x >> (32 - z) : y)
PTX3(shf_r_clamp, "shf.r.clamp.b32", u32, u32, u32, u32, (u32)(wide(y, x) >> (z > 32 ? 32 : z)))
PTX1(brev_b32, "brev.b32", u32, u32, reverse(x))
PTX1(brev_b64, "brev.b64", u64, u64, reverse64(x))
PTX1(clz_b32, "clz.b32", u32, u32, 31 - find(x, 32))
PTX1(clz_b64, "clz.b64", u32, u64, 63 - find(x, 64))
PTX1(popc_b64, "popc.b64", u32, u64, (u32)__builtin_popcountll(x))
PTX1(bfind_u32, "bfind.u32", u32, u32, find(x, 32))
PTX1(bfind_s32, "bfind.s32", u32, s32, find((u32)(x < 0 ? ~x : x), 32))
PTX1(bfind_shift, "bfind.shiftamt.u32", u32, u32, x ? 31 - find(x, 32) : ~0u)
PTX1(bfind_s64, "bfind.s64", u32, s64, find((u64)(x < 0 ? ~x : x), 64))
PTX3(bfe_u32, "bfe.u32", u32, u32, u32, u32, (u32)field(x, y, z, 32, 0))
PTX3(bfe_s32, "bfe.s32", s32, s32, u32, u32, (s32)(u32)field((u32)x, y, z, 32, 1))
PTX3(bfe_u64, "bfe.u64", u64, u64, u32, u32, field(x, y, z, 64, 0))
PTX3(bfe_s64, "bfe.s64", s64, s64, u32, u32, (s64)field((u64)x, y, z, 64, 1))
PTX3(prmt, "prmt.b32", u32, u32, u32, u32, permute(x, y, z))
PTX3(dp4a_u32, "dp4a.u32.u32", u32, u32, u32, u32, dot(x, y, z))
PTX3(dp4a_s32, "dp4a.s32.s32", s32, s32, s32, s32, signed_dot(x, y, z))
PTX1(cnot_b32, "cnot.b32", u32, u32, x == 0)
PTX1(not_b64, "not.b64", u64, u64, ~x)
PTX3(slct, "slct.u32.s32", u32, u32, u32, s32, z >= 0 ? x : y)

/* Forms with more operands than the rest. */
#ifdef __CUDA__
DEVICE u32 lop3_16(u32 x, u32 y, u32 z) { u32 d; asm("lop3.b32 %0, %1, %2, %3, 0x16;" : "=r"(d) : "r"(x), "r"(y), "r"(z)); return d; }
DEVICE u32 bfi_b32(u32 x, u32 y, u32 z, u32 w) { u32 d; asm("bfi.b32 %0, %1, %2, %3, %4;" : "=r"(d) : "r"(x), "r"(y), "r"(z), "r"(w)); return d; }
DEVICE u64 bfi_b64(u64 x, u64 y, u32 z, u32 w) { u64 d; asm("bfi.b64 %0, %1, %2, %3, %4;" : "=l"(d) : "l"(x), "l"(y), "r"(z), "r"(w)); return d; }
/* x + y and x - y of 96 bits, in words linked by the carry. */
#define CHAIN(first, next, last) \
    asm(first ".u32 %0, %3, %6; " next ".u32 %1, %4, %7; " last ".u32 %2, %5, %8;" \
        : "=&r"(d[0]), "=&r"(d[1]), "=&r"(d[2]) : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(y[0]), "r"(y[1]), "r"(y[2]))
DEVICE void add96(u32 *d, const u32 *x, const u32 *y) { CHAIN("add.cc", "addc.cc", "addc"); }
DEVICE void sub96(u32 *d, const u32 *x, const u32 *y) { CHAIN("sub.cc", "subc.cc", "subc"); }
#else
DEVICE u32 lop3_16(u32 x, u32 y, u32 z) { return (~x & ~y & z) | (~x & y & ~z) | (x & ~y & ~z); }
DEVICE u32 bfi_b32(u32 x, u32 y, u32 z, u32 w) { return (u32)insert(x, y, z, w, 32); }
DEVICE u64 bfi_b64(u64 x, u64 y, u32 z, u32 w) { return insert(x, y, z, w, 64); }
DEVICE void add96(u32 *d, const u32 *x, const u32 *y) {
    for (u64 n = 0, carry = 0; n < 3; n++) d[n] = (u32)(carry += (u64)x[n] + y[n]), carry >>= 32;
}
DEVICE void sub96(u32 *d, const u32 *x, const u32 *y) {
    for (u64 n = 0, borrow = 0; n < 3; n++) {
        const u64 difference = (u64)x[n] - y[n] - borrow;
        d[n] = (u32)difference, borrow = difference >> 63;
    }
}
#endif

KERNEL {
    BEGIN;
    const u64 ab = wide(a, b), ca = wide(c, a);
    PUT(mul_hi_u32(a, b)), PUT(mul_hi_s32(a, b)), PUT(mul_hi_u16(a, b)), PUT(mul_hi_s16(a, b));
    PUT(mul_wide_u16(a, b)), PUT(mul_wide_s16(a, b));
    PUT(mad_hi_u32(a, b, c)), PUT(mad_hi_sat(a, b, c));
    PUT64(mad_wide_s32(a, b, ca));
    PUT(mul24_u32(a, b)), PUT(mul24_s32(a, b)), PUT(mad24_u32(a, b, c));
    PUT(add_sat(a, b)), PUT(sub_sat(a, b)), PUT(sad_u32(a, b, c)), PUT(sad_s32(a, b, c));
    PUT(abs_s32(a));
    PUT64(neg_s64(ab));
    PUT(shl_b32(a, b)), PUT(shr_u32(a, b)), PUT(shr_s32(a, b)), PUT(shl_b16(a, b)), PUT((u16)shr_s16(a, b));
    PUT64(shl_b64(ca, b)), PUT64(shr_u64(ca, b)), PUT64(shr_s64(ca, b));
    PUT(shf_l_wrap(a, b, c)), PUT(shf_r_wrap(a, b, c)), PUT(shf_l_clamp(a, b, c)), PUT(shf_r_clamp(a, b, c));
    PUT(brev_b32(a)), PUT64(brev_b64(ab));
    PUT(clz_b32(a)), PUT(clz_b64(ab)), PUT(popc_b64(ab));
    PUT(bfind_u32(a)), PUT(bfind_s32(a)), PUT(bfind_shift(a)), PUT(bfind_s64(ab));
    PUT(bfe_u32(a, b, c)), PUT(bfe_s32(a, b, c));
    PUT64(bfe_u64(ab, b, c)), PUT64(bfe_s64(ab, b, c));
    PUT(prmt(a, b, c));
    PUT(dp4a_u32(a, b, c)), PUT(dp4a_s32(a, b, c));
    PUT(cnot_b32(a)), PUT64(not_b64(ab)), PUT(slct(a, b, c));
    PUT(lop3_16(a, b, c)), PUT(bfi_b32(a, b, c, a >> 3)), PUT(bfi_b32(a, b, c & 31, a & 31));
    PUT64(bfi_b64(ab, ca, c & 63, a & 63));
    const u32 x[3] = {a, b, c}, y[3] = {b, ~b, a ^ c};
    u32 sum[3], difference[3];
    add96(sum, x, y), sub96(difference, x, y);
    PUT64(wide(sum[1], sum[0])), PUT(sum[2]), PUT64(wide(difference[1], difference[0])), PUT(difference[2]);
}
