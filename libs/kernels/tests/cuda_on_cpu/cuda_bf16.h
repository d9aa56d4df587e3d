// Found in place of CUDA's own when a kernel is compiled for the CPU.
#include "cuda_on_cpu.h"
