// Dropout. Whether a value is dropped depends on the seed and its place, so nothing is kept for the backward pass:
// the gradient is dropped by the same kernel.
#include "../../cuda/common.cuh"

namespace {

// A value is dropped where its random word is below `limit`, and multiplied with `kept` elsewhere.
template <class T> __device__ void dropout(const T *x, T *y, uint64_t n, uint64_t seed, uint32_t limit, float kept) {
  for (size_t four = first_place(); four * 4 < n; four += n_places()) {
    const Words words = philox(seed, four, 0);
    for (int i = 0; i < 4 && four * 4 + i < n; i++) {
      const size_t at = four * 4 + i;
      store(y + at, words.word[i] < limit ? 0.0f : kept * to_float(x[at]));
    }
  }
}

}  // namespace

#define DROPOUT(NAME, T)                                                                                     \
  extern "C" __global__ void dropout_##NAME(const T *x, T *y, uint64_t n, uint64_t seed, uint32_t limit,     \
                                            float kept) {                                                    \
    dropout(x, y, n, seed, limit, kept);                                                                     \
  }                                                                                                          \
  KERNEL(dropout_##NAME)

DROPOUT(f32, float)
DROPOUT(bf16, bf16)
