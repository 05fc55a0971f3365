#include <fmt/format.h>
#include <jerror.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "codec/orientation.h"
#include "formats.h"
#include "jpeg_client.h"
#include "jpeg_error.h"
#include "jpeg_source.h"

namespace histeq::codec {
namespace {

constexpr uint32_t kBlock = 8;

bool IsColorProfile(const Metadata::Piece& piece) {
  using namespace std::string_view_literals;
  constexpr auto kName = "ICC_PROFILE\0"sv;
  return piece.marker == JPEG_APP0 + 2 && piece.bytes.size() >= kName.size() &&
         std::memcmp(piece.bytes.data(), kName.data(), kName.size()) == 0;
}

class JpegDecoder final : public Decoder {
 public:
  JpegDecoder(base::ByteSource& source, const DecodeOptions& options) : options_(options) {
    cinfo_.err = InitJpegErrors(errors_);
    scratch_.budget = options.budget;
    scratch_.directory = options.scratch_dir;
    markers_.limit_bytes = options.limits.max_metadata_bytes;
    InitJpegSource(source_, source, options.limits.max_metadata_bytes);
  }
  ~JpegDecoder() override {
    // Does not read on, and does not fail.
    jpeg_destroy_decompress(&cinfo_);
  }

  absl::Status ReadHeader(bool keep_markers) {
    HISTEQ_RETURN_IF_ERROR(JpegGuard(common(), errors_, [&] {
      jpeg_create_decompress(&cinfo_);
      cinfo_.client_data = &client_;
      InstallJpegScratch(common());
      cinfo_.src = &source_.manager;
      if (keep_markers) KeepJpegMarkers(&cinfo_);
      jpeg_read_header(&cinfo_, TRUE);
      SkipJpegMarkers(&cinfo_);
    }));
    source_.in_header = false;
    HISTEQ_RETURN_IF_ERROR(
        CheckImageSize(cinfo_.image_width, cinfo_.image_height, options_.limits));
    if (cinfo_.data_precision != 8)
      return Unsupported(fmt::format("{} bits a sample", cinfo_.data_precision));
    if (cinfo_.arith_code) return Unsupported("arithmetic coding");
    const bool known = cinfo_.jpeg_color_space == JCS_GRAYSCALE ||
                       cinfo_.jpeg_color_space == JCS_YCbCr || cinfo_.jpeg_color_space == JCS_RGB ||
                       cinfo_.jpeg_color_space == JCS_CMYK || cinfo_.jpeg_color_space == JCS_YCCK;
    if (!known)
      return Unsupported(fmt::format("{} components of an unknown kind", cinfo_.num_components));
    info_ = {.format = ImageFormat::kJpeg,
             .width = cinfo_.image_width,
             .height = cinfo_.image_height,
             .channels = static_cast<uint32_t>(cinfo_.num_components),
             .bits_per_sample = 8,
             .has_alpha = false,
             .progressive = jpeg_has_multiple_scans(&cinfo_) != 0};
    return absl::OkStatus();
  }

  absl::Status Start() {
    KeepMetadata();
    scaled_ = options_.jpeg_scale != nullptr;
    JpegScale scale;
    if (scaled_) scale = options_.jpeg_scale(info_, orientation_);
    raw_ = !scaled_ && (cinfo_.jpeg_color_space == JCS_GRAYSCALE ||
                        (options_.mode == SampleMode::kRawPlanes &&
                         cinfo_.jpeg_color_space == JCS_YCbCr && HasFullLuma() && FitsOneMcu()));
    progress_.manager.progress_monitor = CountScans;
    progress_.limit = static_cast<int>(options_.limits.max_jpeg_scans);
    HISTEQ_RETURN_IF_ERROR(JpegGuard(common(), errors_, [&] {
      cinfo_.progress = &progress_.manager;
      cinfo_.dct_method = JDCT_ISLOW;
      cinfo_.do_block_smoothing = FALSE;
      cinfo_.scale_num = 1;
      cinfo_.scale_denom = scale.denominator;
      cinfo_.do_fancy_upsampling = scale.smooth_colors;
      if (raw_) {
        cinfo_.raw_data_out = TRUE;
        cinfo_.out_color_space = cinfo_.jpeg_color_space;
      } else {
        const bool cmyk =
            cinfo_.jpeg_color_space == JCS_CMYK || cinfo_.jpeg_color_space == JCS_YCCK;
        const bool gray = cinfo_.jpeg_color_space == JCS_GRAYSCALE;
        const bool keep_ycc = !scaled_ && options_.mode == SampleMode::kInterleavedYCbCr &&
                              cinfo_.jpeg_color_space == JCS_YCbCr;
        cinfo_.out_color_space = cmyk       ? JCS_CMYK
                                 : gray     ? JCS_GRAYSCALE
                                 : keep_ycc ? JCS_YCbCr
                                            : JCS_RGB;
      }
      jpeg_start_decompress(&cinfo_);
    }));
    HISTEQ_RETURN_IF_ERROR(CheckAllComponentsCame());
    if (scaled_)
      DescribeScaled();
    else
      Describe();
    return absl::OkStatus();
  }

