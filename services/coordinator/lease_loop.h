#pragma once

// Takes jobs while there is room for them.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/cancel.h"
#include "job_queue.h"
#include "lease_table.h"

namespace histeq::coordinator {

// One thread for each job slot: it waits in the frontend's queue, and runs what it is given.
// Thread-safe.
class LeaseLoop {
 public:
  struct Options {
    uint32_t job_slots = 2;
    // How long one call waits in the frontend's queue.
    absl::Duration wait = absl::Seconds(20);
  };
  // Runs a job to its end, on the slot's thread; says everything about it to the frontend itself.
  using RunLease =
      std::function<void(uint32_t slot, const LeaseGrant& grant, std::shared_ptr<HeldLease> lease)>;

  // `queue` and `table` outlive the loop. Takes nothing before SetConnected(true).
  LeaseLoop(JobQueue& queue, LeaseTable& table, RunLease run, Options options);
  // StopLeasing, then waits for what runs.
  ~LeaseLoop();
  LeaseLoop(const LeaseLoop&) = delete;
  LeaseLoop& operator=(const LeaseLoop&) = delete;

  // Whether heartbeats arrive at present. Without them a lease could not be kept, so none is taken.
  void SetConnected(bool connected);

  // No more leases. A job that the frontend gave at this moment is handed back.
  void StopLeasing();

  // After StopLeasing: waits until nothing runs, or `timeout` has passed. Whether nothing runs.
  bool WaitIdle(absl::Duration timeout);

  uint32_t job_slots() const { return options_.job_slots; }
  uint32_t running() const;

 private:
  void RunSlot(uint32_t slot);
  // Blocks until connected; false when no more leases are wanted.
  bool WaitConnected();

  JobQueue& queue_;
  LeaseTable& table_;
  const RunLease run_;
  const Options options_;
  base::CancelSource stop_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool connected_ = false;
  bool stopping_ = false;
  uint32_t running_ = 0;
  // Slots whose thread has not ended.
  uint32_t active_ = 0;
  // Last error of leasing that was logged, so that an outage is one line for each kind of error.
  std::string logged_error_;
  std::vector<std::thread> threads_;
};

}  // namespace histeq::coordinator
