// GetHistogram: kept statistics, or a job that makes them.

#include <algorithm>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "grpc_frontend_service.h"
#include "request_checks.h"
#include "rpc/event_log.h"

namespace histeq::frontend {
namespace {

constexpr absl::Duration kPoll = absl::Seconds(3);
// For the answer's way back.
constexpr absl::Duration kAnswerMargin = absl::Milliseconds(200);

absl::StatusOr<std::optional<v1::ImageStatistics>> Kept(FrontendCore& core,
                                                        const std::string& image_id) {
  HISTEQ_ASSIGN_OR_RETURN(const auto bytes, core.catalog.GetImageStatistics(image_id));
  if (!bytes.has_value()) return std::optional<v1::ImageStatistics>();
  v1::ImageStatistics statistics;
  if (!statistics.ParseFromString(*bytes)) {
    return base::MakeError(absl::StatusCode::kDataLoss,
                           fmt::format("the statistics kept of image {} cannot be read", image_id),
                           {.reason = "STATISTICS_DAMAGED", .metadata = {{"image", image_id}}});
  }
  return std::optional<v1::ImageStatistics>(std::move(statistics));
}

// Why the job brought no statistics.
absl::Status WhyNone(const store::JobRecord& job) {
  if (job.state == store::JobState::kFailed && job.error.has_value()) {
    base::ErrorDetail detail;
    detail.reason = job.error->reason;
    detail.metadata = job.error->metadata;
    detail.metadata["job"] = job.id;
    return base::MakeError(static_cast<absl::StatusCode>(job.error->code), job.error->message,
                           detail);
  }
  return base::MakeError(
      absl::StatusCode::kAborted,
      fmt::format("job {}, which counted the samples, was cancelled", job.id),
      {.reason = "JOB_CANCELLED", .metadata = {{"job", job.id}}, .retry_after = absl::Seconds(1)});
}

}  // namespace

absl::StatusOr<v1::ImageStatistics> FindStatistics(FrontendCore& core, const ServerCall& call,
                                                   const std::string& image_id) {
  HISTEQ_RETURN_IF_ERROR(CheckId(image_id, "image_id"));
  HISTEQ_ASSIGN_OR_RETURN(const store::ImageRecord image, core.catalog.GetImage(image_id));
  HISTEQ_ASSIGN_OR_RETURN(auto kept, Kept(core, image_id));
  // What is kept of a file that has changed is not true any more.
  if (kept.has_value() && !image.unread) return *std::move(kept);
  HISTEQ_RETURN_IF_ERROR(core.activity.CheckServing());
  HISTEQ_ASSIGN_OR_RETURN(const auto pass,
                          core.histogram_waiters.Enter([&] { return call.cancelled(); }));
  const absl::Duration wait =
      std::max(call.TimeLeft(core.options.histogram_wait + kAnswerMargin) - kAnswerMargin,
               absl::ZeroDuration());
  const absl::Duration end = core.clock.Monotonic() + wait;
  HISTEQ_ASSIGN_OR_RETURN(store::JobRecord job, core.analyze_jobs.JobFor(image_id));
  if (job.epoch == 0) {
    rpc::LogEvent(rpc::LogLevel::kInfo, "histogram_awaited",
                  {{"job", job.id}, {"image", image_id}, {"peer", call.peer()}});
  }
  const auto watch = core.hub.MakeWatch(job.id);
  absl::Duration read_at = -absl::InfiniteDuration();
  bool hinted = true;
  while (true) {
    const absl::Duration now = core.clock.Monotonic();
    if (hinted || now - read_at >= kPoll) {
      HISTEQ_ASSIGN_OR_RETURN(job, core.catalog.GetJob(job.id));
      read_at = now;
    }
    if (store::IsFinal(job.state)) break;
    if (call.cancelled()) return absl::CancelledError("the client has gone");
    HISTEQ_RETURN_IF_ERROR(core.activity.CheckServing());
    if (now >= end) {
      return base::MakeError(
          absl::StatusCode::kDeadlineExceeded,
          fmt::format("job {} is still counting the samples of image {}: ask again", job.id,
                      image_id),
          {.reason = "STATISTICS_NOT_READY",
           .metadata = {{"job", job.id}, {"limit", absl::FormatDuration(wait)}},
           .retry_after = absl::Seconds(1)});
    }
    hinted = watch->Wait(std::min(kCancelLook, end - now));
  }
  if (job.state != store::JobState::kSucceeded) return WhyNone(job);
  HISTEQ_ASSIGN_OR_RETURN(kept, Kept(core, image_id));
  if (kept.has_value()) return *std::move(kept);
  // The image was deleted right after.
  HISTEQ_RETURN_IF_ERROR(core.catalog.GetImage(image_id).status());
  return base::MakeError(absl::StatusCode::kInternal,
                         fmt::format("job {} succeeded and kept no statistics", job.id),
                         {.reason = "STATISTICS_MISSING", .metadata = {{"job", job.id}}});
}

}  // namespace histeq::frontend
