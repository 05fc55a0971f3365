#pragma once

// What the pool and the executors share about the workers.

#include <condition_variable>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/watchdog.h"
#include "histeq/v1/worker.grpc.pb.h"
#include "rpc/worker_pool.h"

namespace histeq::rpc {

// One worker, for as long as somebody uses it. Fields below the line are guarded by State::mutex.
struct PooledWorker {
  explicit PooledWorker(PoolWorker given);
  // Whether it was sent this mapping and may still hold it.
  bool Knows(const std::string& mapping_id) const;
  void Learn(const std::string& mapping_id);
  void Forget(const std::string& mapping_id);
  // Under State::mutex.
  bool Has(const std::string& storage) const;

  // One connection for all calls.
  const std::unique_ptr<v1::Worker::StubInterface> stub;
  // Cancelled when it leaves the pool.
  const base::CancelSource gone;
  // ---
  PoolWorker info;
  // Places that are taken by the executors of this process.
  uint32_t used = 0;
  // Gets nothing before then.
  absl::Duration held_until = -absl::InfiniteDuration();
  // Held because it said that it is full: a report of free slots ends that.
  bool refused = false;
  // Its last whole image by location was not answered at all.
  bool silent = false;
  // Since its last success.
  uint32_t faults = 0;
  uint64_t segments_done = 0;

 private:
  // Most recently sent first.
  std::list<std::string> mappings_;
};

// One job, or one small image, that takes places. Guarded by State::mutex.
struct Claimant {
  // Memory that it needs of a worker, for one place.
  uint64_t need_bytes = 0;
  uint32_t held = 0;
  // Would take one more now.
  bool wants = false;
  // Takes one place, on any worker, and waits for nothing else: when one place comes free, one of
  // these is woken.
  bool takes_any = false;
  // Something changed that may give it a place.
  std::condition_variable changed;
};

// All functions want `mutex` to be held.
struct WorkerPool::State {
  State();

  absl::Duration Now() const { return clock.Monotonic(); }
  void NotifyAll();
  // Wakes whoever but `claimant` wants a place, when there is one.
  void NotifyFree(const Claimant& claimant);
  void Enter(Claimant& claimant);
  void Leave(Claimant& claimant);
  // Says whether `claimant` wants another place; others may be waiting for its turn to pass.
  void SetWants(Claimant& claimant, bool wants);

  bool Usable(const PooledWorker& worker, uint64_t bytes) const;
  // Whether any worker may be given work that needs `bytes` of its memory, now or after its present
  // work.
  bool AnyUsable(uint64_t bytes) const;
  // Whether any worker, held back or not, has the storage and `bytes` of memory.
  bool AnyHas(const std::string& storage, uint64_t bytes = 0) const;
  // When the first of the workers that are held back at `now` is free again; infinite when none is.
  absl::Duration NextRelease(absl::Duration now) const;

  // A place on the least loaded worker but `not_on`; null when there is none. A claimant that has
  // fewer goes first, on the workers that it can use. With `spare` only a place that nobody else
  // wants; with `storage` only on a worker that has it.
  std::shared_ptr<PooledWorker> TryAcquire(Claimant& claimant, const PooledWorker* not_on = nullptr,
                                           bool spare = false, const std::string& storage = {});
  void Release(Claimant& claimant, PooledWorker& worker);
  // After a failure: nothing for `time`, for longer when it failed before.
  void Punish(PooledWorker& worker, absl::Duration time);
  // After a refusal.
  void HoldBack(PooledWorker& worker, absl::Duration time);

  const base::Clock& clock;
  base::Watchdog watchdog;
  mutable std::mutex mutex;
  std::map<std::string, std::shared_ptr<PooledWorker>> workers;
  std::list<Claimant*> claimants;
};

}  // namespace histeq::rpc
