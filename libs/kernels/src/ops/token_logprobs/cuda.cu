// From logits to the log of a token's probability and the entropy, and the gradient of the logits. A block has a row.
//
// Logits come as the product gives them, in f32, and are divided by the temperature here.
#include "../../cuda/common.cuh"

namespace {

// Largest scaled logit, log of the sum of powers over that, and entropy of a row; in every thread.
struct Row {
  float largest, normalizer, entropy;
};

__device__ Row read_row(const float *logits, int vocab_size, float inverse, float *scratch) {
  Row row;
  float largest = -INFINITY;
  for (int i = threadIdx.x; i < vocab_size; i += blockDim.x) largest = fmaxf(largest, logits[i]);
  row.largest = block_max(largest, scratch) * inverse;
  float2 sums = make_float2(0.0f, 0.0f);
  for (int i = threadIdx.x; i < vocab_size; i += blockDim.x) {
    const float below = logits[i] * inverse - row.largest;
    const float power = expf(below);
    sums.x += power;
    // A token of probability 0 adds nothing, though its logit may be infinite.
    if (below > -87.0f) sums.y += power * below;
  }
  sums = block_sums(sums, scratch);
  row.normalizer = logf(sums.x);
  row.entropy = row.normalizer - sums.y / sums.x;
  return row;
}

}  // namespace

extern "C" __global__ void token_logprobs_forward(const float *logits, const uint32_t *targets, float *logprobs,
                                                  float *entropy, int vocab_size, float inverse) {
  __shared__ float scratch[64];
  const float *row = logits + static_cast<size_t>(blockIdx.x) * vocab_size;
  const Row of_row = read_row(row, vocab_size, inverse, scratch);
  if (threadIdx.x == 0) {
    logprobs[blockIdx.x] = row[targets[blockIdx.x]] * inverse - of_row.largest - of_row.normalizer;
    entropy[blockIdx.x] = of_row.entropy;
  }
}
KERNEL(token_logprobs_forward)

namespace {

// (1 - p) or -p for the logprob, -p (ln p + H) for the entropy H, each times its gradient and one over the temperature.
template <class T>
__device__ void backward(const float *logits, const uint32_t *targets, const float *of_logprobs,
                         const float *of_entropy, T *of_logits, int vocab_size, float inverse) {
  __shared__ float scratch[64];
  const size_t start = static_cast<size_t>(blockIdx.x) * vocab_size;
  const float *row = logits + start;
  const Row of_row = read_row(row, vocab_size, inverse, scratch);
  const float of_logprob = of_logprobs[blockIdx.x];
  const float of_own_entropy = of_entropy ? of_entropy[blockIdx.x] : 0.0f;
  const int target = static_cast<int>(targets[blockIdx.x]);
  for (int i = threadIdx.x; i < vocab_size; i += blockDim.x) {
    const float log_p = row[i] * inverse - of_row.largest - of_row.normalizer;
    const float pull = of_logprob + of_own_entropy * (fmaxf(log_p, -88.0f) + of_row.entropy);
    const float gradient = -expf(log_p) * pull + (i == target ? of_logprob : 0.0f);
    store(of_logits + start + i, gradient * inverse);
  }
}

}  // namespace

#define TOKEN_LOGPROBS(NAME, T)                                                                                  \
  extern "C" __global__ void token_logprobs_backward_##NAME(const float *logits, const uint32_t *targets,        \
                                                            const float *of_logprobs, const float *of_entropy,   \
                                                            T *of_logits, int vocab_size, float inverse) {       \
    backward(logits, targets, of_logprobs, of_entropy, of_logits, vocab_size, inverse);                          \
  }                                                                                                              \
  KERNEL(token_logprobs_backward_##NAME)

TOKEN_LOGPROBS(f32, float)
TOKEN_LOGPROBS(bf16, bf16)
