#pragma once

// Thumbnails of one image, which is decoded once for each scale that they need.

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "base/byte_stream.h"
#include "codec/image_info.h"
#include "engine/run_job.h"
#include "engine/thumbnail_parameters.h"

namespace histeq::engine {

// Rows decoded, of all.
using DecodeProgress = std::function<void(uint32_t rows, uint32_t height)>;

// Writes the thumbnails to `sink` one after the other, and adds their sizes to `result_bytes`.
// Works on the calling thread alone. Nothing is written before the whole image was read. `progress`
// may be empty.
absl::StatusOr<codec::ImageInfo> MakeThumbnails(base::ByteSource& source, base::ByteSink& sink,
                                                const std::vector<ThumbnailParameters>& thumbnails,
                                                const JobOptions& options,
                                                const DecodeProgress& progress,
                                                std::vector<uint64_t>& result_bytes);

}  // namespace histeq::engine
