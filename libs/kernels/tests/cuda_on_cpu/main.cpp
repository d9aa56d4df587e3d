// Launches one kernel with what comes on the standard input, and writes the contents of all its buffers afterwards on
// the standard output. Numbers are in the machine's own order of bytes:
//
// length of the name, name, grid (3), block (3), bytes of shared memory, number of arguments; then each argument as its
// kind and length, followed by as many bytes: 0 a buffer, 1 a value, 2 no buffer, 3 a table. A table's rows are the length of
// some bytes, these, a number, and so many numbers of 64 bits; the kernel sees where the bytes are, and the numbers.
#include "cuda_on_cpu.h"
#include <cstdio>
#include <cstdlib>

namespace {

void read(void *to, size_t n) {
  if (std::fread(to, 1, n, stdin) != n) std::exit(2);
}

uint32_t number() {
  uint32_t value;
  read(&value, sizeof value);
  return value;
}

const on_cpu::Kernel &named(const std::string &name) {
  for (const on_cpu::Kernel &kernel : on_cpu::kernels()) {
    if (kernel.name == name) return kernel;
  }
  std::fprintf(stderr, "there is no kernel %s\n", name.c_str());
  std::exit(4);
}

enum Kind : uint32_t { BUFFER, VALUE, NO_BUFFER, TABLE };

struct Argument {
  uint32_t kind;
  std::vector<unsigned char> bytes;
  void *pointer = nullptr;
  // Of a table.
  std::vector<std::vector<unsigned char>> parts;
  std::vector<uint64_t> numbers;

  void read_table() {
    for (size_t at = 0; at < bytes.size();) {
      const auto take = [&](void *to, size_t n) {
        std::memcpy(to, bytes.data() + at, n);
        at += n;
      };
      uint32_t n;
      take(&n, sizeof n);
      parts.emplace_back(n);
      take(parts.back().data(), n);
      numbers.push_back(reinterpret_cast<uint64_t>(parts.back().data()));
      take(&n, sizeof n);
      for (uint32_t i = 0; i < n; i++) {
        numbers.emplace_back();
        take(&numbers.back(), sizeof(uint64_t));
      }
    }
    pointer = numbers.data();
  }
};

}  // namespace

int main() {
  std::string name(number(), ' ');
  read(name.data(), name.size());
  const on_cpu::Kernel &kernel = named(name);
  Index grid, block;
  for (Index *sizes : {&grid, &block}) *sizes = {number(), number(), number()};
  const uint32_t shared_bytes = number(), n_arguments = number();
  std::vector<Argument> arguments(n_arguments);
  std::vector<void *> pointers;
  for (Argument &argument : arguments) {
    argument.kind = number();
    argument.bytes.resize(number());
    read(argument.bytes.data(), argument.bytes.size());
    if (argument.kind == BUFFER) argument.pointer = argument.bytes.data();
    if (argument.kind == TABLE) argument.read_table();
    pointers.push_back(argument.kind == VALUE ? argument.bytes.data() : static_cast<void *>(&argument.pointer));
  }
  bool fits = kernel.sizes.size() == n_arguments;
  for (uint32_t i = 0; fits && i < n_arguments; i++) {
    const bool is_value = arguments[i].kind == VALUE;
    fits = kernel.sizes[i] == (is_value ? arguments[i].bytes.size() : sizeof(void *));
  }
  if (!fits) {
    std::fprintf(stderr, "%s takes %zu arguments of other sizes\n", name.c_str(), kernel.sizes.size());
    return 5;
  }
  on_cpu::launch(kernel, grid, block, shared_bytes, pointers.data());
  for (const Argument &argument : arguments) {
    if (argument.kind != BUFFER) continue;
    if (std::fwrite(argument.bytes.data(), 1, argument.bytes.size(), stdout) != argument.bytes.size()) return 2;
  }
}
