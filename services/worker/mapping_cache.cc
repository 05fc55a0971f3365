#include "mapping_cache.h"

#include <openssl/sha.h>

#include <utility>

#include "base/error.h"
#include "fmt/format.h"

namespace histeq::worker {
namespace {

absl::Status BadMapping(const std::string& what) {
  return base::MakeError(absl::StatusCode::kInvalidArgument, "the mapping is wrong: " + what,
                         {.reason = "BAD_MAPPING", .field = "mapping"});
}

absl::StatusOr<std::shared_ptr<const Mapping>> Build(const EqualizeParameters& parameters,
                                                     const ImageShape& shape,
                                                     std::span<const uint8_t> bytes) {
  const uint64_t needed = Mapping::BytesFor(parameters, shape);
  if (bytes.size() != needed) {
    return BadMapping(
        fmt::format("it has {} bytes, and one for this image has {}", bytes.size(), needed));
  }
  std::optional<Mapping> mapping = Mapping::FromBytes(parameters, shape, bytes);
  if (!mapping.has_value() || !mapping->valid()) {
    return base::MakeError(absl::StatusCode::kResourceExhausted,
                           fmt::format("no memory for a mapping of {} bytes", bytes.size()),
                           {.reason = "OUT_OF_MEMORY", .retry_after = absl::Seconds(1)});
  }
  return std::make_shared<const Mapping>(*std::move(mapping));
}

uint64_t Cost(const Mapping& mapping) {
  // The entry itself counts too, so that many small ones have an end.
  return mapping.data().size() + mapping.factors().size_bytes() + mapping.quads().size() + 512;
}

}  // namespace

MappingCache::Fit MappingCache::FitOf(const EqualizeParameters& parameters,
                                      const ImageShape& shape) {
  return {parameters.method,           parameters.color, shape.channels,    shape.bits_per_sample,
          parameters.significant_bits, shape.has_alpha,  parameters.grid_x, parameters.grid_y};
}

absl::StatusOr<std::shared_ptr<const Mapping>> MappingCache::Find(
    const std::string& id, const EqualizeParameters& parameters, const ImageShape& shape) {
  std::shared_ptr<const Mapping> held;
  const Fit fit = FitOf(parameters, shape);
  {
    std::lock_guard lock(mutex_);
    const auto found = by_id_.find(id);
    if (found == by_id_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, found->second);
    if (found->second->fit == fit) return found->second->mapping;
    held = found->second->mapping;
  }
  // The same tables for another kind of image.
  auto built = Build(parameters, shape, held->data());
  if (built.ok()) Keep({id, fit, *built});
  return built;
}

absl::StatusOr<std::shared_ptr<const Mapping>> MappingCache::Add(
    const std::string& id, const EqualizeParameters& parameters, const ImageShape& shape,
    std::span<const uint8_t> bytes) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(bytes.data(), bytes.size(), reinterpret_cast<uint8_t*>(digest.data()));
  if (digest != id) return BadMapping("its SHA-256 is not the mapping_id of the header");
  auto built = Build(parameters, shape, bytes);
  if (built.ok()) Keep({id, FitOf(parameters, shape), *built});
  return built;
}

void MappingCache::Keep(Entry entry) {
  const uint64_t cost = Cost(*entry.mapping);
  if (cost > limit_bytes_) return;
  std::lock_guard lock(mutex_);
  const auto remove = [this](std::list<Entry>::iterator it) {
    bytes_ -= Cost(*it->mapping);
    by_id_.erase(it->id);
    entries_.erase(it);
  };
  if (const auto found = by_id_.find(entry.id); found != by_id_.end()) remove(found->second);
  while (bytes_ + cost > limit_bytes_) remove(std::prev(entries_.end()));
  bytes_ += cost;
  entries_.push_front(std::move(entry));
  by_id_[entries_.front().id] = entries_.begin();
}

uint64_t MappingCache::bytes() const {
  std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace histeq::worker
