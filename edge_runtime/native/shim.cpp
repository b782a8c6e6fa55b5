// A C interface over ExecuTorch's C++ runtime, for ctypes.
//
// Every function that can fail returns null or a negative number and leaves one
// line of text in tiedge_error(). No exception leaves this file. The caller keeps
// two threads out of one handle; different handles may run side by side.

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <executorch/runtime/platform/platform.h>
#include <executorch/runtime/platform/runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

// The wheel ships the guard's header but not the pool's own; these are the C
// declarations of the pool that its libraries export.
struct pthreadpool;
extern "C" std::size_t pthreadpool_get_threads_count(pthreadpool*);
extern "C" std::size_t pthreadpool_set_threads_count(pthreadpool*, std::size_t);

#include <executorch/extension/threadpool/threadpool_guard.h>

namespace executorch::extension::threadpool {
pthreadpool* get_pthreadpool();
}

namespace {

using executorch::aten::ScalarType;
using executorch::extension::make_tensor_ptr;
using executorch::extension::Module;
using executorch::extension::TensorPtr;
using executorch::extension::threadpool::get_pthreadpool;
using executorch::extension::threadpool::NoThreadPoolGuard;
using executorch::runtime::BackendOptions;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::LoadBackendOptionsMap;
using executorch::runtime::MethodMeta;
using executorch::runtime::PalImpl;
using executorch::runtime::Program;
using executorch::runtime::Result;
using executorch::runtime::Tag;
using executorch::runtime::TensorInfo;

thread_local std::string last_error;
thread_local std::string logged;

// The runtime says what went wrong only in its log, so the log becomes the text of
// the error. Fatal lines precede an abort and go to stderr at once.
void keep_log(et_timestamp_t, et_pal_log_level_t level, const char*, const char*,
              std::size_t, const char* message, std::size_t length) {
  if (level == kFatal) {
    std::fprintf(stderr, "executorch: %.*s\n", static_cast<int>(length), message);
  } else if (level == kError) {
    logged += (logged.empty() ? "" : "; ") + std::string(message, length);
  }
}

// The log has one taker per process, and executorch's Python package makes itself
// that when it is imported; so it is taken back at every call. Not by register_pal(),
// which complains on stderr of every taker but the first: the table that
// get_pal_impl() shows is a variable of the runtime's, not a constant.
void start_runtime() {
  static std::once_flag once;
  std::call_once(once, executorch::runtime::runtime_init);
  const auto table = const_cast<PalImpl*>(executorch::runtime::get_pal_impl());
  if (table->emit_log_message != keep_log) {
    table->emit_log_message = keep_log;
  }
}

int fail(const std::string& text) {
  last_error = logged.empty() ? text : text + ": " + logged;
  std::replace(last_error.begin(), last_error.end(), '\n', ' ');
  logged.clear();
  return -1;
}

int fail(const std::string& what, Error error) {
  return fail(what + " (" + executorch::runtime::to_string(error) + ")");
}

// Runs `body`, turning an exception into a failure.
template <typename Body>
int guarded(const Body& body) {
  logged.clear();
  try {
    start_runtime();
    return body();
  } catch (const std::exception& error) {
    return fail(error.what());
  }
}

const char* name_of(ScalarType type) {
  switch (type) {
    case ScalarType::Float:
      return "float32";
    case ScalarType::Half:
      return "float16";
    case ScalarType::Long:
      return "int64";
    case ScalarType::Int:
      return "int32";
    case ScalarType::Short:
      return "int16";
    case ScalarType::Char:
      return "int8";
    case ScalarType::Byte:
      return "uint8";
    case ScalarType::Bool:
      return "bool";
    default:
      return "unsupported";
  }
}

// A tensor's axes may lie in memory in another order than it names them in: those of a
// picture often are (B, C, Y, X) and lie as (B, Y, X, C).
struct Tensor {
  ScalarType type;
  std::vector<int32_t> sizes;
  std::vector<uint8_t> order;  // axes, the slowest in memory first
  std::size_t n_bytes;
};

struct Method {
  std::vector<Tensor> inputs;
  std::vector<Tensor> outputs;
  bool loaded = false;
};

struct Loaded {
  std::unique_ptr<Module> module;
  std::size_t threads;
  std::map<std::string, Method> methods;
  std::string description;
};

// Appends the tensor `index` to `tensors`; false with an error text if it is none
// that a caller can give or take.
bool add_tensor(const std::string& where, const Result<Tag>& tag,
                const Result<TensorInfo>& info, std::vector<Tensor>& tensors) {
  if (!tag.ok() || *tag != Tag::Tensor || !info.ok()) {
    fail(where + " is no tensor");
    return false;
  }
  const auto sizes = info->sizes();
  const auto order = info->dim_order();
  tensors.push_back({info->scalar_type(),
                     {sizes.begin(), sizes.end()},
                     {order.begin(), order.end()},
                     info->nbytes()});
  return true;
}

bool read_method(const MethodMeta& meta, const std::string& name, Method& method) {
  for (std::size_t i = 0; i < meta.num_inputs(); ++i) {
    const auto where = name + ": input " + std::to_string(i);
    if (!add_tensor(where, meta.input_tag(i), meta.input_tensor_meta(i), method.inputs)) {
      return false;
    }
  }
  for (std::size_t i = 0; i < meta.num_outputs(); ++i) {
    const auto where = name + ": output " + std::to_string(i);
    if (!add_tensor(where, meta.output_tag(i), meta.output_tensor_meta(i),
                    method.outputs)) {
      return false;
    }
  }
  return true;
}

std::string line(const std::string& method, const char* role, const Tensor& tensor) {
  auto text = method + " " + role + " " + name_of(tensor.type);
  for (const auto axis : tensor.order) {
    text += " " + std::to_string(tensor.sizes[axis]);
  }
  return text + "\n";
}

bool read_methods(Loaded& program) {
  const auto names = program.module->method_names();
  if (!names.ok()) {
    fail("no methods", names.error());
    return false;
  }
  for (const auto& name : *names) {
    const auto meta = program.module->method_meta(name);
    if (!meta.ok()) {
      fail(name, meta.error());
      return false;
    }
    if (!read_method(*meta, name, program.methods[name])) {
      return false;
    }
  }
  for (const auto& [name, method] : program.methods) {
    for (const auto& tensor : method.inputs) {
      program.description += line(name, "input", tensor);
    }
    for (const auto& tensor : method.outputs) {
      program.description += line(name, "output", tensor);
    }
  }
  return true;
}

// The pool is one per process. One thread means no pool at all; more means that
// the pool is ours, at that width, until the guard is gone.
class Threads {
 public:
  explicit Threads(std::size_t n_threads) {
    if (n_threads == 1) {
      alone_.emplace();
      return;
    }
    ours_ = std::unique_lock<std::mutex>(pool_mutex());
    pthreadpool_set_threads_count(get_pthreadpool(), n_threads);
  }

