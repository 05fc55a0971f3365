#include "job_runner.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/memory_source.h"
#include "base/status_macros.h"
#include "checked_source.h"
#include "engine/inspect.h"
#include "engine/run_job.h"
#include "fmt/format.h"
#include "read_ahead.h"
#include "resuming_source.h"
#include "rpc/event_log.h"
#include "rpc/retry.h"
#include "store/sha256.h"

namespace histeq::coordinator {
namespace {

std::string Text(const absl::Status& status) { return std::string(status.message()); }

std::string Seconds(absl::Duration duration) {
  return fmt::format("{:.3f}", absl::ToDoubleSeconds(duration));
}

// Results up to this size are sent when they are whole.
constexpr uint64_t kSentWholeBytes = 256 << 10;

// Says once that a result has become large.
class GrowingResult final : public base::ByteSink {
 public:
  GrowingResult(base::ByteSink& sink, std::function<void()> large)
      : sink_(sink), large_(std::move(large)) {}
  absl::Status Write(std::span<const uint8_t> bytes) override {
    HISTEQ_RETURN_IF_ERROR(sink_.Write(bytes));
    bytes_ += bytes.size();
    if (large_ != nullptr && bytes_ > kSentWholeBytes) std::exchange(large_, nullptr)();
    return absl::OkStatus();
  }

