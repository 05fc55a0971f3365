#pragma once

// Files that lie elsewhere and are only read: below given folders, and never outside of them.

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "store/blob_store.h"

namespace histeq::store {

// What tells one state of a file from another.
struct FileStamp {
  uint64_t size_bytes = 0;
  // To the nanosecond.
  absl::Time modify_time;
  bool operator==(const FileStamp&) const = default;
};

// An open regular file. Closed when destroyed. Thread-safe.
class RootedFile {
 public:
  RootedFile(int fd, FileStamp stamp) : fd_(fd), stamp_(stamp) {}
  RootedFile(RootedFile&& other) noexcept;
  RootedFile& operator=(RootedFile&&) = delete;
  ~RootedFile();

  // As it was when it was opened.
  const FileStamp& stamp() const { return stamp_; }
  // Up to the end of the file or of the buffer. INTERNAL STORE_IO.
  absl::StatusOr<size_t> ReadAt(uint64_t offset, std::span<uint8_t> buffer) const;
  // DATA_LOSS SOURCE_CHANGED: it is not any more what it was when it was opened.
  absl::Status CheckUnchanged() const;

 private:
  int fd_;
  FileStamp stamp_;
};

// - INVALID_ARGUMENT FILE_TOO_LARGE: a file of more than `max_bytes`; sparse ones cost nothing to
//   make, and their reading takes hours.
absl::Status CheckFileSize(uint64_t size_bytes, uint64_t max_bytes);

// DATA_LOSS SOURCE_CHANGED when the stamps differ.
absl::Status CheckSameFile(const FileStamp& expected, const FileStamp& actual);

// Reads a range of an open file; at the range's end the file must be what it was when it was
// opened. `expected_blob_bytes` is not looked at: compare stamps.
// - OUT_OF_RANGE: offset beyond the end. DATA_LOSS SOURCE_CHANGED, from the source.
absl::StatusOr<BlobReader> ReadRange(RootedFile file, const BlobRange& range);

// One folder. Thread-safe.
class FileRoot {
 public:
  struct Options {
    // For tests: walk part by part, as on systems without openat2.
    bool walk = false;
    // For tests: called before each step of the walk.
    std::function<void()> before_step;
  };

  // `folder` must be there now; it is found again by its path at each opening.
  // - INVALID_ARGUMENT ROOT_UNUSABLE: no folder, or not readable.
  static absl::StatusOr<FileRoot> Open(const std::string& folder, Options options);
  static absl::StatusOr<FileRoot> Open(const std::string& folder);

  // Opens the regular file at `path`, relative to the folder. Links are followed as long as they
  // stay below it; absolute ones do not. Never waits for another process, never opens a device.
  // - PERMISSION_DENIED OUTSIDE_ROOTS: it leads out of the folder. FILE_UNREADABLE: this process
  // may not
  //   read it.
  // - NOT_FOUND FILE_NOT_FOUND: there is no such file.
  // - INVALID_ARGUMENT NOT_A_FILE: a folder, pipe, socket or device, or links in a loop.
  // BAD_LOCATION:
  //   no relative path of plain parts.
  // - UNAVAILABLE ROOT_MISSING: the folder itself is not there now. STORE_IO for other failures.
  absl::StatusOr<RootedFile> OpenFile(const std::string& path) const;

  // Whether the folder was there when it was last wanted; one that was not is looked for again.
  bool IsThere() const;

  // Absolute and normal, as given; and with its links followed, as it was at Open.
  const std::string& folder() const { return folder_; }
  const std::string& real_folder() const { return real_folder_; }

 private:
  FileRoot(std::string folder, std::string real_folder, Options options);
  std::string folder_;
  std::string real_folder_;
  Options options_;
  // The last OpenFile did not find the folder.
  std::shared_ptr<std::atomic<bool>> missing_ = std::make_shared<std::atomic<bool>>(false);
};

// The folders of which "file:///" locations are served. Thread-safe.
class FileRoots {
 public:
  // No folders: every file is outside.
  FileRoots() = default;
  // - INVALID_ARGUMENT ROOT_UNUSABLE.
  static absl::StatusOr<FileRoots> Open(const std::vector<std::string>& folders);

  // Opens the file at the absolute `path`. Errors of FileRoot::OpenFile; OUTSIDE_ROOTS also when it
  // is below none of the folders, whether it exists or not.
  absl::StatusOr<RootedFile> OpenFile(const std::string& path) const;

  bool empty() const { return roots_.empty(); }

 private:
  // Longest paths first.
  std::vector<FileRoot> roots_;
};

// The storage roots of a node, by name. Thread-safe.
class StorageRoots {
 public:
  StorageRoots() = default;
  // From "NAME=PATH".
  // - INVALID_ARGUMENT BAD_STORAGE_ROOT: no "=", a malformed name, or one given twice;
  // ROOT_UNUSABLE.
  static absl::StatusOr<StorageRoots> Open(const std::vector<std::string>& names_and_folders);

  // In order.
  std::vector<std::string> Names() const;
  // Those whose folder is there, as FileRoot::IsThere says. For heartbeats.
  std::vector<std::string> NamesThere() const;
  bool Has(const std::string& name) const { return roots_.count(name) > 0; }
  // NOT_FOUND STORAGE_UNKNOWN: no storage root of that name here. Else as FileRoot::OpenFile.
  absl::StatusOr<RootedFile> OpenFile(const std::string& name, const std::string& path) const;

 private:
  std::map<std::string, FileRoot> roots_;
};

}  // namespace histeq::store
