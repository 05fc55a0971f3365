#include "rpc/advertised_address.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>

#include "fmt/format.h"

namespace histeq::rpc {
namespace {

bool HasPort(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon + 1 == address.size()) return false;
  // An IPv6 address has colons of its own; with a port it stands in brackets.
  if (address.find(':') != colon && address[colon - 1] != ']') return false;
  return std::all_of(address.begin() + static_cast<ptrdiff_t>(colon) + 1, address.end(),
                     [](unsigned char c) { return std::isdigit(c) != 0; });
}

std::string WithPort(const std::string& host, int port) {
  const bool bare_ipv6 = host.find(':') != std::string::npos && host.front() != '[';
  return bare_ipv6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

}  // namespace

std::string AdvertisedAddress(const std::string& advertise, const std::string& listen,
                              const std::string& local_address, int port) {
  if (!advertise.empty()) {
    if (advertise.starts_with("unix:") || HasPort(advertise)) return advertise;
    return WithPort(advertise, port);
  }
  if (listen == "0.0.0.0" || listen == "::" || listen == "[::]") {
    char name[256] = {};
    if (gethostname(name, sizeof(name) - 1) == 0 && name[0] != '\0') return WithPort(name, port);
  }
  return local_address;
}

}  // namespace histeq::rpc
