// What surrounds the products and the attention of a decoding step: a few rows, one new token each.
//
// Low-rank adapters: a row of a projection's results has the outputs of its layers, and behind them the inner values
// x · Aᵀ of their adapters, since the first factors lie behind the weights. The second factors are applied here, where
// the outputs are read.
#include "../../cuda/common.cuh"

namespace {

constexpr uint32_t NOWHERE = 0xffffffffu;

// Eight values with one load.
template <class T> struct alignas(16) Eight { T value[8]; };

// t · b of one output: inner values t (rank), and b (rank), a row of the second factor.
template <class T> __device__ __forceinline__ float inner_product(const T *t, const T *b, int rank) {
  float sum = 0.0f;
  if (rank % 8 == 0) {
    for (int i = 0; i < rank; i += 8) {
      const Eight<T> factors = *reinterpret_cast<const Eight<T> *>(b + i);
#pragma unroll
      for (int j = 0; j < 8; j++) sum += to_float(t[i + j]) * to_float(factors.value[j]);
    }
    return sum;
  }
  for (int i = 0; i < rank; i++) sum += to_float(t[i]) * to_float(b[i]);
  return sum;
}

// As it would be if it had been stored and read again.
template <class T> __device__ __forceinline__ float rounded(float x) {
  T stored;
  store(&stored, x);
  return to_float(stored);
}

// grid (R): x += y + bias + scale · t · bᵀ, and h = RMS norm of x. y 0 adds nothing, b 0 is no adapter. A row of y has
// `stride` values: `width` that are added, then t (rank). x, h (R, width), b (width, rank).
template <class T>
__device__ void add_norm(const T *y, const T *bias, const T *b, T *x, const T *norm, T *h, int width, int stride, int rank,
                         float scale, float eps) {
  __shared__ float scratch[64];
  const size_t start = static_cast<size_t>(blockIdx.x) * width;
  const T *added_to = y + static_cast<size_t>(blockIdx.x) * stride;
  float squares = 0.0f;
  for (int col = threadIdx.x; col < width; col += blockDim.x) {
    float value = to_float(x[start + col]);
    if (y) {
      float added = to_float(added_to[col]);
      if (bias) added += to_float(bias[col]);
      if (b) added += scale * inner_product(added_to + width, b + static_cast<size_t>(col) * rank, rank);
      value = rounded<T>(value + added);
      store(x + start + col, value);
    }
    squares += value * value;
  }
  const float factor = rsqrtf(block_sum(squares, scratch) / width + eps);
  // A thread reads what it has written itself.
  for (int col = threadIdx.x; col < width; col += blockDim.x) {
    store(h + start + col, to_float(x[start + col]) * factor * to_float(norm[col]));
  }
}

// Widest head.
constexpr int HEAD_WIDTH = 256;

// grid (R, n_heads + 2 · n_kv_heads): queries, keys and values of qkv (R, stride) with bias and adapter; queries and keys normalized by head if there is a norm, and rotated; queries to q (R, n_heads · head_dim), keys and
// values to the rows `newest` of their caches (…, n_kv_heads · head_dim). A row of qkv has the values of all heads, then
// the inner values of three adapters, (3 · rank); b (heads · head_dim, rank).
template <class T>
__device__ void place(const T *qkv, const T *bias, const T *b, const T *q_norm, const T *k_norm,
                      const uint32_t *positions, const float *frequencies, const uint32_t *newest, T *q, T *keys,
                      T *values, int n_heads, int n_kv_heads, int head_dim, int stride, int rank, float scale, float eps) {
  __shared__ float scratch[64];
  __shared__ float of_head[HEAD_WIDTH];
  const int row = blockIdx.x, head = blockIdx.y, part = (head >= n_heads) + (head >= n_heads + n_kv_heads);
  const size_t first = static_cast<size_t>(head) * head_dim, n_outputs = static_cast<size_t>(gridDim.y) * head_dim;
  const T *of_row = qkv + static_cast<size_t>(row) * stride;
  float squares = 0.0f;
  for (int i = threadIdx.x; i < head_dim; i += blockDim.x) {
    float value = to_float(of_row[first + i]);
    if (bias) value += to_float(bias[first + i]);
    if (b) value += scale * inner_product(of_row + n_outputs + part * rank, b + (first + i) * rank, rank);
    of_head[i] = value;
    squares += value * value;
  }
  const T *norm = part == 0 ? q_norm : part == 1 ? k_norm : nullptr;
  const float factor = rsqrtf(block_sum(squares, scratch) / head_dim + eps);
  const int kv_head = head - n_heads - (part == 2 ? n_kv_heads : 0);
  if (part > 0 && newest[row] == NOWHERE) return;
  const size_t kv_start = part > 0 ? (static_cast<size_t>(newest[row]) * n_kv_heads + kv_head) * head_dim : 0;
  T *to = part == 0 ? q + (static_cast<size_t>(row) * n_heads + head) * head_dim : (part == 1 ? keys : values) + kv_start;
  const auto normalized = [&](int i) { return norm ? rounded<T>(of_head[i] * factor * to_float(norm[i])) : of_head[i]; };
  const int half = head_dim / 2;
  for (int i = threadIdx.x; i < half; i += blockDim.x) {
    const float x = normalized(i), y = normalized(i + half);
    const float angle = static_cast<float>(positions[row]) * frequencies[i];
    const float c = part == 2 ? 1.0f : cosf(angle), s = part == 2 ? 0.0f : sinf(angle);
    store(to + i, x * c - y * s);
    store(to + i + half, y * c + x * s);
  }
}

// inner (R, width) = silu(gate) · up of gate_up (R, stride), each with bias and adapter: a row has the values of both, then
// the inner values of two adapters, (2 · rank); b (2 · width, rank).
template <class T>
__device__ void gated(const T *gate_up, const T *bias, const T *b, T *inner, uint64_t n, int width, int stride, int rank,
                      float scale) {
  for (size_t i = first_place(); i < n * width; i += n_places()) {
    const size_t col = i % width;
    const T *of_row = gate_up + i / width * stride;
    const auto value = [&](int part) {
      const size_t output = part * static_cast<size_t>(width) + col;
      float value = to_float(of_row[output]);
      if (bias) value += to_float(bias[output]);
      if (b) value += scale * inner_product(of_row + 2 * static_cast<size_t>(width) + part * rank, b + output * rank, rank);
      return value;
    };
    const float gate = value(0);
    store(inner + i, gate / (1.0f + expf(-gate)) * value(1));
  }
}

}  // namespace

