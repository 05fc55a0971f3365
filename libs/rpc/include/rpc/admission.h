#pragma once

// How many calls of a kind are worked on, and how many may wait, at once.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace histeq::rpc {

// Two semaphores at the door; who waits longest enters next. Thread-safe. Must outlive its passes.
class Admission {
 public:
  struct Options {
    // For messages: "uploads".
    std::string what;
    uint32_t max_active = 1;
    uint32_t max_waiting = 0;
    absl::Duration max_wait = absl::Seconds(10);
    // What a refused caller is told to wait.
    absl::Duration retry_after = absl::Seconds(1);
  };
  explicit Admission(Options options) : options_(std::move(options)) {}

  // A place inside, given back on destruction. Movable.
  class Pass {
   public:
    Pass(Pass&& other) noexcept : admission_(other.admission_) { other.admission_ = nullptr; }
    Pass& operator=(Pass&&) = delete;
    ~Pass();

   private:
    friend class Admission;
    explicit Pass(Admission* admission) : admission_(admission) {}
    Admission* admission_;
  };

  // A pass, at once or after a wait of at most max_wait. `cancelled` is asked every 250 ms at most;
  // CANCELLED when it says so.
  // - RESOURCE_EXHAUSTED TOO_MANY_CALLS (metadata "limit", the places inside; "actual", the calls
  //   inside and waiting, this one included; "what"; retry delay).
  template <typename Cancelled>
  absl::StatusOr<Pass> Enter(Cancelled cancelled);

  uint32_t active() const;

 private:
  // A caller that waits, in the order of arrival.
  struct Waiter {};
  using Place = std::list<Waiter>::iterator;

  // Enters and returns true, or takes a place among those who wait and returns false.
  absl::StatusOr<bool> EnterOrQueue(Place& place);
  // Waits until first in the queue and there is room, at most 250 ms and at most `left`. True:
  // entered, the place is gone. An error: all of `left` has passed, the place is gone.
  absl::StatusOr<bool> WaitAwhile(Place place, absl::Duration left);
  void LeaveQueue(Place place);
  void Leave();
  // Under the lock.
  absl::Status TooMany(const std::string& message) const;

  const Options options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  uint32_t active_ = 0;
  std::list<Waiter> waiting_;
};

template <typename Cancelled>
absl::StatusOr<Admission::Pass> Admission::Enter(Cancelled cancelled) {
  Place place;
  absl::StatusOr<bool> entered = EnterOrQueue(place);
  if (!entered.ok()) return entered.status();
  const auto begin = std::chrono::steady_clock::now();
  while (!*entered) {
    if (cancelled()) {
      LeaveQueue(place);
      return absl::CancelledError("the caller has gone");
    }
    const auto waited = absl::FromChrono(std::chrono::steady_clock::now() - begin);
    entered = WaitAwhile(place, options_.max_wait - waited);
    if (!entered.ok()) return entered.status();
  }
  return Pass(this);
}

}  // namespace histeq::rpc
