#include "work_signal.h"

#include <algorithm>
#include <chrono>

namespace histeq::store {

void WorkSignal::Ready(absl::Duration delay) {
  {
    const std::lock_guard lock(mutex_);
    if (delay <= absl::ZeroDuration()) {
      ++generation_;
    } else {
      later_.insert(clock_.Monotonic() + delay);
    }
  }
  // Also for a later one: who waits must shorten its wait.
  changed_.notify_all();
}

uint64_t WorkSignal::Generation() const {
  const std::lock_guard lock(mutex_);
  return generation_;
}

void WorkSignal::Wait(uint64_t seen, absl::Duration timeout) {
  std::unique_lock lock(mutex_);
  const absl::Duration end = clock_.Monotonic() + timeout;
  while (generation_ == seen) {
    const absl::Duration now = clock_.Monotonic();
    if (!later_.empty() && *later_.begin() <= now) {
      later_.erase(later_.begin(), later_.upper_bound(now));
      ++generation_;
      lock.unlock();
      changed_.notify_all();
      return;
    }
    if (now >= end) return;
    absl::Duration wait = end - now;
    if (!later_.empty()) wait = std::min(wait, *later_.begin() - now);
    changed_.wait_for(lock, absl::ToChronoNanoseconds(wait));
  }
}

}  // namespace histeq::store
