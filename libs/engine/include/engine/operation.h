#pragma once

// What a job does with an image, checked against that image.

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "codec/decoder.h"
#include "codec/image_info.h"
#include "codec/raster_layout.h"
#include "engine/thumbnail_parameters.h"
#include "histeq/parameters.h"

namespace histeq::engine {

struct Operation {
  // Numbers as in histeq.v1.Operation.
  enum class Kind { kEqualize = 1, kThumbnail = 2, kAnalyze = 3, kDerive = 4, kInspect = 5 };
  Kind kind = Kind::kEqualize;
  // For kEqualize, and for kDerive with `equalizes`.
  EqualizeParameters equalize = {};
  // For kThumbnail: one. For kDerive: one or more, made of the equalized image when `equalizes`.
  std::vector<ThumbnailParameters> thumbnails = {};
  bool equalizes = false;
  // Method::kMatch with another image as reference: the caller fills equalize.reference from that
  // image's statistics before RunJob.
  bool reads_reference = false;
};

// Whether the equalized image is a result, and whether thumbnails are.
bool Equalizes(const Operation& operation);
bool MakesThumbnails(const Operation& operation);

// Files that the operation makes of an image.
uint32_t ResultCount(const Operation& operation);

// Memory that the statistics, or the mapping, of one job may take; a CLAHE grid that needs more is
// refused.
inline constexpr uint64_t kMaxStatisticsBytes = 256ull << 20;

// Whether the operation can be done to this image.
// - INVALID_ARGUMENT BAD_PARAMETER: `field` is in proto notation
//   ("operation.equalize.clip_limit"), metadata "limit" says the allowed values.
absl::Status CheckOperation(const Operation& operation, const codec::ImageInfo& info);

// How the rows of an image are to be decoded: planes as they are where luma alone is wanted.
codec::SampleMode SampleModeFor(const Operation& operation);

// Plane 0 of the image as the histogram library sees it.
ImageShape ShapeOf(const codec::RasterLayout& layout, uint32_t height);

}  // namespace histeq::engine
