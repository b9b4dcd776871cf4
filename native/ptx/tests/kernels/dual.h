/* One source for two machines: clang makes PTX of it for the interpreter, cc makes a shared object of it for the CPU.
 *
 * A kernel gives each thread three words of input and lets it put words of output; both machines must put the same. */
#ifndef AQUIFER_DUAL_H
#define AQUIFER_DUAL_H

typedef unsigned char u8;
typedef signed char s8;
typedef unsigned short u16;
typedef short s16;
typedef unsigned u32;
typedef int s32;
typedef unsigned long long u64;
typedef long long s64;
typedef float f32;
typedef double f64;

/* Words of output that each thread may put; behind all of them lie SPARE words for what threads do together. */
#define OUTPUTS 256
#define SPARE 4096

#ifdef __CUDA__
#include "device.h"
#else
#include "host.h"
#endif

DEVICE f32 as_f32(u32 bits) { f32 value; __builtin_memcpy(&value, &bits, 4); return value; }
DEVICE u32 f32_bits(f32 value) { u32 bits; __builtin_memcpy(&bits, &value, 4); return value != value ? 0x7fffffffu : bits; }
DEVICE f64 as_f64(u64 bits) { f64 value; __builtin_memcpy(&value, &bits, 8); return value; }
DEVICE u64 f64_bits(f64 value) { u64 bits; __builtin_memcpy(&bits, &value, 8); return value != value ? ~0ull >> 1 : bits; }
DEVICE u64 wide(u32 high, u32 low) { return (u64)high << 32 | low; }

/* The start of every kernel: `i` numbers the thread in the grid, `a`, `b` and `c` are its inputs. */
#define BEGIN \
    const u32 i = BLOCK_ID * BLOCK_SIZE + THREAD; \
    u32 k = 0; \
    const u32 a = in[3 * i], b = in[3 * i + 1], c = in[3 * i + 2]; \
    u32 *const together = out + (u64)n * OUTPUTS; \
    (void)k, (void)a, (void)b, (void)c, (void)together

/* Which NaN a machine makes is its own affair, so floats are put with all NaNs made one. */
#define PUT(value) (NOTE(k), (void)(out[(u64)i * OUTPUTS + k++] = (u32)(value)))
#define PUT64(value) ({ const u64 v_ = (u64)(value); PUT(v_); PUT(v_ >> 32); })
#define PUTF(value) PUT(f32_bits(value))
#define PUTD(value) PUT64(f64_bits(value))

/* A PTX instruction of one, two or three sources, and the C expression of x, y and z that it must equal. */
#define PTX1(name, ptx, D, A, expression) INSTRUCTION1(name, ptx, D, A, expression)
#define PTX2(name, ptx, D, A, B, expression) INSTRUCTION2(name, ptx, D, A, B, expression)
#define PTX3(name, ptx, D, A, B, C, expression) INSTRUCTION3(name, ptx, D, A, B, C, expression)

#endif
