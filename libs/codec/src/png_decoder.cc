#include <fmt/format.h>
#include <png.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "codec/orientation.h"
#include "codec/scratch.h"
#include "formats.h"
#include "png_source.h"

namespace histeq::codec {
namespace {

static_assert(std::endian::native == std::endian::little, "16-bit samples are handed on as such");

// How much of an interlaced image in a file stays mapped behind the row in use.
constexpr uint64_t kWindowBytes = 8ull << 20;

class PngDecoder final : public Decoder {
 public:
  PngDecoder(base::ByteSource& source, const DecodeOptions& options)
      : options_(options), source_(source, options.limits.max_metadata_bytes) {}
  ~PngDecoder() override { png_destroy_read_struct(&png_, &png_info_, nullptr); }

  absl::Status ReadHeader() {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, OnError, OnWarning);
    if (png_ != nullptr) png_info_ = png_create_info_struct(png_);
    if (png_info_ == nullptr)
      return base::MakeError(absl::StatusCode::kResourceExhausted,
                             "no memory for the state of a PNG decoder",
                             {.reason = "OUT_OF_MEMORY"});
    HISTEQ_RETURN_IF_ERROR(Guard([this] {
      png_set_read_fn(png_, this, OnRead);
      // Our own limits come from the options.
      png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
      png_set_crc_action(png_, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
      // A wrong Adler-32, too little or too much data: libpng would warn and go on.
      png_set_benign_errors(png_, 0);
      png_read_info(png_, png_info_);
    }));
    info_ = {.format = ImageFormat::kPng,
             .width = png_get_image_width(png_, png_info_),
             .height = png_get_image_height(png_, png_info_),
             .channels = png_get_channels(png_, png_info_),
             .bits_per_sample = png_get_bit_depth(png_, png_info_),
             .has_alpha = (png_get_color_type(png_, png_info_) & PNG_COLOR_MASK_ALPHA) != 0 ||
                          png_get_valid(png_, png_info_, PNG_INFO_tRNS) != 0,
             .progressive = png_get_interlace_type(png_, png_info_) != PNG_INTERLACE_NONE};
    return CheckImageSize(info_.width, info_.height, options_.limits);
  }

  absl::Status Start() {
    const int color = png_get_color_type(png_, png_info_);
    const bool transparent = png_get_valid(png_, png_info_, PNG_INFO_tRNS) != 0;
    indexed_ = color == PNG_COLOR_TYPE_PALETTE;
    for (const std::vector<uint8_t>& chunk : source_.kept()) {
      if (orientation_ == kUpright)
        orientation_ =
            OrientationOf({.pieces = {{.marker = 0, .bytes = chunk}}}, ImageFormat::kPng);
    }
    if (indexed_) LoadPalette();
    HISTEQ_RETURN_IF_ERROR(Guard([&] {
      if (indexed_) {
        // One index a byte; the colours are looked up here, where an index beyond them is an error.
        png_set_packing(png_);
      } else {
        if (color == PNG_COLOR_TYPE_GRAY && info_.bits_per_sample < 8)
          png_set_expand_gray_1_2_4_to_8(png_);
        if (transparent) png_set_tRNS_to_alpha(png_);
        if (info_.bits_per_sample == 16) png_set_swap(png_);
      }
      passes_ = png_set_interlace_handling(png_);
      png_read_update_info(png_, png_info_);
      read_stride_ = png_get_rowbytes(png_, png_info_);
    }));
    const uint32_t bytes = info_.bits_per_sample == 16 ? 2 : 1;
    uint32_t channels = indexed_ ? 3 : info_.channels;
    if ((color & PNG_COLOR_MASK_ALPHA) == 0 && transparent) ++channels;
    layout_.planes.push_back({.stored_width = info_.width,
                              .visible_width = info_.width,
                              .channels = channels,
                              .bytes_per_sample = bytes,
                              .vertical_sampling = 1});
    layout_.has_alpha = info_.has_alpha;
    spec_.width = info_.width;
    spec_.height = info_.height;
    spec_.format = PngEncodeSpec{.channels = channels, .bits_per_sample = bytes * 8};
    const uint64_t expected = indexed_ ? info_.width : PlaneStride(layout_.planes[0]);
    if (read_stride_ != expected)
      return absl::InternalError(
          fmt::format("libpng gives rows of {} bytes, not {}", read_stride_, expected));
    return passes_ > 1 ? ReadInterlaced() : absl::OkStatus();
  }

