#include "store/file_roots.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>
#include <deque>
#include <filesystem>
#include <utility>

#include "base/error.h"
#include "base/status_macros.h"
#include "file_calls.h"
#include "store/location.h"
#include "store_error.h"

namespace histeq::store {
namespace {

// As the kernel's own limit.
constexpr int kMaxLinks = 40;
// A rename somewhere below the root makes openat2 give up; it is then asked again.
constexpr int kMaxRaces = 128;

absl::Status Error(absl::StatusCode code, const std::string& reason, const std::string& message) {
  return base::MakeError(
      code, message, {.reason = reason, .metadata = {}, .field = "location", .retry_after = {}});
}

absl::Status Outside() {
  return Error(absl::StatusCode::kPermissionDenied, "OUTSIDE_ROOTS",
               "the location is not below a folder whose files are served, or leads out of it");
}

absl::Status NotAFile(const std::string& what) {
  return Error(absl::StatusCode::kInvalidArgument, "NOT_A_FILE",
               fmt::format("at the location is {}, not a file", what));
}

absl::Status OpenError(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return Error(absl::StatusCode::kNotFound, "FILE_NOT_FOUND",
                   "there is no file at the location");
    case EXDEV:
      return Outside();
    case ELOOP:
      return NotAFile("a loop of links, or a chain of too many");
    case EACCES:
    case EPERM:
      return Error(absl::StatusCode::kPermissionDenied, "FILE_UNREADABLE",
                   "the file at the location may not be read by this service: its permissions "
                   "forbid it");
    case ENAMETOOLONG:
      return Error(absl::StatusCode::kInvalidArgument, "BAD_LOCATION",
                   "the location's path is too long for its file system");
    case ENXIO:
    case ENODEV:
      return NotAFile("a socket or a device");
    case EAGAIN:
      return Error(absl::StatusCode::kUnavailable, "STORE_IO",
                   "folders on the way to the location are renamed all the time");
    default:
      return IoError(error, "the file at the location cannot be opened");
  }
}

std::string KindName(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a named pipe";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISLNK(mode)) return "a link";
  return "a device";
}

FileStamp StampOf(const struct stat& info) {
  FileStamp stamp;
  stamp.size_bytes = static_cast<uint64_t>(info.st_size);
  stamp.modify_time =
      absl::FromUnixSeconds(info.st_mtim.tv_sec) + absl::Nanoseconds(info.st_mtim.tv_nsec);
  return stamp;
}

// - ENOSYS where the kernel, or a sandbox, does not offer it.
int OpenBeneath(int root, const std::string& path, int flags) {
  struct open_how how = {};
  how.flags = static_cast<uint64_t>(flags);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  for (int race = 0; race < kMaxRaces; ++race) {
    const long fd = syscall(SYS_openat2, root, path.c_str(), &how, sizeof(how));
    if (fd >= 0) return static_cast<int>(fd);
    if (errno != EAGAIN && errno != EINTR) return -1;
  }
  errno = EAGAIN;
  return -1;
}

// Sandboxes answer EPERM for calls that they do not know.
bool HasOpenat2() {
  static const bool has = [] {
    const Fd root(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    const Fd fd(OpenBeneath(root.get(), ".", O_PATH | O_CLOEXEC));
    return fd.open();
  }();
  return has;
}

std::deque<std::string> SplitPath(const std::string& path) {
  std::deque<std::string> parts;
  size_t begin = 0;
  while (begin <= path.size()) {
    const size_t end = std::min(path.find('/', begin), path.size());
    if (end > begin) parts.push_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

// What openat2 does, part by part: each folder on the way is held open, and ".." goes back to the
// one that was come from, so that nobody can move the walk out of the root.
class Walk {
 public:
  Walk(int root, const std::string& path, const std::function<void()>& before_step)
      : root_(root), left_(SplitPath(path)), before_step_(before_step) {}

  // An open file of any kind; errno-like codes as negative numbers.
  int Open(int flags) {
    while (!left_.empty()) {
      if (before_step_) before_step_();
      const std::string part = std::move(left_.front());
      left_.pop_front();
      if (part == ".") continue;
      if (part == "..") {
        if (folders_.empty()) return -EXDEV;
        folders_.pop_back();
        continue;
      }
      const int error = Enter(part, flags);
      if (error != 0) return error;
      if (opened_.open()) return dup(opened_);
    }
    // It ended with "..": a folder.
    return -EISDIR;
  }

 private:
  static int dup(const Fd& fd) { return fcntl(fd.get(), F_DUPFD_CLOEXEC, 0); }
  int Here() const { return folders_.empty() ? root_ : folders_.back().get(); }

  int Enter(const std::string& part, int flags) {
    Fd fd(openat(Here(), part.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!fd.open()) return -errno;
    struct stat info = {};
    if (fstat(fd.get(), &info) != 0) return -errno;
    if (S_ISLNK(info.st_mode)) return Follow(fd);
    if (!left_.empty()) {
      if (!S_ISDIR(info.st_mode)) return -ENOTDIR;
      folders_.push_back(std::move(fd));
      return 0;
    }
    if (!S_ISREG(info.st_mode) || (flags & O_PATH) != 0) {
      opened_ = std::move(fd);
      return 0;
    }
    // Swapped for a link meanwhile: ELOOP. For another file: that one is looked at again.
    opened_ = Fd(openat(Here(), part.c_str(), flags | O_NOFOLLOW | O_CLOEXEC));
    return opened_.open() ? 0 : -errno;
  }

  int Follow(const Fd& link) {
    if (++links_ > kMaxLinks) return -ELOOP;
    std::array<char, PATH_MAX> target;
    const ssize_t size = readlinkat(link.get(), "", target.data(), target.size());
    if (size < 0) return -errno;
    if (static_cast<size_t>(size) == target.size()) return -ENAMETOOLONG;
    const std::string text(target.data(), static_cast<size_t>(size));
    if (text.empty()) return -ENOENT;
    if (text.front() == '/') return -EXDEV;
    std::deque<std::string> parts = SplitPath(text);
    left_.insert(left_.begin(), parts.begin(), parts.end());
    return 0;
  }

  const int root_;
  std::deque<std::string> left_;
  const std::function<void()>& before_step_;
  std::vector<Fd> folders_;
  Fd opened_;
  int links_ = 0;
};

class RangeSource final : public base::ByteSource {
 public:
  RangeSource(RootedFile file, uint64_t offset, uint64_t size)
      : file_(std::move(file)), offset_(offset), left_(size) {}

  absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) override {
    if (left_ == 0) return 0;
    const size_t wanted = static_cast<size_t>(std::min<uint64_t>(left_, buffer.size()));
    HISTEQ_ASSIGN_OR_RETURN(const size_t got, file_.ReadAt(offset_, buffer.first(wanted)));
    offset_ += got;
    left_ -= got;
    // Before the last bytes are handed on: who stops reading there hears of it too.
    if (left_ == 0 || got < wanted) HISTEQ_RETURN_IF_ERROR(file_.CheckUnchanged());
    if (got < wanted) return IoError(EIO, "the file at the location ended early");
    return got;
  }

 private:
  const RootedFile file_;
  uint64_t offset_;
  uint64_t left_;
};

absl::Status Unusable(const std::string& folder, const std::string& why) {
  return StoreError(absl::StatusCode::kInvalidArgument, "ROOT_UNUSABLE",
                    fmt::format("folder {} cannot be served: {}", folder, why), {{"path", folder}});
}

// `path` relative to `folder`, when it is below it.
std::optional<std::string> Below(const std::string& folder, const std::string& path) {
  if (folder == "/") return path.substr(1);
  if (path.size() <= folder.size() + 1 || path.compare(0, folder.size(), folder) != 0 ||
      path[folder.size()] != '/') {
    return std::nullopt;
  }
  return path.substr(folder.size() + 1);
}

}  // namespace

// ---- RootedFile

RootedFile::RootedFile(RootedFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), stamp_(other.stamp_) {}

RootedFile::~RootedFile() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<size_t> RootedFile::ReadAt(uint64_t offset, std::span<uint8_t> buffer) const {
  size_t done = 0;
  while (done < buffer.size()) {
    const ssize_t got =
        pread(fd_, buffer.data() + done, buffer.size() - done, static_cast<off_t>(offset + done));
    if (got < 0) {
      if (errno == EINTR) continue;
      return IoError(errno, "the file at the location cannot be read");
    }
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

absl::Status RootedFile::CheckUnchanged() const {
  struct stat info = {};
  if (fstat(fd_, &info) != 0) return IoError(errno, "the file at the location cannot be looked at");
  return CheckSameFile(stamp_, StampOf(info));
}

absl::Status CheckSameFile(const FileStamp& expected, const FileStamp& actual) {
  if (expected == actual) return absl::OkStatus();
  const auto text = [](const FileStamp& stamp) {
    return fmt::format(
        "{} bytes, modified at {}", stamp.size_bytes,
        absl::FormatTime(absl::RFC3339_full, stamp.modify_time, absl::UTCTimeZone()));
  };
  return base::MakeError(
      absl::StatusCode::kDataLoss,
      fmt::format("the file has changed since it was registered and read ({}; now {}): register it "
                  "again",
                  text(expected), text(actual)),
      {.reason = "SOURCE_CHANGED",
       .metadata = {{"expected", text(expected)}, {"actual", text(actual)}},
       .field = {},
       .retry_after = {}});
}

absl::Status CheckFileSize(uint64_t size_bytes, uint64_t max_bytes) {
  if (size_bytes <= max_bytes) return absl::OkStatus();
  return StoreError(
      absl::StatusCode::kInvalidArgument, "FILE_TOO_LARGE",
      fmt::format("the file has {} bytes, and {} are the most that one to be registered may have",
                  size_bytes, max_bytes),
      {{"limit", std::to_string(max_bytes)}, {"actual", std::to_string(size_bytes)}});
}

absl::StatusOr<BlobReader> ReadRange(RootedFile file, const BlobRange& range) {
  const uint64_t size = file.stamp().size_bytes;
  if (range.offset > size) {
    return StoreError(absl::StatusCode::kOutOfRange, "OFFSET_BEYOND_END",
                      fmt::format("offset {} is beyond the end of the file, which has {} bytes",
                                  range.offset, size),
                      {{"limit", std::to_string(size)}, {"actual", std::to_string(range.offset)}});
  }
  BlobReader reader;
  reader.blob_bytes = size;
  reader.size_bytes = size - range.offset;
  if (range.limit > 0) reader.size_bytes = std::min(reader.size_bytes, range.limit);
  reader.source = std::make_unique<RangeSource>(std::move(file), range.offset, reader.size_bytes);
  return reader;
}

// ---- FileRoot

FileRoot::FileRoot(std::string folder, std::string real_folder, Options options)
    : folder_(std::move(folder)),
      real_folder_(std::move(real_folder)),
      options_(std::move(options)) {}

absl::StatusOr<FileRoot> FileRoot::Open(const std::string& folder) {
  return Open(folder, Options());
}

absl::StatusOr<FileRoot> FileRoot::Open(const std::string& folder, Options options) {
  if (folder.empty()) return Unusable(folder, "its path is empty");
  std::error_code error;
  std::filesystem::path path = std::filesystem::absolute(folder, error).lexically_normal();
  if (error) return Unusable(folder, error.message());
  if (path.has_relative_path() && !path.has_filename()) path = path.parent_path();
  const std::filesystem::path real = std::filesystem::canonical(path, error);
  if (error) return Unusable(folder, error.message());
  const Fd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.open()) return Unusable(folder, strerror(errno));
  return FileRoot(path.string(), real.string(), std::move(options));
}

absl::StatusOr<RootedFile> FileRoot::OpenFile(const std::string& path) const {
  if (path.empty() || path.front() == '/' || path.find('\0') != std::string::npos ||
      path.size() >= PATH_MAX) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_LOCATION",
                 "the location's path is not one of plain parts below its folder");
  }
  const Fd root(open(folder_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  *missing_ = !root.open();
  if (!root.open()) {
    return base::MakeError(
        absl::StatusCode::kUnavailable,
        fmt::format("the folder whose files are served is not there now: {}", strerror(errno)),
        {.reason = "ROOT_MISSING", .metadata = {}, .field = {}, .retry_after = absl::Seconds(5)});
  }
  const auto open_at = [&](int flags) {
    if (!options_.walk && HasOpenat2()) {
      const int fd = OpenBeneath(root.get(), path, flags | O_CLOEXEC);
      return fd < 0 ? -errno : fd;
    }
    return Walk(root.get(), path, options_.before_step).Open(flags);
  };
  // First without opening it: to open a device can have effects.
  for (const int flags : {O_PATH, O_RDONLY | O_NONBLOCK | O_NOCTTY}) {
    const int opened = open_at(flags);
    if (opened < 0) {
      return opened == -EISDIR ? NotAFile("a folder") : OpenError(-opened);
    }
    Fd fd(opened);
    struct stat info = {};
    if (fstat(fd.get(), &info) != 0) return OpenError(errno);
    if (!S_ISREG(info.st_mode)) return NotAFile(KindName(info.st_mode));
    if (flags == O_PATH) continue;
    const int kept = fcntl(fd.get(), F_DUPFD_CLOEXEC, 0);
    if (kept < 0) return OpenError(errno);
    return RootedFile(kept, StampOf(info));
  }
  return absl::InternalError("not reached");
}

bool FileRoot::IsThere() const {
  // Not looked at while all is well: a file system that hangs must hold up jobs alone.
  if (!*missing_) return true;
  const Fd root(open(folder_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (root.open()) *missing_ = false;
  return root.open();
}

// ---- FileRoots

absl::StatusOr<FileRoots> FileRoots::Open(const std::vector<std::string>& folders) {
  FileRoots roots;
  for (const std::string& folder : folders) {
    HISTEQ_ASSIGN_OR_RETURN(FileRoot root, FileRoot::Open(folder));
    roots.roots_.push_back(std::move(root));
  }
  std::stable_sort(
      roots.roots_.begin(), roots.roots_.end(),
      [](const FileRoot& a, const FileRoot& b) { return a.folder().size() > b.folder().size(); });
  return roots;
}

absl::StatusOr<RootedFile> FileRoots::OpenFile(const std::string& path) const {
  for (const FileRoot& root : roots_) {
    std::optional<std::string> below = Below(root.folder(), path);
    if (!below.has_value()) below = Below(root.real_folder(), path);
    if (!below.has_value()) continue;
    absl::StatusOr<RootedFile> file = root.OpenFile(*below);
    if (file.ok()) return file;
    // What leads out of this folder may stay below one that holds it.
    const auto detail = base::GetErrorDetail(file.status());
    if (!detail.has_value() || detail->reason != "OUTSIDE_ROOTS") return file;
  }
  return Outside();
}

// ---- StorageRoots

absl::StatusOr<StorageRoots> StorageRoots::Open(const std::vector<std::string>& names_and_folders) {
  StorageRoots roots;
  for (const std::string& text : names_and_folders) {
    const size_t equals = text.find('=');
    const std::string name = text.substr(0, equals);
    if (equals == std::string::npos || !IsStorageName(name)) {
      return StoreError(
          absl::StatusCode::kInvalidArgument, "BAD_STORAGE_ROOT",
          fmt::format("storage root {}: NAME=PATH is needed, the name 1 to {} characters of "
                      "[0-9A-Za-z._-], the first a letter or digit",
                      text, kMaxStorageNameBytes));
    }
    HISTEQ_ASSIGN_OR_RETURN(FileRoot root, FileRoot::Open(text.substr(equals + 1)));
    if (!roots.roots_.emplace(name, std::move(root)).second) {
      return StoreError(absl::StatusCode::kInvalidArgument, "BAD_STORAGE_ROOT",
                        fmt::format("storage root {} is given twice", name));
    }
  }
  return roots;
}

std::vector<std::string> StorageRoots::Names() const {
  std::vector<std::string> names;
  for (const auto& [name, root] : roots_) names.push_back(name);
  return names;
}

std::vector<std::string> StorageRoots::NamesThere() const {
  std::vector<std::string> names;
  for (const auto& [name, root] : roots_) {
    if (root.IsThere()) names.push_back(name);
  }
  return names;
}

absl::StatusOr<RootedFile> StorageRoots::OpenFile(const std::string& name,
                                                  const std::string& path) const {
  const auto root = roots_.find(name);
  if (root == roots_.end()) {
    return StoreError(absl::StatusCode::kNotFound, "STORAGE_UNKNOWN",
                      fmt::format("this node has no storage root {}", name), {{"storage", name}});
  }
  return root->second.OpenFile(path);
}

}  // namespace histeq::store
