// Stands in for NVIDIA's driver, cuBLAS, cuBLASLt and cuRAND on a machine without a GPU: `build` beside it makes the libraries.
//
// GPU_DRIVER=compute runs the project's own kernels on the CPU, by the machine of libs/kernels/tests/cuda_on_cpu, and
// products by plain loops, so that a whole program computes what it would on a GPU. By default nothing is computed:
// launches, allocations and copies are checked and counted; those of a graph each time that it is launched. Between cuProfilerStart and cuProfilerStop the counts are
// taken, and written as a line of JSON to the file GPU_COUNTS.
#include "cuda_on_cpu.h"
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <vector>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "candle_kernels.h"

namespace {

enum Status { OK = 0, INVALID = 1, NOT_FOUND = 500 };

std::mutex mutex;

bool computes() {
  static const bool computes = getenv("GPU_DRIVER") && std::string(getenv("GPU_DRIVER")) == "compute";
  return computes;
}

// What was asked for since cuProfilerStart.
struct Counts {
  uint64_t launches, products, graphs, allocations, frees, to_device, bytes_to_device, to_host, bytes_to_host, within, clears,
      synchronizations, peak_bytes;
  std::map<std::string, uint64_t> kernels;
  std::set<void *> streams;
};

Counts counts{};
std::map<void *, size_t> memory;
uint64_t live_bytes = 0;

int complain(const std::string &what) {
  std::fprintf(stderr, "gpu-driver: %s\n", what.c_str());
  return INVALID;
}

void on_stream(void *stream) { counts.streams.insert(stream); }

// What was recorded of a stream, to be done again.
struct Graph { std::vector<std::function<int()>> nodes; };

// The graph that is being recorded.
Graph *recording = nullptr;

// Does it, or records it.
int do_or_record(const std::function<int()> &node) {
  if (!recording) return node();
  recording->nodes.push_back(node);
  return OK;
}

// What a graph cannot hold on to.
int not_recorded(const std::string &what) { return complain(what + " while a graph is recorded"); }

// A kernel by its name, whichever module it came from.
struct Function {
  std::string name;
  const on_cpu::Kernel *kernel;
};

const on_cpu::Kernel *find(const std::string &name) {
  for (const on_cpu::Kernel &kernel : on_cpu::kernels()) {
    if (kernel.name == name) return &kernel;
  }
  return nullptr;
}

}  // namespace

#define API extern "C" __attribute__((visibility("default"))) int

API cuInit(unsigned) { return OK; }
API cuDriverGetVersion(int *version) { *version = 13000; return OK; }
API cuDeviceGet(int *device, int ordinal) { *device = ordinal; return ordinal == 0 ? OK : 101; }
API cuDeviceGetCount(int *n) { *n = 1; return OK; }
API cuDeviceGetAttribute(int *value, int attribute, int) {
  // Compute capability 9.0 with 132 multiprocessors.
  *value = attribute == 75 ? 9 : attribute == 76 ? 0 : attribute == 16 ? 132 : 1;
  return OK;
}
API cuDeviceGetName(char *name, int n, int) { std::snprintf(name, n, "no GPU: %s", computes() ? "the CPU computes" : "counts"); return OK; }
API cuDeviceGetUuid_v2(void *uuid, int) { std::memset(uuid, 0, 16); return OK; }
API cuDeviceTotalMem_v2(size_t *n, int) { *n = size_t(80) << 30; return OK; }
API cuDevicePrimaryCtxRetain(void **context, int) { static int one; *context = &one; return OK; }
API cuDevicePrimaryCtxRelease_v2(int) { return OK; }
namespace { thread_local void *current_context; }
API cuCtxGetCurrent(void **context) { *context = current_context; return OK; }
API cuCtxSetCurrent(void *context) { current_context = context; return OK; }
API cuCtxSynchronize() { counts.synchronizations++; return OK; }
API cuDeviceGetDefaultMemPool(void **pool, int) { static int one; *pool = &one; return OK; }
API cuMemPoolSetAttribute(void *, int, void *) { return OK; }
API cuGetErrorName(int error, const char **text) { *text = error == NOT_FOUND ? "CUDA_ERROR_NOT_FOUND" : "CUDA_ERROR_INVALID_VALUE"; return OK; }
API cuGetErrorString(int, const char **text) { *text = "see what gpu-driver wrote"; return OK; }

