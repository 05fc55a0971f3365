#include "api/connection.h"

#include <utility>

#include "base/clock.h"
#include "rpc/channel.h"

namespace histeq::client {

Connection::Connection(ClientOptions client_options)
    : options(std::move(client_options)),
      channel(rpc::MakeChannel(options.server)),
      stub(v1::Frontend::NewStub(channel)),
      watchdog(base::SystemClock()) {}

}  // namespace histeq::client
