#pragma once

// The registries of a batch, one for each folder of outputs.

#include <condition_variable>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "store/claim_registry.h"

namespace histeq::client {

// Opens them when they are wanted, keeps some open, and renews their leases on a thread of its own.
// Thread-safe.
class RegistryCache {
 public:
  explicit RegistryCache(absl::Duration lease);
  ~RegistryCache();
  RegistryCache(const RegistryCache&) = delete;
  RegistryCache& operator=(const RegistryCache&) = delete;

  // The registry in `folder`, which is made when it is missing. Errors of ClaimRegistry::Open; and
  // FAILED_PRECONDITION OUTPUT_NOT_WRITABLE. Claims are to be given up before it is let go.
  absl::StatusOr<std::shared_ptr<store::ClaimRegistry>> Get(const std::string& folder);

 private:
  void RenewAll();
  void Run();

  const absl::Duration lease_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  // All that somebody uses.
  std::map<std::string, std::weak_ptr<store::ClaimRegistry>> open_;
  // Those used last, first.
  std::list<std::shared_ptr<store::ClaimRegistry>> recent_;
  std::thread thread_;
};

}  // namespace histeq::client
