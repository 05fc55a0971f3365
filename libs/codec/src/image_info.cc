#include "codec/image_info.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "codec/decoder.h"
#include "formats.h"

namespace histeq::codec {

const char* FormatName(ImageFormat format) { return format == ImageFormat::kJpeg ? "JPEG" : "PNG"; }

absl::Status CheckImageSize(uint64_t width, uint64_t height, const DecodeLimits& limits) {
  if (width == 0 || height == 0)
    return base::MakeError(absl::StatusCode::kInvalidArgument,
                           fmt::format("the image is empty: {}x{} pixels", width, height),
                           {.reason = "IMAGE_CORRUPT"});
  if (width > limits.max_dimension || height > limits.max_dimension)
    return base::MakeError(
        absl::StatusCode::kInvalidArgument,
        fmt::format("the image is {}x{} pixels; width and height are limited to {}", width, height,
                    limits.max_dimension),
        {.reason = "IMAGE_TOO_LARGE",
         .metadata = {{"limit", std::to_string(limits.max_dimension)},
                      {"actual", std::to_string(width > height ? width : height)}}});
  // Both are below 2^32, so the product cannot wrap.
  if (width * height > limits.max_pixels)
    return base::MakeError(absl::StatusCode::kInvalidArgument,
                           fmt::format("the image is {}x{} = {} pixels; the limit is {}", width,
                                       height, width * height, limits.max_pixels),
                           {.reason = "IMAGE_TOO_LARGE",
                            .metadata = {{"limit", std::to_string(limits.max_pixels)},
                                         {"actual", std::to_string(width * height)}}});
  return absl::OkStatus();
}

absl::StatusOr<ImageInfo> ProbeImage(base::ByteSource& source, const DecodeLimits& limits) {
  return WithFormat(source, [&](ImageFormat format, base::ByteSource& all) {
    return format == ImageFormat::kJpeg ? ProbeJpeg(all, limits) : ProbePng(all, limits);
  });
}

}  // namespace histeq::codec
