// AdamW (arXiv 1711.05101) with moments in f32, bfloat16 or 8 bits, and the sum of squares that gradients are clipped
// by. The numbers are those of the learner's own update in main memory.
#include "../../cuda/common.cuh"

namespace {

// Numbers of one update of one variable.
struct Update {
  float scale, blend, beta2, rest, keep, rate, inverse_root, eps;
};

// Updates both moments and the weight.
__device__ __forceinline__ void step(float &weight, float &first, float &second, float gradient, const Update &of) {
  const float g = of.scale * gradient;
  first += of.blend * (g - first);
  second = of.beta2 * second + of.rest * g * g;
  weight = of.keep * weight - of.rate * first / (sqrtf(second) * of.inverse_root + of.eps);
}

__device__ __forceinline__ uint32_t mix(uint32_t x) {
  x = (x ^ (x >> 16)) * 0x7feb352du;
  x = (x ^ (x >> 15)) * 0x846ca68bu;
  return x ^ (x >> 16);
}

// The bfloat16 above or below by chance, the nearer one more often.
__device__ __forceinline__ bf16 round_by_chance(float value, uint32_t place, uint32_t key) {
  uint32_t bits = __float_as_uint(value);
  if ((bits & 0x7f800000u) != 0x7f800000u) bits += mix((place * 0x9e3779b9u) ^ key) >> 16;
  return __float2bfloat16(__uint_as_float(bits & 0xffff0000u));
}

// 256 values of an 8-bit code, ascending, and the 255 borders between them.
struct Map {
  const float *values, *borders;

  __device__ uint8_t code(float value) const {
    int code = 0;
    for (int half = 128; half > 0; half /= 2) {
      if (borders[code + half - 1] < value) code += half;
    }
    return static_cast<uint8_t>(code);
  }
};

// A moment of a block of 256 values from its codes and back; a thread has one value.
__device__ void keep_in_8_bits(float value, uint8_t *code, float *scale_of_block, const Map &map, float *scratch) {
  const float largest = block_max(fabsf(value), scratch);
  // A block of nothing but denormals is one of zeros.
  const float scale = largest >= 1.17549435e-38f ? largest : 0.0f;
  if (code) *code = map.code(value * (scale > 0.0f ? 1.0f / scale : 0.0f));
  if (threadIdx.x == 0) *scale_of_block = scale;
}

}  // namespace

#define NUMBERS                                                                                            \
  float scale, float blend, float beta2, float rest, float keep, float rate, float inverse_root, float eps
#define UPDATE {scale, blend, beta2, rest, keep, rate, inverse_root, eps}

extern "C" __global__ void adamw_f32(float *weight, float *first, float *second, const float *gradient, uint64_t n,
                                     NUMBERS) {
  const Update update = UPDATE;
  for (size_t i = first_place(); i < n; i += n_places()) step(weight[i], first[i], second[i], gradient[i], update);
}
KERNEL(adamw_f32)

extern "C" __global__ void adamw_bf16(float *weight, bf16 *first, bf16 *second, const float *gradient, uint64_t n,
                                      uint32_t key, NUMBERS) {
  const Update update = UPDATE;
  for (size_t i = first_place(); i < n; i += n_places()) {
    float m = to_float(first[i]), v = to_float(second[i]);
    step(weight[i], m, v, gradient[i], update);
    first[i] = round_by_chance(m, static_cast<uint32_t>(i), key);
    second[i] = round_by_chance(v, static_cast<uint32_t>(i), ~key);
  }
}
KERNEL(adamw_bf16)

// A block of 256 threads has 256 values, which share a scale; tables (4, 256): values and borders of the first moment,
// then of the second.
extern "C" __global__ void adamw_int8(float *weight, uint8_t *first, uint8_t *second, float *first_scales,
                                      float *second_scales, const float *tables, const float *gradient, uint64_t n,
                                      NUMBERS) {
  __shared__ float scratch[32];
  const Update update = UPDATE;
  const Map of_first = {tables, tables + 256}, of_second = {tables + 512, tables + 768};
  for (size_t block = blockIdx.x; block * 256 < n; block += gridDim.x) {
    const size_t i = block * 256 + threadIdx.x;
    const bool is_there = i < n;
    float m = 0.0f, v = 0.0f;
    if (is_there) {
      m = first_scales[block] * of_first.values[first[i]];
      v = second_scales[block] * of_second.values[second[i]];
      step(weight[i], m, v, gradient[i], update);
    }
    __syncthreads();  // The scales have been read by all.
    keep_in_8_bits(m, is_there ? first + i : nullptr, first_scales + block, of_first, scratch);
    keep_in_8_bits(v, is_there ? second + i : nullptr, second_scales + block, of_second, scratch);
  }
}
KERNEL(adamw_int8)

// grid (parts, tensors): sums of squares of a part of a tensor each, partial (tensors, parts); a tensor is its place and
// its number of values. The split does not depend on the device.
extern "C" __global__ void squares(const uint64_t *tensors, double *partial) {
  __shared__ double of_thread[256];
  const float *x = reinterpret_cast<const float *>(tensors[2 * blockIdx.y]);
  const uint64_t n = tensors[2 * blockIdx.y + 1];
  double sum = 0.0;
  for (size_t i = first_place(); i < n; i += n_places()) sum += static_cast<double>(x[i]) * x[i];
  of_thread[threadIdx.x] = sum;
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) of_thread[threadIdx.x] += of_thread[threadIdx.x + half];
  }
  if (threadIdx.x == 0) partial[blockIdx.y * gridDim.x + blockIdx.x] = of_thread[0];
}
KERNEL(squares)
