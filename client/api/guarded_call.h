#pragma once

// What every call to the server needs: an end, whatever the other side does.

#include <atomic>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "api/connection.h"
#include "base/cancel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/status.h"

namespace histeq::client {

// A client context that is cancelled with `token`, and when one operation (a read, a write) takes
// too long. One thread at a time. Must outlive its stream.
class GuardedCall {
 public:
  // `connect_timeout` bounds the operations before there is a connection, `stall_timeout` the later
  // ones. The first operation begins now.
  GuardedCall(Connection& connection, absl::Duration connect_timeout, absl::Duration stall_timeout,
              const base::CancelToken& token);
  GuardedCall(const GuardedCall&) = delete;
  GuardedCall& operator=(const GuardedCall&) = delete;

  grpc::ClientContext& context() { return context_; }

  // Before an operation: it has its whole time from now.
  void Begin();
  // After it: until the next Begin this side is busy, and the other is not to blame.
  void Pause();

  // Ends the call at once.
  void Cancel() { context_.TryCancel(); }

  // `status` as the caller wants it: the token's status when that was cancelled, DEADLINE_EXCEEDED
  // when nothing moved.
  absl::Status Result(const grpc::Status& status) const;

 private:
  absl::Duration Timeout() const;

  Connection& connection_;
  const absl::Duration connect_timeout_;
  const absl::Duration stall_timeout_;
  const base::CancelToken token_;
  grpc::ClientContext context_;
  std::atomic<bool> stalled_ = false;
  // Both cancel the context: gone before it.
  std::shared_ptr<void> cancel_link_;
  std::unique_ptr<base::Watchdog::Alarm> alarm_;
};

}  // namespace histeq::client
