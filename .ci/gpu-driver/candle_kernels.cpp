#include "candle_kernels.h"
#include <algorithm>
#include <map>

namespace {

// The argument at a place of a launch.
template <class T> T argument(void *const *arguments, int i) { return *static_cast<T *>(arguments[i]); }

float read(float x) { return x; }
float read(__nv_bfloat16 x) { return __bfloat162float(x); }
void write(float &to, float x) { to = x; }
void write(__nv_bfloat16 &to, float x) { to = __float2bfloat16(x); }

// A shape as candle tells its kernels: dimensions, then the strides of each operand; none if all are contiguous.
struct Info {
  size_t n, n_dims;
  const size_t *dims;

  explicit Info(void *const *arguments)
      : n(argument<size_t>(arguments, 0)), n_dims(argument<size_t>(arguments, 1)),
        dims(argument<const size_t *>(arguments, 2)) {}

  size_t at(size_t i, size_t operand) const {
    if (!dims) return i;
    const size_t *strides = dims + n_dims * (1 + operand);
    size_t place = 0;
    for (size_t d = n_dims; d-- > 0;) {
      place += i % dims[d] * strides[d];
      i /= dims[d];
    }
    return place;
  }
};

template <class X, class Y> void unary(void *const *arguments, float (*f)(float)) {
  const Info info(arguments);
  const X *x = argument<const X *>(arguments, 3);
  Y *y = argument<Y *>(arguments, 4);
  for (size_t i = 0; i < info.n; i++) write(y[i], f(read(x[info.at(i, 0)])));
}

template <class T> void copy(void *const *arguments) {
  const Info info(arguments);
  const T *x = argument<const T *>(arguments, 3);
  T *y = argument<T *>(arguments, 4);
  for (size_t i = 0; i < info.n; i++) y[i] = x[info.at(i, 0)];
}

template <class T> void binary(void *const *arguments, float (*f)(float, float)) {
  const Info info(arguments);
  const T *a = argument<const T *>(arguments, 3), *b = argument<const T *>(arguments, 4);
  T *y = argument<T *>(arguments, 5);
  for (size_t i = 0; i < info.n; i++) write(y[i], f(read(a[info.at(i, 0)]), read(b[info.at(i, 1)])));
}

template <class T> void copy_rows(void *const *arguments) {
  const T *from = argument<const T *>(arguments, 0);
  T *to = argument<T *>(arguments, 1);
  const uint32_t n = argument<uint32_t>(arguments, 2), width = argument<uint32_t>(arguments, 3);
  const uint32_t from_stride = argument<uint32_t>(arguments, 4), to_stride = argument<uint32_t>(arguments, 5);
  for (size_t i = 0; i < n; i++) {
    for (size_t j = 0; j < width; j++) to[i * to_stride + j] = from[i * from_stride + j];
  }
}

template <class T> void set(void *const *arguments) {
  const Info info(arguments);
  const T value = argument<T>(arguments, 3);
  T *y = argument<T *>(arguments, 4);
  for (size_t i = 0; i < info.n; i++) y[info.at(i, 0)] = value;
}

template <class T> void affine(void *const *arguments) {
  const Info info(arguments);
  const T *x = argument<const T *>(arguments, 3);
  T *y = argument<T *>(arguments, 4);
  const float factor = read(argument<T>(arguments, 5)), added = read(argument<T>(arguments, 6));
  for (size_t i = 0; i < info.n; i++) write(y[i], factor * read(x[info.at(i, 0)]) + added);
}

template <class T> void select(void *const *arguments) {
  const uint32_t *ids = argument<const uint32_t *>(arguments, 3);
  const T *x = argument<const T *>(arguments, 4);
  T *y = argument<T *>(arguments, 5);
  const size_t n_left = argument<size_t>(arguments, 6), n_from = argument<size_t>(arguments, 7);
  const size_t n_ids = argument<size_t>(arguments, 8), n_right = argument<size_t>(arguments, 9);
  for (size_t left = 0; left < n_left; left++) {
    for (size_t id = 0; id < n_ids; id++) {
      const T *from = x + (left * n_from + ids[id]) * n_right;
      std::copy(from, from + n_right, y + (left * n_ids + id) * n_right);
    }
  }
}

// y (left, n_to, right) += x (left, n_ids, right) at the rows `ids`.
template <class T> void index_add(void *const *arguments) {
  const uint32_t *ids = argument<const uint32_t *>(arguments, 0);
  const size_t n_ids = argument<size_t>(arguments, 1);
  const T *x = argument<const T *>(arguments, 2);
  T *y = argument<T *>(arguments, 3);
  const size_t n_left = argument<size_t>(arguments, 4), n_from = argument<size_t>(arguments, 5);
  const size_t n_to = argument<size_t>(arguments, 6), n_right = argument<size_t>(arguments, 7);
  for (size_t left = 0; left < n_left; left++) {
    for (size_t id = 0; id < n_ids; id++) {
      for (size_t i = 0; i < n_right; i++) {
        T &to = y[(left * n_to + ids[id]) * n_right + i];
        write(to, read(to) + read(x[(left * n_from + id) * n_right + i]));
      }
    }
  }
}

float same(float x) { return x; }
float square(float x) { return x * x; }
float negative(float x) { return -x; }
float plus(float a, float b) { return a + b; }
float minus(float a, float b) { return a - b; }
float times(float a, float b) { return a * b; }
float over(float a, float b) { return a / b; }

template <class T> std::map<std::string, std::function<void(void *const *)>> of_type(const std::string &type) {
  using Arguments = void *const *;
  return {
      {"ucopy_" + type, copy<T>},
      {"copy2d_" + type, copy_rows<T>},
      {"const_set_" + type, set<T>},
      {"affine_" + type, affine<T>},
      {"is_u32_" + type, select<T>},
      {"ia_u32_" + type, index_add<T>},
      {"usqr_" + type, [](Arguments a) { unary<T, T>(a, square); }},
      {"uneg_" + type, [](Arguments a) { unary<T, T>(a, negative); }},
      {"badd_" + type, [](Arguments a) { binary<T>(a, plus); }},
      {"bsub_" + type, [](Arguments a) { binary<T>(a, minus); }},
      {"bmul_" + type, [](Arguments a) { binary<T>(a, times); }},
      {"bdiv_" + type, [](Arguments a) { binary<T>(a, over); }},
      {"cast_" + type + "_f32", [](Arguments a) { unary<T, float>(a, same); }},
      {"cast_" + type + "_bf16", [](Arguments a) { unary<T, __nv_bfloat16>(a, same); }},
  };
}

}  // namespace

bool candle_kernel(const std::string &name, void *const *arguments) {
  static const auto all = [] {
    auto all = of_type<float>("f32");
    all.merge(of_type<__nv_bfloat16>("bf16"));
    all.emplace("ucopy_u32", copy<uint32_t>);
    all.emplace("copy2d_u32", copy_rows<uint32_t>);
    all.emplace("copy2d_u8", copy_rows<uint8_t>);
    return all;
  }();
  const auto found = all.find(name);
  if (found == all.end()) return false;
  found->second(arguments);
  return true;
}
