#include "commands/output_path.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "api/local_file.h"
#include "base/error.h"
#include "display/names.h"
#include "fmt/format.h"
#include "store/records.h"

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

absl::Status BadOutput(const std::string& message) {
  return base::MakeError(absl::StatusCode::kInvalidArgument, message, {.reason = "BAD_OUTPUT"});
}

}  // namespace

std::string FileName(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

absl::StatusOr<std::vector<std::string>> OutputPaths(const std::vector<std::string>& inputs,
                                                     const std::string& out, bool keep_name) {
  if (inputs.size() > 1 && IsStandardOutput(out)) {
    return BadOutput("-o - takes the result of one input alone");
  }
  if (keep_name && out.empty()) return BadOutput("--keep-name needs a folder to write to: -o");
  std::error_code error;
  if (inputs.size() > 1 && !out.empty() && fs::exists(out, error) && !IsFolder(out)) {
    return BadOutput(fmt::format("-o {}: a folder is wanted for {} inputs, and this is a file", out,
                                 inputs.size()));
  }
  std::vector<std::string> paths;
  std::set<std::string> seen;
  std::set<std::string> read;
  for (const std::string& input : inputs) {
    read.insert(fs::path(input).lexically_normal().string());
  }
  for (const std::string& input : inputs) {
    const std::string name = FileName(input);
    const std::string result = keep_name ? name : store::ResultName(name, "EQUALIZED");
    std::string path;
    if (out.empty()) {
      path = input.substr(0, input.size() - name.size()) + result;
    } else if (inputs.size() > 1 || IsFolder(out)) {
      path = Below(out, result);
    } else {
      path = out;
    }
    if (!IsStandardOutput(path)) {
      if (!seen.insert(fs::path(path).lexically_normal().string()).second) {
        return BadOutput(fmt::format("two inputs would be written to {}", path));
      }
      if (fs::equivalent(path, input, error)) {
        return BadOutput(fmt::format("{} would be replaced by its own result", input));
      }
      if (read.count(fs::path(path).lexically_normal().string()) != 0) {
        return BadOutput(
            fmt::format("{} is an input, and the result of {} too: leave one of them out, or give "
                        "the results a folder with -o",
                        path, input));
      }
    }
    paths.push_back(std::move(path));
  }
  return paths;
}

std::string OutputFolder(const std::vector<std::string>& inputs, const std::string& out) {
  return !out.empty() && !IsStandardOutput(out) && (inputs.size() > 1 || IsFolder(out)) ? out : "";
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
