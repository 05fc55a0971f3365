#include <catch2/catch.hpp>
#include <cmath>

#include "base/error.h"
#include "engine/run_job.h"
#include "engine/thread_executor.h"
#include "files.h"
#include "histeq_histogram.h"
#include "histeq_planes.h"
#include "pictures.h"
#include "streams.h"

namespace histeq::engine {
namespace {

using testing::Bytes;

ImageStatistics Analyze(const Bytes& file, uint64_t small_image_bytes) {
  testing::TestSource source(file);
  testing::TestSink sink;
  InlineExecutor executor;
  JobOptions options;
  options.small_image_bytes = small_image_bytes;
  const auto result = RunJob(source, sink, {.kind = Operation::Kind::kAnalyze}, executor, options);
  INFO(result.status());
  REQUIRE(result.ok());
  CHECK(sink.bytes().empty());
  REQUIRE(result->statistics.has_value());
  return *result->statistics;
}

std::vector<uint64_t> HistogramOf(const reference::Image& image, uint32_t channel) {
  std::vector<uint64_t> counts(SampleValues(image.shape));
  const uint32_t channels = image.shape.channels;
  for (size_t i = 0; i < image.samples.size(); i += channels) {
    if (image.shape.has_alpha && image.samples[i + channels - 1] == 0) continue;
    ++counts[image.samples[i + channel]];
  }
  return counts;
}

std::vector<uint64_t> LumaOf(const reference::Image& image) {
  std::vector<uint64_t> counts(SampleValues(image.shape));
  const uint32_t channels = image.shape.channels;
  for (size_t i = 0; i < image.samples.size(); i += channels) {
    if (image.shape.has_alpha && image.samples[i + channels - 1] == 0) continue;
    ++counts[reference::Luma(image.samples[i], image.samples[i + 1], image.samples[i + 2])];
  }
  return counts;
}

void CheckChannel(const ChannelStatistics& channel, StatisticsChannel which,
                  const std::vector<uint64_t>& histogram) {
  CHECK(channel.channel == which);
  CHECK(channel.histogram == histogram);
  const Summary summary = reference::Summarize(histogram);
  CHECK(channel.minimum == summary.minimum);
  CHECK(channel.maximum == summary.maximum);
  CHECK(channel.mean == Approx(summary.mean));
  CHECK(channel.standard_deviation == Approx(summary.standard_deviation));
  CHECK(channel.entropy_bits == Approx(summary.entropy));
  std::vector<uint32_t> percentiles;
  for (const uint32_t p : {1, 5, 25, 50, 75, 95, 99})
    percentiles.push_back(reference::Percentile(histogram, p * 10'000));
  CHECK(channel.percentiles == percentiles);
}

void CheckColors(const ImageStatistics& statistics, const reference::Image& image,
                 const std::vector<uint64_t>& luma) {
  REQUIRE(statistics.channels.size() == 4);
  CheckChannel(statistics.channels[0], StatisticsChannel::kLuma, luma);
  CheckChannel(statistics.channels[1], StatisticsChannel::kRed, HistogramOf(image, 0));
  CheckChannel(statistics.channels[2], StatisticsChannel::kGreen, HistogramOf(image, 1));
  CheckChannel(statistics.channels[3], StatisticsChannel::kBlue, HistogramOf(image, 2));
}

// Whole through ProcessImage, or in segments.
const uint64_t kNever = 0;
const uint64_t kSmall = 64 << 20;

}  // namespace

TEST_CASE("statistics of a gray picture") {
  const uint64_t small = GENERATE(kNever, kSmall);
  const reference::Image image = testing::Photograph("moon.png", 1, 512, 512);
  for (const Bytes& file : {testing::MakePng(image), testing::TestFile("moon.png")}) {
    const ImageStatistics statistics = Analyze(file, small);
    CHECK(statistics.bits_per_sample == 8);
    CHECK(statistics.counted_pixels == 512 * 512);
    CHECK(statistics.skipped_pixels == 0);
    REQUIRE(statistics.channels.size() == 1);
    CheckChannel(statistics.channels[0], StatisticsChannel::kGray, HistogramOf(image, 0));
  }
}

TEST_CASE("statistics of colours, 8 and 16 bit, over several segments") {
  reference::Image image = testing::Photograph("chelsea.png", 3, 1500, 1100);
  if (GENERATE(false, true)) image = pictures::Deepened(image);
  const ImageStatistics statistics = Analyze(testing::MakePng(image), kNever);
  CHECK(statistics.bits_per_sample == image.shape.bits_per_sample);
  CHECK(statistics.counted_pixels == 1500 * 1100);
  CheckColors(statistics, image, LumaOf(image));
}

TEST_CASE("fully transparent pixels are left out") {
  const reference::Image image =
      pictures::WithAlpha(testing::Photograph("coffee.png", 3, 600, 400));
  const ImageStatistics statistics = Analyze(testing::MakePng(image), kNever);
  uint64_t transparent = 0;
  for (size_t i = 3; i < image.samples.size(); i += 4) transparent += image.samples[i] == 0;
  REQUIRE(transparent > 0);
  CHECK(statistics.skipped_pixels == transparent);
  CHECK(statistics.counted_pixels == 600 * 400 - transparent);
  CheckColors(statistics, image, LumaOf(image));
}

TEST_CASE("a picture of nothing but transparent pixels") {
  reference::Image image = pictures::WithAlpha(testing::Photograph("coffee.png", 3, 50, 40));
  for (size_t i = 3; i < image.samples.size(); i += 4) image.samples[i] = 0;
  const ImageStatistics statistics = Analyze(testing::MakePng(image), kSmall);
  CHECK(statistics.counted_pixels == 0);
  CHECK(statistics.skipped_pixels == 2000);
  REQUIRE(statistics.channels.size() == 4);
  CHECK(statistics.channels[0].mean == 0);
  CHECK(statistics.channels[0].percentiles == std::vector<uint32_t>(7, 0));
}

TEST_CASE("luma of a JPEG is its Y plane, colours are what it shows") {
  const uint64_t small = GENERATE(kNever, kSmall);
  const auto [horizontal, vertical] = GENERATE(table<int, int>({{1, 1}, {2, 1}, {2, 2}}));
  const bool progressive = GENERATE(false, true);
  CAPTURE(horizontal, vertical, progressive);
  // Not a multiple of the block size.
  const Bytes file = testing::MakeJpeg(
      testing::Photograph("rocket.jpg", 3, 637, 421),
      {.horizontal = horizontal, .vertical = vertical, .progressive = progressive});
  const testing::Planes planes = testing::DecodeWhole(file, codec::SampleMode::kRawPlanes);
  std::vector<uint64_t> luma(256);
  for (uint32_t y = 0; y < 421; ++y)
    for (uint32_t x = 0; x < 637; ++x)
      ++luma[planes.samples[y * codec::PlaneStride(planes.layout.planes[0]) + x]];
  const ImageStatistics statistics = Analyze(file, small);
  CHECK(statistics.counted_pixels == 637 * 421);
  CheckColors(statistics, testing::DecodeJpeg(file), luma);
}

TEST_CASE("a gray JPEG") {
  const Bytes file = testing::MakeJpeg(testing::Photograph("camera.png", 1, 333, 222));
  const ImageStatistics statistics = Analyze(file, kNever);
  REQUIRE(statistics.channels.size() == 1);
  CheckChannel(statistics.channels[0], StatisticsChannel::kGray,
               HistogramOf(testing::DecodeJpeg(file), 0));
}

}  // namespace histeq::engine
