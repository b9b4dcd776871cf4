/* Atomics on shared and global memory. Threads come in any order, so only what does not depend on it is put. */
#include "dual.h"

#ifdef __CUDA__
#define ADD(p, v) __nvvm_atom_add_gen_i((s32 *)(p), (s32)(v))
#define ADD64(p, v) __nvvm_atom_add_gen_ll((s64 *)(p), (s64)(v))
#define ADDF(p, v) __nvvm_atom_add_gen_f(p, v)
#define ADDD(p, v) ({ f64 d_; asm volatile("atom.add.f64 %0, [%1], %2;" : "=d"(d_) : "l"(p), "d"(v) : "memory"); d_; })
#define EXCHANGE(p, v) ((u32)__nvvm_atom_xchg_gen_i((s32 *)(p), (s32)(v)))
#define MAX(p, v) __nvvm_atom_max_gen_ui(p, v)
#define MIN(p, v) __nvvm_atom_min_gen_ui(p, v)
#define MAX_SIGNED(p, v) __nvvm_atom_max_gen_i(p, v)
#define MIN_SIGNED64(p, v) __nvvm_atom_min_gen_ll(p, v)
#define MAX64(p, v) __nvvm_atom_max_gen_ull(p, v)
#define AND(p, v) __nvvm_atom_and_gen_i((s32 *)(p), (s32)(v))
#define OR(p, v) __nvvm_atom_or_gen_i((s32 *)(p), (s32)(v))
#define XOR64(p, v) __nvvm_atom_xor_gen_ll((s64 *)(p), (s64)(v))
#define INC(p, v) __nvvm_atom_inc_gen_ui(p, v)
#define DEC(p, v) __nvvm_atom_dec_gen_ui(p, v)
#define CAS(p, e, v) ((u32)__nvvm_atom_cas_gen_i((s32 *)(p), (s32)(e), (s32)(v)))
#define CAS64(p, e, v) ((u64)__nvvm_atom_cas_gen_ll((s64 *)(p), (s64)(e), (s64)(v)))
#define CAS16(p, e, v) ({ u16 d_; asm volatile("atom.cas.b16 %0, [%1], %2, %3;" : "=h"(d_) : "l"(p), "h"((u16)(e)), "h"((u16)(v)) : "memory"); d_; })
#define FENCE() __nvvm_membar_gl()
#define WAIT() (void)0
#else
/* Threads only change at barriers and where they wait, so plain accesses do. */
#define UPDATE(p, expression) ({ __typeof__(p) p_ = (p); __typeof__(*p_) old = *p_; *p_ = (expression); old; })
#define ADD(p, v) UPDATE(p, old + (v))
#define ADD64 ADD
#define ADDF ADD
#define ADDD ADD
#define EXCHANGE(p, v) UPDATE(p, v)
#define MAX(p, v) UPDATE(p, old > (v) ? old : (v))
#define MIN(p, v) UPDATE(p, old < (v) ? old : (v))
#define MAX_SIGNED MAX
#define MIN_SIGNED64 MIN
#define MAX64 MAX
#define AND(p, v) UPDATE(p, old & (v))
#define OR(p, v) UPDATE(p, old | (v))
#define XOR64(p, v) UPDATE(p, old ^ (v))
#define INC(p, v) UPDATE(p, old >= (v) ? 0 : old + 1)
#define DEC(p, v) UPDATE(p, old == 0 || old > (v) ? (v) : old - 1)
#define CAS(p, e, v) UPDATE(p, old == (e) ? (v) : old)
#define CAS64 CAS
#define CAS16 CAS
#define FENCE() (void)0
#define WAIT() yield()
#endif

/* What every place of memory is used for: those of the grid lie behind all output, those of the block in shared memory. */
struct tally {
    u64 sum64, most64, parity;
    s64 least64;
    f64 doubles;
    u32 sum, most, least, all, any, wrapped, down, last, lock, guarded, product;
    s32 most_signed;
    f32 floats;
    u16 pair[2];
};
SHARED struct tally block_tally;
SHARED u32 bins[16], tickets[128];

DEVICE void count(struct tally *t, u32 a, u32 b, u32 c) {
    ADD(&t->sum, a);
    (void)ADD(&t->sum, b);
    ADD64(&t->sum64, wide(a, b));
    MAX(&t->most, a);
    MIN(&t->least, b | 1);
    MAX_SIGNED(&t->most_signed, (s32)c);
    MIN_SIGNED64(&t->least64, (s64)wide(b, c));
    MAX64(&t->most64, wide(c, a));
    AND(&t->all, a | 0xff0000ffu);
    OR(&t->any, b & 0x00ffff00u);
    XOR64(&t->parity, wide(a, c));
    INC(&t->wrapped, 36);
    DEC(&t->down, 77);
    /* Small whole numbers, so that the order of the sum does not matter. */
    ADDF(&t->floats, (f32)(a & 15));
    ADDD(&t->doubles, (f64)(b & 1023) * 0.125);
    /* A product by compare and swap, which is the same in any order. */
    u32 seen = t->product;
    for (;;) {
        const u32 before = CAS(&t->product, seen, seen * (2 * c + 1));
        if (before == seen) break;
        seen = before;
    }
    u16 half = t->pair[a & 1];
    for (;;) {
        const u16 before = CAS16(&t->pair[a & 1], half, (u16)(half + b));
        if (before == half) break;
        half = before;
    }
    /* A lock by turns: each lane that has it leaves before another of its warp can go on. */
    for (bool done = false; !done;) {
        if (CAS(&t->lock, 0, 1) == 0) {
            t->guarded = t->guarded + (c & 0xff);
            FENCE();
            EXCHANGE(&t->lock, 0);
            done = true;
        } else {
            WAIT();
        }
    }
}

KERNEL {
    BEGIN;
    const u32 t = THREAD;
    if (t == 0) {
        const struct tally none = {.sum64 = 0, .least64 = 1ll << 62, .least = ~0u, .all = ~0u, .product = 1};
        block_tally = none;
    }
    if (t < 16) bins[t] = 0;
    tickets[t] = 0;
    BARRIER();
    count(&block_tally, a, b, c);
    ADD(&bins[c & 15], 1);
    /* Everyone gets a ticket of their own; who gets which is open. */
    OR(&tickets[(u32)ADD(&bins[15], 0x10000) >> 16], 1);
    BARRIER();
    if (t == 0) {
        const u32 *const raw = (const u32 *)&block_tally;
        for (u32 n = 0; n < sizeof block_tally / 4; n++) PUT(raw[n]);
    }
    PUT(bins[t & 15]), PUT(tickets[t]);
    count((struct tally *)together, a, b, c);
    u32 *const more = together + 256;
    ADD(&more[a & 63], 1);
    const u32 turn = CAS64((u64 *)(more + 64) + (i & 7), 0, 42) == 0;
    ADD(&more[100 + (i & 7)], turn);
    if (BLOCK_ID & 1) ADD(&more[120], b);
    else ADDF((f32 *)&more[121], 1.0f);
}
