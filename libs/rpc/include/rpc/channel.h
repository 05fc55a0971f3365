#pragma once

// Connections to other services.

#include <memory>
#include <string>

#include "grpcpp/channel.h"

namespace histeq::rpc {

// A channel to host:port, unix:path or dns:///name:port; connects when first used, and again after
// losses within a second or so. HTTP/2 keepalive 20 s, timeout 10 s, also without calls; messages
// up to kMaxMessageBytes. Not shared with other channels of the process.
//
// "fd:N" is a socket that is connected already, and does not block: the channel takes it over, and
// is broken for good when it breaks.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address);

}  // namespace histeq::rpc
