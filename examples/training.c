/* training KERNELS [STEPS]: fits a small network to a function by gradient descent on the GPU and prints its loss ten times on the way.
   Fails unless the loss has become a tenth of what it was. An ordinary CUDA driver API program: it knows nothing of Aquifer. */
#include "driver.h"

#define SAMPLES 128
#define INPUTS 4
#define HIDDEN 16
#define PARAMETERS (HIDDEN * (INPUTS + 1) + HIDDEN + 1)
#define REPORTS 10

static float random_number(void) {
    static unsigned seed = 1;
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) / (1 << 23) - 1.0f;
}

static CUdeviceptr on_device(const float *values, size_t count) {
    CUdeviceptr device;
    CHECK(cuMemAlloc(&device, count * sizeof *values));
    CHECK(cuMemcpyHtoD(device, values, count * sizeof *values));
    return device;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: %s KERNELS [STEPS]\n", argv[0]);
        return 2;
    }
    int steps = argc > 2 ? atoi(argv[2]) : 500;
    static float inputs[SAMPLES * INPUTS], targets[SAMPLES], parameters[PARAMETERS];
    for (int s = 0; s < SAMPLES; s++) {
        float *x = inputs + s * INPUTS;
        for (int i = 0; i < INPUTS; i++) x[i] = random_number();
        targets[s] = x[0] * x[1] + x[2] - 0.5f * x[3];
    }
    for (int i = 0; i < PARAMETERS; i++) parameters[i] = 0.5f * random_number();

    open_device();
    CUfunction training = load_kernel(argv[1], "training");
    float loss = 0, first = 0, rate = 0.1f;
    CUdeviceptr device_inputs = on_device(inputs, SAMPLES * INPUTS), device_targets = on_device(targets, SAMPLES);
    CUdeviceptr device_parameters = on_device(parameters, PARAMETERS), device_loss = on_device(&loss, 1);
    void *arguments[] = {&device_inputs, &device_targets, &device_parameters, &device_loss, &rate};
    for (int step = 1; step <= steps; step++) {
        CHECK(cuLaunchKernel(training, 1, 1, 1, SAMPLES, 1, 1, 0, NULL, arguments, NULL));
        if (step != 1 && (long)step * REPORTS / steps == (long)(step - 1) * REPORTS / steps) continue;
        CHECK(cuMemcpyDtoH(&loss, device_loss, sizeof loss));
        if (step == 1) first = loss;
        printf("step %d: loss %.7f\n", step, loss);
        fflush(stdout);
    }
    CHECK(cuMemcpyDtoH(parameters, device_parameters, sizeof parameters));
    double sum = 0;
    for (int i = 0; i < PARAMETERS; i++) sum += parameters[i];
    printf("training: %d steps, loss %.7f, sum of the parameters %.7f\n", steps, loss, sum);
    return loss < first / 10 ? 0 : 1;
}
