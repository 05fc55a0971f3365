#pragma once

// Mappings that coordinators have sent, by the SHA-256 of their bytes.

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "histeq/mapping.h"
#include "histeq/parameters.h"

namespace histeq::worker {

// Holds as many bytes of mappings as its limit allows; the ones that were not used for the longest
// time go first. A mapping in use lives on without the cache. Thread-safe.
class MappingCache {
 public:
  explicit MappingCache(uint64_t limit_bytes) : limit_bytes_(limit_bytes) {}

  // The mapping of that name, ready for these parameters and shape; null when it is not held.
  // - INVALID_ARGUMENT BAD_MAPPING: it is held, and is not a mapping for such an image.
  // - RESOURCE_EXHAUSTED OUT_OF_MEMORY.
  absl::StatusOr<std::shared_ptr<const Mapping>> Find(const std::string& id,
                                                      const EqualizeParameters& parameters,
                                                      const ImageShape& shape);

  // Checks that `bytes` are the mapping `id` for these parameters and shape, keeps it when it fits,
  // and returns it.
  // - INVALID_ARGUMENT BAD_MAPPING: its SHA-256 is not `id`, or its size not the one that is
  // needed.
  // - RESOURCE_EXHAUSTED OUT_OF_MEMORY.
  absl::StatusOr<std::shared_ptr<const Mapping>> Add(const std::string& id,
                                                     const EqualizeParameters& parameters,
                                                     const ImageShape& shape,
                                                     std::span<const uint8_t> bytes);

  uint64_t bytes() const;

 private:
  // What a mapping holds beside its tables depends on these, and they are small enough to compare.
  struct Fit {
    Method method;
    Color color;
    uint32_t channels;
    uint32_t bits_per_sample;
    uint32_t significant_bits;
    bool has_alpha;
    uint32_t grid_x;
    uint32_t grid_y;
    bool operator==(const Fit&) const = default;
  };
  struct Entry {
    std::string id;
    Fit fit;
    std::shared_ptr<const Mapping> mapping;
  };

  static Fit FitOf(const EqualizeParameters& parameters, const ImageShape& shape);
  void Keep(Entry entry);

  const uint64_t limit_bytes_;
  mutable std::mutex mutex_;
  // Most recently used first.
  std::list<Entry> entries_;
  std::unordered_map<std::string, std::list<Entry>::iterator> by_id_;
  uint64_t bytes_ = 0;
};

}  // namespace histeq::worker
