// Root mean square normalization, forward and backward. Sums are in f32, whatever type the values are stored in.
//
// A block takes rows one after the other, each with all of its threads: a thread has the columns threadIdx.x,
// threadIdx.x + blockDim.x and so on. blockDim.x is a multiple of 32 and at most 1024.
#include "../../cuda/common.cuh"

namespace {

// y = x / sqrt(mean(x²) + eps) · weight for the rows of this block: a row, then the gridDim.x-th after it.
template <class T, class W>
__device__ void forward(const T *x, const W *weight, T *y, int n, int width, float eps) {
  __shared__ float scratch[64];
  for (int row = blockIdx.x; row < n; row += gridDim.x) {
    const T *from = x + static_cast<size_t>(row) * width;
    T *to = y + static_cast<size_t>(row) * width;
    float squares = 0.0f;
    for (int col = threadIdx.x; col < width; col += blockDim.x) {
      const float value = to_float(from[col]);
      squares += value * value;
    }
    const float scale = rsqrtf(block_sum(squares, scratch) / width + eps);
    for (int col = threadIdx.x; col < width; col += blockDim.x) {
      store(to + col, to_float(from[col]) * scale * to_float(weight[col]));
    }
  }
}

// Gradients of x, and of the weight the part of this block's rows, `rows_per_block` from blockIdx.x · rows_per_block
// on: partial (gridDim.x, width). The split does not depend on the device, so the sums have one order everywhere.
template <class T, class W>
__device__ void backward(const T *x, const W *weight, const T *gradient, T *of_x, float *partial, int n, int width,
                         int rows_per_block, float eps) {
  __shared__ float scratch[64];
  float *sums = partial + static_cast<size_t>(blockIdx.x) * width;
  for (int col = threadIdx.x; col < width; col += blockDim.x) sums[col] = 0.0f;
  const int first = blockIdx.x * rows_per_block;
  for (int row = first; row < n && row < first + rows_per_block; row++) {
    const size_t start = static_cast<size_t>(row) * width;
    float2 squares_and_pull = make_float2(0.0f, 0.0f);
    for (int col = threadIdx.x; col < width; col += blockDim.x) {
      const float value = to_float(x[start + col]);
      squares_and_pull.x += value * value;
      squares_and_pull.y += value * to_float(gradient[start + col]) * to_float(weight[col]);
    }
    squares_and_pull = block_sums(squares_and_pull, scratch);
    const float scale = rsqrtf(squares_and_pull.x / width + eps);
    const float pull = squares_and_pull.y * scale * scale / width;
    for (int col = threadIdx.x; col < width; col += blockDim.x) {
      const float value = to_float(x[start + col]), g = to_float(gradient[start + col]);
      store(of_x + start + col, scale * (g * to_float(weight[col]) - value * pull));
      sums[col] += g * value * scale;  // A column has one thread.
    }
  }
}

}  // namespace

#define RMS_NORM(NAME, T, W)                                                                                    \
  extern "C" __global__ void rms_norm_forward_##NAME(const T *x, const W *weight, T *y, int n, int width,       \
                                                     float eps) {                                               \
    forward(x, weight, y, n, width, eps);                                                                       \
  }                                                                                                             \
  KERNEL(rms_norm_forward_##NAME)                                                                               \
  extern "C" __global__ void rms_norm_backward_##NAME(const T *x, const W *weight, const T *gradient, T *of_x,  \
                                                      float *partial, int n, int width, int rows_per_block,     \
                                                      float eps) {                                              \
    backward(x, weight, gradient, of_x, partial, n, width, rows_per_block, eps);                                \
  }                                                                                                             \
  KERNEL(rms_norm_backward_##NAME)

// The type of the values, then that of the weight.
RMS_NORM(f32_f32, float, float)
RMS_NORM(bf16_f32, bf16, float)
RMS_NORM(bf16_bf16, bf16, bf16)
