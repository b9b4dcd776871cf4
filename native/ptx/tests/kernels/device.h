/* What a kernel needs of CUDA, for clang alone: no toolkit. */
#define KERNEL extern "C" __attribute__((global)) void kernel(const u32 *in, u32 *out, u32 n)
#define DEVICE static __attribute__((device, unused))
#define NOINLINE __attribute__((noinline))
#define SHARED static __attribute__((shared))
#define DYNAMIC_SHARED extern __attribute__((shared)) u32 dynamic_shared[]
#define CONSTANT static __attribute__((constant))
#define GLOBAL static __attribute__((device))

#define THREAD __nvvm_read_ptx_sreg_tid_x()
#define BLOCK_ID __nvvm_read_ptx_sreg_ctaid_x()
#define BLOCK_SIZE __nvvm_read_ptx_sreg_ntid_x()

#define NOTE(k) (void)0
/* An approximation: the exact value is the other machine's. */
#define NEAR(value, exact, relative, absolute) PUTD((f64)(value))

#define BARRIER() __syncthreads()
#define BARRIER_COUNT(p) ((u32)__nvvm_bar0_popc(p))
#define BARRIER_AND(p) (__nvvm_bar0_and(p) != 0)
#define BARRIER_OR(p) (__nvvm_bar0_or(p) != 0)
#define BARRIER_OF(which, threads) asm volatile("bar.sync %0, %1;" : : "r"(which), "r"(threads) : "memory")
#define BARRIER_COUNT_OF(which, threads, p) \
    ({ u32 d_; \
       asm volatile("{ .reg .pred q; setp.ne.u32 q, %3, 0; bar.red.popc.u32 %0, %1, %2, q; }" \
                    : "=r"(d_) : "r"(which), "r"(threads), "r"((u32)(p)) : "memory"); \
       d_; })
#define ARRIVE(which, threads) asm volatile("bar.arrive %0, %1;" : : "r"(which), "r"(threads) : "memory")
#define WARP_SYNC(mask) __nvvm_bar_warp_sync(mask)

#define SHUFFLE_UP(mask, v, by, c) ((u32)__nvvm_shfl_sync_up_i32(mask, v, by, c))
#define SHUFFLE_DOWN(mask, v, by, c) ((u32)__nvvm_shfl_sync_down_i32(mask, v, by, c))
#define SHUFFLE_XOR(mask, v, by, c) ((u32)__nvvm_shfl_sync_bfly_i32(mask, v, by, c))
#define SHUFFLE(mask, v, from, c) ((u32)__nvvm_shfl_sync_idx_i32(mask, v, from, c))
#define VOTE_ALL(mask, p) __nvvm_vote_all_sync(mask, p)
#define VOTE_ANY(mask, p) __nvvm_vote_any_sync(mask, p)
#define VOTE_UNI(mask, p) __nvvm_vote_uni_sync(mask, p)
#define BALLOT(mask, p) __nvvm_vote_ballot_sync(mask, p)

#define LETTER_u16 "h"
#define LETTER_s16 "h"
#define LETTER_u32 "r"
#define LETTER_s32 "r"
#define LETTER_u64 "l"
#define LETTER_s64 "l"
#define LETTER_f32 "f"
#define LETTER_f64 "d"
#define INSTRUCTION1(name, ptx, D, A, expression) \
    DEVICE D name(A x) { D d; asm(ptx " %0, %1;" : "=" LETTER_##D(d) : LETTER_##A(x)); return d; }
#define INSTRUCTION2(name, ptx, D, A, B, expression) \
    DEVICE D name(A x, B y) { D d; asm(ptx " %0, %1, %2;" : "=" LETTER_##D(d) : LETTER_##A(x), LETTER_##B(y)); return d; }
#define INSTRUCTION3(name, ptx, D, A, B, C, expression) \
    DEVICE D name(A x, B y, C z) { \
        D d; \
        asm(ptx " %0, %1, %2, %3;" : "=" LETTER_##D(d) : LETTER_##A(x), LETTER_##B(y), LETTER_##C(z)); \
        return d; \
    }
