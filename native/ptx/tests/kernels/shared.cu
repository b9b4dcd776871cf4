/* Shared memory, static and dynamic, and barriers. The block is no multiple of a warp. */
#include "dual.h"

#define BLOCK 100
SHARED u32 words[BLOCK];
SHARED u8 bytes[BLOCK];
SHARED f64 doubles[BLOCK];
SHARED struct { u16 half; u8 byte; u64 wide; } records[BLOCK];
SHARED u32 square[16][17];
DYNAMIC_SHARED;

KERNEL {
    BEGIN;
    const u32 t = THREAD, size = BLOCK_SIZE;
    words[t] = a;
    bytes[t] = (u8)b;
    doubles[t] = (f64)(s32)c;
    records[t].half = (u16)a, records[t].byte = (u8)c, records[t].wide = wide(a, b);
    BARRIER();
    PUT(words[size - 1 - t]);
    PUT(bytes[(t * 7) % size]);
    PUTD(doubles[(t * 3 + 1) % size]);
    PUT(records[(t + 33) % size].half + records[(t + 1) % size].byte);
    PUT64(records[size - 1 - t].wide);
    BARRIER();

    /* The sum of the block, by halving. */
    dynamic_shared[t] = a;
    dynamic_shared[size + t] = t;
    BARRIER();
    for (u32 stride = 64; stride > 0; stride /= 2) {
        if (t < stride && t + stride < size) {
            dynamic_shared[t] += dynamic_shared[t + stride];
            dynamic_shared[size + t] += dynamic_shared[size + t + stride];
        }
        BARRIER();
    }
    PUT(dynamic_shared[0]);
    PUT(dynamic_shared[size]);

    /* Prefix sums, with a barrier in a loop that all threads leave at once. */
    words[t] = b & 0xff;
    for (u32 by = 1; by < size; by *= 2) {
        BARRIER();
        const u32 before = t >= by ? words[t - by] : 0;
        BARRIER();
        words[t] += before;
    }
    BARRIER();
    PUT(words[t]);
    PUT(words[size - 1]);

    /* A part of the block works between two barriers. */
    if (t < 64) square[t / 16][t % 16] = a ^ t;
    BARRIER();
    if (t >= 64 && t < 80)
        for (u32 row = 4; row < 16; row++) square[row][t - 64] = square[row - 4][t - 64] * 3 + row;
    BARRIER();
    PUT(square[t % 16][t / 16]);

    PUT(BARRIER_COUNT((a & 1) != 0));
    PUT(BARRIER_AND(t < 1000));
    PUT(BARRIER_AND(t != 50));
    PUT(BARRIER_OR(t == 99));
    PUT(BARRIER_OR(t > 99));

    /* All the dynamic memory there is. */
    const u32 room = (48 * 1024 - 8192) / 4;
    BARRIER();
    for (u32 n = t; n < room; n += size) dynamic_shared[n] = n * 3 + BLOCK_ID;
    BARRIER();
    PUT(dynamic_shared[room - 1 - t] + dynamic_shared[(a % room)]);
}
