#include "rpc/admission.h"

#include <algorithm>

#include "base/error.h"
#include "fmt/format.h"

namespace histeq::rpc {
namespace {
constexpr absl::Duration kLook = absl::Milliseconds(250);
}  // namespace

Admission::Pass::~Pass() {
  if (admission_ != nullptr) admission_->Leave();
}

uint32_t Admission::active() const {
  std::lock_guard lock(mutex_);
  return active_;
}

absl::StatusOr<bool> Admission::EnterOrQueue(Place& place) {
  std::lock_guard lock(mutex_);
  if (waiting_.empty() && active_ < options_.max_active) {
    ++active_;
    return true;
  }
  if (waiting_.size() >= options_.max_waiting) {
    return TooMany(
        fmt::format("too many {} at once: {} are worked on and {} wait, which are the "
                    "limits; try again in {}",
                    options_.what, options_.max_active, options_.max_waiting,
                    absl::FormatDuration(options_.retry_after)));
  }
  place = waiting_.emplace(waiting_.end());
  return false;
}

absl::StatusOr<bool> Admission::WaitAwhile(Place place, absl::Duration left) {
  std::unique_lock lock(mutex_);
  const auto may_enter = [&] { return waiting_.begin() == place && active_ < options_.max_active; };
  const absl::Duration pause = std::clamp(left, absl::ZeroDuration(), kLook);
  if (changed_.wait_for(lock, absl::ToChronoMicroseconds(pause), may_enter)) {
    waiting_.erase(place);
    ++active_;
    // Two may have left at once: whoever is first now looks again.
    changed_.notify_all();
    return true;
  }
  if (left > pause) return false;
  waiting_.erase(place);
  changed_.notify_all();
  return TooMany(
      fmt::format("too many {} at once: none of the {} that are worked on ended within "
                  "{}; try again in {}",
                  options_.what, options_.max_active, absl::FormatDuration(options_.max_wait),
                  absl::FormatDuration(options_.retry_after)));
}

void Admission::LeaveQueue(Place place) {
  std::lock_guard lock(mutex_);
  waiting_.erase(place);
  changed_.notify_all();
}

void Admission::Leave() {
  std::lock_guard lock(mutex_);
  --active_;
  changed_.notify_all();
}

absl::Status Admission::TooMany(const std::string& message) const {
  return base::MakeError(absl::StatusCode::kResourceExhausted, message,
                         {.reason = "TOO_MANY_CALLS",
                          .metadata = {{"limit", fmt::format("{}", options_.max_active)},
                                       {"actual", fmt::format("{}", active_ + waiting_.size() + 1)},
                                       {"what", options_.what}},
                          .retry_after = options_.retry_after});
}

}  // namespace histeq::rpc
