#include "local/made_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <span>
#include <sstream>
#include <system_error>
#include <vector>

#include "api/random_id.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "local/write_error.h"
#include "store/claim_registry.h"

namespace histeq::client {
namespace {

constexpr size_t kBufferBytes = 128 << 10;

constexpr const char* kPrefix = ".histeq-";
constexpr const char* kSuffix = ".part";

absl::Status Exists(const std::string& path) {
  return base::MakeError(absl::StatusCode::kAlreadyExists,
                         path + " exists already; --force replaces it",
                         {.reason = "OUTPUT_EXISTS"});
}

std::string FolderOf(const std::string& path) { return path.substr(0, path.rfind('/') + 1); }

std::string OwnFile(int descriptor) { return fmt::format("/proc/self/fd/{}", descriptor); }

// Names of temporary files say which process has them: ".histeq-MACHINE-PID-START-RANDOM.part".
std::string MachineOf(const store::ProcessIdentity& process) {
  const std::string& host = process.host;
  return store::ToHex(store::Sha256Of({reinterpret_cast<const uint8_t*>(host.data()), host.size()}))
      .substr(0, 16);
}

std::string TemporaryName() {
  const store::ProcessIdentity self = store::ThisProcess();
  return fmt::format("{}{}-{}-{}-{}{}", kPrefix, MachineOf(self), self.pid, self.start_ticks,
                     RandomId(), kSuffix);
}

// Whether `name` is one whose process, of this machine, has ended.
bool IsLeftBehind(const std::string& name) {
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return false;
  std::istringstream parts(name.substr(std::strlen(kPrefix)));
  std::string machine;
  char dash = 0;
  store::ProcessIdentity process = store::ThisProcess();
  const std::string here = MachineOf(process);
  std::getline(parts, machine, '-');
  if (machine != here) return false;
  parts >> process.pid >> dash >> process.start_ticks;
  return parts.good() && store::IsRunning(process) == false;
}

void RemoveLeftBehind(const std::string& folder) {
  std::error_code error;
  std::filesystem::directory_iterator entries(folder.empty() ? "." : folder, error);
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    if (IsLeftBehind(entries->path().filename().string())) unlink(entries->path().c_str());
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<MadeFile>> MadeFile::Create(const std::string& path) {
  constexpr int kFlags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
  int descriptor = open(path.c_str(), kFlags, 0666);
  if (descriptor < 0 && errno == ENOENT) {
    std::error_code ignored;
    std::filesystem::create_directories(FolderOf(path), ignored);
    descriptor = open(path.c_str(), kFlags, 0666);
  }
  if (descriptor < 0) return NotWritten(path, errno);
  return std::unique_ptr<MadeFile>(new MadeFile(path, path, descriptor));
}

absl::StatusOr<std::unique_ptr<MadeFile>> MadeFile::CreateIn(const std::string& folder,
                                                             const std::string& path, bool named) {
  int descriptor =
      named ? -1
            : open(folder.empty() ? "." : folder.c_str(), O_RDWR | O_TMPFILE | O_CLOEXEC, 0666);
  if (descriptor >= 0 && access(OwnFile(descriptor).c_str(), F_OK) == 0) {
    return std::unique_ptr<MadeFile>(new MadeFile(path, "", descriptor));
  }
  if (descriptor >= 0) close(descriptor);
  RemoveLeftBehind(folder);
  const std::string temporary =
      (folder.empty() || folder.ends_with('/') ? folder : folder + "/") + TemporaryName();
  descriptor = open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (descriptor < 0) return NotWritten(path, errno);
  return std::unique_ptr<MadeFile>(new MadeFile(path, temporary, descriptor));
}

MadeFile::~MadeFile() {
  close(descriptor_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

absl::Status MadeFile::GiveName(const std::string& path, bool replaces) {
  if (temporary_.empty()) {
    const auto link_as = [this](const std::string& name) {
      return linkat(AT_FDCWD, OwnFile(descriptor_).c_str(), AT_FDCWD, name.c_str(),
                    AT_SYMLINK_FOLLOW) == 0;
    };
    if (link_as(path)) return absl::OkStatus();
    if (errno != EEXIST) return NotWritten(path, errno);
    if (!replaces) return Exists(path);
    // A name is needed to replace another one.
    RemoveLeftBehind(FolderOf(path));
    const std::string temporary = FolderOf(path) + TemporaryName();
    if (!link_as(temporary)) return NotWritten(path, errno);
    temporary_ = temporary;
  }
  HISTEQ_RETURN_IF_ERROR(store::GiveName(temporary_, path, replaces));
  temporary_.clear();
  return absl::OkStatus();
}

absl::Status MadeFile::CopyTo(base::ByteSink& sink) const {
  std::vector<uint8_t> buffer(kBufferBytes);
  for (off_t offset = 0;;) {
    const ssize_t got = pread(descriptor_, buffer.data(), buffer.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return NotWritten(path_, errno);
    if (got == 0) return absl::OkStatus();
    HISTEQ_RETURN_IF_ERROR(sink.Write({buffer.data(), static_cast<size_t>(got)}));
    offset += got;
  }
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