  const ImageInfo& info() const override { return info_; }
  const RasterLayout& layout() const override { return layout_; }
  const EncodeSpec& encode_spec() const override { return spec_; }
  const Metadata& metadata() const override { return metadata_; }
  uint32_t orientation() const override { return orientation_; }

  absl::Status ReadRows(uint32_t rows, std::span<uint8_t> segment) override {
    if (rows == 0 || rows > info_.height - next_row_ ||
        segment.size() != SegmentBytes(layout_, rows))
      return absl::InternalError(fmt::format("{} rows at {} do not fit", rows, next_row_));
    const uint64_t stride = PlaneStride(layout_.planes[0]);
    if (passes_ > 1) {
      for (uint32_t r = 0; r < rows; ++r) {
        const uint8_t* in = scratch_.data() + uint64_t{next_row_ + r} * read_stride_;
        HISTEQ_RETURN_IF_ERROR(PutRow(in, segment.data() + r * stride));
      }
      ReleaseBehind(next_row_ + rows);
    } else if (indexed_) {
      line_.resize(read_stride_);
      for (uint32_t r = 0; r < rows; ++r) {
        HISTEQ_RETURN_IF_ERROR(Guard([this] { png_read_row(png_, line_.data(), nullptr); }));
        HISTEQ_RETURN_IF_ERROR(PutRow(line_.data(), segment.data() + r * stride));
      }
    } else {
      HISTEQ_RETURN_IF_ERROR(Guard([&] {
        for (uint32_t r = 0; r < rows; ++r)
          png_read_row(png_, segment.data() + r * stride, nullptr);
      }));
    }
    next_row_ += rows;
    return absl::OkStatus();
  }

  absl::Status Finish() override {
    if (next_row_ != info_.height)
      return absl::InternalError(
          fmt::format("finished after {} of {} rows", next_row_, info_.height));
    HISTEQ_RETURN_IF_ERROR(Guard([this] { png_read_end(png_, nullptr); }));
    for (std::vector<uint8_t>& chunk : source_.kept())
      metadata_.pieces.push_back({.marker = 0, .bytes = std::move(chunk)});
    return absl::OkStatus();
  }

 private:
  // libpng leaves by longjmp: what runs inside holds nothing that needs a destructor.
  template <typename F>
  absl::Status Guard(F&& f) {
    if (setjmp(png_jmpbuf(png_)) != 0) return std::exchange(status_, absl::OkStatus());
    f();
    return absl::OkStatus();
  }

  static PngDecoder& Of(png_voidp pointer) { return *static_cast<PngDecoder*>(pointer); }

  static void OnRead(png_structp png, png_bytep out, size_t size) {
    if (!Of(png_get_io_ptr(png)).ReadForLibrary({out, size})) png_longjmp(png, 1);
  }
  static void OnWarning(png_structp, png_const_charp) {}
  [[noreturn]] static void OnError(png_structp png, png_const_charp message) {
    Of(png_get_error_ptr(png)).KeepError(message);
    png_longjmp(png, 1);
  }

  // Apart, so that no destructor waits in the frames that longjmp leaves.
  bool ReadForLibrary(std::span<uint8_t> out) {
    status_ = source_.Read(out);
    return status_.ok();
  }
  void KeepError(const char* message) {
    const bool memory = std::string_view(message).find("emory") != std::string_view::npos;
    status_ = base::MakeError(
        memory ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kInvalidArgument,
        fmt::format("the PNG cannot be read: {}", message),
        {.reason = memory ? "OUT_OF_MEMORY" : "IMAGE_CORRUPT"});
  }