API cuMemAllocAsync(void **to, size_t n, void *stream) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (recording) return not_recorded("an allocation");
  if (n == 0) return complain("an allocation of 0 bytes");
  on_stream(stream);
  counts.allocations++;
  // Whoever reads what nobody wrote finds no number; where nothing is computed, all results are zeros.
  *to = computes() ? std::aligned_alloc(256, (n + 255) / 256 * 256) : std::calloc(n, 1);
  if (!*to) return 2;
  if (computes()) std::memset(*to, 0xff, n);
  memory[*to] = n;
  live_bytes += n;
  counts.peak_bytes = std::max(counts.peak_bytes, live_bytes);
  return OK;
}
API cuMemFreeAsync(void *at, void *stream) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (recording) return not_recorded("memory is freed");
  on_stream(stream);
  const auto found = memory.find(at);
  if (found == memory.end()) return complain("memory is freed that was not allocated");
  counts.frees++;
  live_bytes -= found->second;
  memory.erase(found);
  std::free(at);
  return OK;
}

// Memory outside the pool is a file without a name, which other processes may map by the handle: process, file and size.
namespace {

struct Handle { int process, file; size_t n; };
std::map<void *, Handle> shared;

int map_shared(void **to, const Handle &handle) {
  void *at = mmap(nullptr, handle.n, PROT_READ | PROT_WRITE, MAP_SHARED, handle.file, 0);
  if (at == MAP_FAILED) return 2;
  shared[at] = handle;
  memory[at] = handle.n;
  *to = at;
  return OK;
}

}  // namespace

API cuMemAlloc_v2(void **to, size_t n) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (recording) return not_recorded("an allocation");
  const int file = memfd_create("gpu", 0);
  if (n == 0 || file < 0 || ftruncate(file, n) != 0) return complain("memory cannot be allocated");
  counts.allocations++;
  live_bytes += n;
  return map_shared(to, {getpid(), file, n});
}
API cuMemFree_v2(void *) { return complain("memory is freed that others may have mapped"); }
API cuIpcGetMemHandle(void *to, void *at) {
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = shared.find(at);
  if (found == shared.end()) return complain("a handle of memory that cannot be shared");
  std::memset(to, 0, 64);
  std::memcpy(to, &found->second, sizeof(Handle));
  return OK;
}
struct IpcHandle { char bytes[64]; };
API cuIpcOpenMemHandle_v2(void **to, IpcHandle handle, unsigned) {
  const std::lock_guard<std::mutex> lock(mutex);
  Handle from;
  std::memcpy(&from, handle.bytes, sizeof(from));
  if (from.process == getpid()) return complain("a process opens a handle of its own");
  const std::string path = "/proc/" + std::to_string(from.process) + "/fd/" + std::to_string(from.file);
  const int file = open(path.c_str(), O_RDWR);
  if (file < 0) return complain("a handle of a process that has ended");
  return map_shared(to, {getpid(), file, from.n});
}
API cuMemPoolTrimTo(void *, size_t) { return OK; }
API cuMemGetInfo_v2(size_t *free, size_t *total) { *total = size_t(80) << 30; *free = *total - live_bytes; return OK; }

namespace {

// Whether the bytes lie in one piece of the device's memory.
bool is_ours(const void *at, size_t n) {
  auto found = memory.upper_bound(const_cast<void *>(at));
  if (found == memory.begin()) return false;
  --found;
  const char *start = static_cast<const char *>(found->first), *from = static_cast<const char *>(at);
  return from + n <= start + found->second;
}

}  // namespace

