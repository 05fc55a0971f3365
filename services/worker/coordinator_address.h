#pragma once

// Where coordinators are: entries of --coordinators, and the addresses behind them.

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace histeq::worker {

// One entry of the list.
struct CoordinatorEntry {
  // As it was given, without dns:///.
  std::string text;
  // A name that may have several addresses, and that may have others later.
  std::string host;
  std::string port;
  // Not empty: the entry is one address as it stands (an IP address or unix:path).
  std::string address;
};

// Takes host:port, IP:port, [IPv6]:port, dns:///host:port and unix:path.
// - INVALID_ARGUMENT BAD_ADDRESS.
absl::StatusOr<CoordinatorEntry> ParseCoordinator(const std::string& text);

// The present addresses (IP:port) of an entry, sorted, at least one. Of a name that has both kinds
// only those of IPv4: both would be the same coordinator twice. Blocks as long as the resolver of
// the system does.
// - UNAVAILABLE NAME_NOT_RESOLVED.
absl::StatusOr<std::vector<std::string>> ResolveCoordinator(const CoordinatorEntry& entry);

}  // namespace histeq::worker
