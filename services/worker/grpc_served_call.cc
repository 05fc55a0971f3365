#include "grpc_served_call.h"

#include <grpc/grpc.h>

#include <vector>

#include "base/error.h"

namespace histeq::worker {
namespace {

// TryCancel would tell the caller CANCELLED.
void EndWith(grpc::ServerContext& context, grpc_status_code code, const char* message) {
  grpc_call_cancel_with_status(context.c_call(), code, message, nullptr);
}

}  // namespace

CallWatch::CallWatch(absl::Duration period) : period_(period), thread_([this] { Run(); }) {}

CallWatch::~CallWatch() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void CallWatch::Add(ServedCall* call) {
  std::lock_guard lock(mutex_);
  calls_.insert(call);
  if (idle_) changed_.notify_all();
}

void CallWatch::Remove(ServedCall* call) {
  std::lock_guard lock(mutex_);
  calls_.erase(call);
}

void CallWatch::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    for (ServedCall* call : calls_) {
      if (call->context_.IsCancelled()) {
        call->cancel_.Cancel(absl::CancelledError("the caller cancelled the call"));
      }
    }
    if (calls_.empty()) {
      idle_ = true;
      changed_.wait(lock, [this] { return stopping_ || !calls_.empty(); });
      idle_ = false;
    } else {
      changed_.wait_for(lock, absl::ToChronoNanoseconds(period_), [this] { return stopping_; });
    }
  }
}

ServedCall::ServedCall(CallWatch& watch, base::Watchdog& watchdog, absl::Duration stall_timeout,
                       grpc::ServerContext& context, const base::CancelToken& stop)
    : watch_(watch), stall_timeout_(stall_timeout), context_(context), cancel_(stop) {
  stop_link_ = stop.OnCancel(
      [this] { EndWith(context_, GRPC_STATUS_UNAVAILABLE, "the worker is shutting down"); });
  alarm_ = watchdog.ArmAfter(stall_timeout, [this] {
    stalled_ = true;
    EndWith(context_, GRPC_STATUS_DEADLINE_EXCEEDED, "no message for too long");
  });
  watch_.Add(this);
}

ServedCall::~ServedCall() { watch_.Remove(this); }

absl::Status ServedCall::Broken() const {
  if (stalled_) {
    return base::MakeError(absl::StatusCode::kDeadlineExceeded,
                           "no message for " + absl::FormatDuration(stall_timeout_),
                           {.reason = "STREAM_STALLED",
                            .metadata = {{"limit", absl::FormatDuration(stall_timeout_)}},
                            .retry_after = absl::ZeroDuration()});
  }
  if (absl::Status status = cancel_.token().Check(); !status.ok()) return status;
  if (context_.IsCancelled()) return absl::CancelledError("the caller cancelled the call");
  return absl::OkStatus();
}

}  // namespace histeq::worker