API cuMemsetD8Async(void *to, unsigned char value, size_t n, void *stream) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (recording) return not_recorded("memory is set");
  on_stream(stream);
  counts.clears++;
  if (!is_ours(to, n)) return complain("memory is set that was not allocated");
  std::memset(to, value, n);
  return OK;
}
API cuMemcpyHtoDAsync_v2(void *to, const void *from, size_t n, void *stream) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (recording) return not_recorded("a copy from main memory");
  on_stream(stream);
  counts.to_device++;
  counts.bytes_to_device += n;
  if (!is_ours(to, n)) return complain("a copy to memory that was not allocated");
  std::memcpy(to, from, n);
  return OK;
}
API cuMemcpyDtoHAsync_v2(void *to, const void *from, size_t n, void *stream) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (recording) return not_recorded("a copy to main memory");
  on_stream(stream);
  counts.to_host++;
  counts.bytes_to_host += n;
  if (!is_ours(from, n)) return complain("a copy from memory that was not allocated");
  std::memcpy(to, from, n);
  return OK;
}
API cuMemcpyDtoDAsync_v2(void *to, const void *from, size_t n, void *stream) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (recording) return not_recorded("a copy");
  on_stream(stream);
  counts.within++;
  if (!is_ours(to, n) || !is_ours(from, n)) return complain("a copy within memory that was not allocated");
  std::memmove(to, from, n);
  return OK;
}
API cuMemcpyHtoD_v2(void *to, const void *from, size_t n) { return cuMemcpyHtoDAsync_v2(to, from, n, nullptr); }
API cuMemcpyDtoH_v2(void *to, const void *from, size_t n) { return cuMemcpyDtoHAsync_v2(to, from, n, nullptr); }

API cuEventCreate(void **event, unsigned) { static int one; *event = &one; return OK; }
API cuEventDestroy_v2(void *) { return OK; }
API cuEventRecord(void *, void *) { return OK; }
API cuEventSynchronize(void *) { counts.synchronizations++; return OK; }
API cuStreamWaitEvent(void *, void *, unsigned) { return OK; }
API cuStreamSynchronize(void *) { counts.synchronizations++; return OK; }
API cuStreamCreate(void **stream, unsigned) { *stream = new int; return OK; }
API cuStreamDestroy_v2(void *) { return OK; }
API cuStreamIsCapturing(void *, int *state) { *state = recording != nullptr; return OK; }
API cuStreamBeginCapture_v2(void *stream, int) {
  const std::lock_guard<std::mutex> lock(mutex);
  on_stream(stream);
  if (recording) return not_recorded("a graph is recorded");
  recording = new Graph;
  return OK;
}
API cuStreamEndCapture(void *, void **graph) {
  const std::lock_guard<std::mutex> lock(mutex);
  *graph = recording;
  recording = nullptr;
  return *graph ? OK : complain("the end of a graph that was not begun");
}
API cuGraphInstantiateWithFlags(void **graph, void *of, unsigned long long) {
  *graph = new Graph(*static_cast<Graph *>(of));
  return OK;
}
API cuGraphDestroy(void *graph) { delete static_cast<Graph *>(graph); return OK; }
API cuGraphExecDestroy(void *graph) { delete static_cast<Graph *>(graph); return OK; }
API cuGraphLaunch(void *graph, void *stream) {
  const std::lock_guard<std::mutex> lock(mutex);
  on_stream(stream);
  counts.graphs++;
  for (const auto &node : static_cast<Graph *>(graph)->nodes) {
    if (const int status = node()) return status;
  }
  return OK;
}

