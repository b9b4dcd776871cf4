/* Loads and stores of vectors, in the three memories that a thread can write. */
#include "dual.h"

#ifdef __CUDA__
/* A vector is read at `from` and written, its elements rotated by one, at `to`. */
#define VECTOR2(name, type, R, letter) \
    DEVICE void name(void *to, const void *from) { \
        R x, y; \
        asm volatile("ld.v2." type " {%0, %1}, [%2];" : "=" letter(x), "=" letter(y) : "l"(from) : "memory"); \
        asm volatile("st.v2." type " [%0], {%1, %2};" : : "l"(to), letter(y), letter(x) : "memory"); \
    }
#define VECTOR4(name, type, R, letter) \
    DEVICE void name(void *to, const void *from) { \
        R x, y, z, w; \
        asm volatile("ld.v4." type " {%0, %1, %2, %3}, [%4];" \
                     : "=" letter(x), "=" letter(y), "=" letter(z), "=" letter(w) : "l"(from) : "memory"); \
        asm volatile("st.v4." type " [%0], {%1, %2, %3, %4};" \
                     : : "l"(to), letter(y), letter(z), letter(w), letter(x) : "memory"); \
    }
#define EXTENDED(name, type, R, T, letter) \
    DEVICE R name(const void *from) { R x; asm volatile("ld." type " %0, [%1];" : "=" letter(x) : "l"(from) : "memory"); return x; }
#else
#define VECTOR(name, T, lanes) \
    DEVICE void name(void *to, const void *from) { \
        T in[lanes], out[lanes]; \
        __builtin_memcpy(in, from, sizeof in); \
        for (u32 n = 0; n < lanes; n++) out[n] = in[(n + 1) % lanes]; \
        __builtin_memcpy(to, out, sizeof out); \
    }
#define VECTOR2(name, type, R, letter) VECTOR(name, MEMORY_##name, 2)
#define VECTOR4(name, type, R, letter) VECTOR(name, MEMORY_##name, 4)
#define MEMORY_bytes2 u8
#define MEMORY_bytes4 s8
#define MEMORY_halves2 u16
#define MEMORY_halves4 u16
#define MEMORY_words2 u32
#define MEMORY_words4 s32
#define MEMORY_doubles2 u64
#define MEMORY_singles4 f32
#define MEMORY_floats2 f64
#define EXTENDED(name, type, R, T, letter) DEVICE R name(const void *from) { T x; __builtin_memcpy(&x, from, sizeof x); return x; }
#endif

VECTOR2(bytes2, "u8", u16, "h")
VECTOR4(bytes4, "s8", s16, "h")
VECTOR2(halves2, "b16", u16, "h")
VECTOR4(halves4, "u16", u16, "h")
VECTOR2(words2, "b32", u32, "r")
VECTOR4(words4, "s32", s32, "r")
VECTOR2(doubles2, "u64", u64, "l")
VECTOR4(singles4, "f32", f32, "f")
VECTOR2(floats2, "f64", f64, "d")
/* A load into a wider register extends by its own type. */
EXTENDED(s8_to_s32, "s8", s32, s8, "r")
EXTENDED(u8_to_u64, "u8", u64, u8, "l")
EXTENDED(s16_to_s64, "s16", s64, s16, "l")
EXTENDED(s32_to_s64, "s32", s64, s32, "l")
EXTENDED(u32_to_u64, "u32", u64, u32, "l")

struct __attribute__((aligned(16))) quad { u32 x, y, z, w; };
struct __attribute__((aligned(8))) couple { f32 x, y; };

#define BLOCK 100
SHARED struct quad tile[BLOCK];

DEVICE void all(u8 *to, const u8 *from) {
    bytes2(to, from), bytes4(to + 4, from + 4), halves2(to + 8, from + 8), words2(to + 16, from + 16);
    halves4(to + 24, from + 24), words4(to + 32, from + 32), doubles2(to + 48, from + 48), singles4(to + 64, from + 64);
    floats2(to + 80, from + 80);
}

KERNEL {
    BEGIN;
    __attribute__((aligned(16))) u32 from[24], to[24] = {0};
    for (u32 n = 0; n < 24; n++) from[n] = (n & 1 ? a : b) * (n + 1) ^ c;
    all((u8 *)to, (const u8 *)from);
    for (u32 n = 0; n < 24; n++) PUT(to[n]);
    /* From a thread's own memory to the device's, and on from there. */
    u32 *const mine = out + (u64)i * OUTPUTS + 128;
    all((u8 *)mine, (const u8 *)to);
    all((u8 *)(mine + 32), (const u8 *)mine);

    const u8 *const raw = (const u8 *)from;
    PUT(s8_to_s32(raw + i % 64)), PUT64(u8_to_u64(raw + a % 64)), PUT64(s16_to_s64(raw + b % 32 * 2));
    PUT64(s32_to_s64(from + c % 24)), PUT64(u32_to_u64(from + a % 24));

    /* What the compiler makes vectors of. */
    tile[THREAD] = (struct quad){a, b, c, i};
    BARRIER();
    const struct quad other = tile[(THREAD * 7 + 3) % BLOCK];
    PUT(other.x), PUT(other.y ^ other.z), PUT(other.w);
    struct couple *const pairs = (struct couple *)(mine + 64);
    pairs[0] = (struct couple){as_f32(a & 0x3fffffff), 2.0f};
    pairs[1] = (struct couple){pairs[0].y, pairs[0].x};
    PUTF(pairs[1].x + pairs[1].y);
}
