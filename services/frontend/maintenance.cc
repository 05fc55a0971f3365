#include "maintenance.h"

#include <algorithm>

#include "fmt/format.h"
#include "rpc/event_log.h"
#include "store/sweep.h"

namespace histeq::frontend {
namespace {

// Bounds how long one transaction keeps the others waiting.
constexpr uint32_t kExpireAtOnce = 100;
constexpr uint32_t kForgetAtOnce = 256;
// Bounds one look; the next one goes on.
constexpr int kMaxForgetRounds = 400;

}  // namespace

Maintenance::Maintenance(store::Catalog& catalog, store::BlobStore& blobs, NodeRegistry& nodes,
                         ImageUses& uses, const base::Clock& clock, Options options)
    : catalog_(catalog),
      blobs_(blobs),
      nodes_(nodes),
      uses_(uses),
      clock_(clock),
      options_(options) {}

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
  absl::Duration uploads_at = orphans_at;
  const absl::Duration interval = std::min(options_.sweep_interval, options_.expiry_interval);
  do {
    ExpireImages();
    ForgetFinished();
    if (clock_.Monotonic() >= orphans_at) {
      SweepOrphans();
      orphans_at = clock_.Monotonic() + options_.orphan_interval;
    }
    if (clock_.Monotonic() >= uploads_at) {
      SweepUploads();
      uploads_at = clock_.Monotonic() + options_.sweep_interval;
    }
  } while (stop_.token().WaitFor(interval).ok());
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

void Maintenance::ExpireImages() {
  absl::Status status = catalog_.TouchImages(uses_.TakeTouched());
  uint64_t images = 0;
  uint64_t blobs = 0;
  while (status.ok() && !stop_.token().cancelled()) {
    const auto expired = catalog_.ExpireImages(
        [this](const std::string& id) { return uses_.InUse(id); }, kExpireAtOnce);
    status = expired.status();
    if (!expired.ok()) break;
    images += expired->images.size();
    blobs += expired->freed_locations.size();
    // What cannot be deleted now is swept later.
    for (const std::string& location : expired->freed_locations) {
      status.Update(blobs_.Delete(location));
    }
    if (!expired->more) break;
  }
  Note("expiry_failed", status, expiry_error_);
  if (images == 0) return;
  rpc::LogEvent(rpc::LogLevel::kInfo, "images_expired",
                {{"images", fmt::format("{}", images)}, {"blobs", fmt::format("{}", blobs)}});
}

void Maintenance::ForgetFinished() {
  absl::Status status;
  uint64_t jobs = 0;
  uint64_t uploads = 0;
  for (int round = 0; round < kMaxForgetRounds && !stop_.token().cancelled(); ++round) {
    const auto forgotten = catalog_.ForgetFinished(kForgetAtOnce);
    status = forgotten.status();
    if (!forgotten.ok()) break;
    jobs += forgotten->jobs;
    uploads += forgotten->uploads;
    if (!forgotten->more) break;
  }
  Note("forget_failed", status, forget_error_);
  if (jobs + uploads == 0) return;
  rpc::LogEvent(rpc::LogLevel::kInfo, "finished_forgotten",
                {{"jobs", fmt::format("{}", jobs)}, {"uploads", fmt::format("{}", uploads)}});
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