// A module is its source, in which a kernel has to be that is asked for.
API cuModuleLoadData(void **module, const void *source) {
  *module = new std::string(static_cast<const char *>(source));
  return OK;
}
API cuModuleUnload(void *) { return OK; }
API cuModuleGetFunction(void **function, void *module, const char *name) {
  const std::lock_guard<std::mutex> lock(mutex);
  static std::map<std::pair<void *, std::string>, Function> found;
  const auto key = std::make_pair(module, std::string(name));
  if (!found.count(key)) {
    const std::string entry = std::string(".entry ") + name + "(";
    if (static_cast<std::string *>(module)->find(entry) == std::string::npos) {
      complain(std::string("no kernel ") + name + " in its module");
      return NOT_FOUND;
    }
    found[key] = {name, find(name)};
  }
  *function = &found[key];
  return OK;
}
API cuFuncSetAttribute(void *, int, int) { return OK; }
namespace {

int run(const Function &function, Index grid, Index block, unsigned shared_bytes, void *const *arguments) {
  counts.launches++;
  counts.kernels[function.name]++;
  if (!computes()) return OK;
  if (function.kernel) {
    on_cpu::launch(*function.kernel, grid, block, shared_bytes, arguments);
    return OK;
  }
  if (candle_kernel(function.name, arguments)) return OK;
  return complain("nothing computes " + function.name);
}

}  // namespace

API cuLaunchKernel(void *of, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared_bytes, void *stream, void **arguments, void **) {
  const std::lock_guard<std::mutex> lock(mutex);
  const Function &function = *static_cast<Function *>(of);
  on_stream(stream);
  const bool fits = gx && gy && gz && bx && by && bz && gx <= 2147483647u && gy <= 65535 && gz <= 65535 &&
                    uint64_t(bx) * by * bz <= 1024 && shared_bytes <= 232448;
  if (!fits) return complain("a launch of " + function.name + " with a grid that no GPU has");
  const Index grid = {gx, gy, gz}, block = {bx, by, bz};
  if (!recording) return run(function, grid, block, shared_bytes, arguments);
  if (!function.kernel) return not_recorded(function.name + ", of whose arguments nothing is known,");
  // The arguments as they are now.
  std::vector<std::vector<char>> kept;
  for (size_t i = 0; i < function.kernel->sizes.size(); i++) {
    const char *argument = static_cast<const char *>(arguments[i]);
    kept.emplace_back(argument, argument + function.kernel->sizes[i]);
  }
  return do_or_record([=, &function] {
    std::vector<void *> places;
    for (const auto &argument : kept) places.push_back(const_cast<char *>(argument.data()));
    return run(function, grid, block, shared_bytes, places.data());
  });
}

API cuProfilerStart() {
  const std::lock_guard<std::mutex> lock(mutex);
  counts = Counts{};
  counts.peak_bytes = live_bytes;
  return OK;
}
API cuProfilerStop() {
  const std::lock_guard<std::mutex> lock(mutex);
  const char *path = getenv("GPU_COUNTS");
  FILE *file = path ? std::fopen(path, "a") : stderr;
  if (!file) return complain("GPU_COUNTS names no file that can be written");
  std::fprintf(file,
               "{\"launches\": %lu, \"products\": %lu, \"graphs\": %lu, \"allocations\": %lu, \"frees\": %lu, \"copies_to_device\": %lu, "
               "\"bytes_to_device\": %lu, \"copies_to_host\": %lu, \"bytes_to_host\": %lu, \"copies_within\": %lu, "
               "\"clears\": %lu, \"synchronizations\": %lu, \"streams\": %zu, \"peak_bytes\": %lu, \"kernels\": {",
               counts.launches, counts.products, counts.graphs, counts.allocations, counts.frees, counts.to_device,
               counts.bytes_to_device, counts.to_host, counts.bytes_to_host, counts.within, counts.clears,
               counts.synchronizations, counts.streams.size(), counts.peak_bytes);
  const char *separator = "";
  for (const auto &[name, n] : counts.kernels) {
    std::fprintf(file, "%s\"%s\": %lu", separator, name.c_str(), n);
    separator = ", ";
  }
  std::fprintf(file, "}}\n");
  if (path) std::fclose(file);
  return OK;
}

