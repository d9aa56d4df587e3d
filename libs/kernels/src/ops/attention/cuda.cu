// Attention over packed groups with a shared prefix, forward and backward, in bfloat16 on tensor cores with sums in
// f32: scores are never in memory (arXiv 2205.14135, 2307.08691). plain.cuh has the kernels for other types and widths.
//
// q (Q, n_heads · head_dim), k and v (N, n_kv_heads · head_dim). No sum depends on the order in which blocks run.
#include "../../cuda/attention_tile.cuh"
#include "plain.cuh"

namespace {

struct Shape {
  int n_heads, n_kv_heads, head_dim;

  __device__ size_t q_stride() const { return static_cast<size_t>(n_heads) * head_dim; }
  __device__ size_t kv_stride() const { return static_cast<size_t>(n_kv_heads) * head_dim; }
  __device__ int kv_head(int head) const { return head / (n_heads / n_kv_heads); }
};

// A block of keys of a query tile: the shared ones first, then those of the own stretch.
struct KeyBlock {
  uint32_t first;
  int n_valid;
  // Of the first key in the own stretch; -1 for keys that all queries attend to.
  int position;

  __device__ KeyBlock(const QueryTable &tile, int block, int n_keys) {
    const int n_shared_blocks = (tile.n_shared + n_keys - 1) / n_keys;
    const bool is_shared = block < n_shared_blocks;
    const uint32_t start = (is_shared ? block : block - n_shared_blocks) * n_keys;
    first = (is_shared ? tile.first_shared : tile.first_own) + start;
    n_valid = min(n_keys, static_cast<int>((is_shared ? tile.n_shared : tile.n_own) - start));
    position = is_shared ? -1 : static_cast<int>(start);
  }

  static __device__ int count(const QueryTable &tile, int n_keys) {
    return (tile.n_shared + n_keys - 1) / n_keys + (tile.n_own + n_keys - 1) / n_keys;
  }

