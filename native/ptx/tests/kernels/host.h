/* The same words for the CPU: each thread of a block is a coroutine (host.c), so a kernel's threads can wait for others. */
#include <fenv.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#define KERNEL void kernel(const u32 *in, u32 *out, u32 n)
#define DEVICE static __attribute__((unused))
#define NOINLINE __attribute__((noinline))
/* Blocks run one after another, so one copy does. */
#define SHARED static
#define DYNAMIC_SHARED extern u32 dynamic_shared[]
#define CONSTANT static const
#define GLOBAL static

extern u32 thread_id, block_id, block_size;
#define THREAD thread_id
#define BLOCK_ID block_id
#define BLOCK_SIZE block_size

/* For messages and comparison: the source line of each word put, and how far from `exact` the other machine may be. */
extern u32 put_line[OUTPUTS];
extern f64 put_relative[OUTPUTS], put_absolute[OUTPUTS];
void too_many_outputs(void);
#define NOTE(k) (k < OUTPUTS ? (void)(put_line[k] = __LINE__) : too_many_outputs())
#define NEAR(value, exact, relative, absolute) \
    (put_relative[k] = (relative), put_absolute[k] = (absolute), ({ PUTD(exact); }))

/* Gives the other threads of the block a turn. */
void yield(void);
/* One of 16 barriers, for `threads` threads; those that only arrive do not wait. The sum of the votes. */
u32 barrier(u32 which, u32 threads, u32 vote, bool waits);
#define BARRIER() ((void)barrier(0, block_size, 0, true))
#define BARRIER_COUNT(p) barrier(0, block_size, (p) != 0, true)
#define BARRIER_AND(p) (BARRIER_COUNT(p) == block_size)
#define BARRIER_OR(p) (BARRIER_COUNT(p) != 0)
#define BARRIER_OF(which, threads) ((void)barrier(which, threads, 0, true))
#define BARRIER_COUNT_OF(which, threads, p) barrier(which, threads, (p) != 0, true)
#define ARRIVE(which, threads) ((void)barrier(which, threads, 0, false))

enum shuffle { UP, DOWN, XOR, INDEX };
u32 shuffle(enum shuffle how, u32 mask, u32 value, u32 by, u32 c);
u32 ballot(u32 mask, bool vote);
/* Waits for the lanes in `mask` and gets what each of them brought. */
void exchange(u32 mask, u32 value, u32 values[32]);
#define WARP_SYNC(mask) ((void)ballot(mask, 0))
#define SHUFFLE_UP(mask, v, by, c) shuffle(UP, mask, v, by, c)
#define SHUFFLE_DOWN(mask, v, by, c) shuffle(DOWN, mask, v, by, c)
#define SHUFFLE_XOR(mask, v, by, c) shuffle(XOR, mask, v, by, c)
#define SHUFFLE(mask, v, from, c) shuffle(INDEX, mask, v, from, c)
#define VOTE_ALL(mask, p) (ballot(mask, p) == (mask))
#define VOTE_ANY(mask, p) (ballot(mask, p) != 0)
#define VOTE_UNI(mask, p) ({ u32 yes_ = ballot(mask, p); yes_ == 0 || yes_ == (mask); })
#define BALLOT(mask, p) ballot(mask, p)

/* Sources are volatile so that nothing is computed before the rounding is set, or after. (Parameters would lose that when
 * the function is inlined.) */
#define INSTRUCTION1(name, ptx, D, A, expression) DEVICE D name(A x_) { volatile A x = x_; return expression; }
#define INSTRUCTION2(name, ptx, D, A, B, expression) \
    DEVICE D name(A x_, B y_) { volatile A x = x_; volatile B y = y_; return expression; }
#define INSTRUCTION3(name, ptx, D, A, B, C, expression) \
    DEVICE D name(A x_, B y_, C z_) { volatile A x = x_; volatile B y = y_; volatile C z = z_; return expression; }
/* `expression` computed as type T in the direction `mode` of fenv.h. */
#define TOWARD(mode, T, expression) \
    ({ fesetround(mode); volatile T r_ = (expression); fesetround(FE_TONEAREST); r_; })
