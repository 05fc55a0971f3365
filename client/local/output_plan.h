#pragma once

// What is made of an image, and where it goes.

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "codec/image_info.h"
#include "histeq/v1/operation.pb.h"
#include "local/image_list.h"

namespace histeq::client {

// What a command makes of every image: an equalized copy, thumbnails, or both, then the
// thumbnails are those of the copy.
struct Recipe {
  std::optional<v1::Equalize> equalize;
  std::vector<v1::Thumbnail> thumbnails;
};

// One file that is made.
struct PlannedOutput {
  std::string path;
  // What makes this one alone.
  v1::Operation operation;
  // Index in Recipe::thumbnails; -1: the equalized copy.
  int thumbnail = -1;
};

// All files of one image.
struct OutputPlan {
  // Where the registry of outputs is that knows them: all lie in it or below.
  std::string registry_folder;
  std::vector<PlannedOutput> outputs;
};

struct OutputPlace {
  // A folder, which mirrors the folders that are walked; or the file itself when `is_file`. Empty:
  // beside the input.
  std::string path;
  bool is_file = false;
  // Equalized copies keep the input's name.
  bool keep_name = false;
};

// "a_EQUALIZED.jpg" for the copy; "a.jpg_thumb.jpg" for a thumbnail, "a.jpg_thumb_256x256.jpg"
// when there are several, "a_EQUALIZED.jpg_thumb.jpg" when it is one of the copy. `format` is that
// of the input, for thumbnails in the same format.
// - INVALID_ARGUMENT BAD_OUTPUT: two outputs of one path, or the input itself.
absl::StatusOr<OutputPlan> PlanOutputs(const InputImage& image, codec::ImageFormat format,
                                       const Recipe& recipe, const OutputPlace& place);

// The operation that makes `wanted` (of one recipe, in its order) in one go; `results` says for
// each of its results which of `wanted` it is, or -1 for one that nobody wants.
v1::Operation CombinedOperation(const Recipe& recipe, const std::vector<PlannedOutput>& wanted,
                                std::vector<int>& results);

// What a file begins like, whatever its name; JPEG when it begins like neither.
codec::ImageFormat FormatByFirstBytes(const std::string& path);

// Names the bytes of an output: 64 hexadecimal digits of the source (its path, size and time of
// change), the operation with all parameters, given or by default, and the version of results.
std::string OutputKey(const std::string& absolute_source, uint64_t size, int64_t mtime_ns,
                      const v1::Operation& operation);

}  // namespace histeq::client