  const ImageInfo& info() const override { return info_; }
  const RasterLayout& layout() const override { return layout_; }
  const EncodeSpec& encode_spec() const override { return spec_; }
  const Metadata& metadata() const override { return metadata_; }
  uint32_t orientation() const override { return orientation_; }

  absl::Status ReadRows(uint32_t rows, std::span<uint8_t> segment) override {
    const uint32_t left = spec_.height - next_row_;
    if (rows == 0 || rows > left || (rows % layout_.unit_rows != 0 && rows != left) ||
        segment.size() != SegmentBytes(layout_, rows))
      return absl::InternalError(fmt::format("{} rows at {} do not fit", rows, next_row_));
    HISTEQ_RETURN_IF_ERROR(raw_ ? ReadRaw(rows, segment) : ReadRgb(rows, segment));
    next_row_ += rows;
    return absl::OkStatus();
  }

  absl::Status Finish() override {
    return JpegGuard(common(), errors_, [&] { jpeg_finish_decompress(&cinfo_); });
  }

 private:
  struct Progress {
    // First: libjpeg hands back a pointer to it.
    jpeg_progress_mgr manager{};
    int limit = 0;
  };

  static void CountScans(j_common_ptr cinfo) {
    const auto* decompress = reinterpret_cast<j_decompress_ptr>(cinfo);
    const int limit = reinterpret_cast<Progress*>(cinfo->progress)->limit;
    if (const int scans = decompress->input_scan_number; scans > limit)
      TooManyScans(cinfo, scans, limit);
  }
  static void TooManyScans(j_common_ptr cinfo, int scans, int limit) {
    auto& errors = *reinterpret_cast<JpegErrors*>(cinfo->err);
    SetTooManyScans(errors, scans, limit);
    longjmp(errors.jump, 1);
  }
  static void SetTooManyScans(JpegErrors& errors, int scans, int limit) {
    errors.status = base::MakeError(
        absl::StatusCode::kInvalidArgument,
        fmt::format("the JPEG has {} scans or more; the limit is {}", scans, limit),
        {.reason = "TOO_MANY_SCANS",
         .metadata = {{"limit", std::to_string(limit)}, {"actual", std::to_string(scans)}}});
  }
  static absl::Status Unsupported(const std::string& what) {
    return base::MakeError(absl::StatusCode::kInvalidArgument,
                           "a JPEG of this kind is not supported: " + what,
                           {.reason = "UNSUPPORTED_FORMAT", .metadata = {{"actual", what}}});
  }

  j_common_ptr common() { return reinterpret_cast<j_common_ptr>(&cinfo_); }

  // Luma is counted and mapped as plane 0, which covers every pixel.
  bool HasFullLuma() const {
    return cinfo_.comp_info[0].h_samp_factor == cinfo_.max_h_samp_factor &&
           cinfo_.comp_info[0].v_samp_factor == cinfo_.max_v_samp_factor;
  }

  // The output has one scan, and thus all components in an MCU. A source with a scan for each
  // component may have more blocks than that allows.
  bool FitsOneMcu() const {
    int blocks = 0;
    for (int i = 0; i < cinfo_.num_components; ++i)
      blocks += cinfo_.comp_info[i].h_samp_factor * cinfo_.comp_info[i].v_samp_factor;
    return blocks <= C_MAX_BLOCKS_IN_MCU;
  }

  // libjpeg makes a component gray whose scans are not in the file.
  absl::Status CheckAllComponentsCame() const {
    for (int i = 0; i < cinfo_.num_components; ++i) {
      const bool came = cinfo_.comp_info[i].quant_table != nullptr &&
                        (cinfo_.coef_bits == nullptr || cinfo_.coef_bits[i][0] >= 0);
      if (!came)
        return base::MakeError(absl::StatusCode::kInvalidArgument,
                               fmt::format("the JPEG has no scan for its component {} of {}", i + 1,
                                           cinfo_.num_components),
                               {.reason = "IMAGE_CORRUPT"});
    }
    return absl::OkStatus();
  }

