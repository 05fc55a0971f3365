#include "image_place.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "store/location.h"

namespace histeq::store {

std::string StorageOf(const ImageRecord& image) {
  const absl::StatusOr<Location> location = ParseLocation(image.facts.location);
  return location.ok() ? location->node : std::string();
}

int PlaceRank(const ImageRecord& image) {
  const absl::StatusOr<Location> location = ParseLocation(image.facts.location);
  return location.ok() ? static_cast<int>(location->kind) : 0;
}

bool IsFailureOfPlace(const std::string& reason) {
  constexpr std::array<std::string_view, 7> kReasons = {
      "SOURCE_CHANGED",  "FILE_NOT_FOUND", "FILE_UNREADABLE", "NOT_A_FILE",
      "STORAGE_UNKNOWN", "OUTSIDE_ROOTS",  "ROOT_MISSING"};
  return std::find(kReasons.begin(), kReasons.end(), reason) != kReasons.end();
}

}  // namespace histeq::store
