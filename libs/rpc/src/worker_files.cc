#include "rpc/worker_files.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <utility>

#include "base/error.h"
#include "base/status_macros.h"
#include "engine/plan.h"
#include "fmt/format.h"
#include "rpc/chunk.h"
#include "rpc/event_log.h"
#include "rpc/guarded_call.h"
#include "rpc/operation_convert.h"
#include "rpc/proto_convert.h"
#include "rpc/segment_convert.h"
#include "worker_pool_state.h"

namespace histeq::rpc {
namespace {

// For waits that an event ends.
constexpr absl::Duration kLongWait = absl::Hours(1);
// As the workers' own limit.
constexpr uint64_t kMaxWholeBytes = 64ull << 20;

absl::Status StorageGone(const std::string& storage) {
  return base::MakeError(absl::StatusCode::kUnavailable,
                         fmt::format("no live worker has storage {}", storage),
                         {.reason = "STORAGE_GONE", .metadata = {{"storage", storage}}});
}

absl::Status TooLarge() {
  return base::MakeError(absl::StatusCode::kOutOfRange,
                         "the file is too large for a worker to do it whole",
                         {.reason = "TOO_LARGE_HERE"});
}

absl::Status BadAnswer(const std::string& what) {
  return base::MakeError(absl::StatusCode::kDataLoss,
                         "the worker's answer cannot be right: " + what, {.reason = "BAD_ANSWER"});
}

std::optional<absl::Duration> RefusedFor(const absl::Status& status) {
  if (status.code() != absl::StatusCode::kResourceExhausted) return std::nullopt;
  const auto detail = base::GetErrorDetail(status);
  if (!detail.has_value() || !detail->retry_after.has_value()) return std::nullopt;
  return std::clamp(*detail->retry_after, absl::Milliseconds(10), absl::Seconds(30));
}

// Whether another try, there or elsewhere, may end differently.
bool IsFault(const absl::Status& status) {
  if (base::ReasonOf(status) == "ROOT_MISSING") return false;
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kUnimplemented:
      return false;
    case absl::StatusCode::kDataLoss:
      return base::ReasonOf(status) == "BAD_ANSWER";
    default:
      return true;
  }
}

void FillContext(const WorkerFilesOptions& options, v1::WorkContext& context) {
  context.set_job_id(options.job_id);
  context.set_epoch(options.epoch);
  context.set_coordinator(options.coordinator);
}

absl::Status NotAnswered(const std::string& storage) {
  return base::MakeError(absl::StatusCode::kUnavailable,
                         fmt::format("no worker that has storage {} answers", storage),
                         {.reason = "STORAGE_GONE", .metadata = {{"storage", storage}}});
}

// One ProcessImage call by location.
class ProcessCall {
 public:
  ProcessCall(v1::Worker::StubInterface& stub, GuardedCall& call, absl::Duration answer_timeout,
              base::ByteSink& sink)
      : call_(call),
        answer_timeout_(answer_timeout),
        sink_(sink),
        stream_(stub.ProcessImage(&call.context())) {}

  // It said something.
  bool answered() const { return answered_; }

