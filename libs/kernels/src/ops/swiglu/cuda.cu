// silu(gate) · up, forward and backward.
#include "../../cuda/common.cuh"

namespace {

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

template <class T> __device__ void forward(const T *gate, const T *up, T *y, uint64_t n) {
  for (size_t i = first_place(); i < n; i += n_places()) {
    const float g = to_float(gate[i]);
    store(y + i, g * sigmoid(g) * to_float(up[i]));
  }
}

template <class T>
__device__ void backward(const T *gate, const T *up, const T *gradient, T *of_gate, T *of_up, uint64_t n) {
  for (size_t i = first_place(); i < n; i += n_places()) {
    const float g = to_float(gate[i]), u = to_float(up[i]), d = to_float(gradient[i]), s = sigmoid(g);
    store(of_gate + i, d * u * s * (1.0f + g * (1.0f - s)));
    store(of_up + i, d * g * s);
  }
}

}  // namespace

#define SWIGLU(NAME, T)                                                                                          \
  extern "C" __global__ void swiglu_##NAME(const T *gate, const T *up, T *y, uint64_t n) {                       \
    forward(gate, up, y, n);                                                                                     \
  }                                                                                                              \
  KERNEL(swiglu_##NAME)                                                                                          \
  extern "C" __global__ void swiglu_backward_##NAME(const T *gate, const T *up, const T *gradient, T *of_gate,   \
                                                    T *of_up, uint64_t n) {                                      \
    backward(gate, up, gradient, of_gate, of_up, n);                                                             \
  }                                                                                                              \
  KERNEL(swiglu_backward_##NAME)

SWIGLU(f32, float)
SWIGLU(bf16, bf16)
