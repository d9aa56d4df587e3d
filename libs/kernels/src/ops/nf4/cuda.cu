// Matrices of 4-bit numbers (NF4): made whole again, and multiplied with a few rows where they lie.
//
// The values of a matrix (…, width) follow each other, two in a byte, the first in the upper half; `block` values share
// a factor.
#include "../../cuda/tensor_core.cuh"

namespace {

// What a code stands for; the same as `VALUES` in mod.rs.
__device__ __forceinline__ float value_of(uint32_t code) {
  constexpr float VALUES[16] = {-1.0f,        -0.6961928f,  -0.52507305f, -0.3949175f, -0.28444138f, -0.18477343f,
                                -0.091050036f, 0.0f,        0.0795803f,   0.1609302f,  0.2461123f,   0.33791524f,
                                0.44070983f,  0.562617f,    0.72295684f,  1.0f};
  return VALUES[code & 15];
}

template <class T> struct alignas(16) Eight { T value[8]; };

// y = the `n` values from the `start`-th on.
template <class T>
__device__ void dequantize(const uint8_t *codes, const float *factors, T *y, uint64_t start, uint64_t n, int block) {
  const bool by_eight = start % 8 == 0 && n % 8 == 0 && block % 8 == 0;
  if (!by_eight) {
    for (size_t i = first_place(); i < n; i += n_places()) {
      const size_t at = start + i;
      const uint32_t byte = codes[at / 2];
      store(y + i, value_of(at % 2 ? byte : byte >> 4) * factors[at / block]);
    }
    return;
  }
  for (size_t i = first_place(); i < n / 8; i += n_places()) {
    const size_t at = start + 8 * i;
    const float factor = factors[at / block];
    uint32_t four;
    memcpy(&four, codes + at / 2, sizeof four);
    Eight<T> values;
#pragma unroll
    for (int j = 0; j < 4; j++) {
      const uint32_t byte = four >> 8 * j;
      store(values.value + 2 * j, value_of(byte >> 4) * factor);
      store(values.value + 2 * j + 1, value_of(byte) * factor);
    }
    *reinterpret_cast<Eight<T> *>(y + 8 * i) = values;
  }
}

// Outputs of a block.
constexpr int TILE = 16;
constexpr int WARPS = 4;
// Inputs at a time: they have one factor.
constexpr int CHUNK = 64;
// Inputs at a time of a thread, four of them in each product.
constexpr int OF_THREAD = CHUNK / 4;
// Copies of the table of pairs, one for each thread of a warp: otherwise they wait for each other's entries.
constexpr int COPIES = 32;

// Sixteen values of bfloat16, as eight registers.
struct alignas(16) Sixteen { uint32_t pair[8]; };

// Two of the four registers of each of a chunk's four products: sixteen inputs of one output. `half` is 0 for the upper
// eight outputs of the tile, 1 for the lower.
struct Fragment { uint32_t of[4][4]; };

__device__ __forceinline__ void put(Fragment &a, int half, const Sixteen &values) {
#pragma unroll
  for (int product = 0; product < 4; product++) {
    a.of[product][half] = values.pair[2 * product];
    a.of[product][half + 2] = values.pair[2 * product + 1];
  }
}

// A matrix whose rows (n_rows, width) are of 4 bits.
struct Codes {
  const uint8_t *codes;
  const float *factors;
  const uint32_t *pairs;
  int width, n_rows, block;

  // Sixteen inputs as they lie in memory, and their factor.
  struct Part { uint32_t bytes[2]; float factor; };

  __device__ __forceinline__ Part load(int row, int at) const {
    Part part = {};
    if (row >= n_rows) return part;
    const size_t place = static_cast<size_t>(row) * width + at;
    memcpy(part.bytes, __builtin_assume_aligned(codes + place / 2, 8), sizeof part.bytes);
    part.factor = factors[place / block];
    return part;
  }

  __device__ __forceinline__ float expand(Fragment &a, int half, const Part &part) const {
    const uint32_t *of_thread = pairs + threadIdx.x % COPIES;
#pragma unroll
    for (int product = 0; product < 4; product++) {
      const uint32_t both = part.bytes[product / 2] >> 16 * (product % 2);
      a.of[product][half] = of_thread[(both & 255) * COPIES];
      a.of[product][half + 2] = of_thread[(both >> 8 & 255) * COPIES];
    }
    return part.factor;
  }
};

// One whose rows are bfloat16.
struct Plain {
  const bf16 *values;
  int width, n_rows;

  using Part = Sixteen;

  __device__ __forceinline__ Part load(int row, int at) const {
    if (row >= n_rows) return {};
    return *reinterpret_cast<const Sixteen *>(values + static_cast<size_t>(row) * width + at);
  }

