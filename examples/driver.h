/* The part of the CUDA driver API that the examples use, found by dlopen as any CUDA program finds it: no toolkit, no headers. */
#ifndef AQUIFER_EXAMPLES_DRIVER_H
#define AQUIFER_EXAMPLES_DRIVER_H

#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef int CUresult, CUdevice;
typedef uint64_t CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct { unsigned char bytes[16]; } CUuuid;

static CUresult (*cuInit)(unsigned);
static CUresult (*cuDeviceGetCount)(int *);
static CUresult (*cuDeviceGet)(CUdevice *, int);
static CUresult (*cuDeviceGetName)(char *, int, CUdevice);
static CUresult (*cuDeviceGetUuid)(CUuuid *, CUdevice);
static CUresult (*cuDeviceTotalMem)(size_t *, CUdevice);
static CUresult (*cuCtxCreate)(CUcontext *, unsigned, CUdevice);
static CUresult (*cuCtxSynchronize)(void);
static CUresult (*cuModuleLoadData)(CUmodule *, const void *);
static CUresult (*cuModuleGetFunction)(CUfunction *, CUmodule, const char *);
static CUresult (*cuMemAlloc)(CUdeviceptr *, size_t);
static CUresult (*cuMemFree)(CUdeviceptr);
static CUresult (*cuMemcpyHtoD)(CUdeviceptr, const void *, size_t);
static CUresult (*cuMemcpyDtoH)(void *, CUdeviceptr, size_t);
static CUresult (*cuMemsetD32)(CUdeviceptr, unsigned, size_t);
static CUresult (*cuLaunchKernel)(CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, CUstream, void **,
                                  void **);
static CUresult (*cuGetErrorName)(CUresult, const char **);
static CUresult (*cuGetErrorString)(CUresult, const char **);

/* Ends the program with the error's CUDA name, so that a user sees where and what. */
#define CHECK(call)                                                                                                                \
    do {                                                                                                                           \
        CUresult result_ = (call);                                                                                                 \
        if (result_ != 0) {                                                                                                        \
            const char *name_ = "unknown error", *text_ = "";                                                                     \
            cuGetErrorName(result_, &name_);                                                                                       \
            cuGetErrorString(result_, &text_);                                                                                     \
            fprintf(stderr, "%s: %s (%d): %s\n", #call, name_, result_, text_);                                                    \
            exit(1);                                                                                                               \
        }                                                                                                                          \
    } while (0)

static void *driver_symbol(void *library, const char *name) {
    void *symbol = dlsym(library, name);
    if (symbol == NULL) {
        fprintf(stderr, "libcuda.so.1 has no %s\n", name);
        exit(1);
    }
    return symbol;
}

static void load_driver(void) {
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
#define SYMBOL(variable, name) *(void **)(&variable) = driver_symbol(library, name)
    SYMBOL(cuInit, "cuInit");
    SYMBOL(cuDeviceGetCount, "cuDeviceGetCount");
    SYMBOL(cuDeviceGet, "cuDeviceGet");
    SYMBOL(cuDeviceGetName, "cuDeviceGetName");
    SYMBOL(cuDeviceGetUuid, "cuDeviceGetUuid_v2");
    SYMBOL(cuDeviceTotalMem, "cuDeviceTotalMem_v2");
    SYMBOL(cuCtxCreate, "cuCtxCreate_v2");
    SYMBOL(cuCtxSynchronize, "cuCtxSynchronize");
    SYMBOL(cuModuleLoadData, "cuModuleLoadData");
    SYMBOL(cuModuleGetFunction, "cuModuleGetFunction");
    SYMBOL(cuMemAlloc, "cuMemAlloc_v2");
    SYMBOL(cuMemFree, "cuMemFree_v2");
    SYMBOL(cuMemcpyHtoD, "cuMemcpyHtoD_v2");
    SYMBOL(cuMemcpyDtoH, "cuMemcpyDtoH_v2");
    SYMBOL(cuMemsetD32, "cuMemsetD32_v2");
    SYMBOL(cuLaunchKernel, "cuLaunchKernel");
    SYMBOL(cuGetErrorName, "cuGetErrorName");
    SYMBOL(cuGetErrorString, "cuGetErrorString");
#undef SYMBOL
}

/* Opens device 0 and prints which vGPU this program has. */
static void open_device(void) {
    CUdevice device;
    CUcontext context;
    CUuuid uuid;
    char name[128];
    size_t bytes;
    load_driver();
    CHECK(cuInit(0));
    CHECK(cuDeviceGet(&device, 0));
    CHECK(cuDeviceGetName(name, sizeof name, device));
    CHECK(cuDeviceGetUuid(&uuid, device));
    CHECK(cuDeviceTotalMem(&bytes, device));
    CHECK(cuCtxCreate(&context, 0, device));
    printf("vGPU: %s, GPU-", name);
    for (int i = 0; i < 16; i++) printf("%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid.bytes[i]);
    printf(", %.1f GiB\n", (double)bytes / (1 << 30));
    fflush(stdout);
}

static CUfunction load_kernel(const char *directory, const char *name) {
    CUmodule module;
    CUfunction function;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.ptx", directory, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *source = calloc((size_t)size + 1, 1);
    if (source == NULL || fread(source, 1, (size_t)size, file) != (size_t)size) {
        perror(path);
        exit(1);
    }
    fclose(file);
    CHECK(cuModuleLoadData(&module, source));
    CHECK(cuModuleGetFunction(&function, module, name));
    free(source);
    return function;
}

static inline double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

#endif
