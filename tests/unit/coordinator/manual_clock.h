#pragma once

// A clock that a test moves.

#include <mutex>

#include "absl/time/time.h"
#include "base/clock.h"

namespace histeq::coordinator {

class ManualClock final : public base::Clock {
 public:
  absl::Time Now() const override {
    std::lock_guard lock(mutex_);
    return absl::UnixEpoch() + absl::Hours(500000) + now_;
  }
  absl::Duration Monotonic() const override {
    std::lock_guard lock(mutex_);
    return now_;
  }
  void Advance(absl::Duration by) {
    std::lock_guard lock(mutex_);
    now_ += by;
  }

 private:
  mutable std::mutex mutex_;
  absl::Duration now_ = absl::Seconds(1000);
};

}  // namespace histeq::coordinator
