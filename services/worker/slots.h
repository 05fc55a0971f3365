#pragma once

// What a worker may have in hand at once.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace histeq::worker {

// Whose work something is; for people.
struct Work {
  std::string job_id = {};
  uint64_t epoch = 0;
  uint32_t segment = 0;
  std::string coordinator = {};
};

// Slots and a memory budget, taken together before the bytes of a piece of work arrive.
// Thread-safe. Must outlive its places.
class Slots {
 public:
  struct State {
    uint32_t slots = 0;
    uint32_t free_slots = 0;
    uint64_t memory_bytes = 0;
    uint64_t free_memory_bytes = 0;
    bool draining = false;
  };

  // One slot and some memory, given back on destruction.
  class Place {
   public:
    ~Place();
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    // More memory for the same work. RESOURCE_EXHAUSTED MEMORY_BUDGET as in Take, without a retry
    // delay when the whole budget would not be enough for all of the work.
    absl::Status Grow(uint64_t bytes);

   private:
    friend class Slots;
    Place(Slots& slots, std::list<Work>::iterator work, uint64_t bytes)
        : slots_(slots), work_(work), bytes_(bytes) {}
    Slots& slots_;
    const std::list<Work>::iterator work_;
    uint64_t bytes_;
  };

  // At least one slot.
  Slots(uint32_t slots, uint64_t memory_bytes);

  // Called after every change of the state, on the thread that made it, without a lock. Set once,
  // before the first Take.
  void SetChangeCallback(std::function<void()> changed) { changed_ = std::move(changed); }

  // Whether anything was refused for want of a slot or of memory since the last call: somebody
  // waits to hear that there is room.
  bool TakeRefused();

  // Never waits.
  // - RESOURCE_EXHAUSTED NO_SLOT; MEMORY_BUDGET (metadata "limit", "actual"), without a retry delay
  //   when the whole budget would not be enough.
  // - UNAVAILABLE WORKER_DRAINING.
  absl::StatusOr<std::unique_ptr<Place>> Take(Work work, uint64_t bytes);

  // From now on nothing is taken.
  void StartDrain();
  // Waits until no place is taken, or `timeout` has passed. Whether none is.
  bool WaitIdle(absl::Duration timeout);

  State state() const;
  // In the order of Take.
  std::vector<Work> Working() const;
  // Places given back since the start.
  uint64_t done() const;

 private:
  // For work that has `held` bytes already.
  absl::Status TakeMemory(uint64_t bytes, uint64_t held);
  void Changed();

  const uint32_t slots_;
  const uint64_t memory_bytes_;
  std::function<void()> changed_;
  mutable std::mutex mutex_;
  std::condition_variable idle_;
  std::list<Work> working_;
  uint64_t used_bytes_ = 0;
  uint64_t done_ = 0;
  bool draining_ = false;
  bool refused_ = false;
};

}  // namespace histeq::worker
