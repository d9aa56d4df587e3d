// What the kernels of all operations have in common: types, sums over a block, and the instructions that C++ has no
// words for. Compiled by nvcc for a GPU, and by g++ for the CPU with tests/cuda_on_cpu/cuda_on_cpu.h before it.
#pragma once
#include <cuda_bf16.h>
#include <cstddef>
#include <cstdint>

typedef __nv_bfloat16 bf16;

#ifndef CUDA_ON_CPU
// Tells the tests, which call kernels by name, that there is one of this name.
#define KERNEL(name)
// Shared memory whose size the launch says.
#define DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#endif

constexpr unsigned ALL_LANES = 0xffffffffu;

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(bf16 x) { return __bfloat162float(x); }
__device__ __forceinline__ void store(float *to, float x) { *to = x; }
__device__ __forceinline__ void store(bf16 *to, float x) { *to = __float2bfloat16(x); }

// The place of a thread among all of a grid, and how many there are.
__device__ __forceinline__ size_t first_place() { return static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ __forceinline__ size_t n_places() { return static_cast<size_t>(gridDim.x) * blockDim.x; }

__device__ __forceinline__ float warp_sum(float x) {
  for (int lane = 16; lane > 0; lane /= 2) x += __shfl_xor_sync(ALL_LANES, x, lane);
  return x;
}
__device__ __forceinline__ float warp_max(float x) {
  for (int lane = 16; lane > 0; lane /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, lane));
  return x;
}

// The sums of two values over all threads of the block, in every thread. `scratch` has room for 64 floats.
__device__ __forceinline__ float2 block_sums(float2 value, float *scratch) {
  value.x = warp_sum(value.x);
  value.y = warp_sum(value.y);
  const int warp = threadIdx.x / 32, n_warps = blockDim.x / 32;
  __syncthreads();  // What was left there before has been read by all.
  if (threadIdx.x % 32 == 0) {
    scratch[2 * warp] = value.x;
    scratch[2 * warp + 1] = value.y;
  }
  __syncthreads();
  float2 sums = make_float2(0.0f, 0.0f);
  for (int i = 0; i < n_warps; i++) {  // In one order for all threads.
    sums.x += scratch[2 * i];
    sums.y += scratch[2 * i + 1];
  }
  return sums;
}

__device__ __forceinline__ float block_sum(float value, float *scratch) {
  return block_sums(make_float2(value, 0.0f), scratch).x;
}

// The largest value of all threads of the block, in every thread. `scratch` has room for 32 floats.
__device__ __forceinline__ float block_max(float value, float *scratch) {
  value = warp_max(value);
  __syncthreads();
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
  __syncthreads();
  float largest = scratch[0];
  for (unsigned i = 1; i < blockDim.x / 32; i++) largest = fmaxf(largest, scratch[i]);
  return largest;
}

// Four random words that depend on key and counter alone: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as
// easy as 1, 2, 3", SC 2011).
struct Words { uint32_t word[4]; };
__device__ __forceinline__ Words philox(uint64_t key, uint64_t low, uint64_t high) {
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  uint32_t c0 = static_cast<uint32_t>(low), c1 = static_cast<uint32_t>(low >> 32);
  uint32_t c2 = static_cast<uint32_t>(high), c3 = static_cast<uint32_t>(high >> 32);
  for (int round = 0; round < 10; round++) {
    const uint64_t p0 = static_cast<uint64_t>(0xD2511F53u) * c0, p1 = static_cast<uint64_t>(0xCD9E8D57u) * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}
