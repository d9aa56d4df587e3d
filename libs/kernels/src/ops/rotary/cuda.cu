// Rotation of the heads by the angles of their rows, and the tables of these angles.
#include "../../cuda/common.cuh"

namespace {

// x and y (n, heads · 2 · half), tables (n, half). `sign` is -1 for the way back, which is the inverse rotation.
template <class T>
__device__ void rotary(const T *x, const float *cos, const float *sin, T *y, uint64_t n, int heads, int half,
                       float sign) {
  const uint64_t n_pairs = n * heads * half;
  for (size_t i = first_place(); i < n_pairs; i += n_places()) {
    const size_t row = i / (static_cast<size_t>(heads) * half), angle = row * half + i % half;
    const size_t a = i / half * (2 * half) + i % half, b = a + half;
    const float x_a = to_float(x[a]), x_b = to_float(x[b]), c = cos[angle], s = sign * sin[angle];
    store(y + a, x_a * c - x_b * s);
    store(y + b, x_b * c + x_a * s);
  }
}

}  // namespace

#define ROTARY(NAME, T)                                                                                          \
  extern "C" __global__ void rotary_##NAME(const T *x, const float *cos, const float *sin, T *y, uint64_t n,     \
                                           int heads, int half, float sign) {                                    \
    rotary(x, cos, sin, y, n, heads, half, sign);                                                                \
  }                                                                                                              \
  KERNEL(rotary_##NAME)

ROTARY(f32, float)
ROTARY(bf16, bf16)

// cos and sin (n, half) of `positions` (n, 3): frequency i turns by the position on the axis axes[i].
extern "C" __global__ void rotary_tables(const uint32_t *positions, const float *frequencies, const uint32_t *axes,
                                         float *cos, float *sin, uint64_t n, int half) {
  for (size_t i = first_place(); i < n * half; i += n_places()) {
    const size_t row = i / half, pair = i % half;
    const float angle = static_cast<float>(positions[3 * row + axes[pair]]) * frequencies[pair];
    cos[i] = cosf(angle);
    sin[i] = sinf(angle);
  }
}
KERNEL(rotary_tables)
