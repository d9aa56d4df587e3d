// Runs CUDA C++ kernels on the CPU, for tests on machines without a GPU: each thread of a block is a fiber, so that
// barriers and shuffles mean what they mean on a GPU. Blocks run one after the other. It knows what the kernels here
// use, and stops the program where they do what no GPU allows: threads that wait at different barriers for ever.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>
#include <ucontext.h>

#define __global__
#define __device__
#define __forceinline__ inline
// Blocks do not overlap in time, so one copy serves all of them.
#define __shared__ static

struct float2 { float x, y; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }

struct __nv_bfloat16 { uint16_t bits; };
inline float __bfloat162float(__nv_bfloat16 x) {
  const uint32_t bits = uint32_t(x.bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
// To the nearest, ties to even.
inline __nv_bfloat16 __float2bfloat16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if (std::isnan(value)) return {uint16_t(bits >> 16 | 0x40)};
  return {uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

struct Index { unsigned x; };
inline Index blockIdx, blockDim, gridDim;

namespace on_cpu {

constexpr unsigned WARP = 32;
constexpr size_t STACK_BYTES = 64 << 10;

enum class State { ready, at_warp_barrier, at_block_barrier, done };

struct Thread {
  ucontext_t context;
  std::unique_ptr<char[]> stack{new char[STACK_BYTES]};
  State state = State::ready;
  Index index{0};
  // What this lane offers to the others of its warp.
  float offered = 0.0f;
};

inline std::vector<Thread> threads;
inline std::function<void()> body;
inline ucontext_t scheduler;
inline Thread *current;

inline void wait_at(State barrier) {
  current->state = barrier;
  swapcontext(&current->context, &scheduler);
}

inline void run_body() {
  body();
  current->state = State::done;
}

// Lets threads go on that all wait at one barrier, but for those that have ended; says whether there were any.
inline bool release(unsigned from, unsigned to, State barrier) {
  bool any = false;
  for (unsigned i = from; i < to; i++) {
    if (threads[i].state == State::done) continue;
    if (threads[i].state != barrier) return false;
    any = true;
  }
  for (unsigned i = from; i < to; i++) {
    if (threads[i].state == barrier) threads[i].state = State::ready;
  }
  return any;
}

inline bool release_any() {
  const unsigned n = threads.size();
  bool any = release(0, n, State::at_block_barrier);
  for (unsigned first = 0; first < n; first += WARP) {
    any |= release(first, std::min(n, first + WARP), State::at_warp_barrier);
  }
  return any;
}

inline void run_block() {
  for (unsigned i = 0; i < threads.size(); i++) {
    Thread &thread = threads[i];
    thread.state = State::ready;
    thread.index = {i};
    getcontext(&thread.context);
    thread.context.uc_stack.ss_sp = thread.stack.get();
    thread.context.uc_stack.ss_size = STACK_BYTES;
    thread.context.uc_link = &scheduler;
    makecontext(&thread.context, run_body, 0);
  }
  do {
    for (Thread &thread : threads) {
      if (thread.state != State::ready) continue;
      current = &thread;
      swapcontext(&scheduler, &thread.context);
    }
  } while (release_any());
  for (const Thread &thread : threads) {
    if (thread.state == State::done) continue;
    std::fprintf(stderr, "block %u: thread %u waits at a barrier that others never reach\n", blockIdx.x,
                 thread.index.x);
    std::exit(3);
  }
}

// kernel<<<n_blocks, n_threads>>>(arguments...)
template <class... Parameters, class... Arguments>
void launch(unsigned n_blocks, unsigned n_threads, void (*kernel)(Parameters...), Arguments... arguments) {
  gridDim = {n_blocks};
  blockDim = {n_threads};
  threads = std::vector<Thread>(n_threads);
  body = [=] { kernel(arguments...); };
  for (unsigned block = 0; block < n_blocks; block++) {
    blockIdx = {block};
    run_block();
  }
}

}  // namespace on_cpu

#define threadIdx (on_cpu::current->index)

inline void __syncthreads() { on_cpu::wait_at(on_cpu::State::at_block_barrier); }
inline void __syncwarp() { on_cpu::wait_at(on_cpu::State::at_warp_barrier); }

// All lanes of the warp take part.
inline float __shfl_xor_sync(unsigned, float value, unsigned lanes) {
  on_cpu::current->offered = value;
  __syncwarp();
  const float other = on_cpu::threads[threadIdx.x ^ lanes].offered;
  __syncwarp();
  return other;
}
