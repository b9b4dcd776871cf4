/* histogram KERNELS [N]: counts the values of N random bytes on the GPU with atomics and checks the counts against the CPU. */
#include "driver.h"

#include <string.h>

#define BINS 256

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: %s KERNELS [N]\n", argv[0]);
        return 2;
    }
    unsigned n = argc > 2 ? (unsigned)atoi(argv[2]) : 1 << 20;
    unsigned expected[BINS] = {0}, counts[BINS], seed = 3;
    unsigned char *data = malloc(n);
    if (data == NULL) return 1;
    for (unsigned i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (unsigned char)((seed >> 24) & (seed >> 16));
        expected[data[i]]++;
    }
    open_device();
    CUfunction histogram = load_kernel(argv[1], "histogram");
    CUdeviceptr device_data, device_bins;
    CHECK(cuMemAlloc(&device_data, n));
    CHECK(cuMemAlloc(&device_bins, sizeof counts));
    CHECK(cuMemcpyHtoD(device_data, data, n));
    CHECK(cuMemsetD32(device_bins, 0, BINS));
    void *parameters[] = {&device_data, &device_bins, &n};
    CHECK(cuLaunchKernel(histogram, 16, 1, 1, BINS, 1, 1, 0, NULL, parameters, NULL));
    CHECK(cuCtxSynchronize());
    CHECK(cuMemcpyDtoH(counts, device_bins, sizeof counts));
    int same = memcmp(counts, expected, sizeof counts) == 0;
    printf("histogram: %u bytes counted, %s\n", n, same ? "equal to the CPU's" : "NOT equal to the CPU's");
    CHECK(cuMemFree(device_data));
    CHECK(cuMemFree(device_bins));
    free(data);
    return same ? 0 : 1;
}
