// Runs the kernels of RMSNorm on the CPU: `rms_norm forward|backward f32_f32|bf16_f32|bf16_bf16 N WIDTH EPS`.
// Operands come on the standard input one after the other as they lie in memory (x, weight and in the backward the
// gradient), results leave on the standard output (y, or the gradients of x and of the weight). The memory of all
// results is full of NaN before.
#include "../../src/ops/rms_norm/cuda.cu"
#include <string>

// As in cuda.rs.
constexpr int ROWS_PER_BLOCK = 32, THREADS = 256;

template <class T> std::vector<T> read(size_t n) {
  std::vector<T> values(n);
  if (std::fread(values.data(), sizeof(T), n, stdin) != n) std::exit(2);
  return values;
}
template <class T> void write(const std::vector<T> &values) {
  if (std::fwrite(values.data(), sizeof(T), values.size(), stdout) != values.size()) std::exit(2);
}
template <class T> std::vector<T> poisoned(size_t n) {
  std::vector<T> values(n);
  std::memset(values.data(), 0xff, n * sizeof(T));
  return values;
}

template <class T, class W, class Forward, class Backward>
void run(bool is_forward, Forward forward, Backward backward, int n, int width, float eps) {
  const size_t size = size_t(n) * width;
  const auto x = read<T>(size);
  const auto weight = read<W>(width);
  if (is_forward) {
    auto y = poisoned<T>(size);
    // Fewer blocks than rows, so that some have several.
    on_cpu::launch((n + 2) / 3, THREADS, forward, x.data(), weight.data(), y.data(), n, width, eps);
    return write(y);
  }
  const auto gradient = read<T>(size);
  const int n_parts = (n + ROWS_PER_BLOCK - 1) / ROWS_PER_BLOCK;
  auto of_x = poisoned<T>(size);
  auto partial = poisoned<float>(size_t(n_parts) * width), of_weight = poisoned<float>(width);
  on_cpu::launch(n_parts, THREADS, backward, x.data(), weight.data(), gradient.data(), of_x.data(), partial.data(), n,
                 width, ROWS_PER_BLOCK, eps);
  on_cpu::launch((width + THREADS - 1) / THREADS, THREADS, rms_norm_sum_parts, partial.data(), of_weight.data(),
                 n_parts, width);
  write(of_x);
  write(of_weight);
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  const bool is_forward = std::string(argv[1]) == "forward";
  const std::string types = argv[2];
  const int n = std::atoi(argv[3]), width = std::atoi(argv[4]);
  const float eps = std::atof(argv[5]);
  if (types == "f32_f32") {
    run<float, float>(is_forward, rms_norm_forward_f32_f32, rms_norm_backward_f32_f32, n, width, eps);
  } else if (types == "bf16_f32") {
    run<__nv_bfloat16, float>(is_forward, rms_norm_forward_bf16_f32, rms_norm_backward_bf16_f32, n, width, eps);
  } else if (types == "bf16_bf16") {
    run<__nv_bfloat16, __nv_bfloat16>(is_forward, rms_norm_forward_bf16_bf16, rms_norm_backward_bf16_bf16, n, width,
                                      eps);
  } else {
    return 2;
  }
}
