#include "work_signal.h"

#include <algorithm>
#include <chrono>

namespace histeq::store {
namespace {

// So that no sum of times overflows.
constexpr absl::Duration kMaxWait = absl::Hours(24);

}  // namespace

void WorkSignal::ReadyForAny() {
  {
    const std::lock_guard lock(mutex_);
    ++generation_;
  }
  changed_.notify_one();
}

void WorkSignal::PassOn() { changed_.notify_all(); }

void WorkSignal::Ready(absl::Duration delay) {
  {
    const std::lock_guard lock(mutex_);
    if (delay <= absl::ZeroDuration()) {
      ++generation_;
    } else {
      const absl::Duration end = clock_.Monotonic() + delay;
      if (later_.has_value() && *later_ <= end) return;
      later_ = end;
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
  timeout = std::clamp(timeout, absl::ZeroDuration(), kMaxWait);
  const auto steady_end = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(timeout);
  std::unique_lock lock(mutex_);
  const absl::Duration end = clock_.Monotonic() + timeout;
  while (generation_ == seen) {
    const absl::Duration now = clock_.Monotonic();
    if (later_.has_value() && *later_ <= now) {
      later_.reset();
      ++generation_;
      lock.unlock();
      changed_.notify_all();
      return;
    }
    const auto steady_now = std::chrono::steady_clock::now();
    if (now >= end || steady_now >= steady_end) return;
    absl::Duration wait = end - now;
    if (later_.has_value()) wait = std::min(wait, *later_ - now);
    changed_.wait_until(lock, std::min(steady_end, steady_now + absl::ToChronoNanoseconds(wait)));
  }
}

}  // namespace histeq::store
