#pragma once

// Images that go, with all that was made of them.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sqlite_db.h"
#include "store/catalog.h"

namespace histeq::store {

// One removal, within one change.
class ImageRemoval {
 public:
  explicit ImageRemoval(Database& db) : db_(db) {}

  // Finds the image and what was made of it, of that too. Returns a job that is not final and needs
  // one of them, when there is one: then nothing may be removed.
  absl::StatusOr<std::optional<std::string>> Collect(const std::string& image_id);

  // The image was there.
  bool found() const { return !images_.empty(); }
  const std::vector<ImageRecord>& images() const { return images_; }

  // Removes what was collected.
  absl::StatusOr<RemovedImages> Remove();

 private:
  Database& db_;
  std::vector<ImageRecord> images_;
};

// Bytes of all results.
absl::StatusOr<uint64_t> DerivedBytes(Database& db);

}  // namespace histeq::store