  void LoadPalette() {
    png_colorp colors = nullptr;
    int count = 0;
    png_bytep alphas = nullptr;
    int alpha_count = 0;
    png_get_PLTE(png_, png_info_, &colors, &count);
    png_get_tRNS(png_, png_info_, &alphas, &alpha_count, nullptr);
    palette_size_ = static_cast<uint32_t>(count);
    for (int i = 0; i < count; ++i)
      palette_[static_cast<size_t>(i)] = {colors[i].red, colors[i].green, colors[i].blue,
                                          i < alpha_count ? alphas[i] : uint8_t{255}};
  }

  absl::Status PutRow(const uint8_t* in, uint8_t* out) const {
    if (!indexed_) {
      std::memcpy(out, in, read_stride_);
      return absl::OkStatus();
    }
    const size_t channels = layout_.planes[0].channels;
    for (uint32_t x = 0; x < info_.width; ++x) {
      if (in[x] >= palette_size_)
        return base::MakeError(absl::StatusCode::kInvalidArgument,
                               fmt::format("the PNG is damaged: a pixel has the colour {} of {}",
                                           in[x], palette_size_),
                               {.reason = "IMAGE_CORRUPT",
                                .metadata = {{"limit", std::to_string(palette_size_)},
                                             {"actual", std::to_string(in[x])}}});
      std::memcpy(out + x * channels, palette_[in[x]].data(), channels);
    }
    return absl::OkStatus();
  }

  absl::Status ReadInterlaced() {
    HISTEQ_ASSIGN_OR_RETURN(scratch_, Scratch::Create(uint64_t{read_stride_} * info_.height,
                                                      options_.budget, options_.scratch_dir));
    return Guard([this] {
      for (int pass = 0; pass < passes_; ++pass) {
        for (uint32_t y = 0; y < info_.height; ++y) {
          png_read_row(png_, scratch_.data() + uint64_t{y} * read_stride_, nullptr);
          ReleaseBehind(y);
        }
        scratch_.Release(0, scratch_.size());
        released_ = 0;
      }
    });
  }

  // Rows before `row` are not needed soon.
  void ReleaseBehind(uint32_t row) {
    const uint64_t end = uint64_t{row} * read_stride_;
    if (end - released_ < kWindowBytes) return;
    scratch_.Release(released_, end);
    released_ = end;
  }

  const DecodeOptions options_;
  PngSource source_;
  absl::Status status_;
  png_structp png_ = nullptr;
  png_infop png_info_ = nullptr;
  ImageInfo info_;
  RasterLayout layout_;
  EncodeSpec spec_;
  Metadata metadata_;
  uint32_t orientation_ = kUpright;
  bool indexed_ = false;
  uint32_t palette_size_ = 0;
  std::array<std::array<uint8_t, 4>, 256> palette_{};
  int passes_ = 1;
  // Bytes of a row as libpng hands it out.
  uint64_t read_stride_ = 0;
  uint32_t next_row_ = 0;
  std::vector<uint8_t> line_;
  // All rows of an interlaced image.
  Scratch scratch_;
  uint64_t released_ = 0;
};

}  // namespace

absl::StatusOr<ImageInfo> ProbePng(base::ByteSource& source, const DecodeLimits& limits) {
  DecodeOptions options;
  options.limits = limits;
  PngDecoder decoder(source, options);
  HISTEQ_RETURN_IF_ERROR(decoder.ReadHeader());
  return decoder.info();
}

absl::StatusOr<std::unique_ptr<Decoder>> OpenPng(base::ByteSource& source,
                                                 const DecodeOptions& options) {
  auto decoder = std::make_unique<PngDecoder>(source, options);
  HISTEQ_RETURN_IF_ERROR(decoder->ReadHeader());
  HISTEQ_RETURN_IF_ERROR(decoder->Start());
  return std::unique_ptr<Decoder>(std::move(decoder));
}

}  // namespace histeq::codec