// cuBLAS: matrices lie column by column.
namespace {

enum DataType { F32 = 0, BF16 = 14 };

float value(const void *matrix, int type, size_t at) {
  if (type == F32) return static_cast<const float *>(matrix)[at];
  return __bfloat162float(static_cast<const __nv_bfloat16 *>(matrix)[at]);
}

void *blas_stream;

struct Factor { const void *values; int type, transposed, stride; long long step; };

// The bias, of the type of c, has a value for each row of c.
int multiply(int m, int n, int k, float scale, Factor a, Factor b, float keep, void *c, int c_type, int ldc, long long c_step,
             int n_products, const void *bias = nullptr) {
  counts.products++;
  if (!computes()) return OK;
  std::vector<float> left(size_t(m) * k), right(size_t(k) * n);
  for (int idx = 0; idx < n_products; idx++) {
    for (int i = 0; i < m; i++) {
      for (int p = 0; p < k; p++) {
        const size_t at = a.transposed ? p + size_t(i) * a.stride : i + size_t(p) * a.stride;
        left[size_t(i) * k + p] = value(a.values, a.type, idx * a.step + at);
      }
    }
    for (int j = 0; j < n; j++) {
      for (int p = 0; p < k; p++) {
        const size_t at = b.transposed ? j + size_t(p) * b.stride : p + size_t(j) * b.stride;
        right[size_t(j) * k + p] = value(b.values, b.type, idx * b.step + at);
      }
    }
    for (int j = 0; j < n; j++) {
      for (int i = 0; i < m; i++) {
        const float *x = &left[size_t(i) * k], *y = &right[size_t(j) * k];
        float sums[16] = {};
        int p = 0;
        for (; p + 16 <= k; p += 16) {
          for (int lane = 0; lane < 16; lane++) sums[lane] += x[p + lane] * y[p + lane];
        }
        for (int lane = 0; p < k; p++, lane++) sums[lane] += x[p] * y[p];
        float sum = 0.0f;
        for (float part : sums) sum += part;
        const size_t at = idx * c_step + i + size_t(j) * ldc;
        float result = scale * sum + (keep != 0.0f ? keep * value(c, c_type, at) : 0.0f);
        if (bias) result += value(bias, c_type, i);
        if (c_type == F32) {
          static_cast<float *>(c)[at] = result;
        } else {
          static_cast<__nv_bfloat16 *>(c)[at] = __float2bfloat16(result);
        }
      }
    }
  }
  return OK;
}

}  // namespace

API cublasCreate_v2(void **handle) { static int one; *handle = &one; return OK; }
API cublasDestroy_v2(void *) { return OK; }
API cublasSetStream_v2(void *, void *stream) { blas_stream = stream; return OK; }
API cublasGemmStridedBatchedEx(void *, int of_a, int of_b, int m, int n, int k, const void *alpha, const void *a, int a_type,
                               int lda, long long a_step, const void *b, int b_type, int ldb, long long b_step,
                               const void *beta, void *c, int c_type, int ldc, long long c_step, int n_products, int, int) {
  const std::lock_guard<std::mutex> lock(mutex);
  on_stream(blas_stream);
  const bool fits = m > 0 && n > 0 && k > 0 && n_products > 0 && lda >= (of_a ? k : m) && ldb >= (of_b ? n : k) && ldc >= m;
  if (!fits) {
    complain("a product of sides " + std::to_string(m) + ", " + std::to_string(n) + ", " + std::to_string(k));
    return 7;
  }
  if ((a_type != F32 && a_type != BF16) || a_type != b_type || (c_type != F32 && c_type != a_type)) {
    complain("a product of types " + std::to_string(a_type) + ", " + std::to_string(b_type) + ", " + std::to_string(c_type));
    return 15;
  }
  const float scale = *static_cast<const float *>(alpha), keep = *static_cast<const float *>(beta);
  const Factor left = {a, a_type, of_a, lda, a_step}, right = {b, b_type, of_b, ldb, b_step};
  return do_or_record([=] { return multiply(m, n, k, scale, left, right, keep, c, c_type, ldc, c_step, n_products); });
}
API cublasGemmEx(void *handle, int of_a, int of_b, int m, int n, int k, const void *alpha, const void *a, int a_type,
                 int lda, const void *b, int b_type, int ldb, const void *beta, void *c, int c_type, int ldc,
                 int compute, int algorithm) {
  return cublasGemmStridedBatchedEx(handle, of_a, of_b, m, n, k, alpha, a, a_type, lda, 0, b, b_type, ldb, 0, beta, c,
                                    c_type, ldc, 0, 1, compute, algorithm);
}
API cublasDgemmStridedBatched() { return complain("products in f64 are not for this driver"); }

