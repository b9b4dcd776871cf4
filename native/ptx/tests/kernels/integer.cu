/* Integers as C has them: 8 to 64 bits, signed and unsigned. */
#include "dual.h"

/* What C leaves undefined is left out: a divisor of zero, and the smallest number by minus one. */
#define ARITHMETIC(T, U, x, y, z) \
    do { \
        const T p = (T)(x), q = (T)(y), r = (T)(z); \
        const T divisor = q == 0 || q == (T)-1 ? (T)7 : q; \
        PUT64((U)p + (U)q); \
        PUT64((U)p - (U)q); \
        PUT64((U)((u64)(U)p * (U)q + (U)r)); \
        PUT64((T)(p / divisor)); \
        PUT64((T)(p % divisor)); \
        PUT64(p < q ? p : q); \
        PUT64(p < q ? q : p); \
        PUT64((p & q) ^ (q | ~r)); \
        PUT64((p < q) + 2 * (p == r) + 4 * (q >= r) + 8 * (p != q)); \
        PUT64((U)p << (z & (sizeof(T) * 8 - 1))); \
        PUT64((T)(p >> (z & (sizeof(T) * 8 - 1)))); \
    } while (0)

KERNEL {
    BEGIN;
    ARITHMETIC(u8, u8, a, b, c);
    ARITHMETIC(s8, u8, a, b, c);
    ARITHMETIC(u16, u16, a, b, c);
    ARITHMETIC(s16, u16, a, b, c);
    ARITHMETIC(u32, u32, a, b, c);
    ARITHMETIC(s32, u32, a, b, c);
    ARITHMETIC(u64, u64, wide(a, b), wide(b, c), wide(c, a));
    ARITHMETIC(s64, u64, wide(a, b), wide(b, c), wide(c, a));
    /* A small divisor, so that quotients are large. */
    PUT64(wide(a, b) / (u64)(c % 1000 + 1));
    PUT64((s64)wide(a, b) / (s64)(c % 1000 + 1));
    PUT64((u64)a * b);
    PUT64((s64)(s32)a * (s32)b + (s64)wide(c, a));
    PUT(((u64)a * b) >> 32);
    PUT(((s64)(s32)a * (s32)b) >> 32);
    PUT64(a ? __builtin_clz(a) : 32);
    PUT64(b ? __builtin_ctz(b) : 32);
    PUT64(__builtin_popcount(a) + __builtin_popcountll(wide(b, c)));
    PUT64(wide(a, b) ? __builtin_clzll(wide(a, b)) : 64);
    PUT(a << (b & 31) | a >> (-b & 31));
    PUT(__builtin_bswap32(c));
    PUT64((s32)a < 0 ? -(u64)(s64)(s32)a : (u64)a);
}
