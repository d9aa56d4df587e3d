// A tile of up to 64 queries of one head against blocks of 64 keys, on tensor cores: scores, their softmax as it goes
// along (Milakov and Gimelshein, arXiv 1805.02867), and the weighted sum of the values. For 128 threads: a warp has 16
// of the queries. D is the width of a head rounded up to a multiple of 16; heads are a multiple of 8 wide.
#pragma once
#include "tensor_core.cuh"

constexpr int TILE_QUERIES = 64, TILE_KEYS = 64, TILE_THREADS = 128;
constexpr float LOG2_E = 1.44269504f;

// Rows in shared memory are this far apart, so that eight of them lie in different banks.
template <int D> constexpr int SHARED_STRIDE = D + 8;

// Where a lane's row and column of four 8 × 8 matrices are: the left operand, the right operand stored with its rows
// as columns, and the right operand as it is, which is loaded transposed.
struct LanePlaces {
  int left_row, left_col, right_row, right_col;

  __device__ LanePlaces() {
    const int lane = threadIdx.x % 32;
    left_row = lane % 8 + lane / 8 % 2 * 8;
    left_col = lane / 16 * 8;
    right_row = lane % 8 + lane / 16 * 8;
    right_col = lane / 8 % 2 * 8;
  }
};

// Starts to copy `n_rows` rows, of which the first n_valid are there and the others are zeros, by all threads.
template <int D>
__device__ __forceinline__ void start_rows(bf16 *to, const bf16 *from, size_t stride, int n_rows, int n_valid,
                                           int head_dim) {
  constexpr int PIECES = D / 8;
  for (int i = threadIdx.x; i < n_rows * PIECES; i += TILE_THREADS) {
    const int row = i / PIECES, col = i % PIECES * 8;
    const bool is_there = row < n_valid && col < head_dim;
    start_copy(to + row * SHARED_STRIDE<D> + col, is_there ? from + row * stride + col : from, is_there ? 16 : 0);
  }
}

// The 16 rows from `first` on as a left operand.
template <int D> __device__ __forceinline__ void load_left(uint32_t (&to)[D / 16][4], const bf16 *first) {
  const LanePlaces at;
  for (int k = 0; k < D / 16; k++) load_matrices(to[k], first + at.left_row * SHARED_STRIDE<D> + k * 16 + at.left_col);
}

// 16 rows of queries with their running softmax.
template <int D> struct QueryTile {
  uint32_t q[D / 16][4];
  float out[D / 8][4];
  // Of the lane's two rows: largest score so far, and the lane's share of the sum of powers.
  float largest[2], sum[2];

  __device__ void start(const bf16 *queries) {
    load_left<D>(q, queries);
    for (int i = 0; i < D / 8; i++) {
      for (int j = 0; j < 4; j++) out[i][j] = 0.0f;
    }
    largest[0] = largest[1] = -INFINITY;
    sum[0] = sum[1] = 0.0f;
  }

  // Scores of the block, (16, 64).
  __device__ void scores(float (&s)[TILE_KEYS / 8][4], const bf16 *keys) const {
    const LanePlaces at;
    for (int i = 0; i < TILE_KEYS / 8; i++) {
      for (int j = 0; j < 4; j++) s[i][j] = 0.0f;
    }
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
#pragma unroll
      for (int n = 0; n < TILE_KEYS / 16; n++) {
        uint32_t right[4];
        load_matrices(right, keys + (n * 16 + at.right_row) * SHARED_STRIDE<D> + k * 16 + at.right_col);
        mma(s[2 * n], q[k], right[0], right[1]);
        mma(s[2 * n + 1], q[k], right[2], right[3]);
      }
    }
  }

  // Scores become powers over the largest so far, and what was summed before is scaled to that. `scale` is in units of
  // powers of 2.
  __device__ void soften(float (&s)[TILE_KEYS / 8][4], float scale) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float most = largest[half];
#pragma unroll
      for (int i = 0; i < TILE_KEYS / 8; i++) most = fmaxf(most, fmaxf(s[i][2 * half], s[i][2 * half + 1]));
      most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, 1));
      most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, 2));
      // Nothing to attend to so far: all powers are 0.
      const float base = most == -INFINITY ? 0.0f : most * scale;
      const float fade = exp2f(largest[half] * scale - base);
      largest[half] = most;
      sum[half] *= fade;
#pragma unroll
      for (int i = 0; i < D / 8; i++) {
        out[i][2 * half] *= fade;
        out[i][2 * half + 1] *= fade;
      }
#pragma unroll
      for (int i = 0; i < TILE_KEYS / 8; i++) {
        for (int j = 2 * half; j < 2 * half + 2; j++) {
          s[i][j] = exp2f(s[i][j] * scale - base);
          sum[half] += s[i][j];
        }
      }
    }
  }

  __device__ void add_values(const float (&s)[TILE_KEYS / 8][4], const bf16 *values) {
    const LanePlaces at;
#pragma unroll
    for (int k = 0; k < TILE_KEYS / 16; k++) {
      const uint32_t left[4] = {pair(s[2 * k][0], s[2 * k][1]), pair(s[2 * k][2], s[2 * k][3]),
                                pair(s[2 * k + 1][0], s[2 * k + 1][1]), pair(s[2 * k + 1][2], s[2 * k + 1][3])};
#pragma unroll
      for (int n = 0; n < D / 16; n++) {
        uint32_t right[4];
        load_transposed(right, values + (k * 16 + at.left_row) * SHARED_STRIDE<D> + n * 16 + at.left_col);
        mma(out[2 * n], left, right[0], right[1]);
        mma(out[2 * n + 1], left, right[2], right[3]);
      }
    }
  }

  // The sum of powers over all lanes that share the rows.
  __device__ void finish() {
    for (int half = 0; half < 2; half++) {
      sum[half] += __shfl_xor_sync(ALL_LANES, sum[half], 1);
      sum[half] += __shfl_xor_sync(ALL_LANES, sum[half], 2);
    }
  }
};
