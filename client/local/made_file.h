#pragma once

// Files on their way to a name.

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "store/sha256.h"

namespace histeq::client {

// A temporary file, removed with the object when it is still there under its first name.
class MadeFile {
 public:
  // Makes it; missing folders too.
  // - FAILED_PRECONDITION OUTPUT_NOT_WRITABLE.
  static absl::StatusOr<std::unique_ptr<MadeFile>> Create(const std::string& path);
  ~MadeFile();
  MadeFile(const MadeFile&) = delete;
  MadeFile& operator=(const MadeFile&) = delete;

  const std::string& path() const { return path_; }

  // Becomes the `size` bytes of `from` that begin at `offset`.
  absl::Status CopyFrom(const MadeFile& from, uint64_t offset, uint64_t size);
  // Drops all but the `size` bytes that begin at `offset`.
  absl::Status KeepRange(uint64_t offset, uint64_t size);

  struct Facts {
    uint64_t size_bytes = 0;
    store::Sha256Digest sha256 = {};
  };
  // After the last write: what it holds is on the disk.
  // - RESOURCE_EXHAUSTED DISK_FULL, FAILED_PRECONDITION OUTPUT_NOT_WRITABLE.
  absl::StatusOr<Facts> Sync();

 private:
  MadeFile(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}

  absl::Status CopyRange(const MadeFile& from, uint64_t offset, uint64_t size);

  const std::string path_;
  const int descriptor_;
};

}  // namespace histeq::client
