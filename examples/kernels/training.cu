/* One step of gradient descent on a network of one hidden layer: a block with one thread for each sample, then one for each parameter.
 * parameters: INPUTS weights and a bias for each hidden unit, then HIDDEN weights and a bias of the output. Every sum has its order, so
 * equal data give equal bits. */
#include "device.h"

#define SAMPLES 128
#define INPUTS 4
#define HIDDEN 16
#define ROW (INPUTS + 1)
#define OUTPUT (HIDDEN * ROW)
#define PARAMETERS (OUTPUT + HIDDEN + 1)

extern "C" __global__ void training(const float *inputs, const float *targets, float *parameters, float *loss, float rate) {
    __shared__ float hidden[HIDDEN][SAMPLES];
    __shared__ float error[SAMPLES];
    unsigned thread = THREAD_X;

    const float *input = inputs + thread * INPUTS;
    float output = parameters[OUTPUT + HIDDEN];
    for (unsigned unit = 0; unit < HIDDEN; unit++) {
        const float *weights = parameters + unit * ROW;
        float sum = weights[INPUTS];
        for (unsigned i = 0; i < INPUTS; i++) sum += weights[i] * input[i];
        float active = sum > 0.0f ? sum : 0.0f;
        hidden[unit][thread] = active;
        output += parameters[OUTPUT + unit] * active;
    }
    error[thread] = output - targets[thread];
    BARRIER();

    float gradient = 0.0f;
    if (thread < OUTPUT) {
        unsigned unit = thread / ROW, i = thread % ROW;
        for (unsigned s = 0; s < SAMPLES; s++) {
            float in = i < INPUTS ? inputs[s * INPUTS + i] : 1.0f;
            if (hidden[unit][s] > 0.0f) gradient += error[s] * parameters[OUTPUT + unit] * in;
        }
    } else if (thread < PARAMETERS) {
        unsigned unit = thread - OUTPUT;
        for (unsigned s = 0; s < SAMPLES; s++) gradient += error[s] * (unit < HIDDEN ? hidden[unit][s] : 1.0f);
    } else if (thread == PARAMETERS) {
        float sum = 0.0f;
        for (unsigned s = 0; s < SAMPLES; s++) sum += error[s] * error[s];
        *loss = sum / SAMPLES;
    }
    BARRIER();
    if (thread < PARAMETERS) parameters[thread] -= rate * gradient / SAMPLES;
}
