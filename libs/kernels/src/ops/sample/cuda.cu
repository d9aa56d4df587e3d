// Draws a token from each line of logits: where all tokens may be drawn, many blocks have a part of a line each and a second
// kernel has the last word (sample_parts, sample_join); where some are left out, a block has a line (sample).
//
// What is drawn depends on the line, the row's seed and the token's place alone, never on what else is in the batch:
// every token has a random number of its own, and the first to arrive of independent exponential clocks, each as fast
// as its token is probable, is a draw from the distribution.
#include "../../cuda/common.cuh"

namespace {

// A row's stream of chance, and the place of a token in it.
struct Row {
  uint32_t seed_low, seed_high, position;
};

constexpr uint32_t NO_TOKEN = 0xffffffffu;

// Numbers in the order of the floats.
__device__ __forceinline__ uint32_t order_of(float x) {
  const uint32_t bits = __float_as_uint(x);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

// What may be drawn: the tokens above a bound, and those at it up to an id.
struct Kept {
  uint32_t bound, last_tie;
};

struct Line {
  const float *logits;
  int vocab_size;
  const uint32_t *ends;
  int n_ends;
  bool may_end;
  float largest, inverse;

  __device__ bool is_allowed(int token) const {
    if (may_end) return true;
    for (int i = 0; i < n_ends; i++) {
      if (ends[i] == static_cast<uint32_t>(token)) return false;
    }
    return true;
  }
  __device__ float power(int token) const { return expf((logits[token] - largest) * inverse); }
  __device__ bool is_kept(int token, Kept kept) const {
    const uint32_t order = order_of(logits[token]);
    return is_allowed(token) && (order > kept.bound || (order == kept.bound && static_cast<uint32_t>(token) <= kept.last_tie));
  }

  // The number and the powers of the tokens that are kept.
  __device__ float2 sums(Kept kept, float *scratch) const {
    float2 sums = make_float2(0.0f, 0.0f);
    for (int token = threadIdx.x; token < vocab_size; token += blockDim.x) {
      if (!is_kept(token, kept)) continue;
      sums.x += 1.0f;
      sums.y += power(token);
    }
    return block_sums(sums, scratch);
  }
};

// The fewest most probable tokens of `from`, of equal ones those of lower ids, whose sum reaches `least`: their number
// if BY_COUNT, else their powers.
template <bool BY_COUNT> __device__ Kept shrink(const Line &line, Kept from, float least, float *scratch) {
  const auto reaches = [&](Kept kept) {
    const float2 sums = line.sums(kept, scratch);
    return (BY_COUNT ? sums.x : sums.y) >= least;
  };
  // The highest bound that is low enough.
  uint32_t bound = from.bound;
  for (int bit = 31; bit >= 0; bit--) {
    const uint32_t higher = bound | (1u << bit);
    if (higher <= bound) continue;
    if (reaches({higher, NO_TOKEN})) bound = higher;
  }
  const uint32_t last = bound == from.bound ? from.last_tie : NO_TOKEN;
  if (!reaches({bound, last})) return {bound, last};
  uint32_t low = 0, high = min(last, static_cast<uint32_t>(line.vocab_size - 1));
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (reaches({bound, middle})) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return {bound, low};
}

// The token of the least number over all threads, of equal ones the lowest; in every thread.
__device__ uint32_t first_to_arrive(float time, uint32_t token, float *scratch) {
  const float earliest = -block_max(-time, scratch);
  const uint32_t own = time == earliest ? token : NO_TOKEN;
  // Ids are below 2^24, so that they are whole numbers in f32.
  return static_cast<uint32_t>(-block_max(own == NO_TOKEN ? -INFINITY : -static_cast<float>(own), scratch));
}

}  // namespace

// tokens and logprobs (gridDim.x); a line that is no distribution gives NO_TOKEN. The logprob is that of the whole line
// at 1 / `inverse`, the temperature. A token is `offset` places behind that of its row; before `min_tokens` none of
// `ends` is drawn. top_k 0, top_p 1 and min_p 0 keep all; `greedy` takes the most probable.
extern "C" __global__ void sample(const float *logits, const uint32_t *rows, const uint32_t *ends, uint32_t *tokens,
                                  float *logprobs, uint32_t offset, uint32_t min_tokens, int vocab_size, int n_ends,
                                  float inverse, int greedy, int top_k, float top_p, float min_p) {
  __shared__ float scratch[64];
  const uint32_t *of_row = rows + 3 * blockIdx.x;
  const Row row = {of_row[0], of_row[1], of_row[2] + offset};
  const float *logits_of_row = logits + static_cast<size_t>(blockIdx.x) * vocab_size;
  Line line = {logits_of_row, vocab_size, ends, n_ends, row.position >= min_tokens, 0.0f, inverse};
  float largest = -INFINITY, odd = 0.0f;
  for (int token = threadIdx.x; token < vocab_size; token += blockDim.x) {
    const float logit = line.logits[token];
    largest = fmaxf(largest, logit);
    if (!(logit < INFINITY)) odd = 1.0f;  // Infinite, or no number.
  }
  line.largest = block_max(largest, scratch);
  odd = block_max(odd, scratch);
  if (odd > 0.0f || line.largest == -INFINITY) {
    if (threadIdx.x == 0) tokens[blockIdx.x] = NO_TOKEN;
    return;
  }
  float sum = 0.0f;
  for (int token = threadIdx.x; token < vocab_size; token += blockDim.x) sum += line.power(token);
  sum = block_sum(sum, scratch);

  Kept kept = {0, NO_TOKEN};
  if (!greedy && top_k > 0 && top_k < vocab_size) kept = shrink<true>(line, kept, static_cast<float>(top_k), scratch);
  if (!greedy && top_p < 1.0f) kept = shrink<false>(line, kept, top_p * line.sums(kept, scratch).y, scratch);

  float earliest = INFINITY, most = -INFINITY;
  uint32_t drawn = NO_TOKEN;
  if (!greedy && min_p > 0.0f) {
    for (int token = threadIdx.x; token < vocab_size; token += blockDim.x) {
      if (line.is_kept(token, kept)) most = fmaxf(most, line.power(token));
    }
    most = block_max(most, scratch);
  }
  const uint64_t seed = static_cast<uint64_t>(row.seed_high) << 32 | row.seed_low;
  for (int token = threadIdx.x; token < vocab_size; token += blockDim.x) {
    if (!line.is_kept(token, kept)) continue;
    const float power = line.power(token);
    if (!greedy && power < min_p * most) continue;
    float time = -line.logits[token];
    if (!greedy) {
      const uint32_t word = philox(seed, token / 4, row.position).word[token % 4];
      const float chance = (static_cast<float>(word) + 0.5f) * 2.32830644e-10f;
      time = -log1pf(-fminf(chance, 0.99999994f)) / power;
    }
    if (time < earliest || drawn == NO_TOKEN) {
      earliest = time;
      drawn = token;
    }
  }
  const uint32_t token = first_to_arrive(earliest, drawn, scratch);
  if (threadIdx.x == 0) {
    tokens[blockIdx.x] = token;
    logprobs[blockIdx.x] = (line.logits[token] - line.largest) * inverse - logf(sum);
  }
}
KERNEL(sample)

namespace {

// What a part of a line says: its largest logit and the sum of the powers over it, which is no number where a logit is odd;
// and its first token to arrive with the logarithm of its speed.
struct Part {
  float largest, sum, key;
  uint32_t token;
};

// Of two, the one that arrives first; of equal ones the lower token.
__device__ __forceinline__ bool is_first(float key, uint32_t token, float other_key, uint32_t other) {
  return key > other_key || (key == other_key && token < other);
}

// The first to arrive of all threads of the block, in every thread. `scratch` has room for 64 floats.
__device__ void first_of_block(float &key, uint32_t &token, float *scratch) {
  for (int lane = 16; lane > 0; lane /= 2) {
    const float other_key = __shfl_xor_sync(ALL_LANES, key, lane);
    const uint32_t other = __shfl_xor_sync(ALL_LANES, token, lane);
    if (is_first(other_key, other, key, token)) {
      key = other_key;
      token = other;
    }
  }
  const unsigned warp = threadIdx.x / 32;
  __syncthreads();
  if (threadIdx.x % 32 == 0) {
    scratch[2 * warp] = key;
    scratch[2 * warp + 1] = __uint_as_float(token);
  }
  __syncthreads();
  for (unsigned i = 0; i < blockDim.x / 32; i++) {
    const uint32_t other = __float_as_uint(scratch[2 * i + 1]);
    if (is_first(scratch[2 * i], other, key, token)) {
      key = scratch[2 * i];
      token = other;
    }
  }
}

}  // namespace

// grid (R, parts): parts (R, gridDim.y). Arguments as of `sample`.
extern "C" __global__ void sample_parts(const float *logits, const uint32_t *rows, const uint32_t *ends, Part *parts,
                                        uint32_t offset, uint32_t min_tokens, int vocab_size, int n_ends, float inverse,
                                        int greedy) {
  __shared__ float scratch[64];
  const uint32_t *of_row = rows + 3 * blockIdx.x;
  const uint64_t seed = static_cast<uint64_t>(of_row[1]) << 32 | of_row[0];
  const uint32_t position = of_row[2] + offset;
  const float *of_line = logits + static_cast<size_t>(blockIdx.x) * vocab_size;
  const Line line = {of_line, vocab_size, ends, n_ends, position >= min_tokens, 0.0f, inverse};
  // Four tokens at a time, since four random words are made at a time.
  const int n_fours = (vocab_size + 3) / 4, step = gridDim.y * blockDim.x;
  const int first = blockIdx.y * blockDim.x + threadIdx.x;
  float largest = -INFINITY, odd = 0.0f, key = -INFINITY;
  uint32_t drawn = NO_TOKEN;
  for (int four = first; four < n_fours; four += step) {
    const Words words = philox(seed, four, position);
    for (int i = 0; i < 4; i++) {
      const int token = 4 * four + i;
      if (token >= vocab_size) break;
      const float logit = of_line[token];
      largest = fmaxf(largest, logit);
      if (!(logit < INFINITY)) odd = 1.0f;
      if (!line.is_allowed(token)) continue;
      float own = logit * inverse;
      if (!greedy) {
        const float chance = (static_cast<float>(words.word[i]) + 0.5f) * 2.32830644e-10f;
        own -= logf(-log1pf(-fminf(chance, 0.99999994f)));
      }
      if (logit > -INFINITY && is_first(own, token, key, drawn)) {
        key = own;
        drawn = token;
      }
    }
  }
  largest = block_max(largest, scratch);
  odd = block_max(odd, scratch);
  float sum = 0.0f;
  for (int four = first; four < n_fours && largest > -INFINITY; four += step) {
    for (int token = 4 * four; token < min(4 * four + 4, vocab_size); token++) {
      sum += expf((of_line[token] - largest) * inverse);
    }
  }
  sum = block_sum(sum, scratch);
  first_of_block(key, drawn, scratch);
  if (threadIdx.x == 0) parts[blockIdx.x * gridDim.y + blockIdx.y] = {largest, odd > 0.0f ? NAN : sum, key, drawn};
}
KERNEL(sample_parts)

// grid (R), one warp: of all parts of a line.
extern "C" __global__ void sample_join(const float *logits, const Part *parts, uint32_t *tokens, float *logprobs, int n_parts,
                                       int vocab_size, float inverse) {
  const Part *of_line = parts + static_cast<size_t>(blockIdx.x) * n_parts;
  const int lane = threadIdx.x;
  float largest = -INFINITY, sum = 0.0f, key = -INFINITY;
  uint32_t drawn = NO_TOKEN;
  for (int i = lane; i < n_parts; i += 32) {
    const Part part = of_line[i];
    largest = fmaxf(largest, part.largest);
    if (is_first(part.key, part.token, key, drawn)) {
      key = part.key;
      drawn = part.token;
    }
  }
  largest = warp_max(largest);
  for (int i = lane; i < n_parts; i += 32) {
    const Part part = of_line[i];
    if (part.largest > -INFINITY || part.sum != part.sum) sum += part.sum * expf((part.largest - largest) * inverse);
  }
  sum = warp_sum(sum);
  for (int step = 16; step > 0; step /= 2) {
    const float other_key = __shfl_xor_sync(ALL_LANES, key, step);
    const uint32_t other = __shfl_xor_sync(ALL_LANES, drawn, step);
    if (is_first(other_key, other, key, drawn)) {
      key = other_key;
      drawn = other;
    }
  }
  if (lane > 0) return;
  // A sum that is no number comes from an odd logit.
  const bool is_distribution = drawn != NO_TOKEN && sum == sum;
  tokens[blockIdx.x] = is_distribution ? drawn : NO_TOKEN;
  if (is_distribution) {
    const float logit = logits[static_cast<size_t>(blockIdx.x) * vocab_size + drawn];
    logprobs[blockIdx.x] = (logit - largest) * inverse - logf(sum);
  }
}
KERNEL(sample_join)