 private:
  base::ByteSink& sink_;
  std::function<void()> large_;
  uint64_t bytes_ = 0;
};

}  // namespace

// What is measured about one attempt, for the line at its end.
struct JobRunner::Attempt {
  absl::Duration begin;
  // Ends of the stages.
  absl::Duration analyzed;
  absl::Duration transformed;
  uint32_t segments = 0;
  uint64_t pixels = 0;
  uint64_t result_bytes = 0;
  uint32_t most_workers = 0;
  // The result is made: what goes wrong from here on says nothing about the image.
  bool delivering = false;
};

// One try to send a result.
struct JobRunner::Sending {
  absl::Status status;
  // It failed because the result could not be read; the frontend said nothing.
  bool unreadable = false;
};

JobRunner::JobRunner(JobQueue& queue, MakeExecutor make_executor, NodeStorage& storage,
                     const base::Clock& clock, JobRunnerOptions options)
    : queue_(queue),
      make_executor_(std::move(make_executor)),
      storage_(storage),
      clock_(clock),
      options_(std::move(options)) {
  const uint64_t share = options_.image_budget_bytes / std::max<uint32_t>(1, options_.job_slots);
  for (uint32_t slot = 0; slot < options_.job_slots; ++slot) {
    budgets_.push_back(std::make_unique<base::MemoryBudget>(static_cast<int64_t>(share)));
  }
}

void JobRunner::Run(uint32_t slot, const LeaseGrant& grant, std::shared_ptr<HeldLease> lease) {
  const std::string epoch = fmt::format("{}", grant.key.epoch);
  rpc::LogEvent(rpc::LogLevel::kInfo, "job_leased",
                {{"job", grant.key.job_id},
                 {"epoch", epoch},
                 {"attempt", fmt::format("{}", grant.attempt)},
                 {"image", grant.image_id},
                 {"name", grant.image_name},
                 {"bytes", fmt::format("{}", grant.image_bytes)}});
  Attempt attempt;
  attempt.begin = attempt.analyzed = attempt.transformed = clock_.Monotonic();
  const absl::Status status = Work(slot, grant, *lease, attempt);
  const absl::Duration end = clock_.Monotonic();
  if (status.ok()) {
    const double seconds = std::max(1e-6, absl::ToDoubleSeconds(end - attempt.begin));
    rpc::LogEvent(rpc::LogLevel::kInfo, "job_completed",
                  {{"job", grant.key.job_id},
                   {"epoch", epoch},
                   {"image", grant.image_id},
                   {"segments", fmt::format("{}", attempt.segments)},
                   {"source_bytes", fmt::format("{}", grant.image_bytes)},
                   {"result_bytes", fmt::format("{}", attempt.result_bytes)},
                   {"pixels", fmt::format("{}", attempt.pixels)},
                   {"workers", fmt::format("{}", attempt.most_workers)},
                   {"analyze_s", Seconds(attempt.analyzed - attempt.begin)},
                   {"transform_s", Seconds(attempt.transformed - attempt.analyzed)},
                   {"upload_s", Seconds(end - attempt.transformed)},
                   {"total_s", Seconds(end - attempt.begin)},
                   {"mpixel_per_s",
                    fmt::format("{:.1f}", static_cast<double>(attempt.pixels) * 1e-6 / seconds)}});
    return;
  }
  const StopReason stopped = lease->stop_reason();
  if (stopped == StopReason::kLost) {
    rpc::LogEvent(rpc::LogLevel::kWarning, "lease_lost",
                  {{"job", grant.key.job_id},
                   {"epoch", epoch},
                   {"why", Text(lease->life().Check())},
                   {"after_s", Seconds(end - attempt.begin)}});
    return;
  }
  Outcome outcome = attempt.delivering ? Outcome::kRetry : ClassifyFailure(status);
  if (stopped == StopReason::kCancelled) outcome = Outcome::kCancelled;
  if (stopped == StopReason::kDrained) outcome = Outcome::kHandBack;
  rpc::LogEvent(outcome == Outcome::kCancelled || outcome == Outcome::kHandBack
                    ? rpc::LogLevel::kInfo
                    : rpc::LogLevel::kWarning,
                "job_given_up",
                {{"job", grant.key.job_id},
                 {"epoch", epoch},
                 {"image", grant.image_id},
                 {"outcome", std::string(OutcomeName(outcome))},
                 {"code", absl::StatusCodeToString(status.code())},
                 {"reason", base::ReasonOf(status)},
                 {"error", Text(status)},
                 {"after_s", Seconds(end - attempt.begin)}});
  GiveUp(*lease, outcome, status);
}

// The bytes of the lease's image, or of its reference image, on their way to the decoder.
class JobRunner::Source {
 public:
  Source(JobRunner& runner, const LeaseGrant& grant, HeldLease& lease, bool reference)
      : lease_(lease),
        file_(reference ? grant.reference->file : grant.image_file),
        stream_([this, &runner, &grant, token = lease.work(), reference](
                    uint64_t offset) { return Open(runner, grant, offset, reference, token); },
                SizeOf(grant, reference), lease.work(),
                [&grant](uint64_t offset, const absl::Status& why) {
                  rpc::LogEvent(rpc::LogLevel::kWarning, "source_resumed",
                                {{"job", grant.key.job_id},
                                 {"offset", fmt::format("{}", offset)},
                                 {"code", absl::StatusCodeToString(why.code())},
                                 {"error", Text(why)}});
                }),
        checked_(stream_, reference ? grant.reference->sha256 : grant.image_sha256) {
    // The decoder would wait for the first piece in any case.
    if (SizeOf(grant, reference).value_or(UINT64_MAX) > ReadAhead::kPieceBytes) {
      ahead_ = std::make_unique<ReadAhead>(checked_, runner.options_.read_ahead_bytes);
    }
  }
  ~Source() {
    // Its thread reads the others.
    ahead_.reset();
    // What is wrong with a node's file, and a missing one (NOT_FOUND), is the job's trouble; these
    // are the lease's.
    if (file_.has_value()) return;
    if (stream_.failure().code() == absl::StatusCode::kFailedPrecondition ||
        stream_.failure().code() == absl::StatusCode::kPermissionDenied) {
      lease_.MarkLost(stream_.failure());
    }
  }
  base::ByteSource& bytes() {
    if (ahead_ != nullptr) return *ahead_;
    return checked_;
  }
  // Of a node's file that lies here. After it was read.
  std::optional<absl::Time> modify_time() const { return modify_time_; }
  // After the decoder, which may leave the end of the file unread: fails as Read does, above all
  // when the whole is not what was uploaded.
  absl::Status ReadToEnd() {
    constexpr size_t kRestBytes = 64 << 10;
    const auto rest = std::make_unique_for_overwrite<uint8_t[]>(kRestBytes);
    while (true) {
      HISTEQ_ASSIGN_OR_RETURN(const size_t length, bytes().Read({rest.get(), kRestBytes}));
      if (length == 0) return absl::OkStatus();
    }
  }

 private:
  // A node's file that was never read has any size.
  static std::optional<uint64_t> SizeOf(const LeaseGrant& grant, bool reference) {
    const std::optional<NodeFile>& file = reference ? grant.reference->file : grant.image_file;
    if (file.has_value()) return file->size_bytes;
    return reference ? grant.reference->bytes : grant.image_bytes;
  }

