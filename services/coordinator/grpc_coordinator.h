#pragma once

// The coordinator service as a whole: heartbeats, leases, jobs, workers.

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grpcpp/impl/codegen/service_type.h"
#include "job_runner.h"
#include "store/file_roots.h"

namespace histeq::coordinator {

struct CoordinatorOptions {
  // Address of the frontend's JobQueue.
  std::string frontend;
  // Under which the frontend knows this coordinator.
  std::string name;
  // Where workers and people reach this coordinator; for ListNodes.
  std::string address;
  std::string version;
  // Jobs at the same time; one thread waits in the queue for each.
  uint32_t job_slots = 2;
  // Threads of its own for segments when no worker is attached. 0: one for each processor.
  uint32_t threads = 0;
  // How long one call waits in the frontend's queue.
  absl::Duration lease_wait = absl::Seconds(20);
  // Calls to the frontend.
  absl::Duration heartbeat_interval = absl::Seconds(5);
  absl::Duration heartbeat_timeout = absl::Seconds(10);
  absl::Duration stall_timeout = absl::Seconds(30);
  absl::Duration commit_timeout = absl::Seconds(120);
  // Workers.
  absl::Duration worker_interval = absl::Seconds(5);
  absl::Duration worker_gone_after = absl::Seconds(20);
  absl::Duration probe_timeout = absl::Seconds(5);
  uint32_t max_workers = 256;
  // Files that it reads itself.
  store::StorageRoots storage;
  // Of a registered file that it reads, or has a worker read.
  uint64_t max_registered_bytes = 64ull << 30;
  // Segments of a job on workers or finished out of order, at most.
  uint32_t segment_window = 32;
  // A segment on which nothing moves for so long goes to another worker.
  absl::Duration worker_stall_timeout = absl::Seconds(20);
  // Jobs. `jobs.job_slots` is set from `job_slots`.
  JobRunnerOptions jobs;
};

// One running coordinator. Register service() with a server, then call Start. Thread-safe.
class Coordinator {
 public:
  explicit Coordinator(CoordinatorOptions options);
  // Drain(0) when that has not been done.
  ~Coordinator();
  Coordinator(const Coordinator&) = delete;
  Coordinator& operator=(const Coordinator&) = delete;

  // The Coordinator service; lives as long as this.
  grpc::Service* service();

  // Begins to talk to the frontend. `address`, when not empty, replaces the option: the port may be
  // known only now.
  void Start(const std::string& address = "");

  // Takes no more jobs or workers, waits up to `timeout` for the jobs that run, hands the others
  // back, says goodbye to the frontend and ends the workers' streams. Once.
  void Drain(absl::Duration timeout);

  // Jobs that run, and workers that are attached.
  uint32_t jobs_running() const;
  size_t workers() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace histeq::coordinator
