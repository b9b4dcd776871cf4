/* misbehave ptx | out-of-bounds | forever | leak: does one thing wrong on device 0 and says what CUDA answers.
   `ptx` loads what stands on the standard input and prints the error log, as a compiler's user sees it. */
#include "../../examples/driver.h"

#include <string.h>
#include <unistd.h>

static CUresult (*cuModuleLoadDataEx)(CUmodule *, const void *, unsigned, int *, void **);

static const char OUT_OF_BOUNDS[] =
    ".version 7.0\n.target sm_70\n.address_size 64\n"
    ".visible .entry kernel(.param .u64 p) {\n"
    "  .reg .b64 %rd<3>;\n  .reg .b32 %r<2>;\n"
    "  ld.param.u64 %rd1, [p];\n  add.s64 %rd2, %rd1, 1099511627776;\n"
    "  ld.global.u32 %r1, [%rd2];\n  st.global.u32 [%rd1], %r1;\n  ret;\n}\n";

static const char FOREVER[] =
    ".version 7.0\n.target sm_70\n.address_size 64\n"
    ".visible .entry kernel(.param .u64 p) {\nagain:\n  bra.uni again;\n}\n";

static void launch(const char *ptx) {
    CUmodule module;
    CUfunction function;
    CUdeviceptr bytes;
    CHECK(cuModuleLoadData(&module, ptx));
    CHECK(cuModuleGetFunction(&function, module, "kernel"));
    CHECK(cuMemAlloc(&bytes, 4096));
    void *parameters[] = {&bytes};
    CHECK(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, NULL, parameters, NULL));
    puts("launched");
    fflush(stdout);
    CHECK(cuCtxSynchronize());
}

static int load_from_stdin(void) {
    static char source[1 << 16], log[4096];
    size_t size = fread(source, 1, sizeof source - 1, stdin);
    source[size] = 0;
    *(void **)&cuModuleLoadDataEx = driver_symbol(dlopen("libcuda.so.1", RTLD_NOW), "cuModuleLoadDataEx");
    int options[] = {5 /* CU_JIT_ERROR_LOG_BUFFER */, 6 /* its size in bytes */};
    void *values[] = {log, (void *)sizeof log};
    CUmodule module;
    CUresult result = cuModuleLoadDataEx(&module, source, 2, options, values);
    const char *name = "success";
    if (result != 0) cuGetErrorName(result, &name);
    printf("%s (%d)\n%s\n", name, result, log);
    return result != 0;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    open_device();
    if (strcmp(what, "ptx") == 0) return load_from_stdin();
    if (strcmp(what, "out-of-bounds") == 0) launch(OUT_OF_BOUNDS);
    if (strcmp(what, "forever") == 0) launch(FOREVER);
    CUdeviceptr bytes;
    CHECK(cuMemAlloc(&bytes, 512u << 20));
    CHECK(cuMemsetD32(bytes, 1, 1024));
    if (strcmp(what, "leak") == 0) _exit(3);
    return 2;
}
