#include "rpc/remote_executor.h"

#include <algorithm>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "base/byte_stream.h"
#include "base/error.h"
#include "base/memory_source.h"
#include "base/status_macros.h"
#include "codec/image_info.h"
#include "engine/segment_queue.h"
#include "engine/segment_work.h"
#include "engine/whole_image.h"
#include "fmt/format.h"
#include "remote_call.h"
#include "rpc/chunk.h"
#include "rpc/event_log.h"
#include "rpc/operation_convert.h"
#include "rpc/segment_convert.h"
#include "worker_pool_state.h"

namespace histeq::rpc {
namespace {

// For waits that an event ends; the clock's arithmetic overflows beyond some centuries.
constexpr absl::Duration kLongWait = absl::Hours(1);

// Memory that a worker needs for a segment: its samples and about as much for the fragment.
uint64_t MemoryNeed(uint64_t sample_bytes) { return 2 * sample_bytes; }

// A worker that is full says when to come back.
std::optional<absl::Duration> RefusedFor(const absl::Status& status) {
  if (status.code() != absl::StatusCode::kResourceExhausted) return std::nullopt;
  const auto detail = base::GetErrorDetail(status);
  if (!detail.has_value() || !detail->retry_after.has_value()) return std::nullopt;
  return std::clamp(*detail->retry_after, absl::Milliseconds(10), absl::Seconds(30));
}

void LogFault(const RemoteExecutorOptions& options, const std::string& worker,
              const std::string& segment, const absl::Status& status) {
  LogEvent(LogLevel::kWarning, "worker_fault",
           {{"worker", worker},
            {"job", options.job_id},
            {"epoch", fmt::format("{}", options.epoch)},
            {"segment", segment},
            {"code", absl::StatusCodeToString(status.code())},
            {"reason", base::ReasonOf(status)},
            {"error", std::string(status.message())}});
}

// One Transform call on its way. The calling thread starts what can be started and waits for
// events; runner threads make the calls. Tasks on the local threads may outlive it: they find
// `closed_`.
class TransformJob : public std::enable_shared_from_this<TransformJob> {
 public:
  TransformJob(std::shared_ptr<WorkerPool::State> pool, engine::ThreadExecutor& local,
               const RemoteExecutorOptions& options, const engine::TransformSpec& spec,
               engine::SegmentExchange& exchange, const base::CancelToken& token,
               std::atomic<uint32_t>& busy)
      : pool_(std::move(pool)),
        local_(local),
        options_(options),
        spec_(spec),
        exchange_(exchange),
        busy_(busy),
        count_(exchange.count()),
        max_runners_(std::min<uint32_t>(count_, std::max(1u, options.window))),
        mapping_id_(MappingId(*spec.mapping)),
        queue_(count_, std::max(1u, options.window), token,
               [&exchange] { return exchange.delivered_prefix(); }),
        segments_(count_) {
    for (uint32_t i = 0; i < count_; ++i) {
      claimant_.need_bytes = std::max(
          claimant_.need_bytes, MemoryNeed(codec::SegmentBytes(spec.layout, exchange.at(i).rows)));
    }
  }

  absl::Status Run(const base::CancelToken& token);

 private:
  // One try at a segment: on a worker, or (null) here.
  struct Copy {
    uint32_t index = 0;
    std::shared_ptr<PooledWorker> worker;
    base::CancelSource cancel;
    absl::Duration begin;
  };
  struct SegmentState {
    // Faults of workers.
    uint32_t faults = 0;
    // Tries under way, of which the first to finish delivers.
    std::list<std::shared_ptr<Copy>> copies;
    // Copies inside SegmentExchange::Read.
    uint32_t reading = 0;
    // Somebody has it finished: nothing of it is read any more.
    bool decided = false;
  };

  // All functions below, but those that say otherwise, want the pool's mutex to be held; those with
  // a lock give it away for a while.
  using Lock = std::unique_lock<std::mutex>;

