// Rows of a table mixed into one, and the gradient of the table. A block takes rows one after the other.
#include "../../cuda/common.cuh"

namespace {

// y (n, width): for each row the sum of `n_taps` rows of the table, each times its share.
template <class T, class Y>
__device__ void mix(const T *table, const uint32_t *rows, const float *shares, Y *y, uint64_t n, int width, int n_taps) {
  for (uint64_t row = blockIdx.x; row < n; row += gridDim.x) {
    for (int col = threadIdx.x; col < width; col += blockDim.x) {
      float sum = 0.0f;
      for (uint64_t tap = row * n_taps; tap < (row + 1) * n_taps; tap++) {
        sum += shares[tap] * to_float(table[static_cast<size_t>(rows[tap]) * width + col]);
      }
      store(y + row * width + col, sum);
    }
  }
}

// Adds to row named[i] of `sum` the gradients of the rows that it was mixed into: taps[starts[i]] and so on until
// taps[starts[i + 1]], in their order.
template <class G>
__device__ void scatter(const G *gradient, const uint32_t *named, const uint32_t *starts, const uint32_t *taps,
                        const float *shares, float *sum, uint64_t n, int width, int n_taps) {
  for (uint64_t i = blockIdx.x; i < n; i += gridDim.x) {
    float *to = sum + static_cast<size_t>(named[i]) * width;
    for (int col = threadIdx.x; col < width; col += blockDim.x) {
      float added = 0.0f;
      for (uint32_t place = starts[i]; place < starts[i + 1]; place++) {
        const uint32_t tap = taps[place];
        added += shares[tap] * to_float(gradient[static_cast<size_t>(tap / n_taps) * width + col]);
      }
      to[col] += added;
    }
  }
}

}  // namespace

#define MIX(NAME, T, Y)                                                                                          \
  extern "C" __global__ void mix_rows_##NAME(const T *table, const uint32_t *rows, const float *shares, Y *y,    \
                                             uint64_t n, int width, int n_taps) {                                \
    mix(table, rows, shares, y, n, width, n_taps);                                                               \
  }                                                                                                              \
  KERNEL(mix_rows_##NAME)

// The type of the table, then that of the result.
MIX(f32_f32, float, float)
MIX(f32_bf16, float, bf16)
MIX(bf16_f32, bf16, float)
MIX(bf16_bf16, bf16, bf16)

#define SCATTER(NAME, G)                                                                                         \
  extern "C" __global__ void mix_rows_scatter_##NAME(                                                            \
      const G *gradient, const uint32_t *named, const uint32_t *starts, const uint32_t *taps,                    \
      const float *shares, float *sum, uint64_t n, int width, int n_taps) {                                      \
    scatter(gradient, named, starts, taps, shares, sum, n, width, n_taps);                                       \
  }                                                                                                              \
  KERNEL(mix_rows_scatter_##NAME)

SCATTER(f32, float)
SCATTER(bf16, bf16)
