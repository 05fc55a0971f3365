#include <fmt/format.h>
#include <jerror.h>

#include <array>

#include "base/status_macros.h"
#include "jpeg_error.h"
#include "picture_formats.h"

namespace histeq::codec {
namespace {

// More costs memory for all coefficients, and gains less.
constexpr uint64_t kOptimizedPixels = 1 << 20;
constexpr uint32_t kCheckRows = 64;

// libjpeg's destination: a buffer that goes to a sink.
struct SinkDestination {
  // First: libjpeg hands back a pointer to it.
  jpeg_destination_mgr manager{};
  base::ByteSink* sink = nullptr;
  std::array<uint8_t, 16 * 1024> buffer;
};

void StartDestination(j_compress_ptr cinfo) {
  auto* out = reinterpret_cast<SinkDestination*>(cinfo->dest);
  out->manager.next_output_byte = out->buffer.data();
  out->manager.free_in_buffer = out->buffer.size();
}

// Apart, so that no destructor waits in the frame that longjmp leaves.
bool WriteOrKeep(j_compress_ptr cinfo, size_t bytes) {
  auto* out = reinterpret_cast<SinkDestination*>(cinfo->dest);
  auto& errors = *reinterpret_cast<JpegErrors*>(cinfo->err);
  errors.status = out->sink->Write(std::span(out->buffer).first(bytes));
  return errors.status.ok();
}

void WriteOut(j_compress_ptr cinfo, size_t bytes) {
  if (!WriteOrKeep(cinfo, bytes)) longjmp(reinterpret_cast<JpegErrors*>(cinfo->err)->jump, 1);
}

boolean EmptyDestination(j_compress_ptr cinfo) {
  auto* out = reinterpret_cast<SinkDestination*>(cinfo->dest);
  WriteOut(cinfo, out->buffer.size());
  StartDestination(cinfo);
  return TRUE;
}

void EndDestination(j_compress_ptr cinfo) {
  auto* out = reinterpret_cast<SinkDestination*>(cinfo->dest);
  WriteOut(cinfo, out->buffer.size() - out->manager.free_in_buffer);
}

class JpegPictureWriter {
 public:
  explicit JpegPictureWriter(base::ByteSink& sink) {
    cinfo_.err = InitJpegErrors(errors_);
    out_.sink = &sink;
    out_.manager.init_destination = StartDestination;
    out_.manager.empty_output_buffer = EmptyDestination;
    out_.manager.term_destination = EndDestination;
  }
  ~JpegPictureWriter() { jpeg_destroy_compress(&cinfo_); }
  JpegPictureWriter(const JpegPictureWriter&) = delete;
  JpegPictureWriter& operator=(const JpegPictureWriter&) = delete;

  absl::Status Start(const Picture& picture, uint32_t quality, const Metadata& metadata) {
    return Guard([&] {
      jpeg_create_compress(&cinfo_);
      cinfo_.dest = &out_.manager;
      cinfo_.image_width = picture.width;
      cinfo_.image_height = picture.height;
      cinfo_.input_components = static_cast<int>(picture.channels);
      cinfo_.in_color_space = picture.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
      // 4:2:0 for colours.
      jpeg_set_defaults(&cinfo_);
      jpeg_set_quality(&cinfo_, static_cast<int>(quality), TRUE);
      cinfo_.dct_method = JDCT_ISLOW;
      cinfo_.optimize_coding = uint64_t{picture.width} * picture.height <= kOptimizedPixels;
      cinfo_.write_JFIF_header = metadata.has_jfif;
      cinfo_.density_unit = metadata.density_unit;
      cinfo_.X_density = metadata.density_x;
      cinfo_.Y_density = metadata.density_y;
      jpeg_start_compress(&cinfo_, TRUE);
      for (const Metadata::Piece& piece : metadata.pieces)
        jpeg_write_marker(&cinfo_, piece.marker, piece.bytes.data(),
                          static_cast<unsigned>(piece.bytes.size()));
    });
  }

  absl::Status WriteRows(const uint8_t* rows, uint32_t count, size_t stride) {
    return Guard([&] {
      for (uint32_t r = 0; r < count; ++r) {
        JSAMPROW row = const_cast<JSAMPROW>(rows + r * stride);
        jpeg_write_scanlines(&cinfo_, &row, 1);
      }
    });
  }

  absl::Status Finish() {
    return Guard([&] { jpeg_finish_compress(&cinfo_); });
  }

 private:
  template <typename F>
  absl::Status Guard(F&& f) {
    return JpegGuard(reinterpret_cast<j_common_ptr>(&cinfo_), errors_, f);
  }

  JpegErrors errors_{};
  SinkDestination out_;
  jpeg_compress_struct cinfo_{};
};

}  // namespace

absl::Status EncodeJpegPicture(const Picture& picture, uint32_t quality, const Metadata& metadata,
                               const std::function<absl::Status()>& check, base::ByteSink& sink) {
  JpegPictureWriter writer(sink);
  HISTEQ_RETURN_IF_ERROR(writer.Start(picture, quality, metadata));
  const size_t stride = size_t{picture.width} * picture.channels;
  for (uint32_t row = 0; row < picture.height; row += kCheckRows) {
    HISTEQ_RETURN_IF_ERROR(check());
    HISTEQ_RETURN_IF_ERROR(writer.WriteRows(picture.samples.data() + row * stride,
                                            std::min(kCheckRows, picture.height - row), stride));
  }
  return writer.Finish();
}

}  // namespace histeq::codec
