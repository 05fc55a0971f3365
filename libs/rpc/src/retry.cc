#include "rpc/retry.h"

#include <algorithm>

#include "base/error.h"

namespace histeq::rpc {

Backoff::Backoff(BackoffOptions options) : options_(options), pause_(options.first) {}

absl::Duration Backoff::Next() {
  const double moved = absl::Uniform(random_, 1.0 - options_.jitter, 1.0 + options_.jitter);
  const absl::Duration pause = pause_ * moved;
  pause_ = std::min(pause_ * options_.factor, options_.longest);
  return pause;
}

absl::Status Backoff::Wait(const base::CancelToken& token, absl::Duration at_least) {
  // The server told everybody the same time: only ever later than it, and not all at once.
  const absl::Duration told =
      at_least * absl::Uniform(absl::IntervalClosed, random_, 1.0, 1.0 + options_.jitter);
  return token.WaitFor(std::max(Next(), told));
}

void Backoff::Reset() { pause_ = options_.first; }

bool IsRetryable(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
      return true;
    case absl::StatusCode::kResourceExhausted: {
      const auto detail = base::GetErrorDetail(status);
      return detail.has_value() && detail->retry_after.has_value();
    }
    default:
      return false;
  }
}

}  // namespace histeq::rpc