  // `written` says whether the sink has bytes.
  absl::StatusOr<v1::ProcessImageResponse::Finish> Run(const v1::ProcessImageRequest& request,
                                                       uint64_t max_result_bytes, bool& written) {
    call_.Begin(answer_timeout_);
    if (stream_->Write(request)) stream_->WritesDone();
    call_.Pause();
    std::optional<v1::ProcessImageResponse::Finish> finish;
    uint64_t size = 0;
    v1::ProcessImageResponse response;
    while (Read(response)) {
      if (finish.has_value()) return Drop(BadAnswer("messages after the last"));
      if (response.has_finish()) {
        finish = std::move(*response.mutable_finish());
        continue;
      }
      if (!response.has_chunk()) return Drop(BadAnswer("an empty message"));
      // An empty chunk says that the worker is busy.
      if (response.chunk().data().empty()) continue;
      if (absl::Status checked = CheckChunk(response.chunk(), size); !checked.ok()) {
        return Drop(BadAnswer(std::string(checked.message())));
      }
      const std::span<const uint8_t> bytes = BytesOf(response.chunk());
      size += bytes.size();
      if (size > max_result_bytes) return Drop(BadAnswer("more bytes than a result has"));
      written = true;
      if (absl::Status status = sink_.Write(bytes); !status.ok()) return Drop(status);
    }
    call_.Begin();
    HISTEQ_RETURN_IF_ERROR(call_.Result(stream_->Finish()));
    if (!finish.has_value() || finish->size_bytes() != size) {
      return BadAnswer("a part of it is missing");
    }
    uint64_t sum = 0;
    for (const uint64_t result : finish->result_bytes()) sum += result;
    if (finish->result_bytes_size() > 0 && sum != size) return BadAnswer("sizes that do not fit");
    return *std::move(finish);
  }

 private:
  bool Read(v1::ProcessImageResponse& response) {
    if (answered_) {
      call_.Begin();
    } else {
      call_.Begin(answer_timeout_);
    }
    const bool read = stream_->Read(&response);
    call_.Pause();
    answered_ = answered_ || read;
    return read;
  }
  absl::Status Drop(absl::Status why) {
    call_.Cancel();
    call_.Begin();
    stream_->Finish();
    return why;
  }

  GuardedCall& call_;
  const absl::Duration answer_timeout_;
  base::ByteSink& sink_;
  bool answered_ = false;
  const std::unique_ptr<
      grpc::ClientReaderWriterInterface<v1::ProcessImageRequest, v1::ProcessImageResponse>>
      stream_;
};

absl::StatusOr<WorkerFiles::Processed> ReadAnswer(const v1::ProcessImageResponse::Finish& finish,
                                                  const engine::Operation& operation) {
  WorkerFiles::Processed processed;
  processed.result.segments = 1;
  processed.result.result_bytes.assign(finish.result_bytes().begin(), finish.result_bytes().end());
  const bool analyze = operation.kind == engine::Operation::Kind::kAnalyze;
  const bool inspect = operation.kind == engine::Operation::Kind::kInspect;
  if (finish.has_statistics() != analyze || finish.has_inspected() != inspect ||
      (finish.size_bytes() == 0) != (analyze || inspect)) {
    return BadAnswer("a part of it is missing");
  }
  if (analyze) processed.result.statistics = FromProto(finish.statistics());
  if (inspect) {
    if (finish.inspected().sha256().size() != 32) return BadAnswer("a checksum of another kind");
    processed.inspected = FromProto(finish.inspected());
  }
  if (processed.result.result_bytes.empty() && finish.size_bytes() > 0) {
    processed.result.result_bytes = {finish.size_bytes()};
  }
  return processed;
}

// Every worker that has the storage hung when it was last asked, and is held back for it. With the
// pool's lock.
bool AllSilent(const WorkerPool::State& pool, const std::string& storage) {
  const absl::Duration now = pool.Now();
  return std::all_of(pool.workers.begin(), pool.workers.end(), [&](const auto& entry) {
    const PooledWorker& worker = *entry.second;
    return !worker.Has(storage) || (worker.silent && worker.held_until > now);
  });
}

class FileStream final : public base::ByteSource {
 public:
  FileStream(std::shared_ptr<WorkerPool::State> pool, std::shared_ptr<PooledWorker> worker,
             absl::Duration stall_timeout, const v1::ReadFileRequest& request,
             const base::CancelToken& token)
      : pool_(std::move(pool)),
        worker_(std::move(worker)),
        cancel_(token),
        gone_(worker_->gone.token().OnCancel(
            [this] { cancel_.Cancel(worker_->gone.token().Check()); })),
        call_(pool_->watchdog, stall_timeout, cancel_.token()),
        offset_(request.offset()),
        reader_(worker_->stub->ReadFile(&call_.context(), request)) {}

