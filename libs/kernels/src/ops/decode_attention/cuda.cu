// Attention of one new token per row over prefixes that rows share and suffixes of their own. A piece of keys is read
// once for all rows and heads that attend to it, and what pieces give is put together by a second kernel, so that few
// rows keep a whole GPU busy too ("Flash-Decoding").
//
// q (R, n_heads · head_dim), prefix (P, n_kv_heads · head_dim), suffix (slots · capacity, n_kv_heads · head_dim).
#include "../../cuda/attention_tile.cuh"
#include "../attention/plain.cuh"

namespace {

// Up to 64 queries, n_rows rows of the heads that share a key head, and the keys that they meet.
struct Piece {
  uint32_t first_row, n_rows, first_key, n_keys, is_suffix;
  // The place of the result among those of a row.
  uint32_t part;
};

// Where a row's keys are.
struct RowKeys {
  uint32_t first_prefix, n_prefix, first_suffix, n_suffix, n_parts;
};

// grid (pieces, n_kv_heads). sums (R, n_parts, n_heads, head_dim) are not normalized; stats (R, n_parts, n_heads) are the
// largest scaled score and the sum of the powers over it.
template <int D>
__device__ void attend(const bf16 *q, const bf16 *prefix_k, const bf16 *prefix_v, const bf16 *suffix_k,
                       const bf16 *suffix_v, float *sums, float2 *stats, const Piece *pieces, int n_parts,
                       PlainShape shape, float scale) {
  __shared__ __align__(16) bf16 keys[TILE_KEYS * SHARED_STRIDE<D>];
  __shared__ __align__(16) bf16 values[TILE_KEYS * SHARED_STRIDE<D>];
  const Piece piece = pieces[blockIdx.x];
  if (piece.n_rows == 0) return;  // Tables are filled up with such.
  const int head_dim = shape.head_dim, repeats = shape.n_heads / shape.n_kv_heads, kv_head = blockIdx.y;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, n_queries = piece.n_rows * repeats;
  const auto place = [&](int query) {
    return static_cast<size_t>(piece.first_row + query / repeats) * shape.n_heads + kv_head * repeats + query % repeats;
  };
  for (int i = threadIdx.x; i < TILE_QUERIES * (D / 8); i += TILE_THREADS) {
    const int query = i / (D / 8), col = i % (D / 8) * 8;
    const bool is_there = query < n_queries && col < head_dim;
    start_copy(keys + query * SHARED_STRIDE<D> + col, is_there ? q + place(query) * head_dim + col : q,
               is_there ? 16 : 0);
  }
  end_of_copies();
  wait_for_copies<0>();
  __syncthreads();
  QueryTile<D> queries;
  queries.start(keys + warp * 16 * SHARED_STRIDE<D>);
  __syncthreads();
  const size_t stride = static_cast<size_t>(shape.n_kv_heads) * head_dim;
  const size_t start = piece.first_key * stride + static_cast<size_t>(kv_head) * head_dim;
  const bf16 *k = (piece.is_suffix ? suffix_k : prefix_k) + start, *v = (piece.is_suffix ? suffix_v : prefix_v) + start;
  const auto load = [&](bf16 *to, const bf16 *from, int first) {
    start_rows<D>(to, from + first * stride, stride, TILE_KEYS, min(TILE_KEYS, static_cast<int>(piece.n_keys) - first),
                  head_dim);
    end_of_copies();
  };
  const int n_keys = piece.n_keys;
  if (n_keys > 0) load(keys, k, 0);
  for (int first = 0; first < n_keys; first += TILE_KEYS) {
    load(values, v, first);
    wait_for_copies<1>();
    __syncthreads();
    float s[TILE_KEYS / 8][4];
    // A warp without a query has nothing to do but to copy.
    const bool has_query = warp * 16 < n_queries;
    if (has_query) {
      queries.scores(s, keys);
      for (int i = 0; i < TILE_KEYS / 8; i++) {
        for (int j = 0; j < 4; j++) {
          if (first + i * 8 + lane % 4 * 2 + j % 2 >= n_keys) s[i][j] = -INFINITY;
        }
      }
    }
    __syncthreads();  // The keys have been read by all.
    const bool goes_on = first + TILE_KEYS < n_keys;
    if (goes_on) load(keys, k, first + TILE_KEYS);
    if (has_query) queries.soften(s, scale * LOG2_E);
    if (goes_on) {
      wait_for_copies<1>();
    } else {
      wait_for_copies<0>();
    }
    __syncthreads();
    if (has_query) queries.add_values(s, values);
    __syncthreads();  // The values have been read by all.
  }
  queries.finish();
  for (int half = 0; half < 2; half++) {
    const int query = warp * 16 + lane / 4 + half * 8;
    if (query >= n_queries) continue;
    const size_t row = piece.first_row + query / repeats, head = kv_head * repeats + query % repeats;
    const size_t at = (row * n_parts + piece.part) * shape.n_heads + head;
    for (int i = 0; i < D / 8; i++) {
      for (int j = 0; j < 2; j++) {
        const int col = i * 8 + lane % 4 * 2 + j;
        if (col < head_dim) sums[at * head_dim + col] = queries.out[i][2 * half + j];
      }
    }
    if (lane % 4 == 0) stats[at] = make_float2(queries.largest[half] * scale, queries.sum[half]);
  }
}

}  // namespace

