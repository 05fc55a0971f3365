#pragma once

// Where an image's bytes are, as a URI: "blob:KEY", "file:///path", "node://NAME/path".

#include <string>

#include "absl/status/statusor.h"

namespace histeq::store {

// Longest location, in bytes as written, and longest part of its path, in bytes of the name.
inline constexpr size_t kMaxLocationBytes = 4096;
inline constexpr size_t kMaxPathPartBytes = 255;
// Longest name of a storage root.
inline constexpr size_t kMaxStorageNameBytes = 64;

struct Location {
  enum class Kind {
    // A blob of the frontend's own store.
    kBlob,
    // A file that the frontend reads.
    kFile,
    // A file below the storage root `node` of a coordinator or worker.
    kNode,
  };
  Kind kind = Kind::kBlob;
  // For kNode.
  std::string node;
  // kFile: absolute. kNode: relative to the storage root. Bytes of the file system, decoded once;
  // parts between slashes that are neither empty nor "." nor "..". kBlob: the key.
  std::string path;

  bool operator==(const Location&) const = default;
};

// Reads a location from outside. A host "localhost" of a file URI means none.
// - INVALID_ARGUMENT BAD_LOCATION (`field` "location"): another scheme or host, query or fragment,
// a byte
//   that a URI does not allow, a wrong or encoded "/" or NUL, a part that is empty, "." or "..", or
//   too long.
absl::StatusOr<Location> ParseLocation(const std::string& uri);

// The one way to write a location: two that are the same file path give the same text.
std::string FormatLocation(const Location& location);

// The last part of its path.
std::string FileNameOf(const Location& location);

// Whether `name` can name a storage root: 1 to 64 characters of [0-9A-Za-z._-], the first a letter
// or digit.
bool IsStorageName(const std::string& name);

}  // namespace histeq::store
