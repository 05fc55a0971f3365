#include "spool.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/status_macros.h"
#include "out_of_memory.h"

namespace histeq::engine {
namespace {

int OpenUnlinked(const std::string& directory) {
  const int fd = open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) return fd;
  // Some file systems (overlays, NFS) cannot do that.
  std::string name = directory + "/histeq-spool-XXXXXX";
  const int named = mkostemp(name.data(), O_CLOEXEC);
  if (named >= 0) unlink(name.c_str());
  return named;
}

// 0, or the error.
int WriteAll(int fd, std::span<const uint8_t> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t done = pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return errno;
    if (done == 0) return ENOSPC;
    bytes = bytes.subspan(static_cast<size_t>(done));
    offset += static_cast<uint64_t>(done);
  }
  return 0;
}

int ReadAll(int fd, std::span<uint8_t> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t done = pread(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return errno;
    if (done == 0) return EIO;
    bytes = bytes.subspan(static_cast<size_t>(done));
    offset += static_cast<uint64_t>(done);
  }
  return 0;
}

}  // namespace

// Pages of its own, which go back to the system at once when the segment is gone.
class Spool::Block {
 public:
  static std::shared_ptr<Block> Make(uint64_t bytes, base::MemoryBudget* budget) {
    void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return nullptr;
    // Fewer page faults, where the system has large pages.
    madvise(data, bytes, MADV_HUGEPAGE);
    return std::shared_ptr<Block>(new Block(static_cast<uint8_t*>(data), bytes, budget));
  }
  ~Block() {
    munmap(data_, bytes_);
    if (budget_ != nullptr) budget_->Give(static_cast<int64_t>(bytes_));
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  uint8_t* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }

 private:
  Block(uint8_t* data, uint64_t bytes, base::MemoryBudget* budget)
      : data_(data), bytes_(bytes), budget_(budget) {}
  uint8_t* const data_;
  const uint64_t bytes_;
  base::MemoryBudget* const budget_;
};

Spool::Spool(uint32_t count, base::MemoryBudget* budget, std::string directory)
    : budget_(budget), directory_(std::move(directory)), entries_(count) {}

Spool::~Spool() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<std::span<uint8_t>> Spool::Allocate(uint32_t index, uint64_t bytes) {
  entries_[index].bytes = bytes;
  filling_.reset();
  const auto needed = static_cast<int64_t>(bytes);
  if (budget_ != nullptr && budget_->TryTake(needed)) {
    filling_ = Block::Make(bytes, budget_);
    if (filling_ == nullptr) budget_->Give(needed);
  }
  if (filling_ != nullptr) return std::span<uint8_t>(filling_->data(), bytes);
  if (staging_ == nullptr || staging_->bytes() < bytes) staging_ = Block::Make(bytes, nullptr);
  if (staging_ == nullptr) return OutOfMemory("a segment", bytes);
  return std::span<uint8_t>(staging_->data(), bytes);
}

absl::Status Spool::Store(uint32_t index) {
  Entry& entry = entries_[index];
  if (filling_ == nullptr) {
    HISTEQ_RETURN_IF_ERROR(OpenFile());
    if (const int error = WriteAll(fd_, {staging_->data(), entry.bytes}, file_bytes_); error != 0)
      return Failed(
          fmt::format("{} bytes of decoded samples, after {} bytes, cannot be written to a "
                      "temporary file",
                      entry.bytes, file_bytes_),
          error);
  }
  std::lock_guard lock(mutex_);
  if (filling_ != nullptr) {
    memory_bytes_ += entry.bytes;
  } else {
    entry.file_offset = file_bytes_;
    file_bytes_ += entry.bytes;
  }
  entry.block = std::move(filling_);
  entry.stored = true;
  return absl::OkStatus();
}

void Spool::Seal() { staging_.reset(); }

absl::Status Spool::Read(uint32_t index, uint64_t offset, std::span<uint8_t> out) const {
  std::shared_ptr<Block> block;
  uint64_t file_offset = 0;
  {
    std::lock_guard lock(mutex_);
    const Entry& entry = entries_[index];
    if (!entry.stored)
      return absl::FailedPreconditionError(
          fmt::format("segment {} is read when it is not in the spool", index));
    if (offset > entry.bytes || out.size() > entry.bytes - offset)
      return absl::OutOfRangeError(
          fmt::format("{} bytes at {} of a segment of {}", out.size(), offset, entry.bytes));
    block = entry.block;
    file_offset = entry.file_offset;
  }
  if (block != nullptr) {
    std::memcpy(out.data(), block->data() + offset, out.size());
    return absl::OkStatus();
  }
  if (const int error = ReadAll(fd_, out, file_offset + offset); error != 0)
    return Failed("decoded samples cannot be read from a temporary file", error);
  return absl::OkStatus();
}

std::span<uint8_t> Spool::InPlace(uint32_t index) const {
  std::lock_guard lock(mutex_);
  const Entry& entry = entries_[index];
  if (entry.block == nullptr) return {};
  return {entry.block->data(), entry.bytes};
}

void Spool::Release(uint32_t index) {
  // Freed after the lock.
  std::shared_ptr<Block> block;
  uint64_t hole = 0;
  uint64_t hole_bytes = 0;
  {
    std::lock_guard lock(mutex_);
    Entry& entry = entries_[index];
    if (!entry.stored) return;
    entry.stored = false;
    block = std::move(entry.block);
    if (block != nullptr) {
      memory_bytes_ -= entry.bytes;
    } else {
      hole = entry.file_offset;
      hole_bytes = entry.bytes;
    }
  }
  // Where the file system cannot, the disk is held until the job ends.
  if (hole_bytes != 0)
    (void)fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(hole),
                    static_cast<off_t>(hole_bytes));
}

uint64_t Spool::memory_bytes() const {
  std::lock_guard lock(mutex_);
  return memory_bytes_;
}

uint64_t Spool::file_bytes() const {
  std::lock_guard lock(mutex_);
  return file_bytes_;
}

absl::Status Spool::OpenFile() {
  if (fd_ >= 0) return absl::OkStatus();
  fd_ = OpenUnlinked(directory_);
  if (fd_ < 0) return Failed("a temporary file cannot be created", errno);
  return absl::OkStatus();
}

absl::Status Spool::Failed(const std::string& what, int error) const {
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  return base::MakeError(absl::StatusCode::kResourceExhausted,
                         fmt::format("{} in {}: {}", what, directory_, std::strerror(error)),
                         {.reason = full ? "DISK_FULL" : "SCRATCH_FAILED"});
}

}  // namespace histeq::engine
