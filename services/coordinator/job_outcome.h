#pragma once

// How an attempt at a job ended, and which of the endings a status means.

#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace histeq::coordinator {

// What the frontend is told when a lease is given up. Numbers are the contract's.
enum class Outcome {
  kRetry = 1,
  kPermanent = 2,
  kHandBack = 3,
  kCancelled = 4,
};

// "retry", "permanent", ... for logs.
std::string_view OutcomeName(Outcome outcome);

// Whether another attempt at the same job, perhaps on another machine, may end differently than
// with `status` (not OK), which the engine or the source returned. A broken image, an operation
// that does not fit it and a limit that it exceeds are the same everywhere: kPermanent. A full
// disk, a lost connection and everything unknown: kRetry. A node's file whose node is gone:
// kHandBack.
Outcome ClassifyFailure(const absl::Status& status);

// Whether a call to the frontend about a lease that failed with `status` means that the lease is
// gone: a stale epoch, a job that does not exist, a name that was taken from the list. Such an
// answer is final.
bool IsLeaseGone(const absl::Status& status);

// Whether the same call may be made again after a pause.
bool IsWorthRepeating(const absl::Status& status);

// Whether `status`, which IsWorthRepeating, speaks of the way to the frontend or of its present
// load and not of what was asked: a lost connection, a call that was cut off, "later" with a time.
// Such calls are made again as often as it takes, others at most kTries times: a disk that fails or
// is full, or a damaged file, would else keep a job for ever.
bool IsPassing(const absl::Status& status);
inline constexpr int kTries = 3;

// The pause that the frontend asked for with `status`; zero when it did not.
absl::Duration AskedPause(const absl::Status& status);

}  // namespace histeq::coordinator
