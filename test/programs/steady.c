/* steady [ROUNDS [MIB]]: allocates MIB MiB on device 0, then lets the GPU add one to every number of a vector, round after round, and
   checks each round, until ROUNDS are done (0: for ever) or SIGTERM asks for the end. */
#include "../../examples/driver.h"

#include <signal.h>
#include <unistd.h>

#define N 4096
#define PAUSE_US 5000

static const char ADD_ONE[] =
    ".version 7.0\n.target sm_70\n.address_size 64\n"
    ".visible .entry add_one(.param .u64 p) {\n"
    "  .reg .b32 %r<6>;\n  .reg .b64 %rd<4>;\n"
    "  ld.param.u64 %rd1, [p];\n  mov.u32 %r1, %ctaid.x;\n  mov.u32 %r2, %ntid.x;\n  mov.u32 %r3, %tid.x;\n"
    "  mad.lo.s32 %r4, %r1, %r2, %r3;\n  mul.wide.u32 %rd2, %r4, 4;\n  add.s64 %rd3, %rd1, %rd2;\n"
    "  ld.global.u32 %r5, [%rd3];\n  add.s32 %r5, %r5, 1;\n  st.global.u32 [%rd3], %r5;\n  ret;\n}\n";

static volatile sig_atomic_t stopped;

static void stop(int signal) {
    (void)signal;
    stopped = 1;
}

int main(int argc, char **argv) {
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 0, round = 0, wrong = 0;
    size_t bytes = (argc > 2 ? strtoul(argv[2], NULL, 10) : 1) << 20;
    static unsigned numbers[N];
    CUmodule module;
    CUfunction add_one;
    CUdeviceptr memory;
    signal(SIGTERM, stop);
    open_device();
    CHECK(cuModuleLoadData(&module, ADD_ONE));
    CHECK(cuModuleGetFunction(&add_one, module, "add_one"));
    CHECK(cuMemAlloc(&memory, bytes));
    CHECK(cuMemsetD32(memory, 0, bytes / 4));
    void *parameters[] = {&memory};
    while (!stopped && (rounds == 0 || round < rounds)) {
        round++;
        CHECK(cuLaunchKernel(add_one, N / 256, 1, 1, 256, 1, 1, 0, NULL, parameters, NULL));
        CHECK(cuMemcpyDtoH(numbers, memory, sizeof numbers));
        for (unsigned i = 0; i < N; i++) wrong += numbers[i] != round;
        usleep(PAUSE_US);
    }
    CHECK(cuMemFree(memory));
    printf("steady: %lu rounds, %lu wrong\n", round, wrong);
    return wrong == 0 ? 0 : 1;
}
