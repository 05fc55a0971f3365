#include "local/registry_cache.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/status_macros.h"

namespace histeq::client {
namespace {

// Each takes three descriptors.
constexpr size_t kRecent = 32;

}  // namespace

RegistryCache::RegistryCache(absl::Duration lease) : lease_(lease), thread_([this] { Run(); }) {}

RegistryCache::~RegistryCache() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

absl::StatusOr<std::shared_ptr<store::ClaimRegistry>> RegistryCache::Get(
    const std::string& folder) {
  // Those that go, go without the lock: they write.
  std::vector<std::shared_ptr<store::ClaimRegistry>> leaving;
  std::lock_guard lock(mutex_);
  std::weak_ptr<store::ClaimRegistry>& known = open_[folder];
  std::shared_ptr<store::ClaimRegistry> registry = known.lock();
  if (registry == nullptr) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error && !std::filesystem::is_directory(folder)) {
      return base::MakeError(absl::StatusCode::kFailedPrecondition,
                             folder + " cannot be made: " + error.message(),
                             {.reason = "OUTPUT_NOT_WRITABLE"});
    }
    store::ClaimRegistry::Options options;
    options.lease = lease_;
    HISTEQ_ASSIGN_OR_RETURN(registry, store::ClaimRegistry::Open(folder, options));
    known = registry;
    std::erase_if(open_, [](const auto& entry) { return entry.second.expired(); });
  }
  const auto found = std::find(recent_.begin(), recent_.end(), registry);
  if (found != recent_.end()) recent_.erase(found);
  recent_.push_front(registry);
  while (recent_.size() > kRecent) {
    leaving.push_back(std::move(recent_.back()));
    recent_.pop_back();
  }
  return registry;
}

void RegistryCache::RenewAll() {
  std::vector<std::shared_ptr<store::ClaimRegistry>> all;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [folder, known] : open_) {
      if (auto registry = known.lock()) all.push_back(std::move(registry));
    }
  }
  // One that cannot be renewed now says so when an output is finished.
  for (const auto& registry : all) registry->Renew().IgnoreError();
}

void RegistryCache::Run() {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, absl::ToChronoNanoseconds(lease_ / 6),
                            [this] { return stopping_; })) {
    lock.unlock();
    RenewAll();
    lock.lock();
  }
}

}  // namespace histeq::client
