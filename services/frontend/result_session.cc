#include "result_session.h"

#include <utility>

#include "base/error.h"
#include "base/status_macros.h"
#include "disk_room.h"
#include "fmt/format.h"

namespace histeq::frontend {
namespace {

// The job's answer when it succeeded under `epoch`; nothing otherwise.
absl::StatusOr<std::optional<store::CompletedJob>> FindCompleted(store::Catalog& catalog,
                                                                 const std::string& job_id,
                                                                 uint64_t epoch) {
  store::CompletedJob completed;
  HISTEQ_ASSIGN_OR_RETURN(completed.job, catalog.GetJob(job_id));
  if (completed.job.state != store::JobState::kSucceeded || completed.job.epoch != epoch) {
    return std::optional<store::CompletedJob>();
  }
  completed.already_completed = true;
  for (const std::string& id : completed.job.result_image_ids) {
    absl::StatusOr<store::ImageRecord> image = catalog.GetImage(id);
    // Deleted since.
    if (!image.ok() && !absl::IsNotFound(image.status())) return image.status();
    completed.results.emplace_back();
    if (image.ok()) completed.results.back() = *std::move(image);
  }
  return std::optional<store::CompletedJob>(std::move(completed));
}

// Of Catalog::Complete: certain that the bytes were not registered.
bool NothingChanged(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) || absl::IsNotFound(status) ||
         absl::IsInvalidArgument(status) || IsDiskFull(status);
}

}  // namespace

ResultSession::ResultSession(store::Catalog& catalog, store::BlobStore& blobs,
                             const base::Clock& clock, store::Lease lease,
                             const UploadLimits& limits)
    : catalog_(catalog), blobs_(blobs), clock_(clock), lease_(std::move(lease)), limits_(limits) {}

absl::StatusOr<ResultSession::Opening> ResultSession::Begin(
    store::Catalog& catalog, store::BlobStore& blobs, const base::Clock& clock,
    const std::string& job_id, uint64_t epoch, const UploadLimits& limits) {
  Opening opening;
  absl::StatusOr<store::Lease> lease = catalog.GetLease(job_id, epoch);
  if (absl::IsFailedPrecondition(lease.status())) {
    HISTEQ_ASSIGN_OR_RETURN(opening.completed, FindCompleted(catalog, job_id, epoch));
    if (opening.completed.has_value()) return opening;
  }
  HISTEQ_RETURN_IF_ERROR(lease.status());
  opening.session.reset(new ResultSession(catalog, blobs, clock, *std::move(lease), limits));
  return opening;
}

absl::Status ResultSession::BadResult(const std::string& message) const {
  return base::MakeError(absl::StatusCode::kInvalidArgument,
                         fmt::format("job {}: {}", lease_.job.id, message),
                         {.reason = "BAD_RESULT", .metadata = {{"job", lease_.job.id}}});
}

absl::Status ResultSession::Write(std::span<const uint8_t> bytes) {
  if (bytes.empty()) return absl::OkStatus();
  if (lease_.outputs.empty()) return BadResult("its result is no image");
  if (ended_.size() == lease_.outputs.size()) {
    return BadResult(fmt::format("all of its {} results have ended", ended_.size()));
  }
  if (writer_ == nullptr) {
    auto writer = blobs_.CreateBlob(std::nullopt);
    if (IsDiskFull(writer.status()) && MakeRoom(catalog_, blobs_, clock_, limits_.idle_retention)) {
      writer = blobs_.CreateBlob(std::nullopt);
    }
    if (!writer.ok()) return writer.status();
    writer_ = *std::move(writer);
    head_.emplace(limits_.decode, nullptr);
  }
  const uint64_t size = writer_->size_bytes() + bytes.size();
  if (size > limits_.max_bytes) {
    return base::MakeError(absl::StatusCode::kInvalidArgument,
                           fmt::format("the result has {} bytes or more; this server takes at "
                                       "most {}",
                                       size, limits_.max_bytes),
                           {.reason = "RESULT_TOO_LARGE",
                            .metadata = {{"limit", std::to_string(limits_.max_bytes)},
                                         {"actual", std::to_string(size)}}});
  }
  HISTEQ_RETURN_IF_ERROR(head_->Add(bytes));
  return writer_->Write(bytes);
}

ResultSession::~ResultSession() {
  // Unless the catalog has them.
  for (const Ended& ended : ended_) {
    if (!ended.kept) ended.writer->Discard().IgnoreError();
  }
}

absl::Status ResultSession::EndResult(uint64_t size_bytes, const store::Sha256Digest& sha256) {
  if (writer_ == nullptr) return BadResult("there is no image in this result");
  HISTEQ_ASSIGN_OR_RETURN(const store::BlobInfo blob, writer_->Finish({size_bytes, sha256}));
  // Holds the blob until the catalog knows it, and discards it when it never does.
  ended_.push_back({std::move(writer_), {}, false});
  if (head_->info().has_value()) {
    ended_.back().facts = FactsOf(blob, *head_->info());
    return absl::OkStatus();
  }
  HISTEQ_ASSIGN_OR_RETURN(const codec::ImageInfo info,
                          ProbeStored(blobs_, blob, limits_.decode, /*check=*/nullptr));
  ended_.back().facts = FactsOf(blob, info);
  return absl::OkStatus();
}

absl::StatusOr<store::CompletedJob> ResultSession::Commit() {
  if (writer_ != nullptr) return BadResult("its last result did not end");
  if (ended_.size() != lease_.outputs.size() || ended_.empty()) {
    return BadResult(
        fmt::format("it has {} results, {} came", lease_.outputs.size(), ended_.size()));
  }
  store::JobResult result;
  for (const Ended& ended : ended_) result.images.push_back(ended.facts);
  absl::StatusOr<store::CompletedJob> completed =
      catalog_.Complete(lease_.job.id, lease_.job.epoch, result);
  if (!completed.ok()) {
    // Whatever else failed, the job may have its results all the same: the sweep asks the catalog.
    if (!NothingChanged(completed.status())) {
      for (Ended& ended : ended_) ended.kept = true;
    }
    return completed.status();
  }
  // Another call under the same epoch was faster, or the output was there: those are of no use.
  for (Ended& ended : ended_) {
    for (const auto& image : completed->results) {
      if (image.has_value() && image->facts.location == ended.facts.location) ended.kept = true;
    }
  }
  // What is left is swept.
  for (const std::string& location : completed->freed_locations) {
    blobs_.Delete(location).IgnoreError();
  }
  return completed;
}

absl::StatusOr<store::CompletedJob> ResultSession::CommitStatistics(const std::string& statistics) {
  if (writer_ != nullptr || !lease_.outputs.empty()) return BadResult("its result is an image");
  store::JobResult result;
  result.statistics = statistics;
  return catalog_.Complete(lease_.job.id, lease_.job.epoch, result);
}

absl::StatusOr<store::CompletedJob> ResultSession::CommitInspected(
    const store::ImageFacts& facts, std::optional<absl::Time> modify_time) {
  if (writer_ != nullptr || !lease_.outputs.empty()) return BadResult("its result is an image");
  store::JobResult result;
  result.inspected = facts;
  result.modify_time = modify_time;
  HISTEQ_ASSIGN_OR_RETURN(store::CompletedJob completed,
                          catalog_.Complete(lease_.job.id, lease_.job.epoch, result));
  // Made of another file than the one that lies there now. What is left is swept at the next start.
  for (const std::string& location : completed.freed_locations) {
    if (location.rfind("blob:", 0) == 0) blobs_.Delete(location).IgnoreError();
  }
  return completed;
}

}  // namespace histeq::frontend
