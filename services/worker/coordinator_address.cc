#include "coordinator_address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <string_view>

#include "base/error.h"
#include "fmt/format.h"

namespace histeq::worker {
namespace {

constexpr std::string_view kDns = "dns:///";

absl::Status BadAddress(const std::string& text) {
  return base::MakeError(
      absl::StatusCode::kInvalidArgument,
      fmt::format("'{}' is not an address of a coordinator; wanted is host:port, dns:///host:port "
                  "or unix:path",
                  text.substr(0, 200)),
      {.reason = "BAD_ADDRESS"});
}

bool IsIp(const std::string& host, int family) {
  uint8_t bytes[sizeof(in6_addr)];
  return inet_pton(family, host.c_str(), bytes) == 1;
}

std::string TextOf(const sockaddr* address, const std::string& port) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address->sa_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(address)->sin_addr, text,
              sizeof(text));
    return fmt::format("{}:{}", text, port);
  }
  inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr, text,
            sizeof(text));
  return fmt::format("[{}]:{}", text, port);
}

}  // namespace

absl::StatusOr<CoordinatorEntry> ParseCoordinator(const std::string& text) {
  CoordinatorEntry entry;
  entry.text = text.starts_with(kDns) ? text.substr(kDns.size()) : text;
  const std::string& rest = entry.text;
  if (std::any_of(rest.begin(), rest.end(),
                  [](unsigned char c) { return c <= 0x20 || c == 0x7f; })) {
    return BadAddress(text);
  }
  if (text.starts_with("unix:")) {
    if (text.size() == 5) return BadAddress(text);
    entry.address = text;
    return entry;
  }
  const size_t colon = rest.rfind(':');
  if (colon == std::string::npos || colon == 0) return BadAddress(text);
  entry.host = rest.substr(0, colon);
  entry.port = rest.substr(colon + 1);
  uint32_t port = 0;
  const char* port_end = entry.port.data() + entry.port.size();
  const auto [end, error] = std::from_chars(entry.port.data(), port_end, port);
  if (error != std::errc() || end != port_end || port < 1 || port > 65535) return BadAddress(text);
  if (entry.host.starts_with('[')) {
    if (!entry.host.ends_with(']') ||
        !IsIp(entry.host.substr(1, entry.host.size() - 2), AF_INET6)) {
      return BadAddress(text);
    }
    entry.address = rest;
  } else if (IsIp(entry.host, AF_INET)) {
    entry.address = rest;
  } else if (entry.host.find_first_of(":/") != std::string::npos) {
    return BadAddress(text);
  }
  return entry;
}

absl::StatusOr<std::vector<std::string>> ResolveCoordinator(const CoordinatorEntry& entry) {
  if (!entry.address.empty()) return std::vector<std::string>{entry.address};
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int error = getaddrinfo(entry.host.c_str(), nullptr, &hints, &list);
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(list, freeaddrinfo);
  std::vector<std::string> found;
  for (const int family : {AF_INET, AF_INET6}) {
    for (const addrinfo* at = list; error == 0 && at != nullptr; at = at->ai_next) {
      if (at->ai_family == family) found.push_back(TextOf(at->ai_addr, entry.port));
    }
    if (!found.empty()) break;
  }
  if (found.empty()) {
    return base::MakeError(
        absl::StatusCode::kUnavailable,
        fmt::format("the name {} has no address{}{}", entry.host, error == 0 ? "" : ": ",
                    error == 0 ? "" : gai_strerror(error)),
        {.reason = "NAME_NOT_RESOLVED", .metadata = {{"name", entry.host}}});
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

}  // namespace histeq::worker
