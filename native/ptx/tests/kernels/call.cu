/* Functions that are called, not inlined: results and arguments of all sizes, structures, recursion, divergent calls. */
#include "dual.h"

struct pair { u32 low; u64 high; };
struct large { u32 words[9]; u8 byte; };

NOINLINE DEVICE u32 mix(u32 x, u32 y) { return (x ^ y << 5) * 0x9e3779b1u + (y >> 3); }
NOINLINE DEVICE u8 small(u8 x, s8 y, u16 z, s16 w) { return (u8)(x + y * 3 + z - w); }
NOINLINE DEVICE s64 many(u8 p, u16 q, u32 r, u64 s, f32 t, f64 u, s8 v, s64 w) {
    return (s64)(p + q * 3ull + r * 5ull + s * 7) + (s64)(t * 4.0f) + (s64)(u * 8.0) + v + w;
}
NOINLINE DEVICE f64 blend(f32 x, f64 y) { return x * 0.5 + y; }
NOINLINE DEVICE bool smaller(u32 x, u32 y) { return x < y; }
NOINLINE DEVICE struct pair swap(struct pair p) { struct pair q = {(u32)p.high, p.low * 3ull + (p.high >> 32)}; return q; }
NOINLINE DEVICE struct large turn(struct large x, u32 by) {
    struct large y;
    for (u32 n = 0; n < 9; n++) y.words[n] = x.words[(n + by) % 9] + x.byte;
    y.byte = (u8)(x.byte + by);
    return y;
}
NOINLINE DEVICE void fill(u32 *where, u32 count, u32 value) { for (u32 n = 0; n < count; n++) where[n] = mix(value, n); }

NOINLINE DEVICE u32 fibonacci(u32 n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
NOINLINE DEVICE u32 ackermann(u32 m, u32 n) { return m == 0 ? n + 1 : n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1)); }
DEVICE bool odd(u32 n);
NOINLINE DEVICE bool even(u32 n) { u32 own[3] = {n, n + 1, n + 2}; return n == 0 ? true : odd(own[n % 3] - n % 3 - 1); }
NOINLINE DEVICE bool odd(u32 n) { return n == 0 ? false : even(n - 1); }
/* Each call has an array of its own that the calls below it must not touch. */
NOINLINE DEVICE u32 deep(u32 n, u32 x) {
    u32 own[5];
    for (u32 m = 0; m < 5; m++) own[m] = mix(x, m);
    const u32 below = n == 0 ? x : deep(n - 1, own[x % 5]);
    return own[n % 5] ^ own[below % 5];
}

KERNEL {
    BEGIN;
    PUT(mix(a, b)), PUT(mix(mix(a, c), mix(b, a)));
    PUT(small((u8)a, (s8)b, (u16)c, (s16)a));
    PUT64(many((u8)a, (u16)b, c, wide(a, b), (f32)(s16)a, (f64)(s32)b, (s8)c, (s64)wide(b, c)));
    PUTD(blend(as_f32(a), as_f64(wide(b, c))));
    PUT(smaller(a, b) + 2 * smaller(b, c));
    struct pair p = {a, wide(b, c)};
    p = swap(swap(p));
    PUT(p.low), PUT64(p.high);
    struct large x;
    for (u32 n = 0; n < 9; n++) x.words[n] = a + n * b;
    x.byte = (u8)c;
    x = turn(turn(x, a % 9), i % 4);
    PUT(x.words[i % 9] + x.words[c % 9]), PUT(x.byte);
    u32 filled[10] = {0};
    fill(filled + (a & 3), 4 + (b & 1), c);
    PUT(filled[i % 10] ^ filled[2]);
    PUT(fibonacci(a % 12)), PUT(ackermann(a % 3, b % 4));
    PUT(even(i % 23)), PUT(odd(c % 17));
    PUT(deep(a % 9, b));
    /* Some lanes call, others do not, others call something else. */
    u32 sum = 0;
    for (u32 n = 0; n < (a & 7); n++) {
        if ((b >> n & 1) == 0) sum += mix(sum, n);
        else if (c >> n & 1) sum ^= fibonacci(n);
        else sum += swap(p).low;
    }
    PUT(sum);
}
