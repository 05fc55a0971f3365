#pragma once

// The system calls of the file blob store, as statuses, with faults for tests.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/file_blob_store.h"

namespace histeq::store {

// An open file; -1: none.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd();
  int get() const { return fd_; }
  bool open() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

class FileCalls {
 public:
  explicit FileCalls(std::function<int(FileCall)> fault) : fault_(std::move(fault)) {}

  // Read and write; made when it is missing and `create` is set.
  absl::StatusOr<Fd> Open(const std::string& path, bool create) const;
  // All bytes at `offset`, or an error with any part of them written.
  absl::Status WriteAt(const Fd& fd, uint64_t offset, std::span<const uint8_t> bytes,
                       const std::string& path) const;
  absl::Status Sync(const Fd& fd, const std::string& path) const;
  absl::Status Rename(const std::string& from, const std::string& to) const;
  absl::Status SyncFolder(const std::string& folder) const;
  // Up to the end of the file or of the buffer.
  static absl::StatusOr<size_t> ReadAt(const Fd& fd, uint64_t offset, std::span<uint8_t> buffer,
                                       const std::string& path);
  static absl::Status Truncate(const Fd& fd, uint64_t size, const std::string& path);
  // Gives the room of a range back; it then reads as zeros. UNIMPLEMENTED where that is not
  // possible.
  absl::Status MakeHole(const Fd& fd, uint64_t offset, uint64_t size,
                        const std::string& path) const;
  // OK when there is no such file.
  static absl::Status Remove(const std::string& path);

 private:
  int Fault(FileCall call) const { return fault_ ? fault_(call) : 0; }
  std::function<int(FileCall)> fault_;
};

}  // namespace histeq::store
