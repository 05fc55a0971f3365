#pragma once

// Pauses between tries.

#include "absl/random/random.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/cancel.h"

namespace histeq::rpc {

struct BackoffOptions {
  absl::Duration first = absl::Milliseconds(100);
  absl::Duration longest = absl::Seconds(5);
  double factor = 2.0;
  // Each pause is moved by up to this part of itself, so that many clients do not come back at
  // once.
  double jitter = 0.2;
};

// A growing pause. One thread at a time.
class Backoff {
 public:
  explicit Backoff(BackoffOptions options = {});

  // The next pause.
  absl::Duration Next();

  // Waits for the next pause, or for `at_least` when that is longer (a server's RetryInfo). The
  // token's status when cancelled before its end.
  absl::Status Wait(const base::CancelToken& token, absl::Duration at_least = absl::ZeroDuration());

  // Something worked: begin with the first pause again.
  void Reset();

 private:
  const BackoffOptions options_;
  absl::Duration pause_;
  absl::BitGen random_;
};

// Whether a call that failed with `status` may succeed when it is simply made again: UNAVAILABLE,
// RESOURCE_EXHAUSTED with a retry delay, DEADLINE_EXCEEDED, ABORTED.
bool IsRetryable(const absl::Status& status);

}  // namespace histeq::rpc
