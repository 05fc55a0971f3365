#pragma once

// Files on their way to a name.

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/byte_stream.h"
#include "store/sha256.h"

namespace histeq::client {

// A file that is being made, and gets its name when it is whole: without a name until then where
// the file system has such files, so that nothing of it stays whatever ends this process; else
// hidden under a temporary one. What has no name of its own at the end goes with the object.
class MadeFile {
 public:
  // Under the temporary name `path`, which others know; makes missing folders.
  // - FAILED_PRECONDITION OUTPUT_NOT_WRITABLE.
  static absl::StatusOr<std::unique_ptr<MadeFile>> Create(const std::string& path);
  // In `folder` (empty: the current one), for a name there. Without one until then; where that
  // cannot be, or with `named`, it has a temporary one that says which process has it, and what
  // dead processes left there of such names is removed.
  // - FAILED_PRECONDITION OUTPUT_NOT_WRITABLE, about `path`, what it is to be.
  static absl::StatusOr<std::unique_ptr<MadeFile>> CreateIn(const std::string& folder,
                                                            const std::string& path,
                                                            bool named = false);
  ~MadeFile();
  MadeFile(const MadeFile&) = delete;
  MadeFile& operator=(const MadeFile&) = delete;

  // Open for reading and writing.
  int descriptor() const { return descriptor_; }

  // Of one of CreateIn(): it becomes `path`, in its folder. Once.
  // - ALREADY_EXISTS OUTPUT_EXISTS: there is such a file, and not `replaces`.
  // - FAILED_PRECONDITION OUTPUT_NOT_WRITABLE.
  absl::Status GiveName(const std::string& path, bool replaces);

  // All of it, in order. The sink's status.
  absl::Status CopyTo(base::ByteSink& sink) const;
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
  MadeFile(std::string path, std::string temporary, int descriptor)
      : path_(std::move(path)), temporary_(std::move(temporary)), descriptor_(descriptor) {}

  absl::Status CopyRange(const MadeFile& from, uint64_t offset, uint64_t size);

  // For messages.
  const std::string path_;
  // Its name, removed with the object; empty: none.
  std::string temporary_;
  const int descriptor_;
};

}  // namespace histeq::client
