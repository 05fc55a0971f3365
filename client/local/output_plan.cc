#include "local/output_plan.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "base/error.h"
#include "engine/result_version.h"
#include "fmt/format.h"
#include "rpc/canonical_operation.h"
#include "store/records.h"
#include "store/sha256.h"

namespace histeq::client {
namespace {

constexpr size_t kMaxNameBytes = 255;

absl::Status BadOutput(const std::string& message) {
  return base::MakeError(absl::StatusCode::kInvalidArgument, message, {.reason = "BAD_OUTPUT"});
}

std::string WithSlash(std::string folder) {
  if (!folder.ends_with('/')) folder += '/';
  return folder;
}

// The folder of a path, with its slash; "" for a name alone.
std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

std::string ThumbnailName(const std::string& name, codec::ImageFormat source,
                          const v1::Thumbnail& thumbnail, bool with_size) {
  const bool png = thumbnail.format() == v1::IMAGE_FORMAT_UNSPECIFIED
                       ? source == codec::ImageFormat::kPng
                       : thumbnail.format() == v1::IMAGE_FORMAT_PNG;
  const std::string ending = fmt::format(
      "_thumb{}.{}",
      with_size ? fmt::format("_{}x{}", thumbnail.width(), thumbnail.height()) : std::string(),
      png ? "png" : "jpg");
  // Cut between characters where the whole would be too long for a file system.
  size_t kept = std::min(name.size(), kMaxNameBytes - ending.size());
  while (kept < name.size() && kept > 0 && (name[kept] & 0xC0) == 0x80) --kept;
  return name.substr(0, kept) + ending;
}

}  // namespace

absl::StatusOr<OutputPlan> PlanOutputs(const InputImage& image, codec::ImageFormat format,
                                       const Recipe& recipe, const OutputPlace& place) {
  OutputPlan plan;
  const std::string name = image.name();
  std::string folder;
  if (place.path.empty()) {
    folder = FolderOf(image.path);
    plan.registry_folder = image.root_bytes > 0 ? image.root() : folder;
  } else if (place.is_file) {
    plan.registry_folder = FolderOf(place.path);
  } else {
    plan.registry_folder = WithSlash(place.path);
    folder = plan.registry_folder + image.kept_folders();
  }
  if (recipe.equalize.has_value()) {
    PlannedOutput output;
    output.path = folder + (place.keep_name ? name : store::ResultName(name, "EQUALIZED"));
    *output.operation.mutable_equalize() = *recipe.equalize;
    plan.outputs.push_back(std::move(output));
  }
  // As the services name it.
  const std::string thumbnail_of =
      recipe.equalize.has_value() ? store::ResultName(name, "EQUALIZED") : name;
  for (size_t i = 0; i < recipe.thumbnails.size(); ++i) {
    PlannedOutput output;
    output.thumbnail = static_cast<int>(i);
    output.path = folder + ThumbnailName(thumbnail_of, format, recipe.thumbnails[i],
                                         recipe.thumbnails.size() > 1);
    if (recipe.equalize.has_value()) {
      *output.operation.mutable_derive()->mutable_equalize() = *recipe.equalize;
      *output.operation.mutable_derive()->add_thumbnails() = recipe.thumbnails[i];
    } else {
      *output.operation.mutable_thumbnail() = recipe.thumbnails[i];
    }
    plan.outputs.push_back(std::move(output));
  }
  if (plan.registry_folder.empty()) plan.registry_folder = "./";
  if (place.is_file) {
    if (plan.outputs.size() != 1) {
      return BadOutput(
          fmt::format("-o {}: a folder is wanted for {} results", place.path, plan.outputs.size()));
    }
    plan.outputs.front().path = place.path;
  }
  std::set<std::string> seen = {image.path};
  for (const PlannedOutput& output : plan.outputs) {
    if (output.path == image.path) {
      return BadOutput(fmt::format("{} would be replaced by its own result", image.path));
    }
    if (!seen.insert(output.path).second) {
      return BadOutput(fmt::format("two results would be written to {}", output.path));
    }
  }
  return plan;
}

v1::Operation CombinedOperation(const Recipe& recipe, const std::vector<PlannedOutput>& wanted,
                                std::vector<int>& results) {
  results.clear();
  if (wanted.size() == 1 && (wanted.front().thumbnail < 0 || !recipe.equalize.has_value())) {
    results = {0};
    return wanted.front().operation;
  }
  v1::Operation operation;
  v1::Derive& derive = *operation.mutable_derive();
  if (recipe.equalize.has_value()) {
    *derive.mutable_equalize() = *recipe.equalize;
    results.push_back(wanted.front().thumbnail < 0 ? 0 : -1);
  }
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i].thumbnail < 0) continue;
    *derive.add_thumbnails() = recipe.thumbnails[static_cast<size_t>(wanted[i].thumbnail)];
    results.push_back(static_cast<int>(i));
  }
  return operation;
}

codec::ImageFormat FormatByFirstBytes(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0) return codec::ImageFormat::kJpeg;
  char bytes[8] = {};
  const ssize_t got = read(descriptor, bytes, sizeof(bytes));
  close(descriptor);
  return got == 8 && std::memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0 ? codec::ImageFormat::kPng
                                                                     : codec::ImageFormat::kJpeg;
}

std::string OutputKey(const std::string& absolute_source, uint64_t size, int64_t mtime_ns,
                      const v1::Operation& operation) {
  const std::string text =
      fmt::format("histeq output {}\n{}\n{}\n{}\n{}", engine::kResultVersion, absolute_source, size,
                  mtime_ns, rpc::Serialize(rpc::Canonical(operation)));
  return store::ToHex(
      store::Sha256Of({reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
}

}  // namespace histeq::client
