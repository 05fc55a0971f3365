#pragma once

// The worker service as a whole: slots, calls, heartbeats.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "coordinator_address.h"
#include "grpcpp/impl/codegen/service_type.h"
#include "store/file_roots.h"

namespace histeq::worker {

struct WorkerOptions {
  // Unique among its coordinators' workers.
  std::string name;
  std::string version;
  std::vector<CoordinatorEntry> coordinators;
  // Threads that compute. 0: one for each processor.
  uint32_t threads = 0;
  // Segments in hand at once, being received, computed or sent. 0: as many as threads.
  uint32_t slots = 0;
  uint64_t memory_bytes = 256ull << 20;
  uint64_t mapping_cache_bytes = 64ull << 20;
  absl::Duration stall_timeout = absl::Seconds(30);
  absl::Duration resolve_interval = absl::Seconds(30);
  // Addresses behind `coordinators` that it announces itself to.
  uint32_t max_coordinators = 64;
  // Files that it serves and works on itself.
  store::StorageRoots storage;
  // Calls of ReadFile at once, and those that wait.
  uint32_t max_file_reads = 64;
  uint32_t max_waiting_file_reads = 64;
  // For tests.
  absl::Duration segment_delay;
};

// One running worker. Register service() with a server, then call Start. Thread-safe.
class Worker {
 public:
  explicit Worker(WorkerOptions options);
  // Drain(0) when that has not been done.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // The Worker service; lives as long as this.
  grpc::Service* service();

  // Begins to announce itself: `address` is where coordinators call it.
  void Start(const std::string& address);

  // Takes no more work and says so to the coordinators, waits up to `timeout` for what runs,
  // cancels the rest, and ends the streams. Once.
  void Drain(absl::Duration timeout);

  uint32_t threads() const;
  uint32_t slots() const;
  // Coordinators whose stream works.
  size_t coordinators() const;
  uint64_t mappings_bytes() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace histeq::worker
