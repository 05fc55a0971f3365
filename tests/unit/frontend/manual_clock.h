#pragma once

// A clock that stands until it is moved.

#include <mutex>

#include "base/clock.h"

namespace histeq::testing {

class ManualClock final : public base::Clock {
 public:
  absl::Time Now() const override { return absl::FromUnixSeconds(1'000'000'000) + Monotonic(); }
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

}  // namespace histeq::testing
