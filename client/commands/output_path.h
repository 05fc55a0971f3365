#pragma once

// Where the results of commands go.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "histeq/v1/image.pb.h"

namespace histeq::client {

// "-": the standard output.
inline bool IsStandardOutput(const std::string& path) { return path == "-"; }

// One path for each of `inputs`, in order:
// - no `out`: the result's name (photo_EQUALIZED.jpg) beside the input;
// - `out` a folder, or several inputs: that name below it, or the input's own with `keep_name`;
// - else `out` itself.
// INVALID_ARGUMENT BAD_OUTPUT: two inputs would get one path, an input would be replaced by a
// result, or `out` is a file for several inputs.
absl::StatusOr<std::vector<std::string>> OutputPaths(const std::vector<std::string>& inputs,
                                                     const std::string& out, bool keep_name);

// The folder that has to exist before files are written to OutputPaths(inputs, out): empty for
// none. Only a last part that is missing is to be made.
std::string OutputFolder(const std::vector<std::string>& inputs, const std::string& out);

// Where a stored image goes: `out`; below it when it is a folder, or in the current folder when it
// is empty, under the image's name. A name that is no plain, visible file name is replaced by the
// id.
std::string ImagePath(const v1::Image& image, const std::string& out);

// The last part of a path.
std::string FileName(const std::string& path);

}  // namespace histeq::client
