#pragma once

// The folder that holds everything a frontend stores, for one process at a time.

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace histeq::store {

// Holds the folder's lock while it lives; the system frees it also when the process is killed.
class DataDir {
 public:
  // Makes the folder (mode 0700) when it is missing and takes its lock.
  // - FAILED_PRECONDITION DATA_DIR_LOCKED: another process has it (metadata pid).
  // - FAILED_PRECONDITION CATALOG_MISSING: it has blobs but no catalog; opening it would make a new
  //   one, for which all of them are orphans.
  // - INVALID_ARGUMENT DATA_DIR_UNUSABLE: no folder, or not writable.
  static absl::StatusOr<std::unique_ptr<DataDir>> Open(const std::string& path);
  ~DataDir();
  DataDir(const DataDir&) = delete;
  DataDir& operator=(const DataDir&) = delete;

  const std::string& path() const { return path_; }
  // For OpenFileBlobStore.
  std::string blob_folder() const { return path_ + "/blobs"; }
  // For OpenSqliteCatalog.
  std::string catalog_file() const { return path_ + "/catalog.sqlite"; }

 private:
  DataDir(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}
  std::string path_;
  int lock_;
};

}  // namespace histeq::store
