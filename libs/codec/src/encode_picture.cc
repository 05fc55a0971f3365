#include "codec/encode_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "base/status_macros.h"
#include "codec/fragment.h"
#include "picture_formats.h"

namespace histeq::codec {
namespace {

constexpr uint32_t kMaxDimension = 65500;
// Samples of a fragment, about.
constexpr uint64_t kFragmentBytes = 1 << 20;

uint64_t RowBytes(const Picture& picture) {
  return uint64_t{picture.width} * picture.channels * picture.bits_per_sample / 8;
}

absl::Status CheckPicture(const Picture& picture, const PictureEncoding& encoding) {
  const auto fits = [](uint32_t size) { return size >= 1 && size <= kMaxDimension; };
  const bool jpeg = encoding.format == ImageFormat::kJpeg;
  const bool samples = picture.channels >= 1 && picture.channels <= 4 &&
                       (picture.bits_per_sample == 8 || picture.bits_per_sample == 16) &&
                       (!jpeg || (picture.channels % 2 == 1 && picture.bits_per_sample == 8));
  const bool quality = encoding.quality >= 1 && encoding.quality <= 100;
  if (fits(picture.width) && fits(picture.height) && samples && quality &&
      picture.samples.size() == RowBytes(picture) * picture.height)
    return absl::OkStatus();
  return absl::InternalError(
      fmt::format("cannot encode {}x{} with {} channels of {} bits in {} bytes as {} of quality {}",
                  picture.width, picture.height, picture.channels, picture.bits_per_sample,
                  picture.samples.size(), FormatName(encoding.format), encoding.quality));
}

}  // namespace

absl::Status EncodePngPicture(const Picture& picture, const Metadata& metadata,
                              const std::function<absl::Status()>& check, base::ByteSink& sink) {
  const EncodeSpec spec = {.width = picture.width,
                           .height = picture.height,
                           .format = PngEncodeSpec{.channels = picture.channels,
                                                   .bits_per_sample = picture.bits_per_sample}};
  const RasterLayout layout = {.planes = {{.stored_width = picture.width,
                                           .visible_width = picture.width,
                                           .channels = picture.channels,
                                           .bytes_per_sample = picture.bits_per_sample / 8}},
                               .has_alpha = picture.channels % 2 == 0};
  HISTEQ_ASSIGN_OR_RETURN(const std::unique_ptr<Stitcher> stitcher,
                          CreateStitcher(spec, metadata, sink));
  const uint64_t row_bytes = RowBytes(picture);
  const auto step = static_cast<uint32_t>(std::max<uint64_t>(1, kFragmentBytes / row_bytes));
  for (uint32_t row = 0; row < picture.height; row += step) {
    HISTEQ_RETURN_IF_ERROR(check());
    const uint32_t rows = std::min(step, picture.height - row);
    HISTEQ_ASSIGN_OR_RETURN(
        const Fragment fragment,
        EncodeFragment(spec, layout, row, rows,
                       picture.samples.subspan(row * row_bytes, rows * row_bytes)));
    HISTEQ_RETURN_IF_ERROR(stitcher->Append(fragment));
  }
  return stitcher->Finish();
}

absl::Status EncodePicture(const Picture& picture, const PictureEncoding& encoding,
                           const Metadata& metadata, const std::function<absl::Status()>& check,
                           base::ByteSink& sink) {
  HISTEQ_RETURN_IF_ERROR(CheckPicture(picture, encoding));
  return encoding.format == ImageFormat::kJpeg
             ? EncodeJpegPicture(picture, encoding.quality, metadata, check, sink)
             : EncodePngPicture(picture, metadata, check, sink);
}

}  // namespace histeq::codec
