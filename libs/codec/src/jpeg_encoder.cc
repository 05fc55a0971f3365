#include <fmt/format.h>
#include <jerror.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "formats.h"
#include "jpeg_error.h"

namespace histeq::codec {
namespace {

constexpr uint32_t kBlock = 8;

// libjpeg's destination: a vector that grows.
struct VectorDestination {
  // First: libjpeg hands back a pointer to it.
  jpeg_destination_mgr manager{};
  std::vector<uint8_t> bytes;
};

void StartDestination(j_compress_ptr cinfo) {
  auto* out = reinterpret_cast<VectorDestination*>(cinfo->dest);
  if (out->bytes.size() < 64 * 1024) out->bytes.resize(64 * 1024);
  out->manager.next_output_byte = out->bytes.data();
  out->manager.free_in_buffer = out->bytes.size();
}

boolean GrowDestination(j_compress_ptr cinfo) {
  auto* out = reinterpret_cast<VectorDestination*>(cinfo->dest);
  const size_t used = out->bytes.size();
  out->bytes.resize(used * 2);
  out->manager.next_output_byte = out->bytes.data() + used;
  out->manager.free_in_buffer = out->bytes.size() - used;
  return TRUE;
}

void EndDestination(j_compress_ptr cinfo) {
  auto* out = reinterpret_cast<VectorDestination*>(cinfo->dest);
  out->bytes.resize(out->bytes.size() - out->manager.free_in_buffer);
}

class JpegCompressor {
 public:
  JpegCompressor() {
    cinfo_.err = InitJpegErrors(errors_);
    out_.manager.init_destination = StartDestination;
    out_.manager.empty_output_buffer = GrowDestination;
    out_.manager.term_destination = EndDestination;
  }
  ~JpegCompressor() { jpeg_destroy_compress(&cinfo_); }
  JpegCompressor(const JpegCompressor&) = delete;
  JpegCompressor& operator=(const JpegCompressor&) = delete;

  // Encodes `rows` rows as an image of their own of `height` rows; when height is larger, the file
  // is left unfinished after them. Once.
  absl::Status Encode(const EncodeSpec& spec, const RasterLayout& layout, uint32_t height,
                      uint32_t rows, const uint8_t* segment, const Metadata* metadata,
                      const base::CancelToken& token) {
    const auto& jpeg = std::get<JpegEncodeSpec>(spec.format);
    const bool raw = jpeg.color_transform != JpegColorTransform::kRgbToYCbCr;
    // A twentieth of the samples or so; grows when that is not enough.
    out_.bytes.resize(std::max<size_t>(64 * 1024, SegmentBytes(layout, rows) / 4));
    const absl::Status status = JpegGuard(reinterpret_cast<j_common_ptr>(&cinfo_), errors_, [&] {
      jpeg_create_compress(&cinfo_);
      cinfo_.dest = &out_.manager;
      Configure(spec, jpeg, height, metadata);
      jpeg_start_compress(&cinfo_, TRUE);
      if (metadata != nullptr) {
        for (const auto& piece : metadata->pieces)
          jpeg_write_marker(&cinfo_, piece.marker, piece.bytes.data(),
                            static_cast<unsigned>(piece.bytes.size()));
      }
      if (raw)
        WriteRaw(layout, rows, segment, token);
      else
        WriteRgb(layout, rows, segment, token);
      if (!cancelled_.ok()) return;
      if (rows == height)
        jpeg_finish_compress(&cinfo_);
      else
        EndDestination(&cinfo_);
    });
    HISTEQ_RETURN_IF_ERROR(status);
    return cancelled_;
  }

  std::vector<uint8_t>& bytes() { return out_.bytes; }

