// Attention without tensor cores, for types and widths that they do not take: a warp has one query, or one key in the
// backward pass, and a lane one of 32 partners at a time. Heads are at most 256 wide.
#pragma once
#include "tables.cuh"

namespace {

constexpr int PLAIN_WARPS = 4, PLAIN_WIDTH = 256, PLAIN_COLUMNS = PLAIN_WIDTH / 32;

struct PlainShape {
  int n_heads, n_kv_heads, head_dim;

  __device__ size_t q_at(size_t row, int head) const { return (row * n_heads + head) * head_dim; }
  __device__ size_t kv_at(size_t row, int head) const {
    return (row * n_kv_heads + head / (n_heads / n_kv_heads)) * head_dim;
  }
};

// A row in the memory of a warp, in f32.
template <class T> __device__ void keep_row(float *to, const T *from, int width) {
  __syncwarp();
  for (int col = threadIdx.x % 32; col < width; col += 32) to[col] = to_float(from[col]);
  __syncwarp();
}

template <class T> __device__ float product(const float *a, const T *b, int width) {
  float sum = 0.0f;
  for (int col = 0; col < width; col++) sum += a[col] * to_float(b[col]);
  return sum;
}

// Calls f(key) with 32 keys at a time, each lane with one; NONE_HERE where a lane has none.
constexpr int NONE_HERE = -1;
template <class F> __device__ void for_keys(const QueryTable &tile, int query, F f) {
  const int lane = threadIdx.x % 32, n_shared = tile.n_shared;
  const int n_own = tile.n_own ? static_cast<int>(tile.n_before) + query + 1 : 0;
  for (int first = 0; first < n_shared; first += 32) {
    f(first + lane < n_shared ? static_cast<int>(tile.first_shared) + first + lane : NONE_HERE);
  }
  for (int first = 0; first < n_own; first += 32) {
    f(first + lane < n_own ? static_cast<int>(tile.first_own) + first + lane : NONE_HERE);
  }
}

// Adds the lanes' rows, each with its weight, to the columns of the warp.
template <class T, class Row>
__device__ void add_rows(float (&sums)[PLAIN_COLUMNS], float weight, int place, int width, const T *all, Row at) {
  const int lane = threadIdx.x % 32;
  for (int j = 0; j < 32; j++) {
    const float of_lane = __shfl_sync(ALL_LANES, weight, j);
    const int row = __shfl_sync(ALL_LANES, place, j);
    if (row == NONE_HERE) continue;
    const T *from = all + at(row);
#pragma unroll
    for (int i = 0; i < PLAIN_COLUMNS; i++) {
      if (i * 32 + lane < width) sums[i] += of_lane * to_float(from[i * 32 + lane]);
    }
  }
}

template <class T>
__device__ void plain_forward(const T *q, const T *k, const T *v, T *out, float *lse, const QueryTable *tiles,
                              PlainShape shape, float scale) {
  __shared__ float rows[PLAIN_WARPS][PLAIN_WIDTH];
  const QueryTable tile = tiles[blockIdx.x];
  const int head = blockIdx.y, warp = threadIdx.x / 32, lane = threadIdx.x % 32, width = shape.head_dim;
  const auto of_key = [&](int key) { return shape.kv_at(key, head); };
  for (int query = warp; query < static_cast<int>(tile.n_queries); query += PLAIN_WARPS) {
    const size_t row = tile.first_query + query, at = shape.q_at(row, head);
    keep_row(rows[warp], q + at, width);
    float largest = -INFINITY, sum = 0.0f, sums[PLAIN_COLUMNS] = {};
    for_keys(tile, query, [&](int key) {
      const float score = key == NONE_HERE ? -INFINITY : scale * product(rows[warp], k + of_key(key), width);
      const float most = fmaxf(largest, warp_max(score)), fade = expf(largest - most), power = expf(score - most);
      largest = most;
      sum = sum * fade + warp_sum(power);
      for (int i = 0; i < PLAIN_COLUMNS; i++) sums[i] *= fade;
      add_rows(sums, power, key, width, v, of_key);
    });
#pragma unroll
    for (int i = 0; i < PLAIN_COLUMNS; i++) {
      if (i * 32 + lane < width) store(out + at + i * 32 + lane, sums[i] / sum);
    }
    if (lane == 0) lse[row * shape.n_heads + head] = largest + logf(sum);
  }
}

template <class T>
__device__ void plain_backward_queries(const T *q, const T *k, const T *v, const T *gradient, const float *lse,
                                       const float *delta, T *of_q, const QueryTable *tiles, PlainShape shape,
                                       float scale) {
  __shared__ float rows[PLAIN_WARPS][PLAIN_WIDTH], gradients[PLAIN_WARPS][PLAIN_WIDTH];
  const QueryTable tile = tiles[blockIdx.x];
  const int head = blockIdx.y, warp = threadIdx.x / 32, lane = threadIdx.x % 32, width = shape.head_dim;
  const auto of_key = [&](int key) { return shape.kv_at(key, head); };
  for (int query = warp; query < static_cast<int>(tile.n_queries); query += PLAIN_WARPS) {
    const size_t row = tile.first_query + query, at = shape.q_at(row, head);
    keep_row(rows[warp], q + at, width);
    keep_row(gradients[warp], gradient + at, width);
    const float own_lse = lse[row * shape.n_heads + head], own_delta = delta[row * shape.n_heads + head];
    float sums[PLAIN_COLUMNS] = {};
    for_keys(tile, query, [&](int key) {
      float of_score = 0.0f;
      if (key != NONE_HERE) {
        const float p = expf(scale * product(rows[warp], k + of_key(key), width) - own_lse);
        of_score = p * (product(gradients[warp], v + of_key(key), width) - own_delta) * scale;
      }
      add_rows(sums, of_score, key, width, k, of_key);
    });
#pragma unroll
    for (int i = 0; i < PLAIN_COLUMNS; i++) {
      if (i * 32 + lane < width) store(of_q + at + i * 32 + lane, sums[i]);
    }
  }
}

template <class T>
__device__ void plain_backward_keys(const T *q, const T *k, const T *v, const T *gradient, const float *lse,
                                    const float *delta, float *of_k, float *of_v, const KeyTable *tiles,
                                    const QuerySpan *spans, PlainShape shape, float scale) {
  __shared__ float keys[PLAIN_WARPS][PLAIN_WIDTH], values[PLAIN_WARPS][PLAIN_WIDTH];
  const KeyTable tile = tiles[blockIdx.x];
  const int head = blockIdx.y, warp = threadIdx.x / 32, lane = threadIdx.x % 32, width = shape.head_dim;
  const auto of_query = [&](int query) { return shape.q_at(query, head); };
  for (int key = warp; key < static_cast<int>(tile.n_keys); key += PLAIN_WARPS) {
    keep_row(keys[warp], k + shape.kv_at(tile.first_key + key, head), width);
    keep_row(values[warp], v + shape.kv_at(tile.first_key + key, head), width);
    float sum_k[PLAIN_COLUMNS] = {}, sum_v[PLAIN_COLUMNS] = {};
    for (uint32_t span_idx = tile.first_span; span_idx < tile.first_span + tile.n_spans; span_idx++) {
      const QuerySpan span = spans[span_idx];
      for (uint32_t first = 0; first < span.n_queries; first += 32) {
        const uint32_t idx = first + lane;
        const bool attends =
            idx < span.n_queries && (!span.causal || tile.position + key <= span.position + idx);
        const int query = attends ? static_cast<int>(span.first_query + idx) : NONE_HERE;
        float p = 0.0f, of_score = 0.0f;
        if (attends) {
          const size_t place = static_cast<size_t>(query) * shape.n_heads + head;
          p = expf(scale * product(keys[warp], q + of_query(query), width) - lse[place]);
          of_score = p * (product(values[warp], gradient + of_query(query), width) - delta[place]) * scale;
        }
        add_rows(sum_v, p, query, width, gradient, of_query);
        add_rows(sum_k, of_score, query, width, q, of_query);
      }
    }
    const size_t slot = shape.q_at(tile.first_slot + key, head);
#pragma unroll
    for (int i = 0; i < PLAIN_COLUMNS; i++) {
      if (i * 32 + lane >= width) continue;
      of_k[slot + i * 32 + lane] = sum_k[i];
      of_v[slot + i * 32 + lane] = sum_v[i];
    }
  }
}

}  // namespace
