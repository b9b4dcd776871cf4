/* Barriers by name, for parts of a block, and the reductions of a warp. */
#include "dual.h"

SHARED u32 box[128];

#ifdef __CUDA__
#define REDUCTION(name, ptx, T, expression) \
    DEVICE T name(u32 members, T x) { T d; asm volatile(ptx " %0, %1, %2;" : "=r"(d) : "r"(x), "r"(members)); return d; }
#else
/* `expression` of the sum so far and one more value. */
#define REDUCTION(name, ptx, T, expression) \
    DEVICE T name(u32 members, T x) { \
        u32 values[32]; \
        exchange(members, (u32)x, values); \
        T sum = (T)values[__builtin_ctz(members)]; \
        for (u32 lane = __builtin_ctz(members) + 1; lane < 32; lane++) \
            if (members >> lane & 1) { const T y = (T)values[lane]; sum = expression; } \
        return sum; \
    }
#endif
REDUCTION(add, "redux.sync.add.s32", u32, sum + y)
REDUCTION(both, "redux.sync.and.b32", u32, sum & y)
REDUCTION(either, "redux.sync.or.b32", u32, sum | y)
REDUCTION(odd, "redux.sync.xor.b32", u32, sum ^ y)
REDUCTION(least, "redux.sync.min.u32", u32, sum < y ? sum : y)
REDUCTION(most, "redux.sync.max.s32", s32, sum > y ? sum : y)

KERNEL {
    BEGIN;
    const u32 t = THREAD, left = BLOCK_SIZE - t / 32 * 32, full = left < 32 ? (1u << left) - 1 : ~0u;
    PUT(add(full, a)), PUT(both(full, a)), PUT(either(full, b)), PUT(odd(full, c)), PUT(least(full, a)), PUT(most(full, (s32)b));
    if (t & 1) PUT(add(full & 0xaaaaaaaau, b));
    else PUT(most(full & 0x55555555u, (s32)c));

    /* Two warps wait for one another, the rest of the block does not. */
    box[t] = 0;
    BARRIER();
    if (t < 64) {
        box[t] = a;
        BARRIER_OF(1, 64);
        PUT(box[63 - t]);
        PUT(BARRIER_COUNT_OF(2, 64, b & 1));
    }
    BARRIER();
    /* The first warp makes, the second takes: who makes need not wait. */
    for (u32 round = 0; round < 3; round++) {
        if (t < 32) {
            box[t] = a * (round + 1);
            ARRIVE(3, 64);
            BARRIER_OF(4, 64);
        } else if (t < 64) {
            BARRIER_OF(3, 64);
            PUT(box[t - 32] + box[63 - t]);
            ARRIVE(4, 64);
        }
    }
    BARRIER();
    PUT(box[t % 32]);
}
