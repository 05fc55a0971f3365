#pragma once

// The formats behind the public functions, chosen by their first bytes.

#include <memory>
#include <utility>
#include <vector>

#include "base/cancel.h"
#include "base/status_macros.h"
#include "capture.h"
#include "codec/decoder.h"
#include "codec/fragment.h"

namespace histeq::codec {

absl::StatusOr<ImageInfo> ProbeJpeg(base::ByteSource& source, const DecodeLimits& limits);
absl::StatusOr<ImageInfo> ProbePng(base::ByteSource& source, const DecodeLimits& limits);
absl::StatusOr<std::unique_ptr<Decoder>> OpenJpeg(base::ByteSource& source,
                                                  const DecodeOptions& options);
absl::StatusOr<std::unique_ptr<Decoder>> OpenPng(base::ByteSource& source,
                                                 const DecodeOptions& options);
absl::StatusOr<Fragment> EncodeJpegFragment(const EncodeSpec& spec, const RasterLayout& layout,
                                            uint32_t first_row, uint32_t rows,
                                            std::span<const uint8_t> segment,
                                            const base::CancelToken& token);
absl::StatusOr<Fragment> EncodePngFragment(const EncodeSpec& spec, const RasterLayout& layout,
                                           uint32_t first_row, uint32_t rows,
                                           std::span<const uint8_t> segment,
                                           const base::CancelToken& token);
absl::StatusOr<std::unique_ptr<Stitcher>> CreateJpegStitcher(const EncodeSpec& spec,
                                                             const Metadata& metadata,
                                                             base::ByteSink& sink);
absl::StatusOr<std::unique_ptr<Stitcher>> CreatePngStitcher(const EncodeSpec& spec,
                                                            const Metadata& metadata,
                                                            base::ByteSink& sink);

// NOT_AN_IMAGE, UNSUPPORTED_FORMAT or IMAGE_TRUNCATED; or the format of a file with these first
// bytes.
absl::StatusOr<ImageFormat> DetectFormat(std::span<const uint8_t> head);

inline constexpr size_t kDetectBytes = 16;

template <typename F>
auto WithFormat(base::ByteSource& source, F f) -> decltype(f(ImageFormat::kJpeg, source)) {
  HISTEQ_ASSIGN_OR_RETURN(std::vector<uint8_t> head, ReadUpTo(source, kDetectBytes));
  HISTEQ_ASSIGN_OR_RETURN(const ImageFormat format, DetectFormat(head));
  PrefixedSource all(std::move(head), source);
  return f(format, all);
}

}  // namespace histeq::codec
