// Layer normalization, forward and backward. Sums are in f32, whatever type the values are stored in.
//
// A block takes rows one after the other, each with all of its threads: a thread has the columns threadIdx.x,
// threadIdx.x + blockDim.x and so on. blockDim.x is a multiple of 32 and at most 1024.
#include "../../cuda/common.cuh"

namespace {

// Mean and inverse standard deviation of a row, in every thread.
template <class T> __device__ float2 statistics(const T *row, int width, float eps, float *scratch) {
  float sum = 0.0f;
  for (int col = threadIdx.x; col < width; col += blockDim.x) sum += to_float(row[col]);
  const float mean = block_sum(sum, scratch) / width;
  float squares = 0.0f;
  for (int col = threadIdx.x; col < width; col += blockDim.x) {
    const float centered = to_float(row[col]) - mean;
    squares += centered * centered;
  }
  return make_float2(mean, rsqrtf(block_sum(squares, scratch) / width + eps));
}

// For the rows of this block: a row, then the gridDim.x-th after it.
template <class T, class W>
__device__ void forward(const T *x, const W *weight, const W *bias, T *y, int n, int width, float eps) {
  __shared__ float scratch[64];
  for (int row = blockIdx.x; row < n; row += gridDim.x) {
    const size_t start = static_cast<size_t>(row) * width;
    const float2 of_row = statistics(x + start, width, eps, scratch);
    for (int col = threadIdx.x; col < width; col += blockDim.x) {
      const float normalized = (to_float(x[start + col]) - of_row.x) * of_row.y;
      store(y + start + col, normalized * to_float(weight[col]) + to_float(bias[col]));
    }
  }
}

// Gradients of x, and of weight and bias the part of this block's rows, `rows_per_block` of them: partial
// (gridDim.x, 2, width). The split does not depend on the device, so the sums have one order everywhere.
template <class T, class W>
__device__ void backward(const T *x, const W *weight, const T *gradient, T *of_x, float *partial, int n, int width,
                         int rows_per_block, float eps) {
  __shared__ float scratch[64];
  float *of_weight = partial + static_cast<size_t>(blockIdx.x) * 2 * width, *of_bias = of_weight + width;
  for (int col = threadIdx.x; col < width; col += blockDim.x) of_weight[col] = of_bias[col] = 0.0f;
  const int first = blockIdx.x * rows_per_block;
  for (int row = first; row < n && row < first + rows_per_block; row++) {
    const size_t start = static_cast<size_t>(row) * width;
    const float2 of_row = statistics(x + start, width, eps, scratch);
    float2 shift_and_pull = make_float2(0.0f, 0.0f);
    for (int col = threadIdx.x; col < width; col += blockDim.x) {
      const float normalized = (to_float(x[start + col]) - of_row.x) * of_row.y;
      const float g = to_float(gradient[start + col]) * to_float(weight[col]);
      shift_and_pull.x += g;
      shift_and_pull.y += g * normalized;
    }
    shift_and_pull = block_sums(shift_and_pull, scratch);
    const float shift = shift_and_pull.x / width, pull = shift_and_pull.y / width;
    for (int col = threadIdx.x; col < width; col += blockDim.x) {
      const float normalized = (to_float(x[start + col]) - of_row.x) * of_row.y;
      const float g = to_float(gradient[start + col]);
      store(of_x + start + col, of_row.y * (g * to_float(weight[col]) - shift - normalized * pull));
      of_weight[col] += g * normalized;  // A column has one thread.
      of_bias[col] += g;
    }
  }
}

}  // namespace

#define LAYER_NORM(NAME, T, W)                                                                                   \
  extern "C" __global__ void layer_norm_forward_##NAME(const T *x, const W *weight, const W *bias, T *y, int n,  \
                                                       int width, float eps) {                                   \
    forward(x, weight, bias, y, n, width, eps);                                                                  \
  }                                                                                                              \
  KERNEL(layer_norm_forward_##NAME)                                                                              \
  extern "C" __global__ void layer_norm_backward_##NAME(const T *x, const W *weight, const T *gradient, T *of_x, \
                                                        float *partial, int n, int width, int rows_per_block,    \
                                                        float eps) {                                             \
    backward(x, weight, gradient, of_x, partial, n, width, rows_per_block, eps);                                 \
  }                                                                                                              \
  KERNEL(layer_norm_backward_##NAME)

// The type of the values, then that of weight and bias.
LAYER_NORM(f32_f32, float, float)
LAYER_NORM(bf16_f32, bf16, float)
LAYER_NORM(bf16_bf16, bf16, bf16)
