#include "grpc_guarded_call.h"

#include "base/status_macros.h"
#include "fmt/format.h"
#include "rpc/status.h"

namespace histeq::coordinator {

GuardedCall::GuardedCall(Watchdog& watchdog, absl::Duration stall_timeout,
                         const base::CancelToken& token)
    : stall_timeout_(stall_timeout), token_(token) {
  cancel_link_ = token.OnCancel([this] { context_.TryCancel(); });
  alarm_ = watchdog.ArmAfter(stall_timeout, [this] {
    stalled_ = true;
    context_.TryCancel();
  });
}

void GuardedCall::Begin() { alarm_->Extend(stall_timeout_); }
void GuardedCall::Begin(absl::Duration timeout) { alarm_->Extend(timeout); }
void GuardedCall::Pause() { alarm_->Extend(absl::Hours(24 * 365)); }

absl::Status GuardedCall::Result(const grpc::Status& status) const {
  if (status.ok()) return absl::OkStatus();
  HISTEQ_RETURN_IF_ERROR(token_.Check());
  if (stalled_) {
    return absl::DeadlineExceededError(
        fmt::format("nothing moved for {}", absl::FormatDuration(stall_timeout_)));
  }
  return rpc::FromGrpc(status);
}

}  // namespace histeq::coordinator
