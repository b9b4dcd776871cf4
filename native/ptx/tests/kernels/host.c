/* Runs a kernel on the CPU, block after block, each thread of a block as a coroutine. */
#include "dual.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define MAX_THREADS 1024
#define STACK (64 * 1024)

KERNEL;
u32 thread_id, block_id, block_size;
u32 dynamic_shared[12 * 1024];
u32 put_line[OUTPUTS];
f64 put_relative[OUTPUTS], put_absolute[OUTPUTS];

static ucontext_t scheduler, threads[MAX_THREADS];
static char stacks[MAX_THREADS][STACK];
static bool done[MAX_THREADS];
static struct { const u32 *in; u32 *out; u32 n; } arguments;

static struct { u32 arrived, votes, result, generation; } gates[16];
static struct { u32 values[32], arrived, taken; } warps[MAX_THREADS / 32];

void too_many_outputs(void) {
    fprintf(stderr, "a thread puts more than %d words\n", OUTPUTS);
    abort();
}

void yield(void) { swapcontext(&threads[thread_id], &scheduler); }

u32 barrier(u32 which, u32 threads, u32 vote, bool waits) {
    __typeof__(&gates[0]) gate = &gates[which];
    const u32 generation = gate->generation;
    gate->votes += vote;
    if (++gate->arrived == threads) {
        gate->result = gate->votes;
        gate->arrived = gate->votes = 0;
        gate->generation++;
    }
    while (waits && gate->generation == generation) yield();
    return gate->result;
}

void exchange(u32 mask, u32 value, u32 values[32]) {
    const u32 warp = thread_id / 32, lane = thread_id % 32, bit = 1u << lane;
    warps[warp].values[lane] = value;
    warps[warp].arrived |= bit;
    while ((warps[warp].arrived & mask) != mask) yield();
    memcpy(values, warps[warp].values, sizeof warps[warp].values);
    warps[warp].taken |= bit;
    if ((warps[warp].taken & mask) == mask) {
        warps[warp].taken &= ~mask;
        warps[warp].arrived &= ~mask;
    }
    while (warps[warp].taken & bit) yield();
}

/* As the PTX manual's pseudocode has it: c holds the clamp and, from bit 8, the mask of the segment. */
u32 shuffle(enum shuffle how, u32 mask, u32 value, u32 by, u32 c) {
    u32 values[32];
    exchange(mask, value, values);
    const s32 lane = thread_id % 32, b = by & 31, clamp = c & 31, segment = c >> 8 & 31;
    const s32 last = (lane & segment) | (clamp & ~segment), first = lane & segment;
    s32 from = how == UP ? lane - b : how == DOWN ? lane + b : how == XOR ? (lane ^ b) : (first | (b & ~segment));
    const bool inside = how == UP ? from >= last : from <= last;
    return values[inside ? from : lane];
}

u32 ballot(u32 mask, bool vote) {
    u32 values[32], result = 0;
    exchange(mask, vote, values);
    for (u32 lane = 0; lane < 32; lane++) result |= (mask >> lane & values[lane] & 1) << lane;
    return result;
}

static void thread(void) {
    kernel(arguments.in, arguments.out, arguments.n);
    done[thread_id] = true;
}

/* Returns once all blocks are through. */
void launch(const u32 *in, u32 *out, u32 n, u32 blocks, u32 size) {
    arguments.in = in, arguments.out = out, arguments.n = n;
    block_size = size;
    for (block_id = 0; block_id < blocks; block_id++) {
        for (u32 t = 0; t < size; t++) {
            done[t] = false;
            getcontext(&threads[t]);
            threads[t].uc_stack.ss_sp = stacks[t];
            threads[t].uc_stack.ss_size = STACK;
            threads[t].uc_link = &scheduler;
            makecontext(&threads[t], thread, 0);
        }
        for (u32 left = size; left > 0;)
            for (thread_id = 0; thread_id < size; thread_id++)
                if (!done[thread_id]) {
                    swapcontext(&scheduler, &threads[thread_id]);
                    left -= done[thread_id];
                }
    }
}
