// Products with one number, value by value.
#include "../../cuda/common.cuh"

namespace {

template <class T> __device__ void scale(const T *x, T *y, uint64_t n, float factor) {
  for (size_t i = first_place(); i < n; i += n_places()) store(y + i, factor * to_float(x[i]));
}

}  // namespace

extern "C" __global__ void scale_f32(const float *x, float *y, uint64_t n, float factor) { scale(x, y, n, factor); }
extern "C" __global__ void scale_bf16(const bf16 *x, bf16 *y, uint64_t n, float factor) { scale(x, y, n, factor); }
KERNEL(scale_f32)
KERNEL(scale_bf16)
