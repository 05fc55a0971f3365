#include "grpc_server_call.h"

#include <algorithm>
#include <chrono>

#include "grpc/grpc.h"

namespace histeq::frontend {

ServerCall::ServerCall(grpc::ServerContext& context) : context_(context), peer_(context.peer()) {
  state_->context = &context;
}

ServerCall::~ServerCall() {
  std::lock_guard lock(state_->mutex);
  state_->context = nullptr;
}

absl::Duration ServerCall::TimeLeft(absl::Duration longest) const {
  const absl::Duration left =
      absl::FromChrono(context_.deadline() - std::chrono::system_clock::now());
  return std::clamp(left, absl::ZeroDuration(), longest);
}

std::function<void(const absl::Status&)> ServerCall::ender() const {
  return [state = state_](const absl::Status& why) {
    std::lock_guard lock(state->mutex);
    if (state->context == nullptr || !state->ended.ok()) return;
    state->ended = why;
    // ServerContext::TryCancel would say CANCELLED, which tells the client nothing.
    grpc_call_cancel_with_status(state->context->c_call(),
                                 static_cast<grpc_status_code>(why.code()),
                                 std::string(why.message()).c_str(), nullptr);
  };
}

absl::Status ServerCall::WhyBroken() const {
  {
    std::lock_guard lock(state_->mutex);
    if (!state_->ended.ok()) return state_->ended;
  }
  if (cancelled()) return absl::CancelledError("the client has gone");
  return absl::OkStatus();
}

}  // namespace histeq::frontend