 private:
  void Configure(const EncodeSpec& spec, const JpegEncodeSpec& jpeg, uint32_t height,
                 const Metadata* metadata) {
    cinfo_.image_width = spec.width;
    cinfo_.image_height = height;
    switch (jpeg.color_transform) {
      case JpegColorTransform::kGray:
        cinfo_.input_components = 1;
        cinfo_.in_color_space = JCS_GRAYSCALE;
        break;
      case JpegColorTransform::kYCbCr:
        cinfo_.input_components = 3;
        cinfo_.in_color_space = JCS_YCbCr;
        break;
      case JpegColorTransform::kRgbToYCbCr:
        cinfo_.input_components = 3;
        cinfo_.in_color_space = JCS_RGB;
        break;
    }
    jpeg_set_defaults(&cinfo_);
    jpeg_set_colorspace(&cinfo_, cinfo_.input_components == 1 ? JCS_GRAYSCALE : JCS_YCbCr);
    cinfo_.dct_method = JDCT_ISLOW;
    cinfo_.optimize_coding = FALSE;
    cinfo_.raw_data_in = jpeg.color_transform != JpegColorTransform::kRgbToYCbCr;
    cinfo_.restart_in_rows = 1;
    for (size_t t = 0; t < jpeg.quant_tables.size(); ++t) {
      unsigned values[64];
      for (int i = 0; i < 64; ++i) values[i] = jpeg.quant_tables[t][i];
      jpeg_add_quant_table(&cinfo_, static_cast<int>(t), values, 100, TRUE);
    }
    for (size_t i = 0; i < jpeg.components.size(); ++i) {
      cinfo_.comp_info[i].h_samp_factor = static_cast<int>(jpeg.components[i].horizontal_sampling);
      cinfo_.comp_info[i].v_samp_factor = static_cast<int>(jpeg.components[i].vertical_sampling);
      cinfo_.comp_info[i].quant_tbl_no = static_cast<int>(jpeg.components[i].quant_table);
    }
    cinfo_.write_Adobe_marker = FALSE;
    cinfo_.write_JFIF_header = metadata != nullptr && metadata->has_jfif;
    if (metadata != nullptr) {
      cinfo_.density_unit = metadata->density_unit;
      cinfo_.X_density = metadata->density_x;
      cinfo_.Y_density = metadata->density_y;
    }
  }

  void WriteRaw(const RasterLayout& layout, uint32_t rows, const uint8_t* segment,
                const base::CancelToken& token) {
    const uint32_t lines = layout.unit_rows;
    JSAMPROW row_pointers[4][4 * kBlock];
    JSAMPARRAY planes[4] = {row_pointers[0], row_pointers[1], row_pointers[2], row_pointers[3]};
    for (uint32_t unit = 0; unit * lines < rows; ++unit) {
      if (Cancelled(token)) return;
      for (size_t p = 0; p < layout.planes.size(); ++p) {
        const uint64_t height = PlaneRows(layout, p, lines);
        const uint64_t stride = PlaneStride(layout.planes[p]);
        const uint8_t* base = segment + PlaneOffset(layout, p, rows) + unit * height * stride;
        for (uint64_t r = 0; r < height; ++r)
          row_pointers[p][r] = const_cast<JSAMPROW>(base + r * stride);
      }
      jpeg_write_raw_data(&cinfo_, planes, lines);
    }
  }

  void WriteRgb(const RasterLayout& layout, uint32_t rows, const uint8_t* segment,
                const base::CancelToken& token) {
    const uint64_t stride = PlaneStride(layout.planes[0]);
    for (uint32_t r = 0; r < rows; ++r) {
      if (Cancelled(token)) return;
      JSAMPROW row = const_cast<JSAMPROW>(segment + r * stride);
      jpeg_write_scanlines(&cinfo_, &row, 1);
    }
  }

  // Not by libjpeg's long jump: what it leaves behind stays in order.
  bool Cancelled(const base::CancelToken& token) {
    cancelled_ = token.Check();
    return !cancelled_.ok();
  }

