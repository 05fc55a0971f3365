#pragma once

// Looking names up without waiting for it at the end.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator_address.h"

namespace histeq::worker {

// Calls `resolve`, which may block for long and cannot be interrupted, as the system's resolver.
// Thread-safe.
class NameLookup {
 public:
  using Resolve =
      std::function<absl::StatusOr<std::vector<std::string>>(const CoordinatorEntry& entry)>;

  // `resolve` may still run when this object is gone: what it uses belongs to it.
  explicit NameLookup(Resolve resolve);
  // Stop.
  ~NameLookup();
  NameLookup(const NameLookup&) = delete;
  NameLookup& operator=(const NameLookup&) = delete;

  // What `resolve` says of `entry`.
  // - UNAVAILABLE SHUTTING_DOWN once Stop was called, at once.
  absl::StatusOr<std::vector<std::string>> Find(const CoordinatorEntry& entry);
  // Ends all calls of Find, also those to come, and waits for nothing.
  void Stop();

 private:
  struct Shared;
  const Resolve resolve_;
  // With the threads that look up: each ends by itself, and nobody waits for it.
  const std::shared_ptr<Shared> shared_;
};

}  // namespace histeq::worker
