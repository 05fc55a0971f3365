#include "local/file_worker.h"

#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <mutex>
#include <new>

#include "CLI/CLI.hpp"
#include "base/error.h"
#include "base/memory_budget.h"
#include "engine/thread_executor.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "grpcpp/server_posix.h"
#include "histeq/v1/worker.grpc.pb.h"
#include "local/confinement.h"
#include "local/file_work.h"
#include "local/worker_process.h"
#include "rpc/operation_convert.h"
#include "rpc/proto_convert.h"
#include "rpc/status.h"

namespace histeq::client {
namespace {

struct Flags {
  int socket = -1;
  pid_t parent = 0;
  uint64_t memory_bytes = 0;
  uint64_t file_bytes = 0;
  int64_t image_timeout_s = 0;
  codec::DecodeLimits limits;
  std::string scratch_dir;
  std::vector<std::string> faults;
};

// Decoded samples that are kept in memory; more go to the scratch folder.
constexpr int64_t kImageBudgetBytes = 256 << 20;
// Kept between images rather than given back to the system.
constexpr int kKeptMemoryBytes = 64 << 20;

[[noreturn]] void EndOutOfMemory() { _exit(kWorkerOutOfMemoryExit); }

// Memory may run out where nobody can answer.
[[noreturn]] void Terminate() {
  try {
    if (std::current_exception()) std::rethrow_exception(std::current_exception());
  } catch (const std::bad_alloc&) {
    EndOutOfMemory();
  } catch (...) {
  }
  std::abort();
}

// For tests: does to the process what a broken decoder would.
void Befall(const std::string& kind, uint32_t attempt) {
  if (kind == "abort" || (kind == "abort-once" && attempt == 1)) std::abort();
  if (kind == "hang") {
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable().wait(lock, [] { return false; });
  }
  if (kind == "memory") {
    std::vector<std::unique_ptr<uint8_t[]>> eaten;
    for (;;) eaten.emplace_back(new uint8_t[16 << 20]);
  }
}

// The file that the command gave.
struct TakenFile {
  TakenFile() : descriptor(TakeFile()) {}
  ~TakenFile() {
    if (descriptor >= 0) close(descriptor);
  }
  TakenFile(const TakenFile&) = delete;
  TakenFile& operator=(const TakenFile&) = delete;

  const int descriptor;
};

class FileWorkerService final : public v1::Worker::Service {
 public:
  explicit FileWorkerService(const Flags& flags)
      : flags_(flags), executor_(1), budget_(kImageBudgetBytes) {}

  grpc::Status ProcessFile(grpc::ServerContext*, const v1::ProcessFileRequest* request,
                           v1::ProcessFileResponse* response) override {
    LimitProcessorTime(absl::Seconds(flags_.image_timeout_s));
    try {
      return rpc::ToGrpc(Process(*request, *response));
    } catch (const std::bad_alloc&) {
      return rpc::ToGrpc(base::MakeError(absl::StatusCode::kResourceExhausted,
                                         "no memory for the image", {.reason = "OUT_OF_MEMORY"}));
    }
  }

  grpc::Status GetStatus(grpc::ServerContext*, const v1::WorkerGetStatusRequest*,
                         v1::WorkerGetStatusResponse* response) override {
    response->mutable_worker()->set_slots(1);
    return grpc::Status::OK;
  }

 private:
  absl::Status Process(const v1::ProcessFileRequest& request, v1::ProcessFileResponse& response) {
    const TakenFile result_file;
    if (result_file.descriptor < 0) return absl::InternalError("no file for the result");
    const std::string& source = request.source_path();
    for (const std::string& fault : flags_.faults) {
      const size_t equals = fault.find('=');
      if (source.substr(source.rfind('/') + 1) == fault.substr(equals + 1)) {
        Befall(fault.substr(0, equals), request.attempt());
      }
    }
    const absl::StatusOr<engine::Operation> operation =
        rpc::OperationFromProto(request.operation());
    if (!operation.ok()) return operation.status();
    engine::JobOptions options;
    options.limits = flags_.limits;
    if (request.max_pixels() != 0) options.limits.max_pixels = request.max_pixels();
    if (request.max_dimension() != 0) options.limits.max_dimension = request.max_dimension();
    options.budget = &budget_;
    options.scratch_dir = flags_.scratch_dir;
    absl::StatusOr<FileResult> result = WorkOnFile(
        source, result_file.descriptor, request.result_path(), *operation, executor_, options);
    if (!result.ok()) return result.status();
    response.mutable_result_bytes()->Assign(result->result_bytes.begin(),
                                            result->result_bytes.end());
    response.set_format(static_cast<v1::ImageFormat>(result->format));
    response.set_width(result->width);
    response.set_height(result->height);
    if (result->statistics.has_value()) {
      *response.mutable_statistics() = rpc::ToProto(*result->statistics);
    }
    return absl::OkStatus();
  }

  const Flags& flags_;
  engine::ThreadExecutor executor_;
  base::MemoryBudget budget_;
};

}  // namespace

int RunFileWorker(std::vector<std::string> arguments) {
  // Every arena reserves address space, of which there is little.
  mallopt(M_ARENA_MAX, 2);
  // What one image needed, the next one needs again: pages that were given back are zeroed anew.
  mallopt(M_TRIM_THRESHOLD, kKeptMemoryBytes);
  mallopt(M_MMAP_THRESHOLD, kKeptMemoryBytes / 2);
  std::set_terminate(Terminate);
  CLI::App app("A worker process of a histeq command; not for people.", "histeq worker-process");
  Flags flags;
  app.add_option("--socket", flags.socket)->required();
  app.add_option("--parent", flags.parent)->required();
  app.add_option("--memory", flags.memory_bytes)->required();
  app.add_option("--file-size", flags.file_bytes)->required();
  app.add_option("--image-timeout-s", flags.image_timeout_s)->required();
  app.add_option("--max-pixels", flags.limits.max_pixels)->required();
  app.add_option("--max-dimension", flags.limits.max_dimension)->required();
  app.add_option("--max-jpeg-scans", flags.limits.max_jpeg_scans)->required();
  app.add_option("--max-metadata", flags.limits.max_metadata_bytes)->required();
  app.add_option("--scratch-dir", flags.scratch_dir)->required();
  app.add_option("--test-worker-fault", flags.faults);
  std::reverse(arguments.begin(), arguments.end());
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    app.exit(error, std::cerr, std::cerr);
    return kWorkerUsageExit;
  }
  if (const absl::Status confined = ConfineThisProcess({.parent = flags.parent,
                                                        .memory_bytes = flags.memory_bytes,
                                                        .file_bytes = flags.file_bytes,
                                                        .scratch_dir = flags.scratch_dir});
      !confined.ok()) {
    std::cerr << "histeq worker-process: " << confined.message() << "\n";
    return kWorkerUsageExit;
  }
  FileWorkerService service(flags);
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 2);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return kWorkerUsageExit;
  grpc::AddInsecureChannelFromFd(server.get(), flags.socket);
  DenyNeedlessSystemCalls();
  // Until the command ends it.
  server->Wait();
  return 0;
}

}  // namespace histeq::client