  JpegErrors errors_{};
  VectorDestination out_;
  absl::Status cancelled_;
  jpeg_compress_struct cinfo_{};
};

absl::Status Broken(const char* what) {
  return absl::InternalError(fmt::format("libjpeg wrote a file without {}", what));
}

// Where the entropy-coded data begins.
absl::StatusOr<size_t> ScanStart(std::span<const uint8_t> bytes) {
  size_t at = 2;
  while (at + 4 <= bytes.size() && bytes[at] == 0xFF) {
    const size_t length = size_t{bytes[at + 2]} << 8 | bytes[at + 3];
    const bool scan = bytes[at + 1] == 0xDA;
    at += 2 + length;
    if (scan && at <= bytes.size()) return at;
  }
  return Broken("a scan");
}

class JpegStitcher final : public Stitcher {
 public:
  explicit JpegStitcher(base::ByteSink& sink) : sink_(sink) {}
  absl::Status Append(const Fragment& fragment) override { return sink_.Write(fragment.bytes); }
  absl::Status Finish() override {
    static constexpr uint8_t kEnd[2] = {0xFF, 0xD9};
    return sink_.Write(kEnd);
  }

 private:
  base::ByteSink& sink_;
};

// The layout that a spec was made for, as far as the header needs it.
RasterLayout HeaderLayout(const EncodeSpec& spec) {
  const auto& jpeg = std::get<JpegEncodeSpec>(spec.format);
  RasterLayout layout;
  uint32_t max_h = 1, max_v = 1;
  for (const auto& c : jpeg.components) {
    max_h = std::max(max_h, c.horizontal_sampling);
    max_v = std::max(max_v, c.vertical_sampling);
  }
  layout.unit_rows = max_v * kBlock;
  if (jpeg.color_transform == JpegColorTransform::kRgbToYCbCr) {
    layout.planes = {{spec.width, spec.width, 3, 1, 1}};
    return layout;
  }
  layout.max_vertical_sampling = max_v;
  for (const auto& c : jpeg.components) {
    const uint32_t blocks =
        (spec.width * c.horizontal_sampling + max_h * kBlock - 1) / (max_h * kBlock);
    layout.planes.push_back({blocks * kBlock, spec.width, 1, 1, c.vertical_sampling});
  }
  return layout;
}

}  // namespace

absl::StatusOr<Fragment> EncodeJpegFragment(const EncodeSpec& spec, const RasterLayout& layout,
                                            uint32_t first_row, uint32_t rows,
                                            std::span<const uint8_t> segment,
                                            const base::CancelToken& token) {
  JpegCompressor compressor;
  HISTEQ_RETURN_IF_ERROR(
      compressor.Encode(spec, layout, rows, rows, segment.data(), /*metadata=*/nullptr, token));
  std::vector<uint8_t>& bytes = compressor.bytes();
  HISTEQ_ASSIGN_OR_RETURN(const size_t start, ScanStart(bytes));
  if (bytes.size() < start + 2) return Broken("an end");
  // The end-of-image marker makes room for the restart marker that parts this fragment from the
  // next: always number 7, since a fragment has a multiple of eight restart intervals.
  if (first_row + rows < spec.height)
    bytes.back() = 0xD7;
  else
    bytes.resize(bytes.size() - 2);
  Fragment fragment;
  fragment.bytes.assign(bytes.begin() + static_cast<ptrdiff_t>(start), bytes.end());
  return fragment;
}

absl::StatusOr<std::unique_ptr<Stitcher>> CreateJpegStitcher(const EncodeSpec& spec,
                                                             const Metadata& metadata,
                                                             base::ByteSink& sink) {
  const RasterLayout layout = HeaderLayout(spec);
  const uint32_t rows = std::min(spec.height, layout.unit_rows);
  const std::vector<uint8_t> black(SegmentBytes(layout, rows));
  JpegCompressor compressor;
  // The header comes out with the first row of MCUs; what follows it is thrown away.
  HISTEQ_RETURN_IF_ERROR(
      compressor.Encode(spec, layout, spec.height, rows, black.data(), &metadata, /*token=*/{}));
  HISTEQ_ASSIGN_OR_RETURN(const size_t start, ScanStart(compressor.bytes()));
  HISTEQ_RETURN_IF_ERROR(sink.Write(std::span(compressor.bytes()).first(start)));
  return std::unique_ptr<Stitcher>(std::make_unique<JpegStitcher>(sink));
}

}  // namespace histeq::codec