// grid (R, n_heads). A row without keys gets zeros.
extern "C" __global__ void decode_attention_combine(const float *sums, const float2 *stats, const RowKeys *rows,
                                                    bf16 *out, int n_parts, int n_heads, int head_dim) {
  const size_t row = blockIdx.x, head = blockIdx.y;
  const uint32_t n_own_parts = rows[row].n_parts;
  const auto place = [&](size_t part) { return (row * n_parts + part) * n_heads + head; };
  float largest = -INFINITY, total = 0.0f;
  for (uint32_t part = 0; part < n_own_parts; part++) largest = fmaxf(largest, stats[place(part)].x);
  for (uint32_t part = 0; part < n_own_parts; part++) {
    total += stats[place(part)].y * expf(stats[place(part)].x - largest);
  }
  for (int col = threadIdx.x; col < head_dim; col += blockDim.x) {
    float sum = 0.0f;
    for (uint32_t part = 0; part < n_own_parts; part++) {
      sum += sums[place(part) * head_dim + col] * expf(stats[place(part)].x - largest);
    }
    store(out + (row * n_heads + head) * head_dim + col, total > 0.0f ? sum / total : 0.0f);
  }
}
KERNEL(decode_attention_combine)

namespace {

// For types and widths that tensor cores do not take. grid (R, n_heads), one warp.
template <class T>
__device__ void attend_plain(const T *q, const T *prefix_k, const T *prefix_v, const T *suffix_k, const T *suffix_v,
                             T *out, const RowKeys *rows, PlainShape shape, float scale) {
  __shared__ float query[PLAIN_WIDTH];
  const int head = blockIdx.y, lane = threadIdx.x, width = shape.head_dim;
  const RowKeys keys = rows[blockIdx.x];
  const auto of_key = [&](int key) { return shape.kv_at(key, head); };
  const size_t at = shape.q_at(blockIdx.x, head);
  keep_row(query, q + at, width);
  float largest = -INFINITY, sum = 0.0f, columns[PLAIN_COLUMNS] = {};
  const auto meet = [&](const T *k, const T *v, uint32_t first, uint32_t n) {
    for (uint32_t i = 0; i < n; i += 32) {
      const int key = i + lane < n ? static_cast<int>(first + i + lane) : NONE_HERE;
      const float score = key == NONE_HERE ? -INFINITY : scale * product(query, k + of_key(key), width);
      const float most = fmaxf(largest, warp_max(score)), fade = expf(largest - most), power = expf(score - most);
      largest = most;
      sum = sum * fade + warp_sum(power);
      for (int j = 0; j < PLAIN_COLUMNS; j++) columns[j] *= fade;
      add_rows(columns, power, key, width, v, of_key);
    }
  };
  meet(prefix_k, prefix_v, keys.first_prefix, keys.n_prefix);
  meet(suffix_k, suffix_v, keys.first_suffix, keys.n_suffix);
#pragma unroll
  for (int i = 0; i < PLAIN_COLUMNS; i++) {
    if (i * 32 + lane < width) store(out + at + i * 32 + lane, sum > 0.0f ? columns[i] / sum : 0.0f);
  }
}

}  // namespace

// Two blocks on a multiprocessor leave each enough registers to keep all in them.
#define ATTEND(D)                                                                                                \
  extern "C" __global__ void __launch_bounds__(TILE_THREADS, 2) decode_attention_bf16_##D(                       \
      const bf16 *q, const bf16 *prefix_k, const bf16 *prefix_v, const bf16 *suffix_k, const bf16 *suffix_v,     \
      float *sums, float2 *stats, const Piece *pieces, int n_parts, int n_heads, int n_kv_heads, int head_dim,   \
      float scale) {                                                                                             \
    attend<D>(q, prefix_k, prefix_v, suffix_k, suffix_v, sums, stats, pieces, n_parts,                           \
              {n_heads, n_kv_heads, head_dim}, scale);                                                           \
  }                                                                                                              \
  KERNEL(decode_attention_bf16_##D)

// By the width of a head, rounded up.
ATTEND(32)
ATTEND(64)
ATTEND(80)
ATTEND(96)
ATTEND(128)

#define ATTEND_PLAIN(NAME, T)                                                                                    \
  extern "C" __global__ void decode_attention_##NAME##_plain(                                                    \
      const T *q, const T *prefix_k, const T *prefix_v, const T *suffix_k, const T *suffix_v, T *out,            \
      const RowKeys *rows, int n_heads, int n_kv_heads, int head_dim, float scale) {                             \
    attend_plain(q, prefix_k, prefix_v, suffix_k, suffix_v, out, rows, {n_heads, n_kv_heads, head_dim}, scale);  \
  }                                                                                                              \
  KERNEL(decode_attention_##NAME##_plain)

ATTEND_PLAIN(f32, float)
ATTEND_PLAIN(bf16, bf16)
