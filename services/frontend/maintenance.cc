#include "maintenance.h"

#include "fmt/format.h"
#include "rpc/event_log.h"
#include "store/sweep.h"

namespace histeq::frontend {

Maintenance::Maintenance(store::Catalog& catalog, store::BlobStore& blobs, NodeRegistry& nodes,
                         const base::Clock& clock, Options options)
    : catalog_(catalog), blobs_(blobs), nodes_(nodes), clock_(clock), options_(options) {}

void Maintenance::Start() {
  thread_ = std::thread([this] { Run(); });
  sweeper_ = std::thread([this] { RunSweeps(); });
}

Maintenance::~Maintenance() {
  stop_.Cancel(absl::CancelledError("stopped"));
  if (thread_.joinable()) thread_.join();
  if (sweeper_.joinable()) sweeper_.join();
}

void Maintenance::Run() {
  while (stop_.token().WaitFor(options_.lease_interval).ok()) {
    ExpireLeases();
    for (const std::string& name : nodes_.TakeGone()) {
      rpc::LogEvent(rpc::LogLevel::kWarning, "node_gone", {{"coordinator", name}});
    }
  }
}

void Maintenance::RunSweeps() {
  absl::Duration orphans_at = clock_.Monotonic();
  do {
    if (clock_.Monotonic() >= orphans_at) {
      SweepOrphans();
      orphans_at = clock_.Monotonic() + options_.orphan_interval;
    }
    SweepUploads();
  } while (stop_.token().WaitFor(options_.sweep_interval).ok());
}

void Maintenance::SweepOrphans() {
  const auto report = store::SweepOrphans(catalog_, blobs_, stop_.token());
  if (stop_.token().cancelled()) return;
  Note("sweep_failed", report.status(), orphan_error_);
  if (!report.ok() || report->blobs_deleted + report->partials_deleted == 0) return;
  rpc::LogEvent(rpc::LogLevel::kInfo, "orphans_deleted",
                {{"blobs", fmt::format("{}", report->blobs_deleted + report->partials_deleted)},
                 {"bytes", fmt::format("{}", report->bytes_freed)}});
}

void Maintenance::ExpireLeases() {
  const auto expired = catalog_.ExpireLeases();
  Note("expire_failed", expired.status(), lease_error_);
  if (!expired.ok()) return;
  for (const store::JobRecord& job : *expired) {
    rpc::LogEvent(rpc::LogLevel::kWarning, "job_expired",
                  {{"job", job.id},
                   {"image", job.image_id},
                   {"epoch", fmt::format("{}", job.epoch)},
                   {"holder_deaths", fmt::format("{}", job.holder_deaths)}});
    LogJobEnd(job, "the lease was not renewed");
  }
}

void Maintenance::SweepUploads() {
  const auto report = store::SweepAbandonedUploads(
      catalog_, blobs_, clock_.Now() - options_.upload_retention, stop_.token());
  if (stop_.token().cancelled()) return;
  Note("sweep_failed", report.status(), sweep_error_);
  if (!report.ok() || report->uploads_forgotten == 0) return;
  rpc::LogEvent(rpc::LogLevel::kInfo, "uploads_abandoned",
                {{"uploads", fmt::format("{}", report->uploads_forgotten)},
                 {"bytes", fmt::format("{}", report->bytes_freed)}});
}

void Maintenance::Note(const std::string& what, const absl::Status& status, std::string& last) {
  const std::string error(status.message());
  if (error != last && !status.ok()) {
    rpc::LogEvent(rpc::LogLevel::kError, what, {{"error", error}});
  }
  last = error;
}

void LogJobEnd(const store::JobRecord& job, const std::string& why) {
  const char* event = "job_queued_again";
  rpc::LogLevel level = rpc::LogLevel::kInfo;
  if (job.state == store::JobState::kCancelled) event = "job_cancelled";
  if (job.state == store::JobState::kSucceeded) event = "job_succeeded";
  if (job.state == store::JobState::kFailed) {
    event = "job_failed";
    level = rpc::LogLevel::kWarning;
  }
  std::string duration;
  if (job.end_time.has_value() && job.start_time.has_value()) {
    duration = fmt::format("{:.3f}", absl::ToDoubleSeconds(*job.end_time - *job.start_time));
  }
  rpc::LogEvent(level, event,
                {{"job", job.id},
                 {"image", job.image_id},
                 {"result", job.result_image_id},
                 {"epoch", fmt::format("{}", job.epoch)},
                 {"attempts", fmt::format("{}", job.attempts)},
                 {"duration_s", duration},
                 {"why", why},
                 {"reason", job.error.has_value() ? job.error->reason : std::string()},
                 {"error", job.error.has_value() ? job.error->message : std::string()}});
}

}  // namespace histeq::frontend
