// What surrounds the products of a linear layer: the bias, and the sum over rows that is its gradient.
#include "../../cuda/common.cuh"

namespace {

// Adds the bias (width) to each row of y (n, width).
template <class T, class B> __device__ void add_bias(T *y, const B *bias, uint64_t n, int width) {
  for (size_t i = first_place(); i < n * width; i += n_places()) {
    store(y + i, to_float(y[i]) + to_float(bias[i % width]));
  }
}

// The sum of `rows_per_part` rows of x (n, width) from blockIdx.y · rows_per_part on: partial (gridDim.y, width). The
// split does not depend on the device, so the sums have one order everywhere. A thread has a column.
template <class T>
__device__ void sum_rows(const T *x, float *partial, int n, int width, int rows_per_part) {
  const int col = blockIdx.x * blockDim.x + threadIdx.x;
  if (col >= width) return;
  const int first = blockIdx.y * rows_per_part;
  float sum = 0.0f;
  for (int row = first; row < n && row < first + rows_per_part; row++) {
    sum += to_float(x[static_cast<size_t>(row) * width + col]);
  }
  partial[static_cast<size_t>(blockIdx.y) * width + col] = sum;
}

}  // namespace

#define ADD_BIAS(NAME, T, B)                                                                                     \
  extern "C" __global__ void linear_add_bias_##NAME(T *y, const B *bias, uint64_t n, int width) {                \
    add_bias(y, bias, n, width);                                                                                 \
  }                                                                                                              \
  KERNEL(linear_add_bias_##NAME)

ADD_BIAS(f32_f32, float, float)
ADD_BIAS(bf16_f32, bf16, float)
ADD_BIAS(bf16_bf16, bf16, bf16)

#define SUM_ROWS(NAME, T)                                                                                        \
  extern "C" __global__ void linear_sum_rows_##NAME(const T *x, float *partial, int n, int width,                \
                                                    int rows_per_part) {                                         \
    sum_rows(x, partial, n, width, rows_per_part);                                                               \
  }                                                                                                              \
  KERNEL(linear_sum_rows_##NAME)

SUM_ROWS(f32, float)
SUM_ROWS(bf16, bf16)

// sum (width) = the sum of n_parts rows of `partial`, in their order; where `adds`, that sum is added.
extern "C" __global__ void sum_parts(const float *partial, float *sum, int n_parts, int width, int adds) {
  const int col = blockIdx.x * blockDim.x + threadIdx.x;
  if (col >= width) return;
  float total = adds ? sum[col] : 0.0f;
  for (int part = 0; part < n_parts; part++) total += partial[static_cast<size_t>(part) * width + col];
  sum[col] = total;
}
KERNEL(sum_parts)
