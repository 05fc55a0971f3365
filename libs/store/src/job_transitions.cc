#include "job_transitions.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "absl/status/status.h"

namespace histeq::store {
namespace {

JobRecord Ended(JobRecord job, JobState state, absl::Time now) {
  job.state = state;
  job.coordinator.clear();
  job.cancel_requested = false;
  job.end_time = now;
  return job;
}

JobRecord Requeued(JobRecord job, std::optional<absl::Time> not_before) {
  job.state = JobState::kQueued;
  job.coordinator.clear();
  job.not_before = not_before;
  return job;
}

}  // namespace

absl::Duration BackoffAfter(uint32_t attempts, const CatalogLimits& limits, double random) {
  absl::Duration wait = limits.backoff;
  for (uint32_t i = 1; i < attempts && wait < limits.max_backoff; ++i) wait *= 2;
  wait = std::min(wait, limits.max_backoff);
  return wait * (1 + limits.backoff_jitter * (2 * random - 1));
}

JobRecord AfterFailure(JobRecord job, FailOutcome outcome, const JobError& error,
                       const CatalogLimits& limits, absl::Time now, double random) {
  if (outcome == FailOutcome::kPermanent) {
    job.error = error;
    return Ended(std::move(job), JobState::kFailed, now);
  }
  if (job.cancel_requested) return Ended(std::move(job), JobState::kCancelled, now);
  if (outcome == FailOutcome::kHandBack) {
    if (job.attempts > 0) --job.attempts;
    if (error.reason != "STORAGE_GONE" && error.reason != "ROOT_MISSING") {
      return Requeued(std::move(job), std::nullopt);
    }
    // Where its file lies is not there, which the next holder may not have heard of yet either.
    job.error = error;
    return Requeued(std::move(job), now + BackoffAfter(1, limits, random));
  }
  job.error = error;
  if (job.attempts >= limits.max_attempts) {
    job.error->message =
        fmt::format("gave up after {} attempts, of {} that are allowed; the last one: {}",
                    job.attempts, limits.max_attempts, error.message);
    // `limit` and `actual` are the last error's own.
    job.error->metadata["attempts"] = std::to_string(job.attempts);
    job.error->metadata["max_attempts"] = std::to_string(limits.max_attempts);
    return Ended(std::move(job), JobState::kFailed, now);
  }
  const absl::Time not_before = now + BackoffAfter(job.attempts, limits, random);
  return Requeued(std::move(job), not_before);
}

JobRecord AfterFailureOfPlace(JobRecord job, const JobError& error) {
  job.error = error;
  return Requeued(std::move(job), std::nullopt);
}

JobRecord AfterExpiry(JobRecord job, const CatalogLimits& limits, absl::Time now) {
  ++job.holder_deaths;
  if (job.cancel_requested) return Ended(std::move(job), JobState::kCancelled, now);
  const bool poison = job.holder_deaths >= limits.max_holder_deaths;
  if (!poison && job.attempts < limits.max_attempts) {
    JobError error;
    error.code = static_cast<int>(absl::StatusCode::kUnavailable);
    error.reason = "LEASE_EXPIRED";
    error.message = fmt::format("coordinator {} was heard of no more", job.coordinator);
    job.error = std::move(error);
    return Requeued(std::move(job), std::nullopt);
  }
  JobError error;
  error.code = static_cast<int>(absl::StatusCode::kAborted);
  error.reason = poison ? "POISON_JOB" : "ATTEMPTS_EXHAUSTED";
  error.message = poison ? fmt::format(
                               "{} coordinators were heard of no more while they worked on "
                               "it; the last one: {}",
                               job.holder_deaths, job.coordinator)
                         : fmt::format(
                               "gave up after {} attempts; in the last one coordinator {} "
                               "was heard of no more",
                               job.attempts, job.coordinator);
  error.metadata["limit"] = std::to_string(poison ? limits.max_holder_deaths : limits.max_attempts);
  error.metadata["actual"] = std::to_string(poison ? job.holder_deaths : job.attempts);
  job.error = std::move(error);
  return Ended(std::move(job), JobState::kFailed, now);
}

}  // namespace histeq::store
