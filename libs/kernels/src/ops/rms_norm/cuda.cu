// Root mean square normalization, forward and backward. Sums are in f32, whatever type the values are stored in.
//
// A block takes rows one after the other, each with all of its threads: a thread has the columns threadIdx.x,
// threadIdx.x + blockDim.x and so on. blockDim.x is a multiple of 32 and at most 1024.
#include <cuda_bf16.h>

namespace {

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ __forceinline__ void store(float *to, float x) { *to = x; }
__device__ __forceinline__ void store(__nv_bfloat16 *to, float x) { *to = __float2bfloat16(x); }

// The sums of two values over all threads of the block, in every thread. `scratch` has room for 64 floats.
__device__ __forceinline__ float2 block_sums(float2 value, float *scratch) {
  const unsigned all = 0xffffffffu;
  for (int lane = 16; lane > 0; lane /= 2) {
    value.x += __shfl_xor_sync(all, value.x, lane);
    value.y += __shfl_xor_sync(all, value.y, lane);
  }
  const int warp = threadIdx.x / 32, n_warps = blockDim.x / 32;
  __syncthreads();  // The sums of the row before have been read by all.
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

// y = x / sqrt(mean(x²) + eps) · weight for the rows of this block: a row, then the gridDim.x-th after it.
template <class T, class W>
__device__ void forward(const T *x, const W *weight, T *y, int n, int width, float eps) {
  __shared__ float scratch[64];
  for (int row = blockIdx.x; row < n; row += gridDim.x) {
    const T *from = x + static_cast<size_t>(row) * width;
    T *to = y + static_cast<size_t>(row) * width;
    float2 squares = make_float2(0.0f, 0.0f);
    for (int col = threadIdx.x; col < width; col += blockDim.x) {
      const float value = to_float(from[col]);
      squares.x += value * value;
    }
    const float scale = rsqrtf(block_sums(squares, scratch).x / width + eps);
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
  extern "C" __global__ void rms_norm_backward_##NAME(const T *x, const W *weight, const T *gradient, T *of_x,  \
                                                      float *partial, int n, int width, int rows_per_block,     \
                                                      float eps) {                                              \
    backward(x, weight, gradient, of_x, partial, n, width, rows_per_block, eps);                                \
  }

// The type of the values, then that of the weight.
RMS_NORM(f32_f32, float, float)
RMS_NORM(bf16_f32, __nv_bfloat16, float)
RMS_NORM(bf16_bf16, __nv_bfloat16, __nv_bfloat16)

// The gradient of the weight: the sum of the blocks' parts, in their order. A thread has one column.
extern "C" __global__ void rms_norm_sum_parts(const float *partial, float *of_weight, int n_parts, int width) {
  const int col = blockIdx.x * blockDim.x + threadIdx.x;
  if (col >= width) return;
  float sum = 0.0f;
  for (int part = 0; part < n_parts; part++) sum += partial[static_cast<size_t>(part) * width + col];
  of_weight[col] = sum;
}
