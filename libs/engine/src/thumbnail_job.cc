#include "thumbnail_job.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "base/status_macros.h"
#include "byte_spool.h"
#include "codec/color_profile.h"
#include "codec/decoder.h"
#include "codec/encode_picture.h"
#include "codec/orientation.h"
#include "codec/scratch.h"
#include "resize/resampler.h"
#include "thumbnail_geometry.h"
#include "thumbnail_picture.h"

namespace histeq::engine {
namespace {

// Rows that are decoded, then resampled while they are in the second-level cache.
constexpr uint64_t kBatchBytes = 256 << 10;

// Passes bytes on, and keeps a JPEG's for another pass until it is told that there is none. What is
// no JPEG has one pass.
class KeepingSource final : public base::ByteSource {
 public:
  KeepingSource(base::ByteSource& rest, ByteSpool& spool) : rest_(rest), spool_(&spool) {}
  absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) override {
    HISTEQ_ASSIGN_OR_RETURN(const size_t count, rest_.Read(buffer));
    if (!begun_ && count > 0) {
      begun_ = true;
      if (buffer[0] != kJpegBegins) StopKeeping();
    }
    if (spool_ != nullptr) HISTEQ_RETURN_IF_ERROR(spool_->Write(buffer.first(count)));
    return count;
  }
  void StopKeeping() { spool_ = nullptr; }

 private:
  static constexpr uint8_t kJpegBegins = 0xFF;
  base::ByteSource& rest_;
  ByteSpool* spool_;
  bool begun_ = false;
};

class CheckedSource final : public base::ByteSource {
 public:
  CheckedSource(base::ByteSource& rest, const base::CancelToken& token)
      : rest_(rest), token_(token) {}
  absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) override {
    HISTEQ_RETURN_IF_ERROR(token_.Check());
    return rest_.Read(buffer);
  }

 private:
  base::ByteSource& rest_;
  const base::CancelToken& token_;
};

bool SameScale(const codec::JpegScale& a, const codec::JpegScale& b) {
  return a.denominator == b.denominator && a.smooth_colors == b.smooth_colors;
}

// Memory aligned for a resampler: small runs on the heap, others within the budget or in a file.
class WorkBytes {
 public:
  static absl::StatusOr<WorkBytes> Create(uint64_t bytes, const JobOptions& options) {
    WorkBytes out;
    out.size_ = bytes;
    if (bytes <= kHeapBytes) {
      out.heap_bytes_ = bytes + resize::kWorkAlignment;
      // Not set to zero first.
      out.heap_ = std::make_unique_for_overwrite<uint8_t[]>(out.heap_bytes_);
    } else {
      HISTEQ_ASSIGN_OR_RETURN(out.scratch_,
                              codec::Scratch::Create(bytes, options.budget, options.scratch_dir));
    }
    return out;
  }
  std::span<uint8_t> span() {
    if (scratch_.data() != nullptr) return {scratch_.data(), size_};
    void* data = heap_.get();
    size_t space = heap_bytes_;
    return {static_cast<uint8_t*>(std::align(resize::kWorkAlignment, size_, data, space)), size_};
  }

 private:
  static constexpr uint64_t kHeapBytes = 4 << 20;
  std::unique_ptr<uint8_t[]> heap_;
  size_t heap_bytes_ = 0;
  codec::Scratch scratch_;
  uint64_t size_ = 0;
};

class ThumbnailJob {
 public:
  ThumbnailJob(const std::vector<ThumbnailParameters>& thumbnails, const JobOptions& options,
               const DecodeProgress& progress)
      : thumbnails_(thumbnails),
        options_(options),
        progress_(progress),
        scales_(thumbnails.size()) {
    for (size_t i = 0; i < thumbnails.size(); ++i)
      files_.push_back(std::make_unique<ByteSpool>(options.budget, options.scratch_dir));
  }

