#pragma once

// Under which address a service tells others to call it.

#include <string>

namespace histeq::rpc {

// `advertise` as it was given on the command line, with `port` added where it has none. When it is
// empty: this machine's name and `port` for a service that listens on all addresses ("0.0.0.0",
// "::"), otherwise `local_address`, which is Server::local_address().
std::string AdvertisedAddress(const std::string& advertise, const std::string& listen,
                              const std::string& local_address, int port);

}  // namespace histeq::rpc