  ~FileStream() override {
    if (finished_) return;
    call_.Cancel();
    reader_->Finish();
  }

  absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) override {
    while (at_ == response_.chunk().data().size()) {
      if (finished_) return 0;
      call_.Begin();
      const bool more = reader_->Read(&response_);
      at_ = 0;
      if (!more) {
        response_.Clear();
        finished_ = true;
        HISTEQ_RETURN_IF_ERROR(call_.Result(reader_->Finish()));
        return 0;
      }
      call_.Pause();
      if (!response_.has_chunk()) continue;
      if (absl::Status checked = CheckChunk(response_.chunk(), offset_); !checked.ok()) {
        return BadAnswer(std::string(checked.message()));
      }
      offset_ += response_.chunk().data().size();
    }
    const std::string& data = response_.chunk().data();
    const size_t length = std::min(buffer.size(), data.size() - at_);
    std::memcpy(buffer.data(), data.data() + at_, length);
    at_ += length;
    return length;
  }

 private:
  const std::shared_ptr<WorkerPool::State> pool_;
  const std::shared_ptr<PooledWorker> worker_;
  const base::CancelSource cancel_;
  const std::shared_ptr<void> gone_;
  GuardedCall call_;
  uint64_t offset_;
  const std::unique_ptr<grpc::ClientReaderInterface<v1::ReadFileResponse>> reader_;
  v1::ReadFileResponse response_;
  size_t at_ = 0;
  bool finished_ = false;
};

}  // namespace

WorkerFiles::WorkerFiles(WorkerPool& pool, WorkerFilesOptions options)
    : pool_(pool), options_(std::move(options)) {}

