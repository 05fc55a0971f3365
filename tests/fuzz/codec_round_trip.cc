#include "codec_round_trip.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <vector>

#include "base/error.h"
#include "codec/fragment.h"

namespace histeq::codec {
namespace {

class MemorySource : public base::ByteSource {
 public:
  explicit MemorySource(std::span<const uint8_t> bytes) : left_(bytes) {}
  absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) override {
    // Pieces of an odd size, so that everything crosses their borders.
    const size_t n = std::min({buffer.size(), left_.size(), size_t{509}});
    std::copy_n(left_.begin(), n, buffer.begin());
    left_ = left_.subspan(n);
    return n;
  }

 private:
  std::span<const uint8_t> left_;
};

class MemorySink : public base::ByteSink {
 public:
  absl::Status Write(std::span<const uint8_t> more) override {
    bytes.insert(bytes.end(), more.begin(), more.end());
    return absl::OkStatus();
  }
  std::vector<uint8_t> bytes;
};

constexpr DecodeLimits kLimits{.max_pixels = 1 << 18,
                               .max_dimension = 1 << 14,
                               .max_jpeg_scans = 12,
                               .max_metadata_bytes = 1 << 17};

void Must(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

void MustBeClear(const absl::Status& status) {
  if (status.ok()) return;
  const auto detail = base::GetErrorDetail(status);
  const bool clear = detail.has_value() && !detail->reason.empty() && !status.message().empty() &&
                     status.code() == absl::StatusCode::kInvalidArgument;
  if (!clear) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  Must(clear, "an error is INVALID_ARGUMENT with a reason");
}

struct Picture {
  EncodeSpec spec;
  RasterLayout layout;
  Metadata metadata;
  // All rows in one segment, and the same rows in the smallest ones.
  std::vector<uint8_t> whole;
  std::vector<std::vector<uint8_t>> parts;
};

absl::Status Decode(std::span<const uint8_t> file, SampleMode mode, uint32_t units,
                    Picture& picture) {
  base::MemoryBudget budget(256 << 20);
  {
    MemorySource source(file);
    auto decoder = OpenDecoder(
        source, {.limits = kLimits, .mode = mode, .budget = &budget, .scratch_dir = "/nowhere"});
    if (!decoder.ok()) return decoder.status();
    picture.spec = (*decoder)->encode_spec();
    picture.layout = (*decoder)->layout();
    Must(ValidateEncodeSpec(picture.spec, picture.layout).ok(), "a decoder's spec is valid");
    const uint32_t height = picture.spec.height;
    const uint32_t step =
        units == 0 ? height : units * FragmentRowMultiple(picture.spec, picture.layout);
    for (uint32_t row = 0; row < height; row += step) {
      const uint32_t rows = std::min(step, height - row);
      std::vector<uint8_t> segment(SegmentBytes(picture.layout, rows), 0xA5);
      if (absl::Status status = (*decoder)->ReadRows(rows, segment); !status.ok()) return status;
      if (units == 0)
        picture.whole = std::move(segment);
      else
        picture.parts.push_back(std::move(segment));
    }
    if (absl::Status status = (*decoder)->Finish(); !status.ok()) return status;
    picture.metadata = (*decoder)->metadata();
  }
  Must(budget.used_bytes() == 0, "the budget is given back");
  return absl::OkStatus();
}

std::vector<uint8_t> Encode(const Picture& picture, uint32_t units) {
  MemorySink sink;
  auto stitcher = CreateStitcher(picture.spec, picture.metadata, sink);
  Must(stitcher.ok(), "a header is written");
  uint32_t row = 0;
  auto append = [&](uint32_t rows, const std::vector<uint8_t>& segment) {
    const auto fragment = EncodeFragment(picture.spec, picture.layout, row, rows, segment);
    Must(fragment.ok(), "a segment is encoded");
    Must((*stitcher)->Append(*fragment).ok(), "a fragment is taken");
    row += rows;
  };
  if (units == 0) append(picture.spec.height, picture.whole);
  const uint32_t step = units * FragmentRowMultiple(picture.spec, picture.layout);
  if (units != 0)
    for (const auto& part : picture.parts) append(std::min(step, picture.spec.height - row), part);
  Must((*stitcher)->Finish().ok(), "a file is finished");
  return std::move(sink.bytes);
}

}  // namespace

void RoundTrip(std::span<const uint8_t> file, SampleMode mode) {
  MemorySource source(file);
  const auto info = ProbeImage(source, kLimits);
  MustBeClear(info.status());
  Picture picture;
  const absl::Status status = Decode(file, mode, 0, picture);
  MustBeClear(status);
  if (!info.ok()) Must(!status.ok(), "what cannot be probed cannot be decoded");
  if (!status.ok()) return;
  Must(info->width == picture.spec.width && info->height == picture.spec.height,
       "probe and decoder agree");
  const uint32_t units = std::max<uint32_t>(
      1, picture.spec.height / 8 / FragmentRowMultiple(picture.spec, picture.layout));
  Must(Decode(file, mode, units, picture).ok(), "a file is decoded again");
  const std::vector<uint8_t> one = Encode(picture, 0);
  const std::vector<uint8_t> many = Encode(picture, units);
  const bool jpeg = picture.spec.image_format() == ImageFormat::kJpeg;
  if (jpeg) Must(one == many, "a JPEG does not depend on how it was cut");
  const bool converted = jpeg && std::get<JpegEncodeSpec>(picture.spec.format).color_transform ==
                                     JpegColorTransform::kRgbToYCbCr;
  for (const auto& out : {one, many}) {
    Picture again;
    const absl::Status reread = Decode(out, mode, 0, again);
    if (!reread.ok()) std::fprintf(stderr, "%s\n", reread.ToString().c_str());
    Must(reread.ok(), "the output is read");
    Must(again.spec.width == picture.spec.width && again.spec.height == picture.spec.height,
         "the size is the same");
    // What was decoded to RGB is in planes from now on.
    if (!converted) Must(again.whole.size() == picture.whole.size(), "the planes are the same");
    if (!jpeg) Must(again.whole == picture.whole, "the samples are the same");
    Must(again.metadata.pieces.size() == picture.metadata.pieces.size(), "the metadata stays");
  }
}

}  // namespace histeq::codec
