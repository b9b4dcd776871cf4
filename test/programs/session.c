/* session KERNELS: opens device 0, then does what the lines on stdin say and answers each with "ok", or with the name of the CUDA error.
 *
 *   alloc MIB   allocates and keeps it        echo    copies to the device and back, and compares
 *   histogram   runs a kernel and checks it   leave   ends without cleaning up
 *   flood MIB   asks for so much to be copied to the host, and waits for none of it
 *   arrived     waits for all of it, and compares
 *   fork        forks and leaves at once; the child, once it is an orphan, says what CUDA answers to "echo" and to a new
 *               cuInit, and becomes this program anew by exec */
#include "../../examples/driver.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PIECE (64 << 10)
#define BINS 256

static const char *kernels;
static CUfunction histogram;

/* The first error's name, or "ok". */
#define TRY(call)                                                                                                                  \
    do {                                                                                                                           \
        CUresult result_ = (call);                                                                                                 \
        const char *name_ = "unknown error";                                                                                       \
        if (result_ != 0) {                                                                                                        \
            cuGetErrorName(result_, &name_);                                                                                       \
            return name_;                                                                                                          \
        }                                                                                                                          \
    } while (0)

static const char *allocate(size_t mib) {
    CUdeviceptr kept;
    TRY(cuMemAlloc(&kept, mib << 20));
    TRY(cuMemsetD32(kept, 1, (mib << 20) / 4));
    TRY(cuCtxSynchronize());
    return "ok";
}

static const char *echo(void) {
    static unsigned char out[PIECE], in[PIECE];
    static unsigned char round;
    CUdeviceptr device;
    memset(out, ++round, PIECE);
    TRY(cuMemAlloc(&device, PIECE));
    TRY(cuMemcpyHtoD(device, out, PIECE));
    TRY(cuMemcpyDtoH(in, device, PIECE));
    TRY(cuMemFree(device));
    return memcmp(out, in, PIECE) == 0 ? "ok" : "other bytes came back";
}

#define FLOOD_PIECE (1 << 20)

static unsigned char *flooded;
static size_t flooded_bytes;

static const char *flood(size_t mib) {
    static CUresult (*copy)(void *, CUdeviceptr, size_t, CUstream);
    CUdeviceptr source;
    *(void **)&copy = dlsym(dlopen("libcuda.so.1", RTLD_LAZY), "cuMemcpyDtoHAsync_v2");
    flooded_bytes = mib << 20;
    flooded = calloc(1, flooded_bytes);
    TRY(cuMemAlloc(&source, FLOOD_PIECE));
    TRY(cuMemsetD32(source, 0x07070707, FLOOD_PIECE / 4));
    TRY(cuCtxSynchronize());
    for (size_t at = 0; at < flooded_bytes; at += FLOOD_PIECE) TRY(copy(flooded + at, source, FLOOD_PIECE, NULL));
    return "ok";
}

static const char *arrived(void) {
    TRY(cuCtxSynchronize());
    for (size_t at = 0; at < flooded_bytes; at++)
        if (flooded[at] != 7) return "other bytes came";
    return "ok";
}

static const char *count(void) {
    unsigned counts[BINS], n = PIECE;
    unsigned char data[PIECE];
    CUdeviceptr device_data, device_bins;
    memset(data, 7, PIECE);
    if (histogram == NULL) histogram = load_kernel(kernels, "histogram");
    TRY(cuMemAlloc(&device_data, n));
    TRY(cuMemAlloc(&device_bins, sizeof counts));
    TRY(cuMemcpyHtoD(device_data, data, n));
    TRY(cuMemsetD32(device_bins, 0, BINS));
    void *parameters[] = {&device_data, &device_bins, &n};
    TRY(cuLaunchKernel(histogram, 4, 1, 1, BINS, 1, 1, 0, NULL, parameters, NULL));
    TRY(cuCtxSynchronize());
    TRY(cuMemcpyDtoH(counts, device_bins, sizeof counts));
    TRY(cuMemFree(device_data));
    TRY(cuMemFree(device_bins));
    return counts[7] == n ? "ok" : "another count came back";
}

static const char *init_again(void) {
    TRY(cuInit(0));
    return "ok";
}

static const char *leave_a_child(char **argv) {
    pid_t parent = getpid();
    if (fork() != 0) _exit(0);
    while (getppid() == parent) usleep(1000);
    printf("%s", echo());
    printf(" %s\n", init_again());
    fflush(stdout);
    execv("/proc/self/exe", argv);
    return strerror(errno);
}

static const char *answer(const char *line, char **argv) {
    if (strncmp(line, "alloc ", 6) == 0) return allocate((size_t)atol(line + 6));
    if (strcmp(line, "echo") == 0) return echo();
    if (strcmp(line, "histogram") == 0) return count();
    if (strncmp(line, "flood ", 6) == 0) return flood((size_t)atol(line + 6));
    if (strcmp(line, "arrived") == 0) return arrived();
    if (strcmp(line, "leave") == 0) _exit(0);
    if (strcmp(line, "fork") == 0) return leave_a_child(argv);
    return "no such command";
}

int main(int argc, char **argv) {
    char line[256];
    if (argc < 2) return 2;
    kernels = argv[1];
    open_device();
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = 0;
        printf("%s\n", answer(line, argv));
        fflush(stdout);
    }
    return 0;
}
