#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>

#include "absl/time/time.h"
#include "base/clock.h"

namespace histeq::store {

// Lets those who wait for a job sleep until there may be one. Thread-safe.
class WorkSignal {
 public:
  explicit WorkSignal(const base::Clock& clock) : clock_(clock) {}

  // A job is ready now, and whoever waits may have it: one of them wakes.
  void ReadyForAny();
  // A job is ready now, for some of those who wait, or will be after `delay`: all wake then. Only
  // the earliest of several delays is kept: who then finds nothing says when to look again.
  void Ready(absl::Duration delay);
  // Whoever woke cannot have the job: all others who have not seen it wake.
  void PassOn();
  uint64_t Generation() const;
  // At most `timeout` by the clock, and by the machine's steady clock.
  void Wait(uint64_t seen, absl::Duration timeout);

 private:
  const base::Clock& clock_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t generation_ = 0;
  // The end of the earliest back-off, by the monotonic clock.
  std::optional<absl::Duration> later_;
};

}  // namespace histeq::store
