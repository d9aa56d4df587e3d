// GELU with the exact normal distribution, and with sigmoids in its place; all forward and backward.
#include "../../cuda/common.cuh"

namespace {

__device__ __forceinline__ float distribution(float x) { return 0.5f * (1.0f + erff(x * 0.70710678f)); }
__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

constexpr float SLOPE = 1.702f;

struct Gelu {
  static __device__ float value(float x) { return x * distribution(x); }
  static __device__ float slope(float x) { return distribution(x) + x * 0.39894228f * expf(-0.5f * x * x); }
};

struct QuickGelu {
  static __device__ float value(float x) { return x * sigmoid(SLOPE * x); }
  static __device__ float slope(float x) {
    const float s = sigmoid(SLOPE * x);
    return s * (1.0f + SLOPE * x * (1.0f - s));
  }
};

template <class F, class T> __device__ void forward(const T *x, T *y, uint64_t n) {
  for (size_t i = first_place(); i < n; i += n_places()) store(y + i, F::value(to_float(x[i])));
}

template <class F, class T> __device__ void backward(const T *x, const T *gradient, T *of_x, uint64_t n) {
  for (size_t i = first_place(); i < n; i += n_places()) {
    store(of_x + i, to_float(gradient[i]) * F::slope(to_float(x[i])));
  }
}

// x · sigmoid(2 √(2 / π) (x + 0.044715 x³)), which is the approximation with a hyperbolic tangent.
struct GeluTanh {
  static constexpr float CUBIC = 0.044715f, STEEPNESS = 1.595769f;

  static __device__ float value(float x) { return x * sigmoid(STEEPNESS * (x + CUBIC * x * x * x)); }
  static __device__ float slope(float x) {
    const float s = sigmoid(STEEPNESS * (x + CUBIC * x * x * x));
    return s + x * s * (1.0f - s) * STEEPNESS * (1.0f + 3.0f * CUBIC * x * x);
  }
};

}  // namespace

#define GELU(NAME, F, T)                                                                                         \
  extern "C" __global__ void NAME(const T *x, T *y, uint64_t n) { forward<F>(x, y, n); }                         \
  KERNEL(NAME)                                                                                                   \
  extern "C" __global__ void NAME##_backward(const T *x, const T *gradient, T *of_x, uint64_t n) {               \
    backward<F>(x, gradient, of_x, n);                                                                           \
  }                                                                                                              \
  KERNEL(NAME##_backward)

GELU(gelu_f32, Gelu, float)
GELU(gelu_bf16, Gelu, bf16)
GELU(quick_gelu_f32, QuickGelu, float)
GELU(quick_gelu_bf16, QuickGelu, bf16)
GELU(gelu_tanh_f32, GeluTanh, float)
GELU(gelu_tanh_bf16, GeluTanh, bf16)