  absl::Status Run(base::ByteSource& source) {
    ByteSpool spool(options_.budget, options_.scratch_dir);
    KeepingSource keeping(source, spool);
    // All PNGs, and JPEGs whose thumbnails want the same scale, are decoded once.
    std::vector<bool> made(thumbnails_.size());
    HISTEQ_RETURN_IF_ERROR(
        Pass(keeping, made, [&](const codec::ImageInfo& info, uint32_t orientation) {
          for (size_t i = 0; i < thumbnails_.size(); ++i)
            scales_[i] =
                ScaleFor(StoredGeometryOf(thumbnails_[i], info.width, info.height, orientation),
                         thumbnails_[i].linear_light);
          const bool alike = std::all_of(
              scales_.begin(), scales_.end(),
              [&](const codec::JpegScale& scale) { return SameScale(scale, scales_[0]); });
          if (alike) keeping.StopKeeping();
        }));
    while (true) {
      const auto next = std::find(made.begin(), made.end(), false);
      if (next == made.end()) return absl::OkStatus();
      const std::unique_ptr<base::ByteSource> again = spool.Open();
      CheckedSource checked(*again, options_.token);
      HISTEQ_RETURN_IF_ERROR(Pass(checked, made, nullptr));
    }
  }

  absl::Status WriteTo(base::ByteSink& sink, std::vector<uint64_t>& result_bytes) const {
    for (const auto& file : files_) {
      HISTEQ_RETURN_IF_ERROR(options_.token.Check());
      HISTEQ_RETURN_IF_ERROR(file->CopyTo(sink));
      result_bytes.push_back(file->size());
    }
    return absl::OkStatus();
  }

  const codec::ImageInfo& info() const { return info_; }

 private:
  // One thumbnail while the image is decoded.
  struct Making {
    size_t index = 0;
    std::optional<ThumbnailPicture> picture;
    std::unique_ptr<resize::Resampler> resampler;
    WorkBytes work;
  };
  using HeaderRead = std::function<void(const codec::ImageInfo& info, uint32_t orientation)>;

  // Decodes once, and makes those thumbnails that want the scale of the first that is not made.
  absl::Status Pass(base::ByteSource& source, std::vector<bool>& made,
                    const HeaderRead& header_read) {
    const auto first =
        static_cast<size_t>(std::find(made.begin(), made.end(), false) - made.begin());
    codec::DecodeOptions decode;
    decode.limits = options_.limits;
    decode.mode = codec::SampleMode::kInterleaved;
    decode.budget = options_.budget;
    decode.scratch_dir = options_.scratch_dir;
    codec::JpegScale scale;
    bool is_jpeg = false;
    decode.jpeg_scale = [&](const codec::ImageInfo& info, uint32_t orientation) {
      if (header_read != nullptr) header_read(info, orientation);
      is_jpeg = true;
      scale = scales_[first];
      return scale;
    };
    HISTEQ_ASSIGN_OR_RETURN(const std::unique_ptr<codec::Decoder> decoder,
                            codec::OpenDecoder(source, decode));
    info_ = decoder->info();
    std::vector<Making> makings;
    for (size_t i = first; i < thumbnails_.size(); ++i) {
      if (made[i] || (is_jpeg && !SameScale(scales_[i], scale))) continue;
      HISTEQ_ASSIGN_OR_RETURN(Making making, Begin(i, *decoder, scale.denominator));
      makings.push_back(std::move(making));
      made[i] = true;
    }
    // Pictures do not move any more.
    for (Making& making : makings) {
      making.resampler->Start(making.work.span(),
                              [&making](uint32_t row, std::span<const uint8_t> pixels) {
                                making.picture->PutRow(row, pixels);
                                return absl::OkStatus();
                              });
    }
    HISTEQ_RETURN_IF_ERROR(Decode(*decoder, makings));
    for (Making& making : makings) {
      HISTEQ_RETURN_IF_ERROR(End(making, *decoder));
      // Its memory, before the next asks for some.
      making = {};
    }
    return absl::OkStatus();
  }

  codec::ImageFormat FormatOf(size_t index) const {
    return thumbnails_[index].format.value_or(info_.format);
  }

