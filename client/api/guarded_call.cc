#include "api/guarded_call.h"

#include <algorithm>

#include "base/status_macros.h"
#include "fmt/format.h"
#include "rpc/status.h"

namespace histeq::client {

GuardedCall::GuardedCall(Connection& connection, absl::Duration connect_timeout,
                         absl::Duration stall_timeout, const base::CancelToken& token)
    : connection_(connection),
      connect_timeout_(connect_timeout),
      stall_timeout_(stall_timeout),
      token_(token) {
  cancel_link_ = token.OnCancel([this] { context_.TryCancel(); });
  alarm_ = connection.watchdog.ArmAfter(Timeout(), [this] {
    stalled_ = true;
    context_.TryCancel();
  });
}

absl::Duration GuardedCall::Timeout() const {
  return connection_.channel->GetState(false) == GRPC_CHANNEL_READY
             ? stall_timeout_
             : std::min(connect_timeout_, stall_timeout_);
}

void GuardedCall::Begin() { alarm_->Extend(Timeout()); }
void GuardedCall::Pause() { alarm_->Extend(absl::Hours(24 * 365)); }

absl::Status GuardedCall::Result(const grpc::Status& status) const {
  if (status.ok()) return absl::OkStatus();
  HISTEQ_RETURN_IF_ERROR(token_.Check());
  if (stalled_) return absl::DeadlineExceededError("the server does not answer");
  return rpc::FromGrpc(status);
}

}  // namespace histeq::client