  std::shared_ptr<Copy> TryStart();
  std::shared_ptr<Copy> TryHedge();
  std::shared_ptr<Copy> Begin(uint32_t index, std::shared_ptr<PooledWorker> worker);
  // How much longer the segment that has been out for the longest time, on one worker alone, may
  // stay so; infinite when there is none.
  absl::Duration HedgeAt() const;
  void StartRunner(std::shared_ptr<Copy> copy);
  void RunnerThread(std::shared_ptr<Copy> copy);
  void WakeLocal();
  void LocalTask();
  void RunRemote(Lock& lock, Copy& copy, v1::TransformSegmentRequest& message);
  void Deliver(Lock& lock, Copy& copy, codec::Fragment fragment);
  void Failed(Copy& copy, const absl::Status& status);
  void End(Copy& copy);
  void Fail(const absl::Status& status);
  void CountBusy();
  // Without the lock.
  absl::StatusOr<codec::Fragment> Call(const Copy& copy, bool with_mapping,
                                       v1::TransformSegmentRequest& message,
                                       absl::Status& read_error);
  absl::StatusOr<codec::Fragment> DoHere(const Copy& copy, absl::Status& read_error);
  absl::Status Read(const Copy& copy, uint64_t offset, std::span<uint8_t> out);

  const std::shared_ptr<WorkerPool::State> pool_;
  engine::ThreadExecutor& local_;
  const RemoteExecutorOptions& options_;
  const engine::TransformSpec& spec_;
  engine::SegmentExchange& exchange_;
  std::atomic<uint32_t>& busy_;
  const uint32_t count_;
  const uint32_t max_runners_;
  const std::string mapping_id_;
  engine::SegmentQueue queue_;
  Claimant claimant_;
  std::vector<SegmentState> segments_;
  std::set<uint32_t> out_;
  // Taken segments that only this process may do.
  std::deque<uint32_t> here_only_;
  std::vector<std::thread> runners_;
  std::condition_variable handed_over_;
  std::deque<std::shared_ptr<Copy>> handed_;
  uint32_t idle_runners_ = 0;
  uint32_t busy_runners_ = 0;
  // Tasks given to the local threads that have not begun or have not ended.
  uint32_t local_tasks_ = 0;
  uint32_t local_running_ = 0;
  bool closed_ = false;
  // Of workers, for the mean.
  absl::Duration done_time_;
  uint32_t done_count_ = 0;
};

absl::Status TransformJob::Run(const base::CancelToken& token) {
  const std::shared_ptr<void> cancel = token.OnCancel([this] {
    std::lock_guard lock(pool_->mutex);
    for (const uint32_t index : out_) {
      for (const auto& copy : segments_[index].copies)
        copy->cancel.Cancel(absl::CancelledError(""));
    }
    claimant_.changed.notify_all();
  });
  exchange_.WatchPrefix([this] {
    std::lock_guard lock(pool_->mutex);
    claimant_.changed.notify_all();
  });
  Lock lock(pool_->mutex);
  pool_->Enter(claimant_);
  while (true) {
    // Whatever becomes due after this moment was not due for TryStart, and is waited for.
    const absl::Duration now = pool_->Now();
    while (std::shared_ptr<Copy> copy = TryStart()) StartRunner(std::move(copy));
    WakeLocal();
    if (queue_.over() && out_.empty()) break;
    absl::Duration due = now + kLongWait;
    if (!queue_.over()) {
      due = std::min(due, pool_->NextRelease(now));
      // One that is overdue waits for a place, which is an event.
      if (const absl::Duration hedge = HedgeAt(); hedge > now) due = std::min(due, hedge);
    }
    const absl::Duration wait = due - pool_->Now();
    // What happened since was notified with the lock held; only time is waited for here.
    claimant_.changed.wait_for(lock,
                               absl::ToChronoNanoseconds(std::max(wait, absl::Milliseconds(1))));
  }
  closed_ = true;
  pool_->SetWants(claimant_, false);
  pool_->Leave(claimant_);
  handed_over_.notify_all();
  claimant_.changed.wait(lock, [this] { return local_running_ == 0; });
  lock.unlock();
  for (std::thread& runner : runners_) runner.join();
  exchange_.WatchPrefix(nullptr);
  return queue_.status();
}

std::shared_ptr<TransformJob::Copy> TransformJob::TryStart() {
  if (queue_.over() || busy_runners_ >= max_runners_) {
    pool_->SetWants(claimant_, false);
    return nullptr;
  }
  const std::optional<uint32_t> index = queue_.TryTake();
  if (!index.has_value()) {
    pool_->SetWants(claimant_, false);
    return TryHedge();
  }
  pool_->SetWants(claimant_, true);
  std::shared_ptr<PooledWorker> worker = pool_->TryAcquire(claimant_);
  if (worker == nullptr) {
    queue_.GiveBack(*index);
    return nullptr;
  }
  return Begin(*index, std::move(worker));
}

absl::Duration TransformJob::HedgeAt() const {
  absl::Duration longest = options_.hedge_after;
  if (done_count_ > 0) longest = std::max(longest, 3 * done_time_ / done_count_);
  absl::Duration at = absl::InfiniteDuration();
  for (const uint32_t index : out_) {
    const SegmentState& segment = segments_[index];
    if (segment.decided || segment.copies.size() != 1 || !segment.copies.front()->worker) continue;
    at = std::min(at, segment.copies.front()->begin + longest);
  }
  return at;
}

std::shared_ptr<TransformJob::Copy> TransformJob::TryHedge() {
  if (out_.empty() || HedgeAt() > pool_->Now()) return nullptr;
  const Copy* oldest = nullptr;
  for (const uint32_t index : out_) {
    const SegmentState& segment = segments_[index];
    if (segment.decided || segment.copies.size() != 1 || !segment.copies.front()->worker) continue;
    if (oldest == nullptr || segment.copies.front()->begin < oldest->begin) {
      oldest = segment.copies.front().get();
    }
  }
  if (oldest == nullptr) return nullptr;
  std::shared_ptr<PooledWorker> worker =
      pool_->TryAcquire(claimant_, oldest->worker.get(), /*spare=*/true);
  if (worker == nullptr) return nullptr;
  LogEvent(LogLevel::kInfo, "segment_hedged",
           {{"job", options_.job_id},
            {"segment", fmt::format("{}", oldest->index)},
            {"slow_worker", oldest->worker->info.name},
            {"worker", worker->info.name}});
  return Begin(oldest->index, std::move(worker));
}

std::shared_ptr<TransformJob::Copy> TransformJob::Begin(uint32_t index,
                                                        std::shared_ptr<PooledWorker> worker) {
  auto copy = std::make_shared<Copy>();
  copy->index = index;
  copy->begin = pool_->Now();
  if (worker != nullptr) {
    ++busy_runners_;
    copy->worker = std::move(worker);
  }
  segments_[index].copies.push_back(copy);
  out_.insert(index);
  CountBusy();
  return copy;
}

void TransformJob::StartRunner(std::shared_ptr<Copy> copy) {
  if (idle_runners_ > handed_.size()) {
    handed_.push_back(std::move(copy));
    handed_over_.notify_one();
    return;
  }
  runners_.emplace_back(
      [this, copy = std::move(copy)]() mutable { RunnerThread(std::move(copy)); });
}

void TransformJob::RunnerThread(std::shared_ptr<Copy> copy) {
  v1::TransformSegmentRequest message;
  Lock lock(pool_->mutex);
  while (copy != nullptr) {
    RunRemote(lock, *copy, message);
    copy = TryStart();
    if (copy != nullptr) continue;
    ++idle_runners_;
    handed_over_.wait(lock, [this] { return !handed_.empty() || closed_; });
    --idle_runners_;
    if (handed_.empty()) break;
    copy = std::move(handed_.front());
    handed_.pop_front();
  }
}

void TransformJob::RunRemote(Lock& lock, Copy& copy, v1::TransformSegmentRequest& message) {
  bool with_mapping = !copy.worker->Knows(mapping_id_);
  while (true) {
    absl::Status read_error;
    lock.unlock();
    absl::StatusOr<codec::Fragment> fragment = Call(copy, with_mapping, message, read_error);
    lock.lock();
    if (fragment.ok()) {
      ++copy.worker->segments_done;
      copy.worker->faults = 0;
      copy.worker->Learn(mapping_id_);
      done_time_ += pool_->Now() - copy.begin;
      ++done_count_;
      Deliver(lock, copy, *std::move(fragment));
      return;
    }
    if (!read_error.ok() && !segments_[copy.index].decided) Fail(read_error);
    if (fragment.status().code() == absl::StatusCode::kFailedPrecondition && !with_mapping &&
        base::ReasonOf(fragment.status()) == "MAPPING_UNKNOWN" && !queue_.over()) {
      copy.worker->Forget(mapping_id_);
      with_mapping = true;
      continue;
    }
    Failed(copy, fragment.status());
    return;
  }
}

absl::StatusOr<codec::Fragment> TransformJob::Call(const Copy& copy, bool with_mapping,
                                                   v1::TransformSegmentRequest& message,
                                                   absl::Status& read_error) {
  TransformRequest request;
  const engine::Segment segment = exchange_.at(copy.index);
  ToProto(spec_, segment, request.header);
  v1::WorkContext& context = *request.header.mutable_segment()->mutable_context();
  context.set_job_id(options_.job_id);
  context.set_epoch(options_.epoch);
  context.set_segment(copy.index);
  context.set_coordinator(options_.coordinator);
  request.header.set_mapping_id(mapping_id_);
  if (with_mapping) request.mapping = spec_.mapping.get();
  request.chunk_bytes = std::clamp<size_t>(options_.chunk_bytes, 1, kMaxChunkBytes);
  request.read = [&](uint64_t offset, std::span<uint8_t> out) { return Read(copy, offset, out); };
  // No encoder makes more of a sample than this.
  request.max_fragment_bytes = 8 * request.header.segment().pixel_bytes() + (64 << 10);
  if (spec_.encode.image_format() == codec::ImageFormat::kPng) {
    request.raw_bytes =
        uint64_t{segment.rows} * (1 + codec::PlaneStride(spec_.layout.planes.front()));
  }
  // The pool's word (the worker is gone) and the job's (over, or done elsewhere) both end the call.
  const std::shared_ptr<void> gone = copy.worker->gone.token().OnCancel(
      [&copy] { copy.cancel.Cancel(copy.worker->gone.token().Check()); });
  GuardedCall call(pool_->watchdog, options_.stall_timeout, copy.cancel.token());
  return CallTransformSegment(*copy.worker->stub, call, request, message, read_error);
}

absl::Status TransformJob::Read(const Copy& copy, uint64_t offset, std::span<uint8_t> out) {
  SegmentState& segment = segments_[copy.index];
  {
    std::lock_guard lock(pool_->mutex);
    if (segment.decided || queue_.over()) return absl::CancelledError("not wanted any more");
    ++segment.reading;
  }
  absl::Status status = exchange_.Read(copy.index, offset, out);
  std::lock_guard lock(pool_->mutex);
  if (--segment.reading == 0 && segment.decided) claimant_.changed.notify_all();
  return status;
}

void TransformJob::Deliver(Lock& lock, Copy& copy, codec::Fragment fragment) {
  SegmentState& segment = segments_[copy.index];
  if (segment.decided || queue_.over()) {
    End(copy);
    return;
  }
  segment.decided = true;
  for (const auto& other : segment.copies) {
    if (other.get() == &copy) continue;
    other->cancel.Cancel(absl::CancelledError("another worker was faster"));
    // It was slow, or does not move at all: not the first choice for a while.
    if (other->worker && other->begin < copy.begin) {
      pool_->Punish(*other->worker, options_.hold_back / 5);
    }
  }
  claimant_.changed.wait(lock, [&] { return segment.reading == 0; });
  lock.unlock();
  const absl::Status delivered = exchange_.Deliver(copy.index, std::move(fragment));
  lock.lock();
  if (!delivered.ok()) {
    Fail(delivered);
    queue_.GiveBack(copy.index);
  } else {
    queue_.Complete(copy.index);
  }
  out_.erase(copy.index);
  End(copy);
}

void TransformJob::Failed(Copy& copy, const absl::Status& status) {
  SegmentState& segment = segments_[copy.index];
  if (!segment.decided && !queue_.over()) {
    if (const auto refused = RefusedFor(status)) {
      pool_->HoldBack(*copy.worker, *refused);
    } else {
      ++segment.faults;
      LogFault(options_, copy.worker->info.name, fmt::format("{}", copy.index), status);
      pool_->Punish(*copy.worker, options_.hold_back);
    }
  }
  End(copy);
}

void TransformJob::End(Copy& copy) {
  const std::shared_ptr<PooledWorker> worker = copy.worker;
  const uint32_t index = copy.index;
  SegmentState& segment = segments_[index];
  segment.copies.remove_if([&](const auto& held) { return held.get() == &copy; });
  if (segment.copies.empty() && !segment.decided) {
    // Nobody has it, and nobody works on it.
    if (segment.faults >= options_.max_remote_tries && !queue_.over()) {
      here_only_.push_back(index);
    } else {
      queue_.GiveBack(index);
      out_.erase(index);
    }
  }
  if (worker != nullptr) {
    --busy_runners_;
    pool_->Release(claimant_, *worker);
  }
  CountBusy();
  claimant_.changed.notify_all();
}

void TransformJob::Fail(const absl::Status& status) {
  queue_.Fail(status);
  for (const uint32_t index : out_) {
    for (const auto& copy : segments_[index].copies) copy->cancel.Cancel(status);
  }
}

void TransformJob::CountBusy() {
  std::set<const PooledWorker*> workers;
  for (const uint32_t index : out_) {
    for (const auto& copy : segments_[index].copies) {
      if (copy->worker) workers.insert(copy->worker.get());
    }
  }
  busy_ = static_cast<uint32_t>(workers.size());
}

void TransformJob::WakeLocal() {
  if (queue_.over()) {
    // Taken, and wanted by nobody any more.
    for (const uint32_t index : here_only_) {
      queue_.GiveBack(index);
      out_.erase(index);
    }
    here_only_.clear();
    return;
  }
  uint32_t wanted = static_cast<uint32_t>(here_only_.size());
  if (!pool_->AnyUsable(claimant_.need_bytes))
    wanted += count_ - queue_.completed() - queue_.taken();
  wanted = std::min(wanted, local_.threads());
  for (; local_tasks_ < wanted; ++local_tasks_) {
    local_.Submit([self = shared_from_this()] { self->LocalTask(); });
  }
}

void TransformJob::LocalTask() {
  Lock lock(pool_->mutex);
  --local_tasks_;
  if (closed_ || queue_.over()) return;
  std::optional<uint32_t> index;
  if (!here_only_.empty()) {
    index = here_only_.front();
    here_only_.pop_front();
  } else if (!pool_->AnyUsable(claimant_.need_bytes)) {
    index = queue_.TryTake();
  }
  if (!index.has_value()) return;
  ++local_running_;
  const std::shared_ptr<Copy> copy = Begin(*index, nullptr);
  lock.unlock();
  absl::Status read_error;
  absl::StatusOr<codec::Fragment> fragment = DoHere(*copy, read_error);
  lock.lock();
  if (fragment.ok()) {
    Deliver(lock, *copy, *std::move(fragment));
  } else {
    // What fails here fails everywhere.
    if (!segments_[*index].decided && !queue_.over()) Fail(fragment.status());
    End(*copy);
  }
  --local_running_;
  // One task is one segment, so that jobs take turns; the next is submitted by the event.
  claimant_.changed.notify_all();
}

absl::StatusOr<codec::Fragment> TransformJob::DoHere(const Copy& copy, absl::Status& read_error) {
  const engine::Segment segment = exchange_.at(copy.index);
  const base::CancelToken token = copy.cancel.token();
  // In place, because nobody reads it again: no worker has it, and what fails here ends the job.
  const std::span<uint8_t> lies_here = exchange_.InPlace(copy.index);
  if (!lies_here.empty()) return engine::TransformSegment(spec_, segment, lies_here, token);
  const uint64_t bytes = codec::SegmentBytes(spec_.layout, segment.rows);
  const std::unique_ptr<uint8_t[]> samples(new uint8_t[bytes]);
  read_error = Read(copy, 0, {samples.get(), bytes});
  HISTEQ_RETURN_IF_ERROR(read_error);
  return engine::TransformSegment(spec_, segment, {samples.get(), bytes}, token);
}

}  // namespace

RemoteExecutor::RemoteExecutor(WorkerPool& pool, engine::ThreadExecutor& local,
                               RemoteExecutorOptions options)
    : pool_(pool), local_(local), options_(std::move(options)) {}

RemoteExecutor::~RemoteExecutor() = default;

absl::Status RemoteExecutor::Transform(const engine::TransformSpec& spec,
                                       engine::SegmentExchange& exchange,
                                       const base::CancelToken& token) {
  if (exchange.count() == 0) return token.Check();
  const auto job =
      std::make_shared<TransformJob>(pool_.state(), local_, options_, spec, exchange, token, busy_);
  return job->Run(token);
}

absl::StatusOr<engine::ProcessedImage> RemoteExecutor::ProcessImage(
    std::span<const uint8_t> file, const engine::Operation& operation,
    const codec::DecodeLimits& limits, const base::CancelToken& token) {
  const std::shared_ptr<WorkerPool::State> pool = pool_.state();
  ProcessRequest request;
  v1::WorkContext& context = *request.header.mutable_context();
  context.set_job_id(options_.job_id);
  context.set_epoch(options_.epoch);
  context.set_coordinator(options_.coordinator);
  *request.header.mutable_operation() = ToProto(operation);
  request.header.set_size_bytes(file.size());
  FillLimits(limits, request.header);
  request.file = file;
  request.chunk_bytes = std::clamp<size_t>(options_.chunk_bytes, 1, kMaxChunkBytes);
  base::MemorySource head(file);
  HISTEQ_ASSIGN_OR_RETURN(const codec::ImageInfo info, codec::ProbeImage(head, limits));
  HISTEQ_ASSIGN_OR_RETURN(const uint64_t work_bytes, engine::WholeImageBytes(operation, info));
  // One segment of samples at most, and an encoder that makes them larger.
  request.max_result_bytes = 8 * (file.size() + engine::kSegmentBytes) + (1 << 20);
  for (const engine::ThumbnailParameters& thumbnail : operation.thumbnails)
    request.max_result_bytes += 8 * (uint64_t{thumbnail.width} * thumbnail.height + file.size());
  request.results = engine::ResultCount(operation);

  Claimant claimant;
  // The file, and a result that is about as long.
  claimant.need_bytes = 2 * file.size() + work_bytes;
  claimant.takes_any = true;
  const std::shared_ptr<void> wake = token.OnCancel([&] {
    std::lock_guard lock(pool->mutex);
    claimant.changed.notify_all();
  });
  std::unique_lock lock(pool->mutex);
  pool->Enter(claimant);
  const auto leave = [&] {
    pool->SetWants(claimant, false);
    pool->Leave(claimant);
    lock.unlock();
  };
  for (uint32_t faults = 0; faults < options_.max_remote_tries && !token.cancelled();) {
    pool->SetWants(claimant, true);
    const absl::Duration now = pool->Now();
    if (!pool->AnyUsable(claimant.need_bytes)) break;
    const std::shared_ptr<PooledWorker> worker = pool->TryAcquire(claimant);
    if (worker == nullptr) {
      const absl::Duration wait =
          std::clamp(pool->NextRelease(now) - pool->Now(), absl::Milliseconds(1), kLongWait);
      claimant.changed.wait_for(lock, absl::ToChronoNanoseconds(wait));
      continue;
    }
    pool->SetWants(claimant, false);
    busy_ = 1;
    lock.unlock();
    absl::StatusOr<engine::ProcessedImage> result = [&]() {
      base::CancelSource cancel(token);
      const std::shared_ptr<void> gone =
          worker->gone.token().OnCancel([&] { cancel.Cancel(worker->gone.token().Check()); });
      GuardedCall call(pool->watchdog, options_.stall_timeout, cancel.token());
      return CallProcessImage(*worker->stub, call, request);
    }();
    lock.lock();
    busy_ = 0;
    if (result.ok()) {
      ++worker->segments_done;
      worker->faults = 0;
      pool->Release(claimant, *worker);
      leave();
      result->pixels = uint64_t{info.width} * info.height;
      return result;
    }
    const bool about_image = result.status().code() == absl::StatusCode::kInvalidArgument ||
                             result.status().code() == absl::StatusCode::kDataLoss;
    if (!token.cancelled()) {
      if (const auto refused = RefusedFor(result.status())) {
        pool->HoldBack(*worker, *refused);
      } else if (about_image && base::ReasonOf(result.status()) != "BAD_ANSWER") {
        // A broken image, most likely: what this process says about it is the truth.
        faults = options_.max_remote_tries;
      } else {
        ++faults;
        LogFault(options_, worker->info.name, "0", result.status());
        pool->Punish(*worker, options_.hold_back);
      }
    }
    pool->Release(claimant, *worker);
  }
  leave();
  HISTEQ_RETURN_IF_ERROR(token.Check());
  return local_.ProcessImage(file, operation, limits, token);
}

uint32_t RemoteExecutor::busy_workers() const { return busy_; }

}  // namespace histeq::rpc
