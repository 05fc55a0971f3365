#pragma once

// How many threads compute at once.

#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/cancel.h"

namespace histeq::worker {

// Permits for handler threads to compute: as many as there are processors to use, while any number
// of them may receive or send. First come, first served is not promised. Thread-safe.
class WorkThreads {
 public:
  explicit WorkThreads(uint32_t threads) : free_(threads == 0 ? 1 : threads) {}

  // A permit, given back on destruction. Movable.
  class Permit {
   public:
    Permit(Permit&& other) noexcept : threads_(other.threads_) { other.threads_ = nullptr; }
    Permit& operator=(Permit&&) = delete;
    ~Permit() {
      if (threads_ != nullptr) threads_->Leave();
    }

   private:
    friend class WorkThreads;
    explicit Permit(WorkThreads* threads) : threads_(threads) {}
    WorkThreads* threads_;
  };

  // Waits for a permit; the token's status when cancelled before.
  absl::StatusOr<Permit> Enter(const base::CancelToken& token) {
    const auto wake = token.OnCancel([this] {
      std::lock_guard lock(mutex_);
      changed_.notify_all();
    });
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return free_ > 0 || token.cancelled(); });
    if (absl::Status cancelled = token.Check(); !cancelled.ok()) {
      // Whoever else waits takes what this one was woken for.
      changed_.notify_one();
      lock.unlock();
      return cancelled;
    }
    --free_;
    lock.unlock();
    return Permit(this);
  }

 private:
  void Leave() {
    std::lock_guard lock(mutex_);
    ++free_;
    changed_.notify_one();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  uint32_t free_;
};

}  // namespace histeq::worker
