#include "commands/output_path.h"

#include <algorithm>
#include <filesystem>

#include "api/local_file.h"
#include "display/names.h"

namespace histeq::client {
namespace {

namespace fs = std::filesystem;

bool IsFolder(const std::string& path) {
  std::error_code error;
  return (!path.empty() && path.back() == '/') || fs::is_directory(path, error);
}

std::string Below(const std::string& folder, const std::string& name) {
  return !folder.empty() && folder.back() != '/' ? folder + "/" + name : folder + name;
}

}  // namespace

std::string FileName(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

std::string ImagePath(const v1::Image& image, const std::string& out) {
  if (!out.empty() && !IsFolder(out)) return out;
  std::string name = image.name();
  if (!CheckImageName(name).ok() || name.front() == '.') {
    name.clear();
    std::copy_if(image.id().begin(), image.id().end(), std::back_inserter(name), [](char c) {
      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-';
    });
    name = "image-" + name.substr(0, 64) + "." +
           (image.format() == v1::IMAGE_FORMAT_JPEG ? "jpg" : FormatName(image.format()));
  }
  return out.empty() ? name : Below(out, name);
}

}  // namespace histeq::client
