#pragma once

// How many calls of a kind are worked on, and how many may wait, at once.

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace histeq::rpc {

// Two semaphores at the door. Thread-safe. Must outlive its passes.
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
  // - RESOURCE_EXHAUSTED TOO_MANY_CALLS (metadata "limit", "what"; retry delay).
  template <typename Cancelled>
  absl::StatusOr<Pass> Enter(Cancelled cancelled);

  uint32_t active() const;

 private:
  absl::Status TryEnter(bool& inside);
  absl::Status Wait(bool& inside);

  const Options options_;
  mutable std::mutex mutex_;
  std::condition_variable left_;
  uint32_t active_ = 0;
  uint32_t waiting_ = 0;
};

}  // namespace histeq::rpc
