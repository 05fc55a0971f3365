#include "local/image_list.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <system_error>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "fmt/format.h"

namespace histeq::client {
namespace {

// A path of a list; longer ones no system takes.
constexpr size_t kMaxLineBytes = 64 << 10;

constexpr const char* kImageExtensions[] = {"jpg", "jpeg", "jpe", "jfif", "png"};
// Common beside images, and not worth opening.
constexpr const char* kOtherExtensions[] = {"txt", "json", "xml", "html", "sqlite", "log", "md",
                                            "csv", "zip",  "gz",  "tar",  "xmp",    "mp4", "mov"};

std::string Extension(const std::string& name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string::npos || dot == 0) return "";
  std::string extension = name.substr(dot + 1);
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return extension;
}

template <size_t kCount>
bool IsOneOf(const std::string& word, const char* const (&words)[kCount]) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

bool BeginsLikeAnImage(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0) return false;
  unsigned char bytes[8] = {};
  const ssize_t got = read(descriptor, bytes, sizeof(bytes));
  close(descriptor);
  return (got >= 3 && std::memcmp(bytes, "\xff\xd8\xff", 3) == 0) ||
         (got == 8 && std::memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0);
}

struct FileId {
  dev_t device;
  ino_t inode;
  bool operator==(const FileId&) const = default;
};
struct FileIdHash {
  size_t operator()(const FileId& id) const {
    return std::hash<uint64_t>()(id.inode * 0x9e3779b97f4a7c15ull + id.device);
  }
};

absl::Status NotReadable(int error) {
  const bool missing = error == ENOENT || error == ENOTDIR;
  return base::MakeError(
      missing ? absl::StatusCode::kNotFound : absl::StatusCode::kPermissionDenied,
      "cannot be read: " + std::error_code(error, std::generic_category()).message(),
      {.reason = missing ? "FILE_NOT_FOUND" : "FILE_NOT_READABLE"});
}

// Whether a path leads from the current folder downwards alone.
bool LiesBelowCurrent(const std::string& path) {
  const std::filesystem::path normal = std::filesystem::path(path).lexically_normal();
  return normal.is_relative() && *normal.begin() != "..";
}

class Walk {
 public:
  Walk(const ImageListOptions& options, ImageList& list) : options_(options), list_(list) {
    struct stat file;
    if (!options.output_folder.empty() && stat(options.output_folder.c_str(), &file) == 0) {
      output_ = FileId{file.st_dev, file.st_ino};
      has_output_ = true;
    }
  }

  // `of_list`: a line of one.
  void Add(const std::string& input, bool of_list) {
    keeps_folders_ = of_list && LiesBelowCurrent(input);
    struct stat file;
    if (stat(input.c_str(), &file) != 0) {
      // Said when it is worked on.
      Take(input, 0);
      return;
    }
    if (!S_ISDIR(file.st_mode)) {
      if (files_.insert({file.st_dev, file.st_ino}).second) Take(input, 0);
      return;
    }
    list_.many = true;
    std::string root = input;
    if (!root.ends_with('/')) root += '/';
    // Deep trees must not take the stack.
    std::vector<std::string> waiting = {root};
    while (!waiting.empty() && !options_.token.cancelled()) {
      const std::string folder = std::move(waiting.back());
      waiting.pop_back();
      AddFolder(folder, static_cast<uint32_t>(root.size()), waiting);
    }
  }

 private:
  void Take(std::string path, uint32_t root_bytes) {
    list_.images.push_back(
        {.path = std::move(path), .root_bytes = root_bytes, .keeps_folders = keeps_folders_});
  }

