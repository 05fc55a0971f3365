#pragma once

// Where the results of commands go.

#include <string>

#include "histeq/v1/image.pb.h"

namespace histeq::client {

// "-": the standard output.
inline bool IsStandardOutput(const std::string& path) { return path == "-"; }

// Where a stored image goes: `out`; below it when it is a folder, or in the current folder when it
// is empty, under the image's name. A name that is no plain, visible file name is replaced by the
// id.
std::string ImagePath(const v1::Image& image, const std::string& out);

// The last part of a path.
std::string FileName(const std::string& path);

}  // namespace histeq::client
