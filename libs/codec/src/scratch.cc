#include "codec/scratch.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/status_macros.h"
#include "codec/scratch_file.h"

namespace histeq::codec {
namespace {

absl::Status Failed(const std::string& directory, uint64_t bytes, int error) {
  return ScratchError("a temporary file cannot be made", directory, bytes, error);
}

}  // namespace

absl::StatusOr<Scratch> Scratch::Create(uint64_t bytes, base::MemoryBudget* budget,
                                        const std::string& directory) {
  Scratch scratch;
  scratch.size_ = bytes == 0 ? 1 : bytes;
  if (budget != nullptr && budget->TryTake(static_cast<int64_t>(scratch.size_))) {
    void* data =
        mmap(nullptr, scratch.size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data != MAP_FAILED) {
      scratch.data_ = static_cast<uint8_t*>(data);
      scratch.budget_ = budget;
      return scratch;
    }
    budget->Give(static_cast<int64_t>(scratch.size_));
  }
  HISTEQ_ASSIGN_OR_RETURN(const int fd, OpenScratchFile(directory));
  // Blocks are reserved now: a full disk found by a store into the mapping would be a SIGBUS.
  int reserved = 0;
  do {
    reserved = posix_fallocate(fd, 0, static_cast<off_t>(scratch.size_));
  } while (reserved == EINTR);
  if (reserved != 0) {
    close(fd);
    return Failed(directory, bytes, reserved);
  }
  void* data = mmap(nullptr, scratch.size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  const int error = errno;
  close(fd);
  if (data == MAP_FAILED) {
    if (error != ENOMEM) return Failed(directory, bytes, error);
    return base::MakeError(
        absl::StatusCode::kResourceExhausted,
        "no address space to map a temporary file of " + std::to_string(bytes) +
            " bytes: the limit on the process's is too low",
        {.reason = "OUT_OF_MEMORY", .metadata = {{"needed", std::to_string(bytes)}}});
  }
  scratch.data_ = static_cast<uint8_t*>(data);
  return scratch;
}

Scratch::Scratch(Scratch&& other) noexcept { *this = std::move(other); }

Scratch& Scratch::operator=(Scratch&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(budget_, other.budget_);
  return *this;
}

Scratch::~Scratch() {
  if (data_ == nullptr) return;
  munmap(data_, size_);
  if (budget_ != nullptr) budget_->Give(static_cast<int64_t>(size_));
}

void Scratch::Release(uint64_t begin, uint64_t end) const {
  if (budget_ != nullptr || data_ == nullptr) return;
  const uint64_t page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  begin = (begin + page - 1) / page * page;
  end = end / page * page;
  if (end > begin) madvise(data_ + begin, end - begin, MADV_DONTNEED);
}

}  // namespace histeq::codec