  __device__ bool attends(const QueryTable &tile, int query, int key) const {
    return key < n_valid && (position < 0 || position + key <= static_cast<int>(tile.n_before) + query);
  }
};

// grid (query tiles, n_heads). lse (Q, n_heads): the log of the sum of the powers of a query's scaled scores.
template <int D>
__device__ void forward(const bf16 *q, const bf16 *k, const bf16 *v, bf16 *out, float *lse, const QueryTable *tiles,
                        Shape shape, float scale) {
  __shared__ __align__(16) bf16 keys[TILE_KEYS * SHARED_STRIDE<D>];
  __shared__ __align__(16) bf16 values[TILE_KEYS * SHARED_STRIDE<D>];
  const QueryTable tile = tiles[blockIdx.x];
  const int head = blockIdx.y, warp = threadIdx.x / 32, lane = threadIdx.x % 32, head_dim = shape.head_dim;
  const size_t of_head = static_cast<size_t>(head) * head_dim;
  const size_t of_kv_head = static_cast<size_t>(shape.kv_head(head)) * head_dim;
  QueryTile<D> queries;
  start_rows<D>(keys, q + tile.first_query * shape.q_stride() + of_head, shape.q_stride(), TILE_QUERIES,
                tile.n_queries, head_dim);
  end_of_copies();
  wait_for_copies<0>();
  __syncthreads();
  queries.start(keys + warp * 16 * SHARED_STRIDE<D>);
  __syncthreads();
  const auto load = [&](bf16 *to, const bf16 *from, int block) {
    const KeyBlock of(tile, block, TILE_KEYS);
    start_rows<D>(to, from + of.first * shape.kv_stride() + of_kv_head, shape.kv_stride(), TILE_KEYS, of.n_valid,
                  head_dim);
    end_of_copies();
  };
  const int n_blocks = KeyBlock::count(tile, TILE_KEYS);
  load(keys, k, 0);
  for (int block = 0; block < n_blocks; block++) {
    load(values, v, block);
    wait_for_copies<1>();
    __syncthreads();
    float s[TILE_KEYS / 8][4];
    queries.scores(s, keys);
    const KeyBlock of(tile, block, TILE_KEYS);
    for (int i = 0; i < TILE_KEYS / 8; i++) {
      for (int j = 0; j < 4; j++) {
        const int query = warp * 16 + lane / 4 + j / 2 * 8, key = i * 8 + lane % 4 * 2 + j % 2;
        if (!of.attends(tile, query, key)) s[i][j] = -INFINITY;
      }
    }
    __syncthreads();  // The keys have been read by all.
    if (block + 1 < n_blocks) load(keys, k, block + 1);
    queries.soften(s, scale * LOG2_E);
    if (block + 1 < n_blocks) {
      wait_for_copies<1>();
    } else {
      wait_for_copies<0>();
    }
    __syncthreads();
    queries.add_values(s, values);
    __syncthreads();  // The values have been read by all.
  }
  queries.finish();
  for (int half = 0; half < 2; half++) {
    const int query = warp * 16 + lane / 4 + half * 8;
    if (query >= static_cast<int>(tile.n_queries)) continue;
    const size_t row = tile.first_query + query;
    const float inverse = 1.0f / queries.sum[half];
    bf16 *to = out + row * shape.q_stride() + of_head;
    for (int i = 0; i < D / 8; i++) {
      for (int j = 0; j < 2; j++) {
        const int col = i * 8 + lane % 4 * 2 + j;
        if (col < head_dim) store(to + col, queries.out[i][2 * half + j] * inverse);
      }
    }
    if (lane % 4 == 0) {
      lse[row * shape.n_heads + head] = queries.largest[half] * scale + logf(queries.sum[half]);
    }
  }
}

constexpr int BACK_KEYS = 32, BACK_QUERIES = 32;

// Gradient of q: grid (query tiles, n_heads). delta (Q, n_heads): products of a query's result and its gradient.
template <int D>
__device__ void backward_queries(const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *gradient, const float *lse,
                                 const float *delta, bf16 *of_q, const QueryTable *tiles, Shape shape, float scale) {
  __shared__ __align__(16) bf16 buffer[2 * BACK_KEYS * SHARED_STRIDE<D>];
  bf16 *const keys = buffer, *const values = buffer + BACK_KEYS * SHARED_STRIDE<D>;
  const QueryTable tile = tiles[blockIdx.x];
  const int head = blockIdx.y, warp = threadIdx.x / 32, lane = threadIdx.x % 32, head_dim = shape.head_dim;
  const size_t of_head = static_cast<size_t>(head) * head_dim;
  const size_t of_kv_head = static_cast<size_t>(shape.kv_head(head)) * head_dim;
  const LanePlaces at;
  uint32_t own_q[D / 16][4], own_gradient[D / 16][4];
  const auto read_queries = [&](uint32_t (&to)[D / 16][4], const bf16 *from) {
    start_rows<D>(buffer, from + tile.first_query * shape.q_stride() + of_head, shape.q_stride(), TILE_QUERIES,
                  tile.n_queries, head_dim);
    end_of_copies();
    wait_for_copies<0>();
    __syncthreads();
    load_left<D>(to, buffer + warp * 16 * SHARED_STRIDE<D>);
    __syncthreads();
  };
  read_queries(own_q, q);
  read_queries(own_gradient, gradient);
  float own_lse[2], own_delta[2];
  for (int half = 0; half < 2; half++) {
    const int query = warp * 16 + lane / 4 + half * 8;
    const bool is_there = query < static_cast<int>(tile.n_queries);
    const size_t place = (tile.first_query + query) * static_cast<size_t>(shape.n_heads) + head;
    own_lse[half] = is_there ? lse[place] * LOG2_E : 0.0f;
    own_delta[half] = is_there ? delta[place] : 0.0f;
  }
  float sums[D / 8][4] = {};
  const int n_blocks = KeyBlock::count(tile, BACK_KEYS);
  for (int block = 0; block < n_blocks; block++) {
    const KeyBlock of(tile, block, BACK_KEYS);
    const size_t start = of.first * shape.kv_stride() + of_kv_head;
    start_rows<D>(keys, k + start, shape.kv_stride(), BACK_KEYS, of.n_valid, head_dim);
    start_rows<D>(values, v + start, shape.kv_stride(), BACK_KEYS, of.n_valid, head_dim);
    end_of_copies();
    wait_for_copies<0>();
    __syncthreads();
    float s[BACK_KEYS / 8][4] = {}, of_p[BACK_KEYS / 8][4] = {};
#pragma unroll
    for (int i = 0; i < D / 16; i++) {
#pragma unroll
      for (int n = 0; n < BACK_KEYS / 16; n++) {
        const int place = (n * 16 + at.right_row) * SHARED_STRIDE<D> + i * 16 + at.right_col;
        uint32_t right[4];
        load_matrices(right, keys + place);
        mma(s[2 * n], own_q[i], right[0], right[1]);
        mma(s[2 * n + 1], own_q[i], right[2], right[3]);
        load_matrices(right, values + place);
        mma(of_p[2 * n], own_gradient[i], right[0], right[1]);
        mma(of_p[2 * n + 1], own_gradient[i], right[2], right[3]);
      }
    }
    for (int i = 0; i < BACK_KEYS / 8; i++) {
      for (int j = 0; j < 4; j++) {
        const int query = warp * 16 + lane / 4 + j / 2 * 8, key = i * 8 + lane % 4 * 2 + j % 2;
        const float p = of.attends(tile, query, key) ? exp2f(s[i][j] * scale * LOG2_E - own_lse[j / 2]) : 0.0f;
        s[i][j] = p * (of_p[i][j] - own_delta[j / 2]) * scale;
      }
    }
#pragma unroll
    for (int n = 0; n < BACK_KEYS / 16; n++) {
      const uint32_t left[4] = {pair(s[2 * n][0], s[2 * n][1]), pair(s[2 * n][2], s[2 * n][3]),
                                pair(s[2 * n + 1][0], s[2 * n + 1][1]), pair(s[2 * n + 1][2], s[2 * n + 1][3])};
#pragma unroll
      for (int i = 0; i < D / 16; i++) {
        uint32_t right[4];
        load_transposed(right, keys + (n * 16 + at.left_row) * SHARED_STRIDE<D> + i * 16 + at.left_col);
        mma(sums[2 * i], left, right[0], right[1]);
        mma(sums[2 * i + 1], left, right[2], right[3]);
      }
    }
    __syncthreads();  // Keys and values have been read by all.
  }
  for (int half = 0; half < 2; half++) {
    const int query = warp * 16 + lane / 4 + half * 8;
    if (query >= static_cast<int>(tile.n_queries)) continue;
    bf16 *to = of_q + (tile.first_query + query) * shape.q_stride() + of_head;
    for (int i = 0; i < D / 8; i++) {
      for (int j = 0; j < 2; j++) {
        const int col = i * 8 + lane % 4 * 2 + j;
        if (col < head_dim) store(to + col, sums[i][2 * half + j]);
      }
    }
  }
}

// Parts of the gradients of k and v: grid (key tiles, n_heads); of_k and of_v (slots, n_heads, head_dim). A warp has 16
// of the keys. Dynamic shared memory: keys, values, queries and their gradients.
template <int D>
__device__ void backward_keys(const bf16 *q, const bf16 *k, const bf16 *v, const bf16 *gradient, const float *lse,
                              const float *delta, float *of_k, float *of_v, const KeyTable *tiles,
                              const QuerySpan *spans, Shape shape, float scale) {
  DYNAMIC_SHARED(shared);
  bf16 *const keys = reinterpret_cast<bf16 *>(shared), *const values = keys + TILE_KEYS * SHARED_STRIDE<D>;
  bf16 *const queries = values + TILE_KEYS * SHARED_STRIDE<D>;
  bf16 *const gradients = queries + BACK_QUERIES * SHARED_STRIDE<D>;
  __shared__ float lse_of[BACK_QUERIES], delta_of[BACK_QUERIES];
  const KeyTable tile = tiles[blockIdx.x];
  const int head = blockIdx.y, warp = threadIdx.x / 32, lane = threadIdx.x % 32, head_dim = shape.head_dim;
  const size_t of_head = static_cast<size_t>(head) * head_dim;
  const size_t start = tile.first_key * shape.kv_stride() + static_cast<size_t>(shape.kv_head(head)) * head_dim;
  const LanePlaces at;
  start_rows<D>(keys, k + start, shape.kv_stride(), TILE_KEYS, tile.n_keys, head_dim);
  start_rows<D>(values, v + start, shape.kv_stride(), TILE_KEYS, tile.n_keys, head_dim);
  float sum_k[D / 8][4] = {}, sum_v[D / 8][4] = {};
  for (uint32_t span_idx = tile.first_span; span_idx < tile.first_span + tile.n_spans; span_idx++) {
    const QuerySpan span = spans[span_idx];
    for (uint32_t first = 0; first < span.n_queries; first += BACK_QUERIES) {
      const int n_valid = min(BACK_QUERIES, static_cast<int>(span.n_queries - first));
      // All of these queries are before all of these keys.
      if (span.causal && span.position + first + n_valid <= tile.position) continue;
      const size_t row = span.first_query + first, from = row * shape.q_stride() + of_head;
      __syncthreads();  // The queries before have been read by all.
      start_rows<D>(queries, q + from, shape.q_stride(), BACK_QUERIES, n_valid, head_dim);
      start_rows<D>(gradients, gradient + from, shape.q_stride(), BACK_QUERIES, n_valid, head_dim);
      end_of_copies();
      if (threadIdx.x < BACK_QUERIES) {
        const bool is_there = static_cast<int>(threadIdx.x) < n_valid;
        const size_t place = (row + threadIdx.x) * shape.n_heads + head;
        lse_of[threadIdx.x] = is_there ? lse[place] * LOG2_E : 0.0f;
        delta_of[threadIdx.x] = is_there ? delta[place] : 0.0f;
      }
      wait_for_copies<0>();
      __syncthreads();
      float s[BACK_QUERIES / 8][4] = {}, of_p[BACK_QUERIES / 8][4] = {};
#pragma unroll
      for (int i = 0; i < D / 16; i++) {
        const int left_place = (warp * 16 + at.left_row) * SHARED_STRIDE<D> + i * 16 + at.left_col;
        uint32_t of_keys[4], of_values[4];
        load_matrices(of_keys, keys + left_place);
        load_matrices(of_values, values + left_place);
#pragma unroll
        for (int n = 0; n < BACK_QUERIES / 16; n++) {
          const int place = (n * 16 + at.right_row) * SHARED_STRIDE<D> + i * 16 + at.right_col;
          uint32_t right[4];
          load_matrices(right, queries + place);
          mma(s[2 * n], of_keys, right[0], right[1]);
          mma(s[2 * n + 1], of_keys, right[2], right[3]);
          load_matrices(right, gradients + place);
          mma(of_p[2 * n], of_values, right[0], right[1]);
          mma(of_p[2 * n + 1], of_values, right[2], right[3]);
        }
      }
      for (int i = 0; i < BACK_QUERIES / 8; i++) {
        for (int j = 0; j < 4; j++) {
          const int key = warp * 16 + lane / 4 + j / 2 * 8, query = i * 8 + lane % 4 * 2 + j % 2;
          const bool attends = query < n_valid && key < static_cast<int>(tile.n_keys) &&
                               (!span.causal || tile.position + key <= span.position + first + query);
          const float p = attends ? exp2f(s[i][j] * scale * LOG2_E - lse_of[query]) : 0.0f;
          s[i][j] = p;
          of_p[i][j] = p * (of_p[i][j] - delta_of[query]) * scale;
        }
      }
#pragma unroll
      for (int n = 0; n < BACK_QUERIES / 16; n++) {
        const auto left_of = [&](const float (&x)[BACK_QUERIES / 8][4], uint32_t (&left)[4]) {
          left[0] = pair(x[2 * n][0], x[2 * n][1]);
          left[1] = pair(x[2 * n][2], x[2 * n][3]);
          left[2] = pair(x[2 * n + 1][0], x[2 * n + 1][1]);
          left[3] = pair(x[2 * n + 1][2], x[2 * n + 1][3]);
        };
        uint32_t left_v[4], left_k[4];
        left_of(s, left_v);
        left_of(of_p, left_k);
#pragma unroll
        for (int i = 0; i < D / 16; i++) {
          const int place = (n * 16 + at.left_row) * SHARED_STRIDE<D> + i * 16 + at.left_col;
          uint32_t right[4];
          load_transposed(right, gradients + place);
          mma(sum_v[2 * i], left_v, right[0], right[1]);
          mma(sum_v[2 * i + 1], left_v, right[2], right[3]);
          load_transposed(right, queries + place);
          mma(sum_k[2 * i], left_k, right[0], right[1]);
          mma(sum_k[2 * i + 1], left_k, right[2], right[3]);
        }
      }
    }
  }
  wait_for_copies<0>();
  for (int half = 0; half < 2; half++) {
    const int key = warp * 16 + lane / 4 + half * 8;
    if (key >= static_cast<int>(tile.n_keys)) continue;
    const size_t slot = ((tile.first_slot + key) * static_cast<size_t>(shape.n_heads) + head) * head_dim;
    for (int i = 0; i < D / 8; i++) {
      for (int j = 0; j < 2; j++) {
        const int col = i * 8 + lane % 4 * 2 + j;
        if (col >= head_dim) continue;
        of_k[slot + col] = sum_k[i][2 * half + j];
        of_v[slot + col] = sum_v[i][2 * half + j];
      }
    }
  }
}

// delta (Q, n_heads): a warp has a query of a head.
template <class T>
__device__ void products(const T *out, const T *gradient, float *delta, uint64_t n, int head_dim) {
  for (size_t i = first_place() / 32; i < n; i += n_places() / 32) {
    float sum = 0.0f;
    for (int col = threadIdx.x % 32; col < head_dim; col += 32) {
      sum += to_float(out[i * head_dim + col]) * to_float(gradient[i * head_dim + col]);
    }
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) delta[i] = sum;
  }
}

