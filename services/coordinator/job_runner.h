#pragma once

// One job from its lease to its end.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/memory_budget.h"
#include "codec/limits.h"
#include "engine/executor.h"
#include "engine/run_job.h"
#include "job_queue.h"
#include "lease_table.h"
#include "node_storage.h"
#include "result_spool.h"

namespace histeq::coordinator {

struct JobRunnerOptions {
  uint32_t job_slots = 2;
  // Decoded samples, scratch of the decoder and finished bytes that all jobs together keep in
  // memory. Each job slot has an equal part of its own, so that a large image does not push the
  // others to disk.
  uint64_t image_budget_bytes = 512ull << 20;
  std::string scratch_dir = "/var/tmp";
  codec::DecodeLimits decode_limits;
  // Bytes of a source that are fetched before the decoder wants them.
  uint64_t read_ahead_bytes = 4ull << 20;
  // Files up to this size are processed whole by one executor slot.
  uint64_t small_image_bytes = 1ull << 20;
  // How long the frontend is told about a failure, when it does not answer.
  absl::Duration give_up_timeout = absl::Seconds(10);
};

// Reads, equalizes and delivers; classifies what went wrong; logs one line for each event.
// Thread-safe: one call of Run at a time for each slot.
class JobRunner {
 public:
  // The executor of one job, with the lease's name in its calls and logs.
  using MakeExecutor = std::function<std::unique_ptr<engine::Executor>(const LeaseKey& key)>;

  // `storage` outlives the runner.
  JobRunner(JobQueue& queue, MakeExecutor make_executor, NodeStorage& storage,
            const base::Clock& clock, JobRunnerOptions options);

  void Run(uint32_t slot, const LeaseGrant& grant, std::shared_ptr<HeldLease> lease);

 private:
  struct Attempt;
  struct Sending;
  class Source;

  absl::Status Work(uint32_t slot, const LeaseGrant& grant, HeldLease& lease, Attempt& attempt);
  // The histogram that the operation takes from the lease's reference image.
  absl::StatusOr<std::vector<uint64_t>> ReadReference(const LeaseGrant& grant, HeldLease& lease,
                                                      engine::Executor& executor,
                                                      const engine::JobOptions& job);
  Sending Send(const LeaseGrant& grant, ResultSpool& spool,
               const std::vector<uint64_t>& result_bytes, const engine::ImageStatistics* statistics,
               const base::CancelToken& token);
  // Sends until the frontend has it, beginning with what came of an `early` try when there was one.
  absl::Status Deliver(const LeaseGrant& grant, HeldLease& lease, ResultSpool& spool,
                       const std::vector<uint64_t>& result_bytes,
                       const engine::ImageStatistics* statistics, std::optional<Sending> early);
  // Does a job on a registered file: what the file is.
  absl::Status Inspect(const LeaseGrant& grant, HeldLease& lease, Attempt& attempt);
  // The job's work, here with `executor` or, for an image in a worker's storage, there.
  absl::StatusOr<engine::JobResult> Make(const LeaseGrant& grant, HeldLease& lease,
                                         const engine::Operation& operation, base::ByteSink& sink,
                                         engine::Executor& executor, const engine::JobOptions& job);
  // Calls `deliver` until the frontend has what it sends, or the lease is gone, or nothing is to be
  // hoped for; `sent`: `early` is what came of a first call.
  static absl::Status DeliverWith(HeldLease& lease, bool sent, Sending early,
                                  const std::function<Sending()>& deliver);
  void GiveUp(HeldLease& lease, Outcome outcome, const absl::Status& why);

  JobQueue& queue_;
  const MakeExecutor make_executor_;
  NodeStorage& storage_;
  const base::Clock& clock_;
  const JobRunnerOptions options_;
  std::vector<std::unique_ptr<base::MemoryBudget>> budgets_;
};

}  // namespace histeq::coordinator
