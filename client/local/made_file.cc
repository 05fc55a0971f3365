#include "local/made_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <span>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/status_macros.h"
#include "local/write_error.h"

namespace histeq::client {
namespace {

constexpr size_t kBufferBytes = 128 << 10;

}  // namespace

absl::StatusOr<std::unique_ptr<MadeFile>> MadeFile::Create(const std::string& path) {
  constexpr int kFlags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
  int descriptor = open(path.c_str(), kFlags, 0666);
  if (descriptor < 0 && errno == ENOENT) {
    std::error_code ignored;
    std::filesystem::create_directories(path.substr(0, path.rfind('/')), ignored);
    descriptor = open(path.c_str(), kFlags, 0666);
  }
  if (descriptor < 0) return NotWritten(path, errno);
  return std::unique_ptr<MadeFile>(new MadeFile(path, descriptor));
}

MadeFile::~MadeFile() {
  close(descriptor_);
  unlink(path_.c_str());
}

absl::Status MadeFile::CopyRange(const MadeFile& from, uint64_t offset, uint64_t size) {
  std::vector<uint8_t> buffer(std::min<uint64_t>(size, kBufferBytes));
  off_t to = 0;
  while (size > 0) {
    const ssize_t got = pread(from.descriptor_, buffer.data(),
                              std::min<uint64_t>(size, buffer.size()), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return NotWritten(from.path_, got < 0 ? errno : EIO);
    std::span<const uint8_t> bytes(buffer.data(), static_cast<size_t>(got));
    while (!bytes.empty()) {
      const ssize_t written = pwrite(descriptor_, bytes.data(), bytes.size(), to);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return NotWritten(path_, errno);
      bytes = bytes.subspan(static_cast<size_t>(written));
      to += written;
    }
    offset += static_cast<uint64_t>(got);
    size -= static_cast<uint64_t>(got);
  }
  return absl::OkStatus();
}

absl::Status MadeFile::CopyFrom(const MadeFile& from, uint64_t offset, uint64_t size) {
  return CopyRange(from, offset, size);
}

absl::Status MadeFile::KeepRange(uint64_t offset, uint64_t size) {
  // To the front, which never overtakes what is still to be read.
  if (offset > 0) HISTEQ_RETURN_IF_ERROR(CopyRange(*this, offset, size));
  return ftruncate(descriptor_, static_cast<off_t>(size)) == 0 ? absl::OkStatus()
                                                               : NotWritten(path_, errno);
}

absl::StatusOr<MadeFile::Facts> MadeFile::Sync() {
  Facts facts;
  store::Sha256 hash;
  std::vector<uint8_t> buffer(kBufferBytes);
  for (;;) {
    const ssize_t got =
        pread(descriptor_, buffer.data(), buffer.size(), static_cast<off_t>(facts.size_bytes));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return NotWritten(path_, errno);
    if (got == 0) break;
    hash.Update({buffer.data(), static_cast<size_t>(got)});
    facts.size_bytes += static_cast<uint64_t>(got);
  }
  facts.sha256 = hash.Digest();
  if (fdatasync(descriptor_) != 0) return NotWritten(path_, errno);
  return facts;
}

}  // namespace histeq::client