#define DECODE_STEP(NAME, T)                                                                                           \
  extern "C" __global__ void decode_step_add_norm_##NAME(const T *y, const T *bias, const T *b, T *x, const T *norm,  \
                                                         T *h, int width, int stride, int rank, float scale,          \
                                                         float eps) {                                                  \
    add_norm(y, bias, b, x, norm, h, width, stride, rank, scale, eps);                                                 \
  }                                                                                                                    \
  KERNEL(decode_step_add_norm_##NAME)                                                                                  \
  extern "C" __global__ void decode_step_place_##NAME(                                                                 \
      const T *qkv, const T *bias, const T *b, const T *q_norm, const T *k_norm, const uint32_t *positions,            \
      const float *frequencies, const uint32_t *newest, T *q, T *keys, T *values, int n_heads, int n_kv_heads,         \
      int head_dim, int stride, int rank, float scale, float eps) {                                                    \
    place(qkv, bias, b, q_norm, k_norm, positions, frequencies, newest, q, keys, values, n_heads, n_kv_heads,          \
          head_dim, stride, rank, scale, eps);                                                                         \
  }                                                                                                                    \
  KERNEL(decode_step_place_##NAME)                                                                                     \
  extern "C" __global__ void decode_step_gated_##NAME(const T *gate_up, const T *bias, const T *b, T *inner,           \
                                                      uint64_t n, int width, int stride, int rank, float scale) {      \
    gated(gate_up, bias, b, inner, n, width, stride, rank, scale);                                                     \
  }                                                                                                                    \
  KERNEL(decode_step_gated_##NAME)

DECODE_STEP(f32, float)
DECODE_STEP(bf16, bf16)