// cuBLASLt, as far as a product with a bias asks for it. The numbers of attributes are those of cublasLt.h.
namespace {

struct Task { int transposed[2] = {}, epilogue = 1; const void *bias = nullptr; };
struct Layout { int type; uint64_t rows, columns; int64_t stride; };
// What a product may ask for: bytes of the workspace, and how its four matrices are aligned.
struct Limits { size_t workspace = 0; uint32_t alignments[4] = {256, 256, 256, 256}; };

constexpr int NOT_SUPPORTED = 15, EPILOGUE_BIAS = 4;

bool is_aligned(const void *at, uint32_t alignment) { return reinterpret_cast<uintptr_t>(at) % alignment == 0; }

// How a product is computed: what cublasLtMatmulHeuristicResult_t begins with, and what was promised when it was asked for.
struct Way { Limits promised; char rest[64 - sizeof(Limits)]; size_t workspace; int state; float waves; int reserved[4]; };

}  // namespace

API cublasLtMatmulDescCreate(void **task, int compute, int scale_type) {
  if (compute != 68 || scale_type != F32) return complain("a product whose sums are not in f32");
  *task = new Task;
  return OK;
}
API cublasLtMatmulDescDestroy(void *task) { delete static_cast<Task *>(task); return OK; }
API cublasLtMatmulDescSetAttribute(void *of, int attribute, const void *value, size_t n) {
  Task *task = static_cast<Task *>(of);
  if ((attribute == 3 || attribute == 4) && n == sizeof(int)) {
    std::memcpy(&task->transposed[attribute - 3], value, n);
  } else if (attribute == 7 && n == sizeof(int)) {
    std::memcpy(&task->epilogue, value, n);
  } else if (attribute == 8 && n == sizeof(void *)) {
    std::memcpy(&task->bias, value, n);
  } else {
    return complain("attribute " + std::to_string(attribute) + " of a product, with " + std::to_string(n) + " bytes");
  }
  return OK;
}
API cublasLtMatrixLayoutCreate(void **layout, int type, uint64_t rows, uint64_t columns, int64_t stride) {
  *layout = new Layout{type, rows, columns, stride};
  return OK;
}
API cublasLtMatrixLayoutDestroy(void *layout) { delete static_cast<Layout *>(layout); return OK; }
API cublasLtMatmulPreferenceCreate(void **limits) { *limits = new Limits; return OK; }
API cublasLtMatmulPreferenceDestroy(void *limits) { delete static_cast<Limits *>(limits); return OK; }
API cublasLtMatmulPreferenceSetAttribute(void *of, int attribute, const void *value, size_t n) {
  Limits *limits = static_cast<Limits *>(of);
  if (attribute == 1 && n == sizeof(size_t)) {
    std::memcpy(&limits->workspace, value, n);
  } else if (attribute >= 5 && attribute <= 8 && n == sizeof(uint32_t)) {
    std::memcpy(&limits->alignments[attribute - 5], value, n);
  } else {
    return complain("attribute " + std::to_string(attribute) + " of a preference, with " + std::to_string(n) + " bytes");
  }
  return OK;
}
API cublasLtMatmulAlgoGetHeuristic(void *, void *of, void *a_layout, void *b_layout, void *c_layout, void *d_layout, void *limits,
                                   int n_asked, void *ways, int *n) {
  const Task &task = *static_cast<Task *>(of);
  const Layout &a = *static_cast<Layout *>(a_layout), &b = *static_cast<Layout *>(b_layout), &d = *static_cast<Layout *>(d_layout);
  const bool known = task.epilogue == EPILOGUE_BIAS && task.bias && c_layout == d_layout && n_asked == 1;
  if (!known || (a.type != F32 && a.type != BF16) || a.type != b.type || a.type != d.type) {
    complain("a product with an epilogue that is not known here");
    return NOT_SUPPORTED;
  }
  static_assert(offsetof(Way, workspace) == 64);
  Way way{};
  way.promised = *static_cast<Limits *>(limits);
  way.workspace = std::min<size_t>(way.promised.workspace, 1000);
  std::memcpy(ways, &way, sizeof(way));
  *n = 1;
  return OK;
}
API cublasLtMatmul(void *, void *of, const void *alpha, const void *a, void *a_layout, const void *b, void *b_layout,
                   const void *beta, const void *c, void *c_layout, void *d, void *d_layout, const void *algorithm,
                   void *workspace, size_t workspace_bytes, void *stream) {
  const std::lock_guard<std::mutex> lock(mutex);
  on_stream(stream);
  const Task &task = *static_cast<Task *>(of);
  const Layout &left = *static_cast<Layout *>(a_layout), &right = *static_cast<Layout *>(b_layout), &out = *static_cast<Layout *>(d_layout);
  const int m = out.rows, n = out.columns, k = task.transposed[0] ? left.rows : left.columns;
  const bool fits = (task.transposed[0] ? left.columns : left.rows) == out.rows && (task.transposed[1] ? right.rows : right.columns) == out.columns &&
                    (task.transposed[1] ? right.columns : right.rows) == uint64_t(k) && left.stride >= int64_t(left.rows) &&
                    right.stride >= int64_t(right.rows) && out.stride >= int64_t(m) && c == d && c_layout == d_layout;
  if (!fits || m == 0 || n == 0 || k == 0) {
    complain("a product of sides " + std::to_string(m) + ", " + std::to_string(n) + ", " + std::to_string(k));
    return 7;
  }
  const Limits &promised = *static_cast<const Limits *>(algorithm);
  const bool aligned = is_aligned(a, promised.alignments[0]) && is_aligned(b, promised.alignments[1]) &&
                       is_aligned(c, promised.alignments[2]) && is_aligned(d, promised.alignments[3]);
  const size_t of_value = out.type == F32 ? 4 : 2;
  if (!aligned || !is_ours(workspace, workspace_bytes) || !is_ours(task.bias, m * of_value)) {
    complain("a product of memory that is not aligned as was promised, or was not allocated");
    return 7;
  }
  const float scale = *static_cast<const float *>(alpha), keep = *static_cast<const float *>(beta);
  const Factor one = {a, left.type, task.transposed[0], int(left.stride), 0}, other = {b, right.type, task.transposed[1], int(right.stride), 0};
  const void *bias = task.bias;
  const int type = out.type, stride = out.stride;
  return do_or_record([=] { return multiply(m, n, k, scale, one, other, keep, d, type, stride, 0, 1, bias); });
}

API curandCreateGenerator(void **generator, int) { static int one; *generator = &one; return OK; }
API curandDestroyGenerator(void *) { return OK; }
API curandSetStream(void *, void *) { return OK; }
API curandSetPseudoRandomGeneratorSeed(void *, unsigned long long) { return OK; }
