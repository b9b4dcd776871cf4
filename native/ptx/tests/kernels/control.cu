/* Control flow in which the lanes of a warp go different ways and meet again. */
#include "dual.h"

DEVICE u32 collatz(u32 x) {
    u32 steps = 0;
    while (x > 1 && steps < 200) {
        x = x & 1 ? 3 * x + 1 : x >> 1;
        steps++;
    }
    return steps;
}

/* Loops in a loop, left from the middle in several ways. */
DEVICE u32 nest(u32 a, u32 b, u32 c) {
    u32 sum = 0;
    for (u32 n = 0; n < (a & 15) + 1; n++) {
        if ((n ^ b) % 5 == 0) continue;
        for (u32 m = n; m < (b & 31); m++) {
            if ((m * c) % 7 == 3) break;
            u32 p = m;
            do {
                sum = sum * 31 + p;
                if (sum % 11 == 0) goto next;
                p -= p / 3 + 1;
            } while (p < 32 && p > (c & 3));
            sum ^= m << 8;
        }
        if (sum % 13 == 5) return sum;
    next:
        sum += n;
    }
    return sum ^ 0x5a5a;
}

/* Dense and sparse switches, with fall-through and a default. */
DEVICE u32 choose(u32 x, u32 y) {
    u32 result = y;
    switch (x % 12) {
    case 0: result += 7; break;
    case 1: result *= 3;
    case 2: result ^= 0x1234; break;
    case 3: return result >> 3;
    case 4: result = ~result; break;
    case 5: for (u32 n = 0; n < (y & 7); n++) result += n * result; break;
    case 7: result -= x;
    case 8: result = result << 1 | result >> 31; break;
    case 9: if (y & 1) break; result += 100; break;
    case 11: result |= 1; break;
    default: result = x * y;
    }
    switch (y) {
    case 0: return 1;
    case 0x7fffffff: return 2;
    case 0x80000000u: return 3;
    case 1000: result++; break;
    }
    return result;
}

/* A machine of states, each of which decides which one is next. */
DEVICE u32 machine(u32 x) {
    u32 state = x & 3, trace = 0;
    for (u32 n = 0; n < 40; n++) {
        trace = trace * 5 + state;
        switch (state) {
        case 0: state = x & 1 ? 2 : 1; break;
        case 1: x = x * 1664525 + 1013904223; state = x >> 30; break;
        case 2: if (x & 2) state = 3; else x >>= 1; break;
        case 3: x ^= trace; state = (x >> 5) % 5; break;
        default: return trace;
        }
    }
    return trace;
}

DEVICE bool holds(u32 *calls, u32 x) { (*calls)++; return x % 3 == 0; }

KERNEL {
    BEGIN;
    PUT(collatz(a & 0xffff));
    PUT(collatz(THREAD));
    PUT(nest(a, b, c));
    PUT(nest(i, i >> 3, i * 7));
    PUT(choose(a, b));
    PUT(choose(i, c));
    PUT(choose(b >> 3, i));
    PUT(machine(a));
    PUT(machine(i));
    u32 calls = 0;
    PUT((holds(&calls, a) && holds(&calls, b)) || (holds(&calls, c) && !holds(&calls, a + b)));
    PUT(calls);
    PUT(a < b ? b < c ? 1 : a < c ? 2 : 3 : a < c ? 4 : b < c ? 5 : 6);
    if (i % 3 == 1) {
        PUT(0xdead);
        if (i % 2) return;
        PUT(0xbeef);
        if (a > b) return;
    }
    u32 greatest = 0;
    for (u32 n = i; n > 0; n /= 2)
        for (u32 m = n & 7; m > 0; m--)
            if ((n ^ m ^ c) % 6 > greatest) greatest = (n ^ m ^ c) % 6;
    PUT(greatest);
}