  void AddFolder(const std::string& folder, uint32_t root_bytes,
                 std::vector<std::string>& waiting) {
    const std::unique_ptr<DIR, int (*)(DIR*)> open(opendir(folder.c_str()), closedir);
    if (open == nullptr) {
      list_.refused.emplace_back(folder, NotReadable(errno));
      return;
    }
    // Also ends loops of mounts.
    struct stat here;
    if (fstat(dirfd(open.get()), &here) != 0 ||
        !folders_.insert({here.st_dev, here.st_ino}).second) {
      return;
    }
    const bool is_root = folder.size() == root_bytes;
    if (!is_root && has_output_ && FileId{here.st_dev, here.st_ino} == output_) return;
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = readdir(open.get())) {
      if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
      errno = 0;
    }
    if (errno != 0) list_.refused.emplace_back(folder, NotReadable(errno));
    std::sort(names.begin(), names.end());
    std::vector<std::string> folders;
    for (const std::string& name : names) {
      struct stat entry;
      if (fstatat(dirfd(open.get()), name.c_str(), &entry, AT_SYMLINK_NOFOLLOW) != 0) continue;
      std::string path = folder + name;
      if (S_ISDIR(entry.st_mode)) {
        if (options_.recursive) folders.push_back(path + "/");
        continue;
      }
      if (S_ISLNK(entry.st_mode) && stat(path.c_str(), &entry) != 0) continue;
      if (!S_ISREG(entry.st_mode) || IsOwnOutput(name)) continue;
      const std::string extension = Extension(name);
      if (!IsOneOf(extension, kImageExtensions) &&
          (IsOneOf(extension, kOtherExtensions) || !BeginsLikeAnImage(path))) {
        continue;
      }
      if (!files_.insert({entry.st_dev, entry.st_ino}).second) continue;
      Take(std::move(path), root_bytes);
    }
    // In their order from the stack.
    for (auto it = folders.rbegin(); it != folders.rend(); ++it) waiting.push_back(std::move(*it));
  }

  const ImageListOptions& options_;
  ImageList& list_;
  bool has_output_ = false;
  // Of the input that is added.
  bool keeps_folders_ = false;
  FileId output_ = {};
  std::unordered_set<FileId, FileIdHash> files_;
  std::unordered_set<FileId, FileIdHash> folders_;
};

}  // namespace

std::string InputImage::kept_folders() const {
  if (keeps_folders) {
    return std::filesystem::path(path.substr(0, path.rfind('/') + 1)).lexically_normal().string();
  }
  if (root_bytes == 0) return "";
  return path.substr(root_bytes, path.rfind('/') + 1 - root_bytes);
}

bool IsOwnOutput(const std::string& name) {
  const size_t dot = name.rfind('.');
  const std::string stem = dot == std::string::npos ? name : name.substr(0, dot);
  if (stem.ends_with("_EQUALIZED")) return true;
  const size_t tag = stem.rfind("_thumb");
  // In front of it is a whole file name.
  if (tag == std::string::npos || stem.substr(0, tag).find('.') == std::string::npos) return false;
  const std::string rest = stem.substr(tag + 6);
  if (rest.empty()) return true;
  const size_t cross = rest.find('x');
  const auto digits = [](const std::string& text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  };
  return rest.front() == '_' && cross != std::string::npos && digits(rest.substr(1, cross - 1)) &&
         digits(rest.substr(cross + 1));
}

ImageList ListImages(std::span<const std::string> inputs, const ImageListOptions& options) {
  ImageList list;
  list.many = inputs.size() > 1 || !options.jobs_from.empty();
  Walk walk(options, list);
  for (const std::string& input : inputs) walk.Add(input, /*of_list=*/false);
  if (options.jobs_from.empty()) return list;
  std::ifstream file;
  std::istream* lines = options.in;
  if (options.jobs_from != "-") {
    file.open(options.jobs_from);
    lines = &file;
  }
  if (lines == nullptr || !*lines) {
    list.refused.emplace_back(options.jobs_from, NotReadable(errno != 0 ? errno : EIO));
    return list;
  }
  std::string line;
  while (!options.token.cancelled() && std::getline(*lines, line)) {
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty()) continue;
    if (line.size() > kMaxLineBytes || line.find('\0') != std::string::npos) {
      list.refused.emplace_back(
          options.jobs_from,
          base::MakeError(absl::StatusCode::kInvalidArgument,
                          fmt::format("a line of {} bytes is no path", line.size()),
                          {.reason = "BAD_INPUT_LIST"}));
      break;
    }
    walk.Add(line, /*of_list=*/true);
  }
  // A folder opens like a list, and a disk may fail in the middle of one.
  if (lines->bad()) {
    list.refused.emplace_back(options.jobs_from, NotReadable(errno != 0 ? errno : EIO));
  }
  return list;
}

}  // namespace histeq::client
