// Sums value by value. A thread takes the values at its place, then each a whole grid further on.
#include "../../cuda/common.cuh"

namespace {

// `y` may be `a`: then b is added in place.
template <class T, class B> __device__ void add(const T *a, const B *b, T *y, uint64_t n) {
  for (size_t i = first_place(); i < n; i += n_places()) store(y + i, to_float(a[i]) + to_float(b[i]));
}

}  // namespace

extern "C" __global__ void add_f32_f32(const float *a, const float *b, float *y, uint64_t n) { add(a, b, y, n); }
extern "C" __global__ void add_bf16_bf16(const bf16 *a, const bf16 *b, bf16 *y, uint64_t n) { add(a, b, y, n); }
extern "C" __global__ void add_f32_bf16(const float *a, const bf16 *b, float *y, uint64_t n) { add(a, b, y, n); }
KERNEL(add_f32_f32)
KERNEL(add_bf16_bf16)
KERNEL(add_f32_bf16)
