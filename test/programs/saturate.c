/* saturate KERNELS: keeps device 0 busy until it is ended: while one stream is waited for, another has work. */
#include "../../examples/driver.h"

#define N 64
#define TILE 32
#define AHEAD 8

static CUresult (*cuStreamCreate)(CUstream *, unsigned);
static CUresult (*cuStreamSynchronize)(CUstream);

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s KERNELS\n", argv[0]);
        return 2;
    }
    open_device();
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    *(void **)&cuStreamCreate = driver_symbol(library, "cuStreamCreate");
    *(void **)&cuStreamSynchronize = driver_symbol(library, "cuStreamSynchronize");
    CUfunction matmul = load_kernel(argv[1], "matmul");
    unsigned n = N;
    CUdeviceptr a, b, c;
    CUstream streams[2];
    CHECK(cuMemAlloc(&a, N * N * sizeof(float)));
    CHECK(cuMemAlloc(&b, N * N * sizeof(float)));
    CHECK(cuMemAlloc(&c, N * N * sizeof(float)));
    CHECK(cuMemsetD32(a, 0, N * N));
    CHECK(cuMemsetD32(b, 0, N * N));
    for (int i = 0; i < 2; i++) CHECK(cuStreamCreate(&streams[i], 0));
    void *parameters[] = {&a, &b, &c, &n};
    for (unsigned turn = 0;; turn++) {
        CUstream stream = streams[turn % 2];
        CHECK(cuStreamSynchronize(stream));
        for (int i = 0; i < AHEAD; i++)
            CHECK(cuLaunchKernel(matmul, N / TILE, N / TILE, 1, TILE, TILE, 1, 0, stream, parameters, NULL));
    }
}
