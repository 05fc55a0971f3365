#pragma once

// What every call to another service needs: an end, whatever the other side does.

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/cancel.h"
#include "base/status_macros.h"
#include "base/watchdog.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/status.h"
#include "rpc/status.h"

namespace histeq::rpc {

// A client context that is cancelled with `token`, and when one operation (a read, a write) takes
// too long. One thread at a time. Must outlive its stream.
class GuardedCall {
 public:
  // The first operation may take `stall_timeout` from now. `watchdog` outlives the call.
  GuardedCall(base::Watchdog& watchdog, absl::Duration stall_timeout,
              const base::CancelToken& token)
      : stall_timeout_(stall_timeout), token_(token) {
    cancel_link_ = token.OnCancel([this] { context_.TryCancel(); });
    alarm_ = watchdog.ArmAfter(stall_timeout, [this] {
      stalled_ = true;
      context_.TryCancel();
    });
  }
  GuardedCall(const GuardedCall&) = delete;
  GuardedCall& operator=(const GuardedCall&) = delete;

  grpc::ClientContext& context() { return context_; }

  // Before an operation: it may take `stall_timeout` (or `timeout`) from now.
  void Begin() { alarm_->Extend(stall_timeout_); }
  void Begin(absl::Duration timeout) { alarm_->Extend(timeout); }
  // After it: until the next Begin this side is busy, and the other is not to blame.
  void Pause() { alarm_->Extend(absl::Hours(24 * 365)); }

  // Ends the call at once.
  void Cancel() { context_.TryCancel(); }

  // `status` as the caller wants it: the token's status when that was cancelled, DEADLINE_EXCEEDED
  // when nothing moved.
  absl::Status Result(const grpc::Status& status) const {
    if (status.ok()) return absl::OkStatus();
    HISTEQ_RETURN_IF_ERROR(token_.Check());
    if (stalled_) {
      return absl::DeadlineExceededError("nothing moved for " +
                                         absl::FormatDuration(stall_timeout_));
    }
    return FromGrpc(status);
  }

 private:
  const absl::Duration stall_timeout_;
  const base::CancelToken token_;
  grpc::ClientContext context_;
  std::atomic<bool> stalled_ = false;
  // Both cancel the context: gone before it.
  std::shared_ptr<void> cancel_link_;
  std::unique_ptr<base::Watchdog::Alarm> alarm_;
};

}  // namespace histeq::rpc
