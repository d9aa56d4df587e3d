// Rows picked out of a matrix and put into one, their gradients, and conversions. A block takes a row, then the
// gridDim.x-th after it.
#include "../../cuda/common.cuh"

namespace {

// out (n, width): the rows `rows` of the table.
template <class T, class Y>
__device__ void select(const T *table, const uint32_t *rows, Y *out, uint64_t n, int width) {
  for (size_t i = blockIdx.x; i < n; i += gridDim.x) {
    const T *from = table + static_cast<size_t>(rows[i]) * width;
    Y *to = out + i * width;
    for (int col = threadIdx.x; col < width; col += blockDim.x) store(to + col, to_float(from[col]));
  }
}

// Adds to row `rows[i]` of `sum` the gradients that came from it, sources[starts[i]..starts[i + 1]], in this order.
// Each row is named once.
template <class T, class Y>
__device__ void scatter(const T *gradient, const uint32_t *rows, const uint32_t *starts, const uint32_t *sources,
                        Y *sum, uint64_t n, int width) {
  for (size_t i = blockIdx.x; i < n; i += gridDim.x) {
    Y *to = sum + static_cast<size_t>(rows[i]) * width;
    for (int col = threadIdx.x; col < width; col += blockDim.x) {
      float total = to_float(to[col]);
      for (uint32_t j = starts[i]; j < starts[i + 1]; j++) {
        total += to_float(gradient[static_cast<size_t>(sources[j]) * width + col]);
      }
      store(to + col, total);
    }
  }
}

// out = x with the row i of `values` in place of row r wherever sources[r] is i; NONE keeps the row. Without values,
// what would be replaced is zero.
constexpr uint32_t NONE = 0xffffffffu;
template <class T>
__device__ void replace(const T *x, const T *values, const uint32_t *sources, T *out, uint64_t n, int width) {
  for (size_t row = blockIdx.x; row < n; row += gridDim.x) {
    const uint32_t source = sources[row];
    for (int col = threadIdx.x; col < width; col += blockDim.x) {
      const size_t at = row * width + col;
      if (source == NONE) {
        out[at] = x[at];
      } else if (values) {
        out[at] = values[static_cast<size_t>(source) * width + col];
      } else {
        store(out + at, 0.0f);
      }
    }
  }
}

// Row i of `values` over row places[i] of the table.
template <class T>
__device__ void put(T *table, const T *values, const uint32_t *places, uint64_t n, int width) {
  for (size_t i = blockIdx.x; i < n; i += gridDim.x) {
    T *to = table + static_cast<size_t>(places[i]) * width;
    for (int col = threadIdx.x; col < width; col += blockDim.x) to[col] = values[i * width + col];
  }
}

template <class X, class Y> __device__ void cast(const X *x, Y *y, uint64_t n) {
  for (size_t i = first_place(); i < n; i += n_places()) store(y + i, to_float(x[i]));
}

}  // namespace

#define SELECT(NAME, T, Y)                                                                                       \
  extern "C" __global__ void rows_select_##NAME(const T *table, const uint32_t *rows, Y *out, uint64_t n,        \
                                                int width) {                                                     \
    select(table, rows, out, n, width);                                                                          \
  }                                                                                                              \
  KERNEL(rows_select_##NAME)

SELECT(f32_f32, float, float)
SELECT(f32_bf16, float, bf16)
SELECT(bf16_f32, bf16, float)
SELECT(bf16_bf16, bf16, bf16)

#define SCATTER(NAME, T, Y)                                                                                      \
  extern "C" __global__ void rows_scatter_##NAME(const T *gradient, const uint32_t *rows, const uint32_t *starts, \
                                                 const uint32_t *sources, Y *sum, uint64_t n, int width) {       \
    scatter(gradient, rows, starts, sources, sum, n, width);                                                     \
  }                                                                                                              \
  KERNEL(rows_scatter_##NAME)

SCATTER(f32_f32, float, float)
SCATTER(bf16_f32, bf16, float)
SCATTER(bf16_bf16, bf16, bf16)

#define REPLACE_AND_PUT(NAME, T)                                                                                 \
  extern "C" __global__ void rows_replace_##NAME(const T *x, const T *values, const uint32_t *sources, T *out,   \
                                                 uint64_t n, int width) {                                        \
    replace(x, values, sources, out, n, width);                                                                  \
  }                                                                                                              \
  KERNEL(rows_replace_##NAME)                                                                                    \
  extern "C" __global__ void rows_put_##NAME(T *table, const T *values, const uint32_t *places, uint64_t n,      \
                                             int width) {                                                        \
    put(table, values, places, n, width);                                                                        \
  }                                                                                                              \
  KERNEL(rows_put_##NAME)

REPLACE_AND_PUT(f32, float)
REPLACE_AND_PUT(bf16, bf16)

// grid (any, tensors): all values of many tensors, each a source and its place in y with their number, to one after the other.
extern "C" __global__ void convert_all_f32_bf16(const uint64_t *tensors, bf16 *y) {
  const uint64_t *tensor = tensors + 3 * blockIdx.y;
  const float *from = reinterpret_cast<const float *>(tensor[0]);
  bf16 *to = y + tensor[1];
  for (size_t i = first_place(); i < tensor[2]; i += n_places()) store(to + i, from[i]);
}
KERNEL(convert_all_f32_bf16)

extern "C" __global__ void convert_f32_bf16(const float *x, bf16 *y, uint64_t n) { cast(x, y, n); }
extern "C" __global__ void convert_bf16_f32(const bf16 *x, float *y, uint64_t n) { cast(x, y, n); }
KERNEL(convert_f32_bf16)
KERNEL(convert_bf16_f32)
