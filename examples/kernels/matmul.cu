/* c = a * b for square row-major matrices, one 32 x 32 tile of c per block of 32 x 32 threads. */
#include "device.h"

#define TILE 32

extern "C" __global__ void matmul(const float *a, const float *b, float *c, unsigned n) {
    __shared__ float tile_a[TILE][TILE];
    __shared__ float tile_b[TILE][TILE];
    unsigned x = THREAD_X, y = THREAD_Y;
    unsigned row = BLOCK_Y * TILE + y, column = BLOCK_X * TILE + x;
    float sum = 0.0f;
    for (unsigned t = 0; t < n; t += TILE) {
        tile_a[y][x] = row < n && t + x < n ? a[row * n + t + x] : 0.0f;
        tile_b[y][x] = t + y < n && column < n ? b[(t + y) * n + column] : 0.0f;
        BARRIER();
#pragma unroll
        for (unsigned k = 0; k < TILE; k++) sum += tile_a[y][k] * tile_b[k][x];
        BARRIER();
    }
    if (row < n && column < n) c[row * n + column] = sum;
}
