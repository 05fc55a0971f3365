#include "activity.h"

#include <algorithm>

#include "base/error.h"

namespace histeq::frontend {

Activity::Transfer::Transfer(Activity& activity) : activity_(activity) {
  std::lock_guard lock(activity_.mutex_);
  ++activity_.transfers_;
}

Activity::Transfer::~Transfer() {
  std::lock_guard lock(activity_.mutex_);
  if (--activity_.transfers_ == 0) activity_.changed_.notify_all();
}

void Activity::StartDrain() {
  std::lock_guard lock(mutex_);
  draining_ = true;
}

bool Activity::draining() const {
  std::lock_guard lock(mutex_);
  return draining_;
}

absl::Status Activity::CheckServing() const {
  if (!draining()) return absl::OkStatus();
  return base::MakeError(absl::StatusCode::kUnavailable,
                         "the frontend is about to stop; try again when it is back",
                         {.reason = "SERVER_DRAINING", .retry_after = absl::Seconds(1)});
}

uint32_t Activity::transfers() const {
  std::lock_guard lock(mutex_);
  return transfers_;
}

bool Activity::WaitIdle(absl::Duration timeout) {
  std::unique_lock lock(mutex_);
  timeout = std::clamp(timeout, absl::ZeroDuration(), absl::Hours(24));
  return changed_.wait_for(lock, absl::ToChronoNanoseconds(timeout),
                           [this] { return transfers_ == 0; });
}

}  // namespace histeq::frontend