 private:
  static std::mutex& pool_mutex() {
    static std::mutex mutex;
    return mutex;
  }

  std::optional<NoThreadPoolGuard> alone_;
  std::unique_lock<std::mutex> ours_;
};

// A cache in memory is one per process and knows a weight by its name, which two
// models may share; a cache in a file belongs to the models that name that file.
int load_program(Loaded& program, const char* packed) {
  BackendOptions<2> options;
  LoadBackendOptionsMap backends;
  if (std::strlen(packed) >= executorch::runtime::kMaxOptionValueLength) {
    return fail("the path of the weight cache is too long");
  }
  if (options.set_option("weight_cache_enabled", packed[0] != 0) != Error::Ok ||
      options.set_option("packed_cache_path", packed) != Error::Ok ||
      backends.set_options("XnnpackBackend", options.view()) != Error::Ok) {
    return fail("the weight cache cannot be set");
  }
  const auto error = program.module->load(
      backends, Program::Verification::InternalConsistency);
  if (error != Error::Ok) {
    return fail("the program cannot be loaded", error);
  }
  return read_methods(program) ? 0 : -1;
}

int load_method(Loaded& program, const std::string& name, Method& method) {
  if (method.loaded) {
    return 0;
  }
  const Threads threads(program.threads);
  const auto error = program.module->load_method(name);
  if (error != Error::Ok) {
    return fail(name + " cannot be loaded", error);
  }
  method.loaded = true;
  return 0;
}

int copy_outputs(const std::vector<EValue>& values, const Method& method,
                 const std::string& name, void* const* outputs) {
  if (values.size() != method.outputs.size()) {
    return fail(name + ": the number of outputs changed");
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto tensor = values[i].toTensor();
    if (tensor.nbytes() != method.outputs[i].n_bytes) {
      return fail(name + ": the size of output " + std::to_string(i) + " changed");
    }
    std::memcpy(outputs[i], tensor.const_data_ptr(), tensor.nbytes());
  }
  return 0;
}

int run_method(Loaded& program, const std::string& name, void* const* inputs,
               void* const* outputs) {
  const auto found = program.methods.find(name);
  if (found == program.methods.end()) {
    return fail(name + ": no such method");
  }
  auto& method = found->second;
  if (load_method(program, name, method) != 0) {
    return -1;
  }
  std::vector<TensorPtr> tensors;
  std::vector<EValue> values;
  for (std::size_t i = 0; i < method.inputs.size(); ++i) {
    const auto& input = method.inputs[i];
    tensors.push_back(
        make_tensor_ptr(input.sizes, inputs[i], input.order, {}, input.type));
    values.emplace_back(tensors.back());
  }
  const Threads threads(program.threads);
  const auto result = program.module->execute(name, values);
  if (!result.ok()) {
    return fail(name + " failed", result.error());
  }
  return copy_outputs(*result, method, name, outputs);
}

}  // namespace

extern "C" {

// The calling thread's last failure, one line; valid until its next call.
const char* tiedge_error() { return last_error.c_str(); }

// How many threads the pool has at most.
int tiedge_most_threads() {
  start_runtime();
  static const auto most = pthreadpool_get_threads_count(get_pthreadpool());
  return static_cast<int>(most);
}

// Maps the file at `path` and reads its methods' types; loads no method yet. `packed`
// names a file for packed weights, or is empty.
void* tiedge_load(const char* path, int n_threads, const char* packed) {
  auto program = std::make_unique<Loaded>();
  const auto status = guarded([&] {
    program->threads = static_cast<std::size_t>(n_threads);
    program->module = std::make_unique<Module>(
        path, Module::LoadMode::Mmap, nullptr, nullptr, nullptr,
        /*share_memory_arenas=*/true);
    return load_program(*program, packed);
  });
  return status == 0 ? program.release() : nullptr;
}

// One line per tensor: "METHOD input|output DTYPE SIZE SIZE …", in call order; sizes
// as the tensor lies in memory.
const char* tiedge_describe(void* handle) {
  return static_cast<Loaded*>(handle)->description.c_str();
}

// Runs a method, loading it at first use. `inputs` and `outputs` point to row-major
// arrays of the described types and sizes; outputs are copied out.
int tiedge_run(void* handle, const char* method, void* const* inputs,
               void* const* outputs) {
  return guarded([&] {
    return run_method(*static_cast<Loaded*>(handle), method, inputs, outputs);
  });
}

void tiedge_unload(void* handle) { delete static_cast<Loaded*>(handle); }

}  // extern "C"
