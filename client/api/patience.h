#pragma once

// Whether, and when, a failed call is made again.

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "api/options.h"
#include "rpc/retry.h"

namespace histeq::client {

// Of one operation, over all its tries. One thread at a time.
class Patience {
 public:
  // Both outlive it.
  Patience(const ClientOptions& options, const CallControl& control);

  // The server gave a sign of life.
  void Contact();
  // Something moved on: a later failure is met with the first, short pause.
  void Progress();

  // Time left without a sign of life, above zero.
  absl::Duration remaining() const;

  // After a try that failed with `failure`: waits, then OK means "again". Otherwise why not: the
  // token's status; `failure` where no retry helps, or helped for too long;
  // - UNAVAILABLE SERVER_UNREACHABLE: no sign of life for ClientOptions::give_up_after.
  absl::Status Again(const absl::Status& failure);

 private:
  const ClientOptions& options_;
  const CallControl& control_;
  rpc::Backoff backoff_;
  absl::Duration last_contact_;
  absl::Duration last_progress_;
  int failures_ = 0;
};

// Whether the connection broke or never was, so that nothing is known about what the server did.
bool IsConnectionLoss(const absl::Status& status);

// The end of Patience: the server was not reached.
bool IsUnreachable(const absl::Status& status);

}  // namespace histeq::client