  void KeepMetadata() {
    metadata_.has_jfif = cinfo_.saw_JFIF_marker != 0;
    metadata_.density_unit = cinfo_.density_unit;
    metadata_.density_x = cinfo_.X_density;
    metadata_.density_y = cinfo_.Y_density;
    // A CMYK profile does not fit the RGB samples.
    if (cinfo_.num_components == 4) std::erase_if(markers_.pieces, IsColorProfile);
    metadata_.pieces = std::move(markers_.pieces);
    orientation_ = OrientationOf(metadata_, ImageFormat::kJpeg);
  }

  void DescribeScaled() {
    spec_.width = cinfo_.output_width;
    spec_.height = cinfo_.output_height;
    layout_.planes.push_back({.stored_width = spec_.width,
                              .visible_width = spec_.width,
                              .channels = cinfo_.out_color_space == JCS_GRAYSCALE ? 1u : 3u});
  }

  void Describe() {
    JpegEncodeSpec jpeg;
    // Tables by component, equal ones once.
    auto table_of = [&](const jpeg_component_info& c) -> uint32_t {
      std::array<uint16_t, 64> table;
      for (int i = 0; i < 64; ++i)
        table[i] = static_cast<uint16_t>(std::clamp<int>(c.quant_table->quantval[i], 1, 255));
      const auto at = std::find(jpeg.quant_tables.begin(), jpeg.quant_tables.end(), table);
      if (at != jpeg.quant_tables.end())
        return static_cast<uint32_t>(at - jpeg.quant_tables.begin());
      jpeg.quant_tables.push_back(table);
      return static_cast<uint32_t>(jpeg.quant_tables.size() - 1);
    };
    spec_.width = info_.width;
    spec_.height = info_.height;
    if (raw_) {
      jpeg.color_transform = cinfo_.jpeg_color_space == JCS_GRAYSCALE ? JpegColorTransform::kGray
                                                                      : JpegColorTransform::kYCbCr;
      const uint32_t max_h = static_cast<uint32_t>(cinfo_.max_h_samp_factor);
      const uint32_t max_v = static_cast<uint32_t>(cinfo_.max_v_samp_factor);
      layout_.max_vertical_sampling = max_v;
      layout_.unit_rows = max_v * kBlock;
      for (int i = 0; i < cinfo_.num_components; ++i) {
        const jpeg_component_info& c = cinfo_.comp_info[i];
        const uint32_t h = static_cast<uint32_t>(c.h_samp_factor);
        const uint32_t v = static_cast<uint32_t>(c.v_samp_factor);
        jpeg.components.push_back(
            {.horizontal_sampling = h, .vertical_sampling = v, .quant_table = table_of(c)});
        layout_.planes.push_back({.stored_width = c.width_in_blocks * kBlock,
                                  .visible_width = (info_.width * h + max_h - 1) / max_h,
                                  .channels = 1,
                                  .bytes_per_sample = 1,
                                  .vertical_sampling = v});
      }
    } else {
      jpeg.color_transform = cinfo_.out_color_space == JCS_YCbCr ? JpegColorTransform::kYCbCr
                                                                 : JpegColorTransform::kRgbToYCbCr;
      const bool ycc = cinfo_.jpeg_color_space == JCS_YCbCr;
      const jpeg_component_info* c = cinfo_.comp_info;
      const bool usual = ycc && c[0].h_samp_factor <= 2 && c[0].v_samp_factor <= 2 &&
                         c[1].h_samp_factor == 1 && c[1].v_samp_factor == 1 &&
                         c[2].h_samp_factor == 1 && c[2].v_samp_factor == 1;
      const uint32_t h = usual ? static_cast<uint32_t>(c[0].h_samp_factor) : 1;
      const uint32_t v = usual ? static_cast<uint32_t>(c[0].v_samp_factor) : 1;
      const uint32_t first = table_of(c[0]);
      const uint32_t second = ycc ? table_of(c[1]) : first;
      jpeg.components = {{h, v, first}, {1, 1, second}, {1, 1, second}};
      layout_.max_vertical_sampling = 1;
      layout_.unit_rows = v * kBlock;
      layout_.planes.push_back({.stored_width = info_.width,
                                .visible_width = info_.width,
                                .channels = 3,
                                .bytes_per_sample = 1,
                                .vertical_sampling = 1});
    }
    spec_.format = std::move(jpeg);
  }

