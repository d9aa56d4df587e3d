// What surrounds the products and the attention of a decoding step: a few rows, one new token each.
//
// Low-rank adapters are computed here rather than by products of their own: an adapter's first factor where its input
// is at hand, its second where the output that it is added to is read. `t` are the inner values x · Aᵀ in f32.
#include "../../cuda/common.cuh"

namespace {

constexpr uint32_t NOWHERE = 0xffffffffu;

// Eight values with one load; widths are multiples of 8.
template <class T> struct alignas(16) Eight { T value[8]; };

template <class T> __device__ __forceinline__ void load_eight(const T *from, float *to) {
  const Eight<T> eight = *reinterpret_cast<const Eight<T> *>(from);
  for (int i = 0; i < 8; i++) to[i] = to_float(eight.value[i]);
}

// The product of two rows, by a warp.
template <class X, class T> __device__ float warp_product(const X *x, const T *row, int width) {
  float sum = 0.0f;
#pragma unroll 4
  for (int col = threadIdx.x % 32 * 8; col < width; col += 256) {
    float a[8], b[8];
    load_eight(x + col, a);
    load_eight(row + col, b);
    for (int i = 0; i < 8; i++) sum += a[i] * b[i];
  }
  return warp_sum(sum);
}

// t · b of one output, b (rank).
template <class T> __device__ __forceinline__ float inner_product(const float *t, const T *b, int rank) {
  float sum = 0.0f;
  for (int i = 0; i < rank; i++) sum += t[i] * to_float(b[i]);
  return sum;
}

// As it would be if it had been stored and read again.
template <class T> __device__ __forceinline__ float rounded(float x) {
  T stored;
  store(&stored, x);
  return to_float(stored);
}

// grid (R): x += y + bias + scale · (input · aᵀ) · bᵀ, then h = RMS norm of x, then next_t = h · next_aᵀ.
// y 0 adds nothing; a 0 and next_a 0 are no adapters. x, y, h (R, width), input (R, input_width), a (rank, input_width),
// b (width, rank), next_a (n_next, width), next_t (R, n_next).
template <class T>
__device__ void add_norm(const T *y, const T *bias, const T *input, const T *a, const T *b, T *x, const T *norm, T *h,
                         const T *next_a, float *next_t, int width, int input_width, int rank, int n_next, float scale,
                         float eps) {
  __shared__ float scratch[64];
  DYNAMIC_SHARED(room);
  float *values = reinterpret_cast<float *>(room), *t = values + width;
  const size_t row = blockIdx.x, start = row * width;
  const int warp = threadIdx.x / 32, n_warps = blockDim.x / 32;
  if (a) {
    for (int i = warp; i < rank; i += n_warps) {
      const float product = warp_product(input + row * input_width, a + static_cast<size_t>(i) * input_width, input_width);
      if (threadIdx.x % 32 == 0) t[i] = scale * product;
    }
    __syncthreads();
  }
  float squares = 0.0f;
  for (int col = threadIdx.x; col < width; col += blockDim.x) {
    float value = to_float(x[start + col]);
    if (y) {
      float added = to_float(y[start + col]);
      if (bias) added += to_float(bias[col]);
      if (a) added += inner_product(t, b + static_cast<size_t>(col) * rank, rank);
      value = rounded<T>(value + added);
      store(x + start + col, value);
    }
    values[col] = value;
    squares += value * value;
  }
  const float factor = rsqrtf(block_sum(squares, scratch) / width + eps);
  for (int col = threadIdx.x; col < width; col += blockDim.x) {
    const float value = rounded<T>(values[col] * factor * to_float(norm[col]));
    store(h + start + col, value);
    values[col] = value;
  }
  if (!next_a) return;
  __syncthreads();
  for (int i = warp; i < n_next; i += n_warps) {
    const float product = warp_product(values, next_a + static_cast<size_t>(i) * width, width);
    if (threadIdx.x % 32 == 0) next_t[row * n_next + i] = product;
  }
}

// Widest head.
constexpr int HEAD_WIDTH = 256;

// grid (R, n_heads + 2 · n_kv_heads): queries, keys and values of qkv (R, heads · head_dim) with bias and adapter;
// queries and keys normalized by head if there is a norm, and rotated; queries to q (R, n_heads · head_dim), keys and
// values to the rows `newest` of their caches (…, n_kv_heads · head_dim). t (R, 3 · rank), b (heads · head_dim, rank).
template <class T>
__device__ void place(const T *qkv, const T *bias, const float *t, const T *b, const T *q_norm, const T *k_norm,
                      const uint32_t *positions, const float *frequencies, const uint32_t *newest, T *q, T *keys,
                      T *values, int n_heads, int n_kv_heads, int head_dim, int rank, float scale, float eps) {
  __shared__ float scratch[64];
  __shared__ float of_head[HEAD_WIDTH];
  const int row = blockIdx.x, head = blockIdx.y, part = (head >= n_heads) + (head >= n_heads + n_kv_heads);
  const size_t first = static_cast<size_t>(head) * head_dim, width = static_cast<size_t>(gridDim.y) * head_dim;
  float squares = 0.0f;
  for (int i = threadIdx.x; i < head_dim; i += blockDim.x) {
    float value = to_float(qkv[row * width + first + i]);
    if (bias) value += to_float(bias[first + i]);
    if (b) value += scale * inner_product(t + (row * 3 + part) * rank, b + (first + i) * rank, rank);
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

// inner (R, width) = silu(gate) · up of gate_up (R, 2 · width), each with bias and adapter: t (R, 2 · rank), b
// (2 · width, rank).
template <class T>
__device__ void gated(const T *gate_up, const T *bias, const float *t, const T *b, T *inner, uint64_t n, int width, int rank,
                      float scale) {
  for (size_t i = first_place(); i < n * width; i += n_places()) {
    const size_t row = i / width, col = i % width;
    const auto value = [&](int part) {
      const size_t output = part * static_cast<size_t>(width) + col;
      float value = to_float(gate_up[row * 2 * width + output]);
      if (bias) value += to_float(bias[output]);
      if (b) value += scale * inner_product(t + (row * 2 + part) * rank, b + output * rank, rank);
      return value;
    };
    const float gate = value(0);
    store(inner + i, gate / (1.0f + expf(-gate)) * value(1));
  }
}

}  // namespace

#define DECODE_STEP(NAME, T)                                                                                           \
  extern "C" __global__ void decode_step_add_norm_##NAME(                                                              \
      const T *y, const T *bias, const T *input, const T *a, const T *b, T *x, const T *norm, T *h, const T *next_a,   \
      float *next_t, int width, int input_width, int rank, int n_next, float scale, float eps) {                       \
    add_norm(y, bias, input, a, b, x, norm, h, next_a, next_t, width, input_width, rank, n_next, scale, eps);          \
  }                                                                                                                    \
  KERNEL(decode_step_add_norm_##NAME)                                                                                  \
  extern "C" __global__ void decode_step_place_##NAME(                                                                 \
      const T *qkv, const T *bias, const float *t, const T *b, const T *q_norm, const T *k_norm,                       \
      const uint32_t *positions, const float *frequencies, const uint32_t *newest, T *q, T *keys, T *values,           \
      int n_heads, int n_kv_heads, int head_dim, int rank, float scale, float eps) {                                   \
    place(qkv, bias, t, b, q_norm, k_norm, positions, frequencies, newest, q, keys, values, n_heads, n_kv_heads,       \
          head_dim, rank, scale, eps);                                                                                 \
  }                                                                                                                    \
  KERNEL(decode_step_place_##NAME)                                                                                     \
  extern "C" __global__ void decode_step_gated_##NAME(const T *gate_up, const T *bias, const float *t, const T *b,     \
                                                      T *inner, uint64_t n, int width, int rank, float scale) {        \
    gated(gate_up, bias, t, b, inner, n, width, rank, scale);                                                          \
  }                                                                                                                    \
  KERNEL(decode_step_gated_##NAME)

DECODE_STEP(f32, float)
DECODE_STEP(bf16, bf16)
