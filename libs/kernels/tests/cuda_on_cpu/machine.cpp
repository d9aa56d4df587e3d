// Runs the threads of a kernel as fibers, block after block, and stops the program where a kernel does what no GPU
// allows: threads that wait at different barriers for ever.
#include "cuda_on_cpu.h"
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>

namespace on_cpu {

constexpr unsigned WARP = 32;
constexpr size_t STACK_BYTES = 64 << 10;

enum class State { ready, at_warp_barrier, at_block_barrier, done };

struct Thread {
  void *stack_pointer = nullptr;
  std::unique_ptr<char[]> stack{new char[STACK_BYTES]};
  State state = State::ready;
  Index index{0, 0, 0};
  unsigned place = 0;
  Offer offer{};
};

Thread *current;
Index block_index, block_size, grid_size;
unsigned char *dynamic_shared;

namespace {

std::vector<Thread> threads;
void *scheduler;
const Kernel *running;
void *const *running_arguments;

}  // namespace

// Keeps the registers that a function must keep, changes the stack, and goes on there.
extern "C" void on_cpu_switch(void **save, void *to);
#if defined(__x86_64__)
asm(R"(
.text
.globl on_cpu_switch
.type on_cpu_switch, @function
on_cpu_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size on_cpu_switch, .-on_cpu_switch
)");
constexpr size_t SAVED_WORDS = 6;
#elif defined(__aarch64__)
asm(R"(
.text
.globl on_cpu_switch
.type on_cpu_switch, %function
on_cpu_switch:
  sub sp, sp, #176
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #176
  ret
.size on_cpu_switch, .-on_cpu_switch
)");
#else
#error "threads as fibers are written for x86-64 and aarch64"
#endif

namespace {

void wait_at(State barrier) {
  current->state = barrier;
  on_cpu_switch(&current->stack_pointer, scheduler);
}

void run_thread() {
  running->call(running_arguments);
  wait_at(State::done);
}

// A stack on which run_thread starts as if it had been called.
void prepare(Thread &thread) {
  const uintptr_t end = reinterpret_cast<uintptr_t>(thread.stack.get() + STACK_BYTES) / 16 * 16;
#if defined(__x86_64__)
  auto *top = reinterpret_cast<uintptr_t *>(end - 16);
  *top = reinterpret_cast<uintptr_t>(&run_thread);
  std::fill(top - SAVED_WORDS, top, 0);
  thread.stack_pointer = top - SAVED_WORDS;
#else
  auto *top = reinterpret_cast<uintptr_t *>(end - 176);
  std::fill(top, top + 22, 0);
  top[11] = reinterpret_cast<uintptr_t>(&run_thread);
  thread.stack_pointer = top;
#endif
}

// Lets threads go on that all wait at one barrier, but for those that have ended; says whether there were any.
bool release(size_t from, size_t to, State barrier) {
  bool any = false;
  for (size_t i = from; i < to; i++) {
    if (threads[i].state == State::done) continue;
    if (threads[i].state != barrier) return false;
    any = true;
  }
  for (size_t i = from; any && i < to; i++) {
    if (threads[i].state == barrier) threads[i].state = State::ready;
  }
  return any;
}

// Runs the threads of a warp until all of them have ended or wait for the block.
void run_warp(size_t first, size_t end) {
  do {
    for (size_t i = first; i < end; i++) {
      if (threads[i].state != State::ready) continue;
      current = &threads[i];
      on_cpu_switch(&scheduler, current->stack_pointer);
    }
  } while (release(first, end, State::at_warp_barrier));
}

void run_block() {
  for (size_t i = 0; i < threads.size(); i++) {
    Thread &thread = threads[i];
    const unsigned place = static_cast<unsigned>(i);
    thread.state = State::ready;
    thread.place = place;
    thread.index = {place % block_size.x, place / block_size.x % block_size.y, place / block_size.x / block_size.y};
    prepare(thread);
  }
  do {
    for (size_t first = 0; first < threads.size(); first += WARP) {
      run_warp(first, std::min(threads.size(), first + WARP));
    }
  } while (release(0, threads.size(), State::at_block_barrier));
  for (const Thread &thread : threads) {
    if (thread.state == State::done) continue;
    std::fprintf(stderr, "%s, block %u %u %u: thread %u waits at a barrier that others never reach\n",
                 running->name.c_str(), block_index.x, block_index.y, block_index.z, thread.place);
    std::exit(3);
  }
}

}  // namespace

Index thread_index() { return current->index; }
void warp_barrier() { wait_at(State::at_warp_barrier); }
void block_barrier() { wait_at(State::at_block_barrier); }
Offer &own_offer() { return current->offer; }
const Offer &offer_of(unsigned lane) { return threads[current->place / WARP * WARP + lane].offer; }

std::vector<Kernel> &kernels() {
  static std::vector<Kernel> all;
  return all;
}

void launch(const Kernel &kernel, Index grid, Index block, size_t shared_bytes, void *const *arguments) {
  grid_size = grid;
  block_size = block;
  const size_t n_threads = size_t(block.x) * block.y * block.z;
  if (threads.size() != n_threads) threads = std::vector<Thread>(n_threads);
  running = &kernel;
  running_arguments = arguments;
  // Aligned, and full of what is no number.
  std::vector<unsigned char> shared(shared_bytes + 128);
  dynamic_shared = reinterpret_cast<unsigned char *>((reinterpret_cast<uintptr_t>(shared.data()) + 127) / 128 * 128);
  for (block_index.z = 0; block_index.z < grid.z; block_index.z++) {
    for (block_index.y = 0; block_index.y < grid.y; block_index.y++) {
      for (block_index.x = 0; block_index.x < grid.x; block_index.x++) {
        std::fill(shared.begin(), shared.end(), 0xff);
        run_block();
      }
    }
  }
}

}  // namespace on_cpu
