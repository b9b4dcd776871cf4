/* Arrays of a thread's own, indexed by what is only known when it runs. */
#include "dual.h"

struct node { u8 tag; u16 next; u32 value; u64 wide; };

KERNEL {
    BEGIN;
    u32 words[24];
    for (u32 n = 0; n < 24; n++) words[n] = a * n + b;
    for (u32 n = 0; n < 24; n++) words[(n * 7 + c) % 24] ^= words[(a + n) % 24] >> 3;
    PUT(words[c % 24]), PUT(words[a % 24]), PUT(words[i % 24]);

    u8 bytes[40];
    for (u32 n = 0; n < 40; n++) bytes[n] = (u8)((n % 3 ? b : c) >> (n % 4 * 8));
    for (u32 n = 1; n < 40; n++) bytes[(n + a) % 40] += bytes[n - 1];
    PUT(bytes[b % 40] | bytes[c % 40] << 8 | bytes[i % 40] << 16);

    /* Sorts what it has. */
    s32 sorted[12];
    for (u32 n = 0; n < 12; n++) sorted[n] = (s32)((n & 1 ? a : b) * (2 * n + 1) ^ c);
    for (u32 n = 1; n < 12; n++) {
        const s32 value = sorted[n];
        u32 m = n;
        for (; m > 0 && sorted[m - 1] > value; m--) sorted[m] = sorted[m - 1];
        sorted[m] = value;
    }
    PUT(sorted[0]), PUT(sorted[11]), PUT(sorted[i % 12]);

    /* A list within an array of structures. */
    struct node nodes[9];
    for (u32 n = 0; n < 9; n++) {
        nodes[n].tag = (u8)(a + n), nodes[n].next = (u16)((n + 1 + (b >> n & 7)) % 9);
        nodes[n].value = c * n, nodes[n].wide = wide(a, n) * 3;
    }
    u64 sum = 0;
    for (u32 n = i % 9, step = 0; step < 12; step++, n = nodes[n].next) sum = sum * 3 + nodes[n].tag + nodes[n].value + nodes[n].wide;
    PUT64(sum);

    f64 table[5][3];
    for (u32 n = 0; n < 15; n++) table[n / 3][n % 3] = (f64)(s32)(a + n) * 0.25;
    table[a % 5][b % 3] += table[b % 5][c % 3];
    PUTD(table[c % 5][a % 3]), PUTD(table[i % 5][i % 3]);
    /* Through pointers that may point to either. */
    u32 one[4] = {a, b, c, i}, other[4] = {~a, ~b, ~c, ~i};
    u32 *chosen = b & 1 ? one : other, *const end = chosen + 4;
    for (u32 n = 0; chosen < end; chosen++, n++) *chosen += n * c;
    PUT(one[c & 3]), PUT(other[a & 3]);
}
