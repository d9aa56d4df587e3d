// What the few kernels of candle's compute that the project's passes still use, in plain loops.
#pragma once
#include "cuda_on_cpu.h"

// Computes a kernel with the arguments of its launch; says whether it is one of these.
bool candle_kernel(const std::string &name, void *const *arguments);