  absl::Status ReadRaw(uint32_t rows, std::span<uint8_t> segment) {
    const bool tail = next_row_ + rows == info_.height;
    // libjpeg leaves blocks below the image untouched.
    if (tail && rows % layout_.unit_rows != 0) std::memset(segment.data(), 0, segment.size());
    const uint32_t lines = layout_.unit_rows;
    const uint32_t units = (rows + lines - 1) / lines;
    return JpegGuard(common(), errors_, [&] {
      JSAMPROW row_pointers[4][4 * kBlock];
      JSAMPARRAY planes[4] = {row_pointers[0], row_pointers[1], row_pointers[2], row_pointers[3]};
      for (uint32_t unit = 0; unit < units; ++unit) {
        for (size_t p = 0; p < layout_.planes.size(); ++p) {
          const uint32_t height = layout_.planes[p].vertical_sampling * kBlock;
          const uint64_t stride = PlaneStride(layout_.planes[p]);
          uint8_t* base =
              segment.data() + PlaneOffset(layout_, p, rows) + uint64_t{unit} * height * stride;
          for (uint32_t r = 0; r < height; ++r) row_pointers[p][r] = base + r * stride;
        }
        if (jpeg_read_raw_data(&cinfo_, planes, lines) != lines) ERREXIT(&cinfo_, JERR_INPUT_EOF);
      }
    });
  }

  absl::Status ReadRgb(uint32_t rows, std::span<uint8_t> segment) {
    const bool cmyk = cinfo_.out_color_space == JCS_CMYK;
    const uint64_t stride = PlaneStride(layout_.planes[0]);
    if (cmyk) line_.resize(size_t{spec_.width} * 4);
    HISTEQ_RETURN_IF_ERROR(JpegGuard(common(), errors_, [&] {
      for (uint32_t r = 0; r < rows; ++r) {
        uint8_t* out = segment.data() + r * stride;
        JSAMPROW row = cmyk ? line_.data() : out;
        if (jpeg_read_scanlines(&cinfo_, &row, 1) != 1) ERREXIT(&cinfo_, JERR_INPUT_EOF);
        if (cmyk) CmykToRgb(out);
      }
    }));
    // Rows that fill the last unit repeat the last one, as an encoder would.
    const uint64_t stored = PlaneRows(layout_, 0, rows);
    for (uint64_t r = rows; r < stored; ++r)
      std::memcpy(segment.data() + r * stride, segment.data() + (rows - 1) * stride, stride);
    return absl::OkStatus();
  }

  // Adobe writes ink inverted: 255 is no ink.
  void CmykToRgb(uint8_t* out) const {
    const bool inverted = cinfo_.saw_Adobe_marker != 0;
    for (uint32_t x = 0; x < spec_.width; ++x) {
      const uint8_t* in = line_.data() + size_t{x} * 4;
      const uint32_t k = inverted ? in[3] : 255u - in[3];
      for (int c = 0; c < 3; ++c) {
        const uint32_t light = inverted ? in[c] : 255u - in[c];
        out[size_t{x} * 3 + c] = static_cast<uint8_t>((light * k + 127) / 255);
      }
    }
  }

  const DecodeOptions options_;
  JpegErrors errors_{};
  JpegSource source_;
  JpegScratch scratch_;
  JpegMarkers markers_;
  JpegClient client_{.scratch = &scratch_, .markers = &markers_};
  Progress progress_;
  jpeg_decompress_struct cinfo_{};
  bool raw_ = false;
  bool scaled_ = false;
  uint32_t orientation_ = kUpright;
  ImageInfo info_;
  RasterLayout layout_;
  EncodeSpec spec_;
  Metadata metadata_;
  uint32_t next_row_ = 0;
  std::vector<uint8_t> line_;
};

}  // namespace

absl::StatusOr<ImageInfo> ProbeJpeg(base::ByteSource& source, const DecodeLimits& limits) {
  DecodeOptions options;
  options.limits = limits;
  auto decoder = std::make_unique<JpegDecoder>(source, options);
  HISTEQ_RETURN_IF_ERROR(decoder->ReadHeader(/*keep_markers=*/false));
  return decoder->info();
}

absl::StatusOr<std::unique_ptr<Decoder>> OpenJpeg(base::ByteSource& source,
                                                  const DecodeOptions& options) {
  auto decoder = std::make_unique<JpegDecoder>(source, options);
  HISTEQ_RETURN_IF_ERROR(decoder->ReadHeader(/*keep_markers=*/true));
  HISTEQ_RETURN_IF_ERROR(decoder->Start());
  return std::unique_ptr<Decoder>(std::move(decoder));
}

}  // namespace histeq::codec
