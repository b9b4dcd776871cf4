/* Shuffles and votes: whole warps, segments, and parts of warps that went different ways. The last warp is not full. */
#include "dual.h"

#define ALL 0x1f
/* c of a shuffle within segments of `width` lanes. */
#define SEGMENT(width) ((32 - (width)) << 8 | 0x1f)

/* Lanes that come here by different calls exchange all the same. */
NOINLINE DEVICE u32 meet(u32 members, u32 x) {
    const f64 own = (f64)x * 0.5;
    const u32 votes = BALLOT(members, (x & 1) != 0);
    return votes ^ SHUFFLE_XOR(members, x, 1, ALL) ^ (u32)own;
}
NOINLINE DEVICE u32 detour(u32 members, u32 x) {
    const f64 before = (f64)(x & 0xffff) * 3.0;
    return meet(members, x + 1) * 3 + (u32)before;
}

KERNEL {
    BEGIN;
    const u32 lane = THREAD % 32, left = BLOCK_SIZE - THREAD / 32 * 32;
    const u32 full = left < 32 ? (1u << left) - 1 : ~0u;
    /* A lane that does not exist has nothing to give, so the last warp only exchanges within its first four. */
    for (u32 by = 0; by < 4; by++) {
        PUT(SHUFFLE_UP(full, c, by, SEGMENT(4) & ~0x1f));
        PUT(SHUFFLE_DOWN(full, c, by, SEGMENT(4)));
        PUT(SHUFFLE_XOR(full, c, by, SEGMENT(4)));
        PUT(SHUFFLE(full, c, by, SEGMENT(4)));
    }
    for (u32 by = 0; by < 33 && left >= 32; by += by < 4 ? 1 : 7) {
        PUT(SHUFFLE_UP(full, a, by, 0));
        PUT(SHUFFLE_DOWN(full, a, by, ALL));
        PUT(SHUFFLE_XOR(full, a, by, ALL));
        PUT(SHUFFLE(full, a, by, ALL));
        PUT(SHUFFLE_UP(full, b, by, SEGMENT(8) & ~0x1f));
        PUT(SHUFFLE_DOWN(full, b, by, SEGMENT(8)));
        PUT(SHUFFLE_XOR(full, b, by, SEGMENT(4)));
        PUT(SHUFFLE(full, b, by, SEGMENT(16)));
    }
    /* Each lane picks for itself, where the source exists. */
    PUT(SHUFFLE(full, c, left < 32 ? (lane * 5) % left : lane * 5, ALL));
    PUT(SHUFFLE_XOR(full, c, lane & 1, ALL));

    /* A sum over the warp. */
    u32 sum = a;
    for (u32 by = 16; by > 0; by /= 2) sum += SHUFFLE_XOR(full, sum, by, ALL);
    PUT(left < 32 ? 0 : sum);

    PUT(BALLOT(full, (a & 1) != 0));
    PUT(BALLOT(full, lane % 3 == 0));
    PUT(VOTE_ALL(full, lane < 32) | VOTE_ALL(full, lane != 3) << 1);
    PUT(VOTE_ANY(full, lane == 3) | VOTE_ANY(full, a == b) << 1);
    PUT(VOTE_UNI(full, lane < 32) | VOTE_UNI(full, a > b) << 1);

    /* Two parts, each for itself. */
    const u32 odd = full & 0xaaaaaaaau, even = full & ~0xaaaaaaaau;
    if (lane & 1) {
        PUT(BALLOT(odd, b > c));
        PUT(SHUFFLE(odd, a, lane ^ 2, ALL));
        PUT(VOTE_ANY(odd, a == 0));
    } else {
        PUT(BALLOT(even, b < c));
        PUT(SHUFFLE(even, b, lane ^ 2, ALL));
        PUT(VOTE_ALL(even, a != 0));
    }
    WARP_SYNC(full);

    /* Lanes that come to the same vote by different ways. */
    u32 steps = 0;
    for (u32 x = (a & 31) + 1; x > 1; x /= 2) steps++;
    PUT(BALLOT(full, steps & 1));
    /* A loop that goes on while any lane wants it. */
    u32 rounds = 0, want = a & 15;
    while (VOTE_ANY(full, want > 0)) {
        if (want > 0) want--;
        rounds++;
    }
    PUT(rounds);
    u32 met;
    if ((c ^ c >> 3 ^ lane) & 1) met = meet(full, a);
    else met = detour(full, b);
    PUT(met);
}