  absl::StatusOr<std::unique_ptr<base::ByteSource>> Open(JobRunner& runner, const LeaseGrant& grant,
                                                         uint64_t offset, bool reference,
                                                         const base::CancelToken& token) {
    if (!reference && offset == 0 && grant.image_source.has_value()) {
      const std::string& bytes = *grant.image_source;
      return std::make_unique<base::MemorySource>(
          std::span(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
    }
    if (!file_.has_value()) return runner.queue_.OpenSource(grant.key, offset, reference, token);
    HISTEQ_ASSIGN_OR_RETURN(NodeStorage::OpenFile open,
                            runner.storage_.Open(grant.key, *file_, offset, token));
    modify_time_ = open.modify_time;
    return std::move(open.source);
  }

  HeldLease& lease_;
  const std::optional<NodeFile> file_;
  // Set on the reading thread.
  std::optional<absl::Time> modify_time_;
  ResumingSource stream_;
  CheckedSource checked_;
  // Null for a small source, and reads the others.
  std::unique_ptr<ReadAhead> ahead_;
};

absl::StatusOr<std::vector<uint64_t>> JobRunner::ReadReference(const LeaseGrant& grant,
                                                               HeldLease& lease,
                                                               engine::Executor& executor,
                                                               const engine::JobOptions& job) {
  if (!grant.reference.has_value()) {
    return base::MakeError(
        absl::StatusCode::kNotFound, "the reference image is not there any more",
        {.reason = "REFERENCE_MISSING", .field = "operation.equalize.reference"});
  }
  std::optional<engine::ImageStatistics> statistics = grant.reference->statistics;
  if (!statistics.has_value()) {
    // Writes nothing.
    class NoBytes final : public base::ByteSink {
     public:
      absl::Status Write(std::span<const uint8_t>) override {
        return absl::InternalError("an analysis has no bytes");
      }
    } nowhere;
    engine::Operation analyze;
    analyze.kind = engine::Operation::Kind::kAnalyze;
    absl::StatusOr<engine::JobResult> result = absl::UnknownError("not run");
    {
      Source source(*this, grant, lease, /*reference=*/true);
      result = engine::RunJob(source.bytes(), nowhere, analyze, executor, job);
      if (result.ok()) {
        if (absl::Status rest = source.ReadToEnd(); !rest.ok()) result = std::move(rest);
      }
    }
    if (!result.ok()) {
      // The frontend must know whose file has changed.
      base::ErrorDetail detail =
          base::GetErrorDetail(result.status()).value_or(base::ErrorDetail());
      detail.metadata["image"] = grant.reference->image_id;
      return base::MakeError(result.status().code(),
                             "the reference image: " + std::string(result.status().message()),
                             std::move(detail));
    }
    statistics = std::move(result->statistics);
  }
  if (!statistics.has_value() || statistics->channels.empty()) {
    return absl::InternalError("the statistics of the reference image are empty");
  }
  // Gray, or luma.
  return std::move(statistics->channels.front().histogram);
}

absl::Status JobRunner::Inspect(const LeaseGrant& grant, HeldLease& lease, Attempt& attempt) {
  const base::CancelToken token = lease.work();
  engine::InspectedFile file;
  if (grant.image_file.has_value() && !storage_.IsHere(grant.image_file->storage)) {
    class NoBytes final : public base::ByteSink {
     public:
      absl::Status Write(std::span<const uint8_t>) override {
        return absl::InternalError("an inspection has no bytes");
      }
    } nowhere;
    HISTEQ_ASSIGN_OR_RETURN(NodeStorage::Processed processed,
                            storage_.ProcessAtWorker(grant.key, *grant.image_file, *grant.operation,
                                                     options_.decode_limits, nowhere, token));
    if (!processed.inspected.has_value()) {
      return absl::InternalError("the worker did not say what the file is");
    }
    file = *std::move(processed.inspected);
  } else {
    store::Sha256 digest;
    Source source(*this, grant, lease, /*reference=*/false);
    HISTEQ_ASSIGN_OR_RETURN(
        file, engine::Inspect(source.bytes(), options_.decode_limits, token,
                              [&digest](std::span<const uint8_t> bytes) { digest.Update(bytes); }));
    file.sha256 = store::ToBytes(digest.Digest());
    file.modify_time = source.modify_time();
  }
  attempt.analyzed = attempt.transformed = clock_.Monotonic();
  return DeliverWith(
      lease, /*sent=*/false, {.status = absl::UnavailableError("not sent yet")},
      [&] { return Sending{.status = queue_.CompleteInspected(grant.key, file, token)}; });
}

absl::StatusOr<engine::JobResult> JobRunner::Make(const LeaseGrant& grant, HeldLease& lease,
                                                  const engine::Operation& operation,
                                                  base::ByteSink& sink, engine::Executor& executor,
                                                  const engine::JobOptions& job) {
  if (grant.image_file.has_value() && !storage_.IsHere(grant.image_file->storage)) {
    absl::StatusOr<NodeStorage::Processed> processed = storage_.ProcessAtWorker(
        grant.key, *grant.image_file, operation, job.limits, sink, job.token);
    if (processed.ok()) return std::move(processed->result);
    if (base::ReasonOf(processed.status()) != "TOO_LARGE_HERE") return processed.status();
  }
  Source source(*this, grant, lease, /*reference=*/false);
  absl::StatusOr<engine::JobResult> result =
      engine::RunJob(source.bytes(), sink, operation, executor, job);
  if (result.ok()) HISTEQ_RETURN_IF_ERROR(source.ReadToEnd());
  return result;
}

absl::Status JobRunner::Work(uint32_t slot, const LeaseGrant& grant, HeldLease& lease,
                             Attempt& attempt) {
  HISTEQ_RETURN_IF_ERROR(grant.operation.status());
  if (grant.operation->kind == engine::Operation::Kind::kInspect) {
    return Inspect(grant, lease, attempt);
  }
  const base::CancelToken token = lease.work();
  base::MemoryBudget& budget = *budgets_[slot];
  ResultSpool spool(budget, options_.scratch_dir);
  std::unique_ptr<engine::Executor> executor = make_executor_(grant.key);

  engine::JobOptions job;
  job.limits = options_.decode_limits;
  job.budget = &budget;
  job.scratch_dir = options_.scratch_dir;
  job.small_image_bytes = options_.small_image_bytes;
  job.token = token;

  engine::Operation operation = *grant.operation;
  if (operation.reads_reference) {
    HISTEQ_ASSIGN_OR_RETURN(operation.equalize.reference,
                            ReadReference(grant, lease, *executor, job));
  }

  // Where one of several results ends is known when the job is done.
  const bool several = operation.thumbnails.size() + (engine::Equalizes(operation) ? 1u : 0u) > 1;

  // A large result leaves while it is made: the first try follows the stitcher. When it breaks, the
  // next one waits for the end, so that a job longer than the frontend's patience is not sent in
  // vain again and again.
  std::optional<Sending> early;
  std::thread sender;
  GrowingResult sink(spool, [&] {
    if (several) return;
    sender = std::thread([&] {
      early = Send(grant, spool, {}, nullptr, token);
      if (!early->unreadable && IsLeaseGone(early->status)) lease.MarkLost(early->status);
    });
  });

  job.progress = [&](engine::JobStage stage, uint32_t done, uint32_t total) {
    if (stage == engine::JobStage::kTransform && attempt.analyzed == attempt.begin) {
      attempt.analyzed = clock_.Monotonic();
    }
    Progress progress;
    progress.stage = stage == engine::JobStage::kAnalyze ? Stage::kAnalyze : Stage::kTransform;
    progress.segments_done = done;
    progress.segments_total = total;
    progress.workers = executor->busy_workers();
    attempt.segments = total;
    attempt.most_workers = std::max(attempt.most_workers, progress.workers);
    lease.SetProgress(progress);
  };

  absl::StatusOr<engine::JobResult> result = Make(grant, lease, operation, sink, *executor, job);
  // Its slots are free for other jobs while this one is delivered.
  executor.reset();
  attempt.transformed = clock_.Monotonic();
  if (result.ok()) {
    spool.Close();
    Progress progress = lease.progress();
    progress.stage = Stage::kUpload;
    lease.SetProgress(progress);
  } else {
    spool.Abandon(result.status());
  }
  if (sender.joinable()) sender.join();
  HISTEQ_RETURN_IF_ERROR(result.status());
  attempt.delivering = true;
  attempt.result_bytes = spool.size();
  attempt.pixels = result->pixels;
  const engine::ImageStatistics* statistics =
      result->statistics.has_value() ? &*result->statistics : nullptr;
  std::vector<uint64_t> result_bytes;
  if (several) {
    result_bytes = result->result_bytes;
  } else if (statistics == nullptr) {
    result_bytes = {spool.size()};
  }
  return Deliver(grant, lease, spool, result_bytes, statistics, std::move(early));
}

JobRunner::Sending JobRunner::Send(const LeaseGrant& grant, ResultSpool& spool,
                                   const std::vector<uint64_t>& result_bytes,
                                   const engine::ImageStatistics* statistics,
                                   const base::CancelToken& token) {
  Sending sending;
  absl::Status read;
  sending.status = queue_.Complete(
      grant.key,
      [&](uint64_t offset, std::span<uint8_t> buffer) {
        absl::StatusOr<size_t> length = spool.ReadAt(offset, buffer, token);
        if (!length.ok()) read = length.status();
        return length;
      },
      result_bytes, statistics, token);
  if (!read.ok()) sending = {.status = std::move(read), .unreadable = true};
  return sending;
}

absl::Status JobRunner::Deliver(const LeaseGrant& grant, HeldLease& lease, ResultSpool& spool,
                                const std::vector<uint64_t>& result_bytes,
                                const engine::ImageStatistics* statistics,
                                std::optional<Sending> early) {
  const base::CancelToken token = lease.work();
  const bool sent = early.has_value();
  return DeliverWith(
      lease, sent,
      sent ? *std::move(early) : Sending{.status = absl::UnavailableError("not sent yet")},
      [&] { return Send(grant, spool, result_bytes, statistics, token); });
}

absl::Status JobRunner::DeliverWith(HeldLease& lease, bool sent, Sending early,
                                    const std::function<Sending()>& deliver) {
  const base::CancelToken token = lease.work();
  rpc::Backoff backoff;
  Sending sending = std::move(early);
  int failures = 0;
  while (!sending.status.ok()) {
    const absl::Status& status = sending.status;
    if (sent) {
      HISTEQ_RETURN_IF_ERROR(token.Check());
      if (sending.unreadable) return status;
      if (IsLeaseGone(status)) {
        lease.MarkLost(status);
        return status;
      }
      // INVALID_ARGUMENT and the like: what this coordinator made is not an image. The same bytes
      // would be made again.
      if (!IsWorthRepeating(status)) {
        return base::MakeError(
            absl::StatusCode::kInternal,
            fmt::format("the frontend refused the result: {}", Text(status)),
            {.reason = "RESULT_REFUSED", .metadata = {}, .field = {}, .retry_after = {}});
      }
      // The frontend's disk is full or fails: the catalog counts attempts, and spreads them.
      if (!IsPassing(status) && ++failures >= kTries) return status;
      rpc::LogEvent(rpc::LogLevel::kWarning, "result_resent",
                    {{"job", lease.key().job_id},
                     {"code", absl::StatusCodeToString(status.code())},
                     {"error", Text(status)}});
      HISTEQ_RETURN_IF_ERROR(backoff.Wait(token, AskedPause(status)));
    }
    sent = true;
    sending = deliver();
  }
  return absl::OkStatus();
}

void JobRunner::GiveUp(HeldLease& lease, Outcome outcome, const absl::Status& why) {
  const base::CancelToken life = lease.life();
  const absl::Duration deadline = clock_.Monotonic() + options_.give_up_timeout;
  rpc::Backoff backoff;
  while (!life.cancelled()) {
    const absl::Status status = queue_.Fail(lease.key(), outcome, why, life);
    if (status.ok() || IsLeaseGone(status)) return;
    if (clock_.Monotonic() >= deadline) {
      rpc::LogEvent(rpc::LogLevel::kWarning, "give_up_unheard",
                    {{"job", lease.key().job_id},
                     {"outcome", std::string(OutcomeName(outcome))},
                     {"error", Text(status)}});
      return;
    }
    if (!backoff.Wait(life).ok()) return;
  }
}

}  // namespace histeq::coordinator
