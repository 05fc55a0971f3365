#include "thumbnail_picture.h"

#include <cstring>
#include <utility>

#include "base/status_macros.h"
#include "codec/orientation.h"

namespace histeq::engine {
namespace {

// More waits within the budget, or in a file.
constexpr uint64_t kKeptBytes = 1 << 20;

uint32_t ToByte(uint32_t sample) { return (sample * 255 + 32767) / 65535; }

}  // namespace

absl::StatusOr<ThumbnailPicture> ThumbnailPicture::Create(const Kind& kind,
                                                          const JobOptions& options) {
  ThumbnailPicture out;
  out.kind_ = kind;
  out.channels_ = kind.channels;
  out.bits_per_sample_ = kind.bits_per_sample;
  if (kind.format == codec::ImageFormat::kJpeg) {
    const uint32_t red = kind.background >> 16 & 255, green = kind.background >> 8 & 255,
                   blue = kind.background & 255;
    const bool gray = kind.channels <= 2 && (!kind.has_alpha || (red == green && green == blue));
    out.channels_ = gray ? 1 : 3;
    out.bits_per_sample_ = 8;
    out.converts_ = kind.has_alpha || kind.bits_per_sample != 8;
  }
  const uint64_t pixel_bytes = out.channels_ * out.bits_per_sample_ / 8;
  out.bytes_ = uint64_t{kind.width} * kind.height * pixel_bytes;
  if (out.bytes_ <= kKeptBytes) {
    out.kept_.resize(out.bytes_);
  } else {
    HISTEQ_ASSIGN_OR_RETURN(
        out.scratch_, codec::Scratch::Create(out.bytes_, options.budget, options.scratch_dir));
  }
  if (out.converts_) out.line_.resize(kind.width * pixel_bytes);
  return out;
}

void ThumbnailPicture::Convert(std::span<const uint8_t> pixels, uint8_t* out) const {
  const uint32_t colors = kind_.channels - (kind_.has_alpha ? 1 : 0);
  for (uint32_t x = 0; x < kind_.width; ++x) {
    uint32_t pixel[4] = {};
    for (uint32_t c = 0; c < kind_.channels; ++c) {
      const size_t at = size_t{x} * kind_.channels + c;
      if (kind_.bits_per_sample == 16) {
        uint16_t sample;
        std::memcpy(&sample, pixels.data() + at * 2, 2);
        pixel[c] = ToByte(sample);
      } else {
        pixel[c] = pixels[at];
      }
    }
    const uint32_t alpha = kind_.has_alpha ? pixel[colors] : 255;
    for (uint32_t c = 0; c < channels_; ++c) {
      const uint32_t behind = kind_.background >> (16 - 8 * c) & 255;
      const uint32_t color = pixel[colors == 1 ? 0 : c];
      *out++ = static_cast<uint8_t>((color * alpha + behind * (255 - alpha) + 127) / 255);
    }
  }
}

void ThumbnailPicture::PutRow(uint32_t row, std::span<const uint8_t> pixels) {
  const size_t pixel_bytes = channels_ * bits_per_sample_ / 8;
  const size_t row_bytes = kind_.width * pixel_bytes;
  uint8_t* const all = samples();
  if (kind_.orientation == codec::kUpright) {
    uint8_t* const out = all + row * row_bytes;
    if (converts_)
      Convert(pixels, out);
    else
      std::memcpy(out, pixels.data(), row_bytes);
    return;
  }
  const uint8_t* in = pixels.data();
  if (converts_) {
    Convert(pixels, line_.data());
    in = line_.data();
  }
  // Upright positions along a row follow each other at one distance.
  const uint64_t width = codec::ExchangesAxes(kind_.orientation) ? kind_.height : kind_.width;
  const auto place = [&](uint32_t x) {
    const codec::Position at =
        codec::Upright(kind_.orientation, kind_.width, kind_.height, {x, row});
    return all + (at.y * width + at.x) * pixel_bytes;
  };
  uint8_t* out = place(0);
  const ptrdiff_t step = kind_.width > 1 ? place(1) - out : 0;
  for (uint32_t x = 0; x < kind_.width; ++x, in += pixel_bytes, out += step)
    std::memcpy(out, in, pixel_bytes);
}

codec::Picture ThumbnailPicture::picture() const {
  codec::Picture picture = {.width = kind_.width,
                            .height = kind_.height,
                            .channels = channels_,
                            .bits_per_sample = bits_per_sample_,
                            .samples = {kept_.empty() ? scratch_.data() : kept_.data(), bytes_}};
  if (codec::ExchangesAxes(kind_.orientation)) std::swap(picture.width, picture.height);
  return picture;
}

}  // namespace histeq::engine
