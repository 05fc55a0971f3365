#include "engine/segment_queue.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace histeq::engine {
namespace {

// A time point must not overflow.
constexpr absl::Duration kLongestWait = absl::Hours(24);

std::chrono::steady_clock::time_point After(absl::Duration timeout) {
  return std::chrono::steady_clock::now() +
         absl::ToChronoNanoseconds(std::min(timeout, kLongestWait));
}

}  // namespace

SegmentQueue::SegmentQueue(uint32_t count, uint32_t window, const base::CancelToken& token,
                           std::function<uint32_t()> delivered_prefix)
    : count_(count),
      window_(std::max<uint32_t>(1, window)),
      delivered_prefix_(std::move(delivered_prefix)),
      complete_(count, false) {
  cancel_link_ = token.OnCancel([this, token] { Fail(token.Check()); });
}

// Waits for a callback that runs now.
SegmentQueue::~SegmentQueue() { cancel_link_.reset(); }

bool SegmentQueue::Over() const { return completed_ == count_ || !status_.ok(); }

std::optional<uint32_t> SegmentQueue::Next() {
  if (Over()) return std::nullopt;
  uint32_t index = 0;
  if (!given_back_.empty()) {
    index = *given_back_.begin();
    given_back_.erase(given_back_.begin());
  } else if (next_ < count_ &&
             next_ < uint64_t{delivered_prefix_ ? delivered_prefix_() : prefix_} + window_) {
    index = next_++;
  } else {
    return std::nullopt;
  }
  ++taken_;
  return index;
}

std::optional<uint32_t> SegmentQueue::TryTake() {
  std::lock_guard lock(mutex_);
  return Next();
}

std::optional<uint32_t> SegmentQueue::Take(absl::Duration timeout,
                                           const std::function<bool()>& stop) {
  const auto deadline = After(timeout);
  std::unique_lock lock(mutex_);
  while (true) {
    if (stop != nullptr && stop()) return std::nullopt;
    if (const std::optional<uint32_t> index = Next()) return index;
    if (Over()) return std::nullopt;
    if (changed_.wait_until(lock, deadline) == std::cv_status::timeout) {
      if (stop != nullptr && stop()) return std::nullopt;
      return Next();
    }
  }
}

void SegmentQueue::GiveBack(uint32_t index) {
  std::lock_guard lock(mutex_);
  given_back_.insert(index);
  --taken_;
  changed_.notify_all();
}

void SegmentQueue::Complete(uint32_t index) {
  std::lock_guard lock(mutex_);
  complete_[index] = true;
  ++completed_;
  --taken_;
  while (prefix_ < count_ && complete_[prefix_]) ++prefix_;
  changed_.notify_all();
}

void SegmentQueue::Fail(absl::Status why) {
  std::lock_guard lock(mutex_);
  if (Over()) return;
  status_ = std::move(why);
  changed_.notify_all();
}

void SegmentQueue::Wake() {
  std::lock_guard lock(mutex_);
  changed_.notify_all();
}

bool SegmentQueue::over() const {
  std::lock_guard lock(mutex_);
  return Over();
}

absl::Status SegmentQueue::status() const {
  std::lock_guard lock(mutex_);
  return status_;
}

bool SegmentQueue::WaitFor(absl::Duration timeout) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, After(timeout), [this] { return Over() && taken_ == 0; });
}

absl::Status SegmentQueue::Wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return Over() && taken_ == 0; });
  return status_;
}

uint32_t SegmentQueue::completed() const {
  std::lock_guard lock(mutex_);
  return completed_;
}

uint32_t SegmentQueue::taken() const {
  std::lock_guard lock(mutex_);
  return taken_;
}

}  // namespace histeq::engine
