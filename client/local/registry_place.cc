#include "local/registry_place.h"

#include <unistd.h>

#include <filesystem>
#include <system_error>
#include <utility>

namespace histeq::client {
namespace {

// Folders above the root that are looked at.
constexpr int kMostLevels = 64;

bool HasRegistry(const std::string& folder) {
  const std::string file = folder + store::ClaimRegistry::Options().file_name;
  return access(file.c_str(), F_OK) == 0;
}

}  // namespace

RegistryPlace RegistryPlaces::Find(const std::string& root, const std::string& folder) {
  if (folder.starts_with(root)) {
    for (std::string at = folder; at.size() > root.size();
         at.resize(at.rfind('/', at.size() - 2) + 1)) {
      if (HasRegistry(at)) return {.folder = at, .below = at, .prefix = ""};
    }
  }
  if (HasRegistry(root)) return {.folder = root, .below = root, .prefix = ""};
  std::lock_guard lock(mutex_);
  const auto found = above_.find(root);
  return found != above_.end() ? found->second
                               : above_.emplace(root, FindAbove(root)).first->second;
}

RegistryPlace RegistryPlaces::FindAbove(const std::string& root) {
  RegistryPlace place = {.folder = root, .below = root, .prefix = ""};
  std::error_code error;
  const std::filesystem::path real = std::filesystem::canonical(root, error);
  if (error) return place;
  std::filesystem::path at = real;
  for (int level = 0; level < kMostLevels && at.has_relative_path(); ++level) {
    at = at.parent_path();
    const std::string folder = at.has_relative_path() ? at.string() + "/" : at.string();
    if (!HasRegistry(folder)) continue;
    std::string prefix = real.string().substr(folder.size()) + "/";
    // One that cannot be used says nothing.
    const auto registry = registries_.Get(folder);
    if (!registry.ok()) continue;
    if (const auto knows = (*registry)->KnowsBelow(prefix); knows.ok() && *knows) {
      place.folder = folder;
      place.prefix = std::move(prefix);
      return place;
    }
  }
  return place;
}

}  // namespace histeq::client