// The gradient of k or v (N, n_kv_heads · head_dim): of each key the sum of its slots, slots[starts[i]..starts[i + 1]],
// in their order, and in each over the heads that share the key.
template <class T>
__device__ void sum_slots(const float *partial, const uint32_t *starts, const uint32_t *slots, T *sum, uint64_t n,
                          Shape shape) {
  const int repeats = shape.n_heads / shape.n_kv_heads;
  for (size_t i = first_place(); i < n * shape.kv_stride(); i += n_places()) {
    const size_t key = i / shape.kv_stride(), place = i % shape.kv_stride();
    const size_t kv_head = place / shape.head_dim, col = place % shape.head_dim;
    float total = 0.0f;
    for (uint32_t j = starts[key]; j < starts[key + 1]; j++) {
      const float *of_slot = partial + static_cast<size_t>(slots[j]) * shape.q_stride();
      for (int repeat = 0; repeat < repeats; repeat++) {
        total += of_slot[(kv_head * repeats + repeat) * shape.head_dim + col];
      }
    }
    store(sum + i, total);
  }
}

}  // namespace

#define FORWARD(NAME, T, BODY)                                                                                   \
  extern "C" __global__ void __launch_bounds__(TILE_THREADS) attention_forward_##NAME(                           \
      const T *q, const T *k, const T *v, T *out, float *lse, const QueryTable *tiles, int n_heads,              \
      int n_kv_heads, int head_dim, float scale) {                                                               \
    BODY(q, k, v, out, lse, tiles, {n_heads, n_kv_heads, head_dim}, scale);                                      \
  }                                                                                                              \
  KERNEL(attention_forward_##NAME)

#define BACKWARD(NAME, T, QUERIES, KEYS)                                                                         \
  extern "C" __global__ void __launch_bounds__(TILE_THREADS) attention_backward_queries_##NAME(                  \
      const T *q, const T *k, const T *v, const T *gradient, const float *lse, const float *delta, T *of_q,      \
      const QueryTable *tiles, int n_heads, int n_kv_heads, int head_dim, float scale) {                         \
    QUERIES(q, k, v, gradient, lse, delta, of_q, tiles, {n_heads, n_kv_heads, head_dim}, scale);                 \
  }                                                                                                              \
  KERNEL(attention_backward_queries_##NAME)                                                                      \
  extern "C" __global__ void __launch_bounds__(TILE_THREADS) attention_backward_keys_##NAME(                     \
      const T *q, const T *k, const T *v, const T *gradient, const float *lse, const float *delta, float *of_k,  \
      float *of_v, const KeyTable *tiles, const QuerySpan *spans, int n_heads, int n_kv_heads, int head_dim,     \
      float scale) {                                                                                             \
    KEYS(q, k, v, gradient, lse, delta, of_k, of_v, tiles, spans, {n_heads, n_kv_heads, head_dim}, scale);       \
  }                                                                                                              \
  KERNEL(attention_backward_keys_##NAME)

// By the width of a head, rounded up.
#define WIDTH(D)                     \
  FORWARD(bf16_##D, bf16, forward<D>) \
  BACKWARD(bf16_##D, bf16, backward_queries<D>, backward_keys<D>)

WIDTH(32)
WIDTH(64)
WIDTH(80)
WIDTH(96)
WIDTH(128)

FORWARD(f32_plain, float, plain_forward)
BACKWARD(f32_plain, float, plain_backward_queries, plain_backward_keys)
FORWARD(bf16_plain, bf16, plain_forward)
BACKWARD(bf16_plain, bf16, plain_backward_queries, plain_backward_keys)

#define ENDS(NAME, T)                                                                                            \
  extern "C" __global__ void attention_products_##NAME(const T *out, const T *gradient, float *delta, uint64_t n, \
                                                       int head_dim) {                                           \
    products(out, gradient, delta, n, head_dim);                                                                 \
  }                                                                                                              \
  KERNEL(attention_products_##NAME)                                                                              \
  extern "C" __global__ void attention_sum_slots_##NAME(const float *partial, const uint32_t *starts,            \
                                                        const uint32_t *slots, T *sum, uint64_t n, int n_heads,  \
                                                        int n_kv_heads, int head_dim) {                          \
    sum_slots(partial, starts, slots, sum, n, {n_heads, n_kv_heads, head_dim});                                  \
  }                                                                                                              \
  KERNEL(attention_sum_slots_##NAME)

ENDS(f32, float)
ENDS(bf16, bf16)