absl::StatusOr<WorkerFiles::Processed> WorkerFiles::Process(const WorkerFile& file,
                                                            const engine::Operation& operation,
                                                            const codec::DecodeLimits& limits,
                                                            base::ByteSink& sink,
                                                            const base::CancelToken& token) {
  const bool inspect = operation.kind == engine::Operation::Kind::kInspect;
  const uint64_t size = file.size_bytes.value_or(0);
  if (!inspect && size > kMaxWholeBytes) return TooLarge();
  v1::ProcessImageRequest request;
  v1::ProcessImageRequest::Header& header = *request.mutable_header();
  FillContext(options_, *header.mutable_context());
  *header.mutable_operation() = ToProto(operation);
  header.set_size_bytes(size);
  FillLimits(limits, header);
  header.set_max_file_bytes(file.max_bytes);
  header.set_location(file.location);
  header.set_sha256(file.sha256);
  if (file.modify_time.has_value()) *header.mutable_modify_time() = ToProto(*file.modify_time);
  const uint64_t max_result_bytes = 8 * (size + kMaxWholeBytes) + (1 << 20);
  // The least that a worker takes for it.
  const uint64_t need = inspect ? 1 << 20 : 2 * size + engine::kSegmentBytes;

  const std::shared_ptr<WorkerPool::State> pool = pool_.state();
  Claimant claimant;
  claimant.need_bytes = need;
  const std::shared_ptr<void> wake = token.OnCancel([&] {
    std::lock_guard lock(pool->mutex);
    claimant.changed.notify_all();
  });
  std::unique_lock lock(pool->mutex);
  pool->Enter(claimant);
  absl::Status failure;
  for (uint32_t faults = 0; faults < options_.max_tries && !token.cancelled();) {
    pool->SetWants(claimant, true);
    if (!pool->AnyHas(file.storage)) {
      failure = StorageGone(file.storage);
      break;
    }
    if (!pool->AnyHas(file.storage, need)) {
      failure = TooLarge();
      break;
    }
    // To wait would keep the job's place from others, whose files are elsewhere.
    if (AllSilent(*pool, file.storage)) {
      failure = NotAnswered(file.storage);
      break;
    }
    const absl::Duration now = pool->Now();
    const std::shared_ptr<PooledWorker> worker =
        pool->TryAcquire(claimant, /*not_on=*/nullptr, /*spare=*/false, file.storage);
    if (worker == nullptr) {
      const absl::Duration wait =
          std::clamp(pool->NextRelease(now) - pool->Now(), absl::Milliseconds(1), kLongWait);
      claimant.changed.wait_for(lock, absl::ToChronoNanoseconds(wait));
      continue;
    }
    pool->SetWants(claimant, false);
    lock.unlock();
    bool written = false;
    bool silent = false;
    absl::StatusOr<Processed> processed = [&]() -> absl::StatusOr<Processed> {
      base::CancelSource cancel(token);
      const std::shared_ptr<void> gone =
          worker->gone.token().OnCancel([&] { cancel.Cancel(worker->gone.token().Check()); });
      GuardedCall call(pool->watchdog, options_.stall_timeout, cancel.token());
      ProcessCall process(*worker->stub, call,
                          std::min(options_.answer_timeout, options_.stall_timeout), sink);
      const auto finish = process.Run(request, max_result_bytes, written);
      silent = !process.answered() && absl::IsDeadlineExceeded(finish.status());
      HISTEQ_RETURN_IF_ERROR(finish.status());
      return ReadAnswer(*finish, operation);
    }();
    lock.lock();
    if (!token.cancelled()) worker->silent = silent;
    if (processed.ok()) {
      ++worker->segments_done;
      worker->faults = 0;
    } else if (!token.cancelled()) {
      failure = processed.status();
      if (const auto refused = RefusedFor(failure)) {
        pool->HoldBack(*worker, *refused);
      } else if (failure.code() == absl::StatusCode::kResourceExhausted) {
        // Its whole budget would not be enough.
        failure = TooLarge();
        faults = options_.max_tries;
      } else if (!IsFault(failure)) {
        faults = options_.max_tries;
      } else {
        ++faults;
        LogEvent(LogLevel::kWarning, "worker_fault",
                 {{"worker", worker->info.name},
                  {"job", options_.job_id},
                  {"epoch", fmt::format("{}", options_.epoch)},
                  {"location", file.location},
                  {"code", absl::StatusCodeToString(failure.code())},
                  {"reason", base::ReasonOf(failure)},
                  {"error", std::string(failure.message())}});
        pool->Punish(*worker, options_.hold_back);
      }
      // Another try would write the bytes again.
      if (written) faults = options_.max_tries;
    }
    pool->Release(claimant, *worker);
    if (processed.ok()) {
      pool->Leave(claimant);
      return processed;
    }
  }
  const bool gone = !pool->AnyHas(file.storage);
  pool->SetWants(claimant, false);
  pool->Leave(claimant);
  lock.unlock();
  HISTEQ_RETURN_IF_ERROR(token.Check());
  if (gone && IsFault(failure)) return StorageGone(file.storage);
  return failure;
}

absl::StatusOr<std::unique_ptr<base::ByteSource>> WorkerFiles::Open(
    const WorkerFile& file, uint64_t offset, const base::CancelToken& token) {
  v1::ReadFileRequest request;
  FillContext(options_, *request.mutable_context());
  request.set_location(file.location);
  request.set_offset(offset);
  if (file.size_bytes.has_value()) request.set_size_bytes(*file.size_bytes);
  if (file.modify_time.has_value()) *request.mutable_modify_time() = ToProto(*file.modify_time);
  const std::shared_ptr<WorkerPool::State> pool = pool_.state();
  std::shared_ptr<PooledWorker> worker;
  {
    std::lock_guard lock(pool->mutex);
    for (const auto& [name, candidate] : pool->workers) {
      if (!candidate->Has(file.storage)) continue;
      if (worker == nullptr || candidate->used < worker->used) worker = candidate;
    }
  }
  if (worker == nullptr) return StorageGone(file.storage);
  return std::make_unique<FileStream>(pool, std::move(worker), options_.stall_timeout, request,
                                      token);
}

}  // namespace histeq::rpc
