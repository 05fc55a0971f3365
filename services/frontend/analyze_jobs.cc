#include "analyze_jobs.h"

#include <utility>

#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "fmt/format.h"

namespace histeq::frontend {

absl::StatusOr<std::optional<store::JobRecord>> AnalyzeJobs::Find(const std::string& image_id,
                                                                  store::JobState state) {
  store::JobFilter filter;
  filter.state = state;
  filter.image_id = image_id;
  std::string page_token;
  do {
    HISTEQ_ASSIGN_OR_RETURN(store::Page<store::JobRecord> page,
                            catalog_.ListJobs(filter, 1000, page_token));
    for (store::JobRecord& job : page.records) {
      if (job.spec.operation == operation_ && job.spec.outputs.empty() && !job.cancel_requested) {
        return std::optional<store::JobRecord>(std::move(job));
      }
    }
    page_token = page.next_page_token;
  } while (!page_token.empty());
  return std::optional<store::JobRecord>();
}

absl::StatusOr<store::JobRecord> AnalyzeJobs::JobFor(const std::string& image_id) {
  const std::lock_guard lock(mutex_);
  // Running last: a job that moves from the queue meanwhile is seen there.
  for (const store::JobState state : {store::JobState::kQueued, store::JobState::kRunning}) {
    HISTEQ_ASSIGN_OR_RETURN(auto job, Find(image_id, state));
    if (job.has_value()) return *std::move(job);
  }
  // Clients' ids have no colon.
  const std::string request_id =
      fmt::format("analyze:{}:{}", image_id, absl::ToUnixNanos(absl::Now()));
  store::JobSpec spec;
  spec.operation = operation_;
  return catalog_.CreateJob(request_id, image_id, spec);
}

}  // namespace histeq::frontend