  absl::StatusOr<Making> Begin(size_t index, const codec::Decoder& decoder,
                               uint32_t denominator) const {
    const ThumbnailParameters& parameters = thumbnails_[index];
    const ThumbnailGeometry geometry =
        StoredGeometryOf(parameters, info_.width, info_.height, decoder.orientation());
    const codec::PlaneLayout& plane = decoder.layout().planes[0];
    const uint32_t bits = plane.bytes_per_sample * 8;
    const bool has_alpha = decoder.layout().has_alpha;
    Making making;
    making.index = index;
    HISTEQ_ASSIGN_OR_RETURN(making.picture,
                            ThumbnailPicture::Create({.width = geometry.width,
                                                      .height = geometry.height,
                                                      .orientation = decoder.orientation(),
                                                      .channels = plane.channels,
                                                      .has_alpha = has_alpha,
                                                      .bits_per_sample = bits,
                                                      .format = FormatOf(index),
                                                      .background = parameters.background},
                                                     options_));
    resize::Region region = geometry.region;
    // The scaled picture has a part of a sample more at its right and lower border.
    region.left /= denominator;
    region.top /= denominator;
    region.width /= denominator;
    region.height /= denominator;
    HISTEQ_ASSIGN_OR_RETURN(
        making.resampler, resize::Resampler::Create({.source_width = decoder.encode_spec().width,
                                                     .source_height = decoder.encode_spec().height,
                                                     .channels = plane.channels,
                                                     .has_alpha = has_alpha,
                                                     .bits_per_sample = bits,
                                                     .region = region,
                                                     .width = geometry.width,
                                                     .height = geometry.height,
                                                     .linear_light = parameters.linear_light}));
    HISTEQ_ASSIGN_OR_RETURN(making.work,
                            WorkBytes::Create(making.resampler->work_bytes(), options_));
    return making;
  }

  absl::Status Decode(codec::Decoder& decoder, std::vector<Making>& makings) const {
    const codec::RasterLayout& layout = decoder.layout();
    const uint32_t height = decoder.encode_spec().height;
    const uint64_t row_bytes = codec::PlaneStride(layout.planes[0]);
    const auto batch =
        static_cast<uint32_t>(std::clamp<uint64_t>(kBatchBytes / row_bytes, 1, height));
    std::vector<uint8_t> samples(batch * row_bytes);
    for (uint32_t row = 0; row < height;) {
      HISTEQ_RETURN_IF_ERROR(options_.token.Check());
      const uint32_t rows = std::min(batch, height - row);
      const auto part = std::span(samples).first(rows * row_bytes);
      HISTEQ_RETURN_IF_ERROR(decoder.ReadRows(rows, part));
      for (Making& making : makings) HISTEQ_RETURN_IF_ERROR(making.resampler->Push(part, rows));
      row += rows;
      if (progress_) progress_(row, height);
    }
    return decoder.Finish();
  }

  absl::Status End(Making& making, const codec::Decoder& decoder) const {
    const auto check = [this] { return options_.token.Check(); };
    HISTEQ_RETURN_IF_ERROR(making.resampler->Finish(check));
    making.work = {};
    const codec::ImageFormat format = FormatOf(making.index);
    const codec::Picture picture = making.picture->picture();
    const codec::Metadata metadata =
        codec::ColorMetadata(decoder.metadata(), info_.format, format, picture.channels,
                             options_.limits.max_metadata_bytes);
    return codec::EncodePicture(picture,
                                {.format = format, .quality = thumbnails_[making.index].quality},
                                metadata, check, *files_[making.index]);
  }

  const std::vector<ThumbnailParameters>& thumbnails_;
  const JobOptions& options_;
  const DecodeProgress& progress_;
  codec::ImageInfo info_;
  // What each thumbnail wants of a JPEG.
  std::vector<codec::JpegScale> scales_;
  std::vector<std::unique_ptr<ByteSpool>> files_;
};

}  // namespace

absl::StatusOr<codec::ImageInfo> MakeThumbnails(base::ByteSource& source, base::ByteSink& sink,
                                                const std::vector<ThumbnailParameters>& thumbnails,
                                                const JobOptions& options,
                                                const DecodeProgress& progress,
                                                std::vector<uint64_t>& result_bytes) {
  ThumbnailJob job(thumbnails, options, progress);
  HISTEQ_RETURN_IF_ERROR(job.Run(source));
  HISTEQ_RETURN_IF_ERROR(job.WriteTo(sink, result_bytes));
  return job.info();
}

}  // namespace histeq::engine
