#include "local/process_maker.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "histeq/v1/worker.pb.h"
#include "local/write_error.h"
#include "rpc/proto_convert.h"
#include "rpc/remote_executor.h"
#include "rpc/worker_pool.h"

namespace histeq::client {
namespace {

constexpr uint32_t kTries = 2;
// Its socket breaks before it is quite gone.
constexpr absl::Duration kEndPatience = absl::Seconds(10);
constexpr absl::Duration kStartPatience = absl::Seconds(60);

absl::Status TimedOut(absl::Duration limit) {
  return base::MakeError(
      absl::StatusCode::kDeadlineExceeded,
      fmt::format("the worker process did not finish the image within {}, and was ended",
                  absl::FormatDuration(limit)),
      {.reason = "WORKER_TIMED_OUT", .metadata = {{"limit", absl::FormatDuration(limit)}}});
}

absl::Status OutOfMemory(uint64_t limit) {
  return base::MakeError(
      absl::StatusCode::kResourceExhausted,
      fmt::format("the image needs more memory than the {} MiB that a worker process may take",
                  limit >> 20),
      {.reason = "WORKER_OUT_OF_MEMORY", .metadata = {{"limit", fmt::format("{}", limit)}}});
}

absl::Status Crashed(const std::string& how) {
  return base::MakeError(absl::StatusCode::kInternal,
                         "the worker process that had the image " + how,
                         {.reason = "WORKER_CRASHED"});
}

// What the end of the process says about the image.
absl::Status Meaning(const std::optional<ProcessEnd>& end, const WorkerProcessOptions& options) {
  if (!end.has_value()) return Crashed("answers no more");
  if (end->signal == SIGXCPU) return TimedOut(options.image_timeout);
  if (end->exit_code == kWorkerOutOfMemoryExit) return OutOfMemory(options.memory_bytes);
  if (end->signal == SIGKILL) {
    return Crashed("was killed by the system, which may be out of memory");
  }
  if (end->signal.has_value()) {
    return Crashed(fmt::format("died: {}", strsignal(*end->signal)));
  }
  return Crashed(fmt::format("ended with exit code {}", end->exit_code.value_or(0)));
}

}  // namespace

// Members go in the reverse order: the process before its connection, which then ends at once.
struct ProcessMaker::Live {
  Live(engine::ThreadExecutor& idle, std::unique_ptr<WorkerProcess> started)
      : executor(pool, idle, {}), process(std::move(started)) {
    rpc::PoolWorker worker;
    worker.name = "process";
    worker.address = process->TakeAddress();
    worker.slots = worker.free_slots = 1;
    pool.Update(worker);
  }

  rpc::WorkerPool pool;
  rpc::RemoteExecutor executor;
  std::unique_ptr<WorkerProcess> process;
};

ProcessMaker::ProcessMaker(engine::ThreadExecutor& idle, WorkerProcessOptions options)
    : idle_(idle), options_(std::move(options)) {}

ProcessMaker::~ProcessMaker() = default;

absl::Status ProcessMaker::Start(const base::CancelToken& token) {
  if (live_ != nullptr) return absl::OkStatus();
  HISTEQ_ASSIGN_OR_RETURN(std::unique_ptr<WorkerProcess> process, WorkerProcess::Start(options_));
  auto live = std::make_unique<Live>(idle_, std::move(process));
  // The time that it takes to begin is no image's.
  const absl::Status status = live->executor.AwaitWorker(kStartPatience, token);
  if (status.ok()) {
    live_ = std::move(live);
    return absl::OkStatus();
  }
  HISTEQ_RETURN_IF_ERROR(token.Check());
  const std::optional<ProcessEnd> end = live->process->WaitForEnd(absl::Seconds(1));
  return base::MakeError(
      absl::StatusCode::kUnavailable,
      "a worker process does not begin to work: " +
          (!end.has_value()             ? "it does not answer"
           : end->exit_code.has_value() ? fmt::format("it ended with exit code {}", *end->exit_code)
                                        : fmt::format("it died: {}", strsignal(*end->signal))),
      {.reason = "WORKER_NOT_STARTED"});
}

absl::StatusOr<FileResult> ProcessMaker::Make(const ImageWork& work,
                                              const base::CancelToken& token) {
  v1::ProcessFileRequest request;
  *request.mutable_operation() = work.operation;
  request.set_source_path(work.source_path);
  request.set_result_path(work.output_path);
  absl::Status failure;
  for (uint32_t attempt = 1; attempt <= kTries; ++attempt) {
    HISTEQ_RETURN_IF_ERROR(Start(token));
    request.set_attempt(attempt);
    // How far the process is it does not say.
    if (work.reports.progress) work.reports.progress(v1::JobProgress());
    // Of what a process wrote that is gone.
    if (ftruncate(work.result, 0) != 0 || lseek(work.result, 0, SEEK_SET) != 0) {
      return NotWritten(work.output_path, errno);
    }
    const absl::Status passed = live_->process->PassFile(work.result);
    absl::StatusOr<v1::ProcessFileResponse> response =
        passed.ok() ? live_->executor.ProcessFile(request, options_.image_timeout, token)
                    : absl::StatusOr<v1::ProcessFileResponse>(passed);
    if (response.ok()) {
      FileResult result;
      result.format = static_cast<codec::ImageFormat>(response->format());
      result.width = response->width();
      result.height = response->height();
      result.result_bytes.assign(response->result_bytes().begin(), response->result_bytes().end());
      if (response->has_statistics()) result.statistics = rpc::FromProto(response->statistics());
      return result;
    }
    const absl::Status& status = response.status();
    const std::string reason = base::ReasonOf(status);
    if (token.cancelled()) {
      // It still works on the image.
      live_.reset();
      return token.Check();
    }
    if (reason.empty() && status.code() == absl::StatusCode::kDeadlineExceeded) {
      failure = TimedOut(options_.image_timeout);
    } else if (reason == "OUT_OF_MEMORY") {
      failure = OutOfMemory(options_.memory_bytes);
    } else if (reason.empty() && status.code() == absl::StatusCode::kUnavailable) {
      failure = Meaning(live_->process->WaitForEnd(kEndPatience), options_);
    } else {
      // It lives, and says what is wrong with the image.
      return status;
    }
    live_.reset();
  }
  return failure;
}

}  // namespace histeq::client
