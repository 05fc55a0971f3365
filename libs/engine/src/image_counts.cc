#include "image_counts.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <variant>

#include "engine/operation.h"
#include "histeq/equalize.h"
#include "out_of_memory.h"

namespace histeq::engine {
namespace {

constexpr std::array<uint32_t, 7> kPercentilesQ4{10'000,  50'000,  250'000, 500'000,
                                                 750'000, 950'000, 990'000};

const EqualizeParameters& LumaParameters() {
  static const EqualizeParameters parameters{};
  return parameters;
}

const EqualizeParameters& ColorParameters() {
  static const EqualizeParameters parameters = [] {
    EqualizeParameters p;
    p.color = Color::kPerChannel;
    return p;
  }();
  return parameters;
}

uint8_t Clamp(int value) { return static_cast<uint8_t>(std::clamp(value, 0, 255)); }

ChannelStatistics Describe(StatisticsChannel channel, std::span<const uint64_t> histogram) {
  const Summary summary = SummaryOf(histogram);
  ChannelStatistics result;
  result.channel = channel;
  result.histogram.assign(histogram.begin(), histogram.end());
  result.minimum = summary.minimum;
  result.maximum = summary.maximum;
  result.mean = summary.mean;
  result.standard_deviation = summary.standard_deviation;
  result.entropy_bits = summary.entropy;
  for (const uint32_t percentile : kPercentilesQ4)
    result.percentiles.push_back(PercentileOf(histogram, percentile));
  return result;
}

}  // namespace

void YccToRgb(std::span<uint8_t> pixels) {
  // Of ITU-T T.871, times 65536.
  constexpr int kRedCr = 91881, kGreenCb = -22554, kGreenCr = -46802, kBlueCb = 116130;
  constexpr int kHalf = 1 << 15;
  for (size_t i = 0; i + 3 <= pixels.size(); i += 3) {
    const int y = pixels[i];
    const int cb = pixels[i + 1] - 128;
    const int cr = pixels[i + 2] - 128;
    pixels[i] = Clamp(y + ((kRedCr * cr + kHalf) >> 16));
    pixels[i + 1] = Clamp(y + ((kGreenCb * cb + kGreenCr * cr + kHalf) >> 16));
    pixels[i + 2] = Clamp(y + ((kBlueCb * cb + kHalf) >> 16));
  }
}

absl::StatusOr<ImageCounts> ImageCounts::Create(const codec::Decoder& decoder) {
  ImageCounts counts;
  counts.shape_ = ShapeOf(decoder.layout(), decoder.info().height);
  counts.stride_ = codec::PlaneStride(decoder.layout().planes[0]);
  const auto* jpeg = std::get_if<codec::JpegEncodeSpec>(&decoder.encode_spec().format);
  counts.ycc_ = jpeg != nullptr && jpeg->color_transform == codec::JpegColorTransform::kYCbCr;
  counts.luma_ = Statistics::Create(LumaParameters(), counts.shape_);
  const bool colored = ColorChannels(counts.shape_) == 3;
  if (colored) counts.colors_ = Statistics::Create(ColorParameters(), counts.shape_);
  if (!counts.luma_.valid() || (colored && !counts.colors_.valid()))
    return OutOfMemory("the histograms", Statistics::BytesFor(ColorParameters(), counts.shape_));
  if (counts.ycc_) counts.line_.resize(counts.shape_.width);
  return counts;
}

void ImageCounts::Add(std::span<uint8_t> samples, uint32_t first_row, uint32_t rows) {
  const auto stride = static_cast<ptrdiff_t>(stride_);
  if (ycc_) {
    ImageShape gray = shape_;
    gray.channels = 1;
    for (uint32_t r = 0; r < rows; ++r) {
      const std::span<uint8_t> row = samples.subspan(r * stride_, size_t{shape_.width} * 3);
      for (uint32_t x = 0; x < shape_.width; ++x) line_[x] = row[size_t{x} * 3];
      AccumulateRows(LumaParameters(), gray, ConstRows{line_.data(), 0, 1}, first_row + r, luma_);
      YccToRgb(row);
    }
  } else {
    AccumulateRows(LumaParameters(), shape_, ConstRows{samples.data(), stride, rows}, first_row,
                   luma_);
  }
  if (colors_.valid())
    AccumulateRows(ColorParameters(), shape_, ConstRows{samples.data(), stride, rows}, first_row,
                   colors_);
}

ImageStatistics ImageCounts::Finish() const {
  ImageStatistics result;
  result.bits_per_sample = shape_.bits_per_sample;
  const std::span<const uint64_t> luma = luma_.words();
  result.counted_pixels = std::accumulate(luma.begin(), luma.end(), uint64_t{0});
  result.skipped_pixels = uint64_t{shape_.width} * shape_.height - result.counted_pixels;
  if (!colors_.valid()) {
    result.channels.push_back(Describe(StatisticsChannel::kGray, luma));
    return result;
  }
  result.channels.push_back(Describe(StatisticsChannel::kLuma, luma));
  const size_t values = SampleValues(shape_);
  constexpr std::array kColors{StatisticsChannel::kRed, StatisticsChannel::kGreen,
                               StatisticsChannel::kBlue};
  for (size_t i = 0; i < kColors.size(); ++i)
    result.channels.push_back(Describe(kColors[i], colors_.words().subspan(i * values, values)));
  return result;
}

}  // namespace histeq::engine
