#pragma once

// The channel to a frontend and what all calls on it share. Inside of the client library.

#include <memory>

#include "api/options.h"
#include "base/watchdog.h"
#include "grpcpp/channel.h"
#include "histeq/v1/frontend.grpc.pb.h"

namespace histeq::client {

// Thread-safe.
struct Connection {
  explicit Connection(ClientOptions client_options);

  const ClientOptions options;
  const std::shared_ptr<grpc::Channel> channel;
  const std::unique_ptr<v1::Frontend::StubInterface> stub;
  base::Watchdog watchdog;
};

}  // namespace histeq::client
