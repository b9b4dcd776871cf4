/* The few words of CUDA C that the example kernels need, so that clang alone compiles them: no CUDA toolkit. */
#ifndef AQUIFER_EXAMPLES_DEVICE_H
#define AQUIFER_EXAMPLES_DEVICE_H

#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __shared__ __attribute__((shared))
#define __constant__ __attribute__((constant))

#define THREAD_X __nvvm_read_ptx_sreg_tid_x()
#define THREAD_Y __nvvm_read_ptx_sreg_tid_y()
#define BLOCK_X __nvvm_read_ptx_sreg_ctaid_x()
#define BLOCK_Y __nvvm_read_ptx_sreg_ctaid_y()
#define BLOCK_SIZE_X __nvvm_read_ptx_sreg_ntid_x()
#define GRID_SIZE_X __nvvm_read_ptx_sreg_nctaid_x()
#define BARRIER() __syncthreads()

#endif
