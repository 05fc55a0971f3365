#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>

#include "base/error.h"
#include "formats.h"

namespace histeq::codec {
namespace {

bool StartsWith(std::span<const uint8_t> head, std::string_view magic) {
  return head.size() >= magic.size() &&
         std::equal(magic.begin(), magic.end(), head.begin(),
                    [](char a, uint8_t b) { return static_cast<uint8_t>(a) == b; });
}

absl::Status Unsupported(const char* name) {
  return base::MakeError(
      absl::StatusCode::kInvalidArgument,
      fmt::format("the file looks like {}; JPEG and PNG are supported", name),
      {.reason = "UNSUPPORTED_FORMAT", .metadata = {{"actual", name}, {"limit", "JPEG, PNG"}}});
}

// Owns the bytes that were looked at to find the format.
class OwningDecoder : public Decoder {
 public:
  OwningDecoder(std::unique_ptr<PrefixedSource> source, std::unique_ptr<Decoder> decoder)
      : source_(std::move(source)), decoder_(std::move(decoder)) {}
  const ImageInfo& info() const override { return decoder_->info(); }
  const RasterLayout& layout() const override { return decoder_->layout(); }
  const EncodeSpec& encode_spec() const override { return decoder_->encode_spec(); }
  uint32_t orientation() const override { return decoder_->orientation(); }
  absl::Status ReadRows(uint32_t rows, std::span<uint8_t> segment) override {
    return decoder_->ReadRows(rows, segment);
  }
  absl::Status Finish() override { return decoder_->Finish(); }
  const Metadata& metadata() const override { return decoder_->metadata(); }

 private:
  std::unique_ptr<PrefixedSource> source_;
  std::unique_ptr<Decoder> decoder_;
};

}  // namespace

absl::StatusOr<ImageFormat> DetectFormat(std::span<const uint8_t> head) {
  using namespace std::string_view_literals;
  if (head.empty())
    return base::MakeError(absl::StatusCode::kInvalidArgument, "the file is empty: 0 bytes",
                           {.reason = "NOT_AN_IMAGE", .metadata = {{"actual", "0"}}});
  if (StartsWith(head, "\xFF\xD8\xFF"sv)) return ImageFormat::kJpeg;
  constexpr auto kPng = "\x89PNG\r\n\x1A\n"sv;
  if (StartsWith(head, kPng)) return ImageFormat::kPng;
  // A prefix of a signature: the file was cut off right there.
  for (const auto magic : {"\xFF\xD8\xFF"sv, kPng}) {
    if (head.size() < magic.size() && StartsWith(head, magic.substr(0, head.size())))
      return base::MakeError(
          absl::StatusCode::kInvalidArgument,
          fmt::format("the image ends after {} bytes", head.size()),
          {.reason = "IMAGE_TRUNCATED", .metadata = {{"actual", std::to_string(head.size())}}});
  }
  static constexpr std::array<std::pair<std::string_view, const char*>, 9> kOthers{{
      {"II*\0"sv, "TIFF"},
      {"MM\0*"sv, "TIFF"},
      {"II+\0"sv, "BigTIFF"},
      {"MM\0+"sv, "BigTIFF"},
      {"GIF8"sv, "GIF"},
      {"RIFF"sv, "WebP or another RIFF file"},
      {"\x00\x00\x00\x0CjP"sv, "JPEG 2000"},
      {"\xFF\x0A"sv, "JPEG XL"},
      {"BM"sv, "BMP"},
  }};
  for (const auto& [magic, name] : kOthers) {
    if (StartsWith(head, magic)) return Unsupported(name);
  }
  if (head.size() >= 12 && StartsWith(head.subspan(4), "ftyp"sv)) {
    const auto brand = head.subspan(8);
    for (const auto known : {"heic"sv, "heix"sv, "mif1"sv, "msf1"sv, "avif"sv, "avis"sv})
      if (StartsWith(brand, known)) return Unsupported("HEIF or AVIF");
  }
  return base::MakeError(absl::StatusCode::kInvalidArgument,
                         "the file is not an image: it begins neither like a JPEG nor like a PNG",
                         {.reason = "NOT_AN_IMAGE", .metadata = {{"limit", "JPEG, PNG"}}});
}

absl::StatusOr<std::unique_ptr<Decoder>> OpenDecoder(base::ByteSource& source,
                                                     const DecodeOptions& options) {
  HISTEQ_ASSIGN_OR_RETURN(std::vector<uint8_t> head, ReadUpTo(source, kDetectBytes));
  HISTEQ_ASSIGN_OR_RETURN(const ImageFormat format, DetectFormat(head));
  auto all = std::make_unique<PrefixedSource>(std::move(head), source);
  auto decoder = format == ImageFormat::kJpeg ? OpenJpeg(*all, options) : OpenPng(*all, options);
  if (!decoder.ok()) return decoder.status();
  return std::unique_ptr<Decoder>(
      std::make_unique<OwningDecoder>(std::move(all), std::move(decoder).value()));
}

absl::StatusOr<Fragment> EncodeFragment(const EncodeSpec& spec, const RasterLayout& layout,
                                        uint32_t first_row, uint32_t rows,
                                        std::span<const uint8_t> segment,
                                        const base::CancelToken& token) {
  const uint32_t multiple = FragmentRowMultiple(spec, layout);
  const uint64_t end = uint64_t{first_row} + rows;
  if (rows == 0 || end > spec.height || first_row % multiple != 0 ||
      (end != spec.height && rows % multiple != 0) || segment.size() != SegmentBytes(layout, rows))
    return base::MakeError(
        absl::StatusCode::kInvalidArgument,
        fmt::format("the segment does not fit the image: rows {} to {} of {}, cut at multiples of "
                    "{}, {} bytes where {} belong",
                    first_row, end, spec.height, multiple, segment.size(),
                    SegmentBytes(layout, rows)),
        {.reason = "INVALID_SEGMENT"});
  return spec.image_format() == ImageFormat::kJpeg
             ? EncodeJpegFragment(spec, layout, first_row, rows, segment, token)
             : EncodePngFragment(spec, layout, first_row, rows, segment, token);
}

absl::StatusOr<std::unique_ptr<Stitcher>> CreateStitcher(const EncodeSpec& spec,
                                                         const Metadata& metadata,
                                                         base::ByteSink& sink) {
  return spec.image_format() == ImageFormat::kJpeg ? CreateJpegStitcher(spec, metadata, sink)
                                                   : CreatePngStitcher(spec, metadata, sink);
}

}  // namespace histeq::codec
