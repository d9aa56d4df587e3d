// What CUDA C++ kernels need to be compiled by g++ and run on the CPU, for tests on machines without a GPU: each
// thread of a block is a fiber, so that barriers and shuffles mean what they mean on a GPU. Blocks run one after the
// other. It knows what the kernels here use; machine.cpp runs them.
#pragma once
#define CUDA_ON_CPU
#include <math.h>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)
// Blocks do not overlap in time, so one copy serves all of them.
#define __shared__ static
#define DYNAMIC_SHARED(name) unsigned char *const name = on_cpu::dynamic_shared

struct float2 { float x, y; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
template <class T> T min(T a, T b) { return b < a ? b : a; }
template <class T> T max(T a, T b) { return a < b ? b : a; }
inline uint32_t __float_as_uint(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline float __uint_as_float(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}
inline int __popc(uint32_t x) { return __builtin_popcount(x); }

struct __nv_bfloat16 { uint16_t bits; };
inline float __bfloat162float(__nv_bfloat16 x) { return __uint_as_float(uint32_t(x.bits) << 16); }
// To the nearest, ties to even.
inline __nv_bfloat16 __float2bfloat16(float value) {
  const uint32_t bits = __float_as_uint(value);
  if (std::isnan(value)) return {uint16_t(bits >> 16 | 0x40)};
  return {uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

struct Index { unsigned x, y, z; };

namespace on_cpu {

// What a lane offers to the others of its warp.
union Offer {
  uint32_t words[6];
  float value;
  const __nv_bfloat16 *row;
};

struct Thread;
extern Thread *current;
extern Index block_index, block_size, grid_size;
extern unsigned char *dynamic_shared;

Index thread_index();
void warp_barrier();
void block_barrier();
// The offer of the lane that is running, and that of another of its warp.
Offer &own_offer();
const Offer &offer_of(unsigned lane);

// A kernel by its name, called with pointers to its arguments.
struct Kernel {
  std::string name;
  std::vector<size_t> sizes;
  std::function<void(void *const *)> call;
};

std::vector<Kernel> &kernels();

struct Registration {
  template <class... P> Registration(const char *name, void (*kernel)(P...)) {
    kernels().push_back({name, {sizeof(P)...}, [kernel](void *const *arguments) {
                           call(kernel, arguments, std::index_sequence_for<P...>());
                         }});
  }

  template <class... P, size_t... I>
  static void call(void (*kernel)(P...), void *const *arguments, std::index_sequence<I...>) {
    kernel(*static_cast<P *>(arguments[I])...);
  }
};

// kernel<<<grid, block, shared_bytes>>>(arguments...)
void launch(const Kernel &kernel, Index grid, Index block, size_t shared_bytes, void *const *arguments);

}  // namespace on_cpu

#define KERNEL(name) static const on_cpu::Registration registration_of_##name(#name, name);

#define threadIdx (on_cpu::thread_index())
#define blockIdx (on_cpu::block_index)
#define blockDim (on_cpu::block_size)
#define gridDim (on_cpu::grid_size)

inline void __syncthreads() { on_cpu::block_barrier(); }
inline void __syncwarp(unsigned = ~0u) { on_cpu::warp_barrier(); }

// All lanes of the warp take part in each of these.
template <class T> T __shfl_sync(unsigned, T value, unsigned lane) {
  static_assert(sizeof(T) == 4);
  std::memcpy(on_cpu::own_offer().words, &value, sizeof value);
  __syncwarp();
  T other;
  std::memcpy(&other, on_cpu::offer_of(lane).words, sizeof other);
  __syncwarp();
  return other;
}
template <class T> T __shfl_xor_sync(unsigned all, T value, unsigned lanes) {
  return __shfl_sync(all, value, (threadIdx.x % 32) ^ lanes);
}
inline unsigned __ballot_sync(unsigned all, int predicate) {
  unsigned votes = 0;
  for (unsigned lane = 0; lane < 32; lane++) votes |= (__shfl_sync(all, predicate != 0 ? 1u : 0u, lane)) << lane;
  return votes;
}

// Tensor cores: D (16, 8) += A (16, 16) · B (16, 8), fragments as the PTX manual has them.
inline void mma(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  const uint32_t words[6] = {a[0], a[1], a[2], a[3], b0, b1};
  std::memcpy(on_cpu::own_offer().words, words, sizeof words);
  __syncwarp();
  const auto half = [](uint32_t word, int i) { return __uint_as_float(i ? word & 0xffff0000u : word << 16); };
  const unsigned lane = threadIdx.x % 32;
  for (int i = 0; i < 4; i++) {
    const unsigned row = lane / 4 + 8 * (i / 2), col = lane % 4 * 2 + i % 2;
    float sum = 0.0f;
    for (unsigned k = 0; k < 16; k++) {
      const uint32_t left = on_cpu::offer_of(row % 8 * 4 + k % 8 / 2).words[row / 8 + 2 * (k / 8)];
      const uint32_t right = on_cpu::offer_of(col * 4 + k % 8 / 2).words[4 + k / 8];
      sum += half(left, k % 2) * half(right, k % 2);
    }
    d[i] += sum;
  }
  __syncwarp();
}

namespace on_cpu {
template <bool TRANSPOSED> void load_matrices(uint32_t (&to)[4], const __nv_bfloat16 *row) {
  own_offer().row = row;
  __syncwarp();
  const unsigned lane = threadIdx.x % 32;
  for (unsigned matrix = 0; matrix < 4; matrix++) {
    uint32_t word = 0;
    for (unsigned i = 0; i < 2; i++) {
      const unsigned r = TRANSPOSED ? lane % 4 * 2 + i : lane / 4, c = TRANSPOSED ? lane / 4 : lane % 4 * 2 + i;
      word |= uint32_t(offer_of(matrix * 8 + r).row[c].bits) << (16 * i);
    }
    to[matrix] = word;
  }
  __syncwarp();
}
}  // namespace on_cpu

inline void load_matrices(uint32_t (&to)[4], const __nv_bfloat16 *row) { on_cpu::load_matrices<false>(to, row); }
inline void load_transposed(uint32_t (&to)[4], const __nv_bfloat16 *row) { on_cpu::load_matrices<true>(to, row); }

// Copies that a GPU makes beside the computation are made at once.
inline void start_copy(__nv_bfloat16 *to, const __nv_bfloat16 *from, int n_bytes) {
  std::memset(to, 0, 16);
  std::memcpy(to, from, n_bytes);
}
inline void end_of_copies() {}
template <int N> void wait_for_copies() {}
