/* Constant and global variables with initial values: numbers of every size, strings, structures and addresses. */
#include "dual.h"

struct entry { u8 tag; s16 offset; u32 value; const u32 *where; f64 weight; };

CONSTANT u32 primes[16] = {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53};
CONSTANT u8 text[] = "shared \"GPU\"\n";
CONSTANT f32 singles[4] = {1.5f, -0.0f, 3.4028235e38f, 1e-45f};
CONSTANT f64 doubles[3] = {3.141592653589793, -1e300, 5e-324};
CONSTANT s64 longs[3] = {-1, -0x7fffffffffffffffll - 1, 0x123456789abcdefll};
GLOBAL u32 words[8] = {1, 2, 4, 8};
GLOBAL u16 shorts[5] = {65535, 0, 7};
GLOBAL u8 zeros[100];
GLOBAL u32 *places[3] = {words + 3, words, words + 7};
GLOBAL struct entry entries[2] = {{1, -2, 3, words + 2, 4.5}, {255, 32767, 0xffffffffu, words + 1, -0.25}};
GLOBAL u32 scratch[128];

KERNEL {
    BEGIN;
    PUT(primes[a % 16]), PUT(primes[i % 16] * primes[b % 16]);
    PUT(text[i % sizeof text]), PUT(text[c % sizeof text]);
    PUTF(singles[a % 4]), PUTF(singles[i % 4]), PUTD(doubles[b % 3]), PUT64(longs[c % 3]);
    PUT(words[a % 8]), PUT(shorts[b % 5]), PUT(zeros[c % 100]);
    PUT(places[i % 3] == words + 7), PUT(*places[a % 2]);
    const struct entry *const e = &entries[i % 2];
    PUT(e->tag), PUT(e->offset), PUT(e->value), PUT(*e->where), PUTD(e->weight);
    /* Device memory of the module is one for all blocks. */
    scratch[THREAD] = BLOCK_ID * 0 + THREAD;
    BARRIER();
    PUT(scratch[(THREAD + 1) % BLOCK_SIZE]);
    const u32 *const either = a & 1 ? primes : words;
    PUT(either[c % 8]);
}
