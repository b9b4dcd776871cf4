/* Counts the bytes of data into bins[256]: each block counts in shared memory, then adds its counts to the result. */
#include "device.h"

#define BINS 256

extern "C" __global__ void histogram(const unsigned char *data, unsigned *bins, unsigned n) {
    __shared__ unsigned local_bins[BINS];
    for (unsigned i = THREAD_X; i < BINS; i += BLOCK_SIZE_X) local_bins[i] = 0;
    BARRIER();
    for (unsigned i = BLOCK_X * BLOCK_SIZE_X + THREAD_X; i < n; i += BLOCK_SIZE_X * GRID_SIZE_X)
        __nvvm_atom_add_gen_i((int *)&local_bins[data[i]], 1);
    BARRIER();
    for (unsigned i = THREAD_X; i < BINS; i += BLOCK_SIZE_X)
        __nvvm_atom_add_gen_i((int *)&bins[i], (int)local_bins[i]);
}
