#pragma once

// Which registry knows an output.

#include <map>
#include <mutex>
#include <string>

#include "local/registry_cache.h"

namespace histeq::client {

struct RegistryPlace {
  std::string folder;
  // Outputs whose path begins with `below` are called `prefix` and what follows it. "./" need not
  // stand there.
  std::string below;
  std::string prefix;

  // What the registry calls an output.
  std::string NameOf(const std::string& path) const {
    if (path.starts_with(below)) return prefix + path.substr(below.size());
    return below == "./" ? prefix + path : path;
  }
};

// An output is in one registry, also when one command works on a folder and another on a folder
// below it: in the nearest above it, when there is one in the batch's own root or below; in one
// above the root, when that knows outputs below the root; else in a new one in the root.
// Thread-safe.
class RegistryPlaces {
 public:
  // `registries` outlives it.
  explicit RegistryPlaces(RegistryCache& registries) : registries_(registries) {}

  // For outputs in `folder`, of a batch whose registry would lie in `root`; both with a slash at
  // the end, `folder` empty for the current one.
  RegistryPlace Find(const std::string& root, const std::string& folder);

 private:
  RegistryPlace FindAbove(const std::string& root);

  RegistryCache& registries_;
  std::mutex mutex_;
  // What FindAbove() found, by root.
  std::map<std::string, RegistryPlace> above_;
};

}  // namespace histeq::client
