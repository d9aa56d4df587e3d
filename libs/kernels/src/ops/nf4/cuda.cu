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

// Sixteen values of bfloat16, as eight registers.
struct alignas(16) Sixteen { uint32_t pair[8]; };

// Sixteen inputs of one output for the four products of a chunk, as two of the four registers of each, and their factor.
// `half` is 0 for the upper eight outputs of the tile, 1 for the lower.
__device__ __forceinline__ float load_weights(uint32_t (&a)[4][4], int half, const uint32_t *pairs, const uint8_t *codes,
                                              const float *factors, const bf16 *inner, size_t row, int at, int width,
                                              int n_outputs, int n_rows, int block) {
  if (row < static_cast<size_t>(n_outputs)) {
    const size_t place = row * width + at;
    uint32_t bytes[2];
    memcpy(bytes, __builtin_assume_aligned(codes + place / 2, 8), sizeof bytes);
#pragma unroll
    for (int product = 0; product < 4; product++) {
      const uint32_t both = bytes[product / 2] >> 16 * (product % 2);
      a[product][half] = pairs[both & 255];
      a[product][half + 2] = pairs[both >> 8 & 255];
    }
    return factors[place / block];
  }
  Sixteen values = {};
  if (row < static_cast<size_t>(n_rows)) {
    values = *reinterpret_cast<const Sixteen *>(inner + (row - n_outputs) * width + at);
  }
#pragma unroll
  for (int product = 0; product < 4; product++) {
    a[product][half] = values.pair[2 * product];
    a[product][half + 2] = values.pair[2 * product + 1];
  }
  return 1.0f;
}

// grid (tiles of outputs, tiles of 8 · N rows of x), WARPS warps: y = x · Wᵀ. The first `n_outputs` rows of W (n_rows, width)
// are of 4 bits, those behind them, first factors of adapters, are `inner`. x (n, width), y (n, n_rows). The warps share
// the chunks of the inputs; which inputs meet in a product does not matter as long as both sides agree.
template <int N>
__device__ void few_rows(const bf16 *x, const uint8_t *codes, const float *factors, const bf16 *inner, bf16 *y, int n,
                         int width, int n_outputs, int n_rows, int block) {
  __shared__ uint32_t pairs[256];
  __shared__ float sums[WARPS][TILE * 8 * N];
  for (int byte = threadIdx.x; byte < 256; byte += blockDim.x) pairs[byte] = pair(value_of(byte >> 4), value_of(byte));
  __syncthreads();
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, in_eight = lane / 4, in_four = lane % 4;
  const int first_output = blockIdx.x * TILE, first_row = blockIdx.y * 8 * N;
  float total[N][4] = {};
  for (int chunk = warp; chunk < width / CHUNK; chunk += WARPS) {
    const int at = chunk * CHUNK + in_four * OF_THREAD;
    uint32_t a[4][4];
    const float upper = load_weights(a, 0, pairs, codes, factors, inner, first_output + in_eight, at, width, n_outputs, n_rows, block);
    const float lower = load_weights(a, 1, pairs, codes, factors, inner, first_output + in_eight + 8, at, width, n_outputs, n_rows, block);
#pragma unroll
    for (int tile = 0; tile < N; tile++) {
      const int row = first_row + tile * 8 + in_eight;
      Sixteen values = {};
      if (row < n) values = *reinterpret_cast<const Sixteen *>(x + static_cast<size_t>(row) * width + at);
      float d[4] = {};
#pragma unroll
      for (int product = 0; product < 4; product++) {
        mma(d, a[product], values.pair[2 * product], values.pair[2 * product + 1]);
      }
      total[tile][0] += upper * d[0];
      total[tile][1] += upper * d[1];
      total[tile][2] += lower * d[2];
      total[tile][3] += lower * d[3];
    }
  }
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
    const int output = first_output + i % TILE, row = first_row + i / TILE;
    if (output >= n_rows || row >= n) continue;
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
