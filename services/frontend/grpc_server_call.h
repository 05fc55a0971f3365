#pragma once

// A call of a client that may be ended from another thread.

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "grpcpp/server_context.h"

namespace histeq::frontend {

// Lives in a handler. `ender` may be called from any thread, also after the handler has returned.
class ServerCall {
 public:
  explicit ServerCall(grpc::ServerContext& context);
  ~ServerCall();
  ServerCall(const ServerCall&) = delete;
  ServerCall& operator=(const ServerCall&) = delete;

  // The client has gone, its deadline has passed, or the call was ended from here.
  bool cancelled() const { return context_.IsCancelled(); }
  const std::string& peer() const { return peer_; }
  // How long the client will wait; at most `longest`.
  absl::Duration TimeLeft(absl::Duration longest) const;

  // Ends the call: the client receives code and message, and reads and writes of the handler fail.
  std::function<void(const absl::Status& why)> ender() const;
  // Why a read or write has failed: what the call was ended with, CANCELLED when the client has
  // gone, otherwise OK (the client has half-closed).
  absl::Status WhyBroken() const;

 private:
  struct State {
    std::mutex mutex;
    grpc::ServerContext* context = nullptr;
    absl::Status ended;
  };
  grpc::ServerContext& context_;
  // Not known any more once the call has ended.
  const std::string peer_;
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace histeq::frontend