  __device__ __forceinline__ float expand(Fragment &a, int half, const Part &part) const {
    put(a, half, part);
    return 1.0f;
  }
};

// A warp's share of the products of 16 outputs, from `first` on, with 8 · N rows of x (n, width) from `first_row` on. Which
// inputs meet in a product does not matter as long as both sides agree. The parts of AHEAD chunks are asked for before the
// first is used, so that a warp does not wait for memory one chunk after the other.
template <int N, class Weights>
__device__ __forceinline__ void multiply(float (&total)[N][4], const Weights &weights, int first, const bf16 *x, int n, int width,
                                         int first_row) {
  constexpr int AHEAD = N <= 2 ? 4 : 2;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, in_eight = lane / 4, in_four = lane % 4;
  const int n_chunks = width / CHUNK;
  for (int chunk = warp; chunk < n_chunks; chunk += WARPS * AHEAD) {
    typename Weights::Part parts[AHEAD][2];
#pragma unroll
    for (int ahead = 0; ahead < AHEAD; ahead++) {
      const int of = chunk + ahead * WARPS;
      if (of >= n_chunks) break;
      const int at = of * CHUNK + in_four * OF_THREAD;
#pragma unroll
      for (int half = 0; half < 2; half++) parts[ahead][half] = weights.load(first + in_eight + 8 * half, at);
    }
#pragma unroll
    for (int ahead = 0; ahead < AHEAD; ahead++) {
      const int of = chunk + ahead * WARPS;
      if (of >= n_chunks) break;
      const int at = of * CHUNK + in_four * OF_THREAD;
      Fragment a;
      float factor[2];
#pragma unroll
      for (int half = 0; half < 2; half++) factor[half] = weights.expand(a, half, parts[ahead][half]);
#pragma unroll
      for (int tile = 0; tile < N; tile++) {
        const int row = first_row + tile * 8 + in_eight;
        Sixteen values = {};
        if (row < n) values = *reinterpret_cast<const Sixteen *>(x + static_cast<size_t>(row) * width + at);
        float d[4] = {};
#pragma unroll
        for (int product = 0; product < 4; product++) {
          mma(d, a.of[product], values.pair[2 * product], values.pair[2 * product + 1]);
        }
#pragma unroll
        for (int i = 0; i < 4; i++) total[tile][i] += factor[i / 2] * d[i];
      }
    }
  }
}

// grid (tiles of outputs and tiles of inner values, tiles of 8 · N rows of x), WARPS warps: y = x · Wᵀ. The first
// `n_outputs` rows of W (n_rows, width) are of 4 bits, those behind them, first factors of adapters, are `inner`; no tile
// has both. x (n, width), y (n, n_rows). The warps share the chunks of the inputs.
template <int N>
__device__ void few_rows(const bf16 *x, const uint8_t *codes, const float *factors, const bf16 *inner, bf16 *y, int n,
                         int width, int n_outputs, int n_rows, int block) {
  __shared__ uint32_t pairs[256 * COPIES];
  __shared__ float sums[WARPS][TILE * 8 * N];
  const int of_codes = (n_outputs + TILE - 1) / TILE, tile_of = blockIdx.x;
  const bool is_coded = tile_of < of_codes;
  // Where the tile begins among the outputs, and where those of its kind end.
  const int first = is_coded ? tile_of * TILE : (tile_of - of_codes) * TILE;
  const int shift = is_coded ? 0 : n_outputs, end = is_coded ? n_outputs : n_rows;
  const int first_row = blockIdx.y * 8 * N;
  float total[N][4] = {};
  if (is_coded) {
    for (int i = threadIdx.x; i < 256 * COPIES; i += blockDim.x) {
      pairs[i] = pair(value_of(i / COPIES >> 4), value_of(i / COPIES));
    }
    __syncthreads();
    multiply(total, Codes{codes, factors, pairs, width, n_outputs, block}, first, x, n, width, first_row);
  } else {
    multiply(total, Plain{inner, width, n_rows - n_outputs}, first, x, n, width, first_row);
  }
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, in_eight = lane / 4, in_four = lane % 4;
#pragma unroll
  for (int tile = 0; tile < N; tile++) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int output = in_eight + i / 2 * 8, row = tile * 8 + in_four * 2 + i % 2;
      sums[warp][row * TILE + output] = total[tile][i];
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < TILE * 8 * N; i += blockDim.x) {
    const int output = shift + first + i % TILE, row = first_row + i / TILE;
    if (output >= end || row >= n) continue;
    float sum = 0.0f;
    for (int of = 0; of < WARPS; of++) sum += sums[of][i];
    store(y + static_cast<size_t>(row) * n_rows + output, sum);
  }
}

}  // namespace

#define NF4_DEQUANTIZE(NAME, T)                                                                                        \
  extern "C" __global__ void nf4_dequantize_##NAME(const uint8_t *codes, const float *factors, T *y, uint64_t start,   \
                                                   uint64_t n, int block) {                                            \
    dequantize(codes, factors, y, start, n, block);                                                                    \
  }                                                                                                                    \
  KERNEL(nf4_dequantize_##NAME)

NF4_DEQUANTIZE(f32, float)
NF4_DEQUANTIZE(bf16, bf16)

#define NF4_FEW_ROWS(N)                                                                                                \
  extern "C" __global__ void __launch_bounds__(32 * WARPS)                                                             \
      nf4_few_rows_##N(const bf16 *x, const uint8_t *codes, const float *factors, const bf16 *inner, bf16 *y, int n,   \
                       int width, int n_outputs, int n_rows, int block) {                                              \
    few_rows<N>(x, codes, factors, inner, y, n, width, n_outputs, n_rows, block);                                      \
  }                                                                                                                    \
  KERNEL(nf4_few_rows_##N)

NF4_FEW_ROWS(1)
NF4_FEW_ROWS(2)
NF4_FEW_ROWS(4)
NF4_FEW_ROWS(8)
