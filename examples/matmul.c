/* matmul KERNELS [N [SECONDS]]: multiplies two N x N matrices on the GPU, again and again for SECONDS, and checks the result against
   the CPU. An ordinary CUDA driver API program: it knows nothing of Aquifer. */
#include "driver.h"

#include <math.h>

#define TILE 32

static float *random_matrix(unsigned n, unsigned seed) {
    float *matrix = malloc((size_t)n * n * sizeof *matrix);
    if (matrix == NULL) exit(1);
    for (size_t i = 0; i < (size_t)n * n; i++) {
        seed = seed * 1664525u + 1013904223u;
        matrix[i] = (float)(seed >> 8) / (1 << 24) - 0.5f;
    }
    return matrix;
}

static unsigned count_wrong(const float *a, const float *b, const float *c, unsigned n) {
    unsigned wrong = 0;
    for (unsigned row = 0; row < n; row++) {
        for (unsigned column = 0; column < n; column++) {
            double sum = 0;
            for (unsigned k = 0; k < n; k++) sum += (double)a[row * n + k] * b[k * n + column];
            if (!(fabs(sum - c[row * n + column]) <= 1e-5 * n)) wrong++;
        }
    }
    return wrong;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: %s KERNELS [N [SECONDS]]\n", argv[0]);
        return 2;
    }
    unsigned n = argc > 2 ? (unsigned)atoi(argv[2]) : 128;
    double duration = argc > 3 ? atof(argv[3]) : 0;
    size_t bytes = (size_t)n * n * sizeof(float);
    open_device();
    CUfunction matmul = load_kernel(argv[1], "matmul");
    float *a = random_matrix(n, 1), *b = random_matrix(n, 2), *c = malloc(bytes);
    CUdeviceptr device_a, device_b, device_c;
    CHECK(cuMemAlloc(&device_a, bytes));
    CHECK(cuMemAlloc(&device_b, bytes));
    CHECK(cuMemAlloc(&device_c, bytes));
    CHECK(cuMemcpyHtoD(device_a, a, bytes));
    CHECK(cuMemcpyHtoD(device_b, b, bytes));
    void *parameters[] = {&device_a, &device_b, &device_c, &n};
    unsigned tiles = (n + TILE - 1) / TILE;
    unsigned long launches = 0;
    double start = seconds_now();
    do {
        CHECK(cuLaunchKernel(matmul, tiles, tiles, 1, TILE, TILE, 1, 0, NULL, parameters, NULL));
        launches++;
        CHECK(cuCtxSynchronize());
    } while (seconds_now() - start < duration);
    double elapsed = seconds_now() - start;
    CHECK(cuMemcpyDtoH(c, device_c, bytes));
    unsigned wrong = count_wrong(a, b, c, n);
    printf("matmul: %lu products of %u x %u in %.2f s, %u wrong\n", launches, n, n, elapsed, wrong);
    CHECK(cuMemFree(device_a));
    CHECK(cuMemFree(device_b));
    CHECK(cuMemFree(device_c));
    free(a);
    free(b);
    free(c);
    return wrong == 0 ? 0 : 1;
}
