// Results against slow, whole-image ways to the same picture; equal bytes for every way of working.
#include "engine/run_job.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <utility>

#include "engine/thread_executor.h"
#include "files.h"
#include "histeq/equalize.h"
#include "histeq_apply.h"
#include "pictures.h"
#include "streams.h"

namespace histeq::engine {
namespace {

using testing::Bytes;

struct Way {
  std::string name;
  Executor& executor;
  int64_t budget_bytes = 1 << 30;
  uint64_t small_image_bytes = 0;
  size_t piece = 10'000;
};

Bytes Run(const Bytes& file, const Operation& operation, const Way& way) {
  CAPTURE(way.name);
  testing::TestSource source(file, way.piece);
  testing::TestSink sink;
  base::MemoryBudget budget(way.budget_bytes);
  JobOptions options;
  options.budget = &budget;
  options.scratch_dir = std::filesystem::temp_directory_path().string();
  options.small_image_bytes = way.small_image_bytes;
  std::vector<std::pair<JobStage, uint32_t>> progress;
  std::mutex mutex;
  uint32_t total = 0;
  options.progress = [&](JobStage stage, uint32_t done, uint32_t of) {
    // One call at a time: somebody else would hold it.
    const std::unique_lock lock(mutex, std::try_to_lock);
    if (!lock.owns_lock()) std::abort();
    progress.emplace_back(stage, done);
    total = of;
  };
  const auto result = RunJob(source, sink, operation, way.executor, options);
  INFO(result.status());
  REQUIRE(result.ok());
  CHECK(budget.used_bytes() == 0);
  CHECK(result->segments == total);
  CHECK(result->pixels == uint64_t{result->info.width} * result->info.height);
  CHECK_FALSE(result->statistics.has_value());
  std::vector<std::pair<JobStage, uint32_t>> expected;
  for (uint32_t i = 1; i <= total; ++i) expected.emplace_back(JobStage::kAnalyze, i);
  for (uint32_t i = 1; i <= total; ++i) expected.emplace_back(JobStage::kTransform, i);
  CHECK(progress == expected);
  return sink.bytes();
}

Bytes RunInline(const Bytes& file, const Operation& operation) {
  InlineExecutor executor;
  return Run(file, operation, {"inline", executor});
}

Operation Equalize(const std::function<void(EqualizeParameters&)>& change) {
  Operation operation;
  change(operation.equalize);
  return operation;
}

std::vector<std::pair<std::string, Operation>> ExactOperations() {
  return {{"global", {}},
          {"per channel", Equalize([](auto& p) { p.color = Color::kPerChannel; })},
          {"value", Equalize([](auto& p) { p.color = Color::kValue; })},
          {"clip limited", Equalize([](auto& p) { p.method = Method::kClipLimited; })},
          {"stretch", Equalize([](auto& p) { p.method = Method::kStretch; })},
          {"half", Equalize([](auto& p) { p.strength_q16 = 32768; })},
          {"nodata", Equalize([](auto& p) {
             p.has_nodata = true;
             p.nodata = 12;
           })}};
}

// The mapped picture, whole, by libs/histeq: where the twin works in floating point.
reference::Image WholeByLibrary(const EqualizeParameters& parameters,
                                const reference::Image& image) {
  const ImageShape& shape = image.shape;
  const bool deep = shape.bits_per_sample == 16;
  std::vector<uint16_t> wide(image.samples.begin(), image.samples.end());
  std::vector<uint8_t> narrow(image.samples.begin(), image.samples.end());
  void* data = deep ? static_cast<void*>(wide.data()) : narrow.data();
  const ptrdiff_t stride = ptrdiff_t{shape.width} * shape.channels * (deep ? 2 : 1);
  Statistics statistics = Statistics::Create(parameters, shape);
  AccumulateRows(parameters, shape, ConstRows{data, stride, shape.height}, 0, statistics);
  const Mapping mapping = ComputeMapping(parameters, shape, statistics);
  ApplyRows(parameters, shape, mapping, ConstRows{data, stride, shape.height},
            Rows{data, stride, shape.height}, 0);
  reference::Image result = image;
  for (size_t i = 0; i < image.samples.size(); ++i) result.samples[i] = deep ? wide[i] : narrow[i];
  return result;
}

// Plane 0 of `planes` mapped by the formula, its edges repeated; the rest as it is.
testing::Planes MappedPlanes(testing::Planes planes, const EqualizeParameters& parameters) {
  const codec::PlaneLayout& plane = planes.layout.planes[0];
  reference::Image luma;
  luma.shape = {.width = plane.visible_width, .height = planes.encode.height, .channels = 1};
  const uint64_t stride = codec::PlaneStride(plane);
  for (uint32_t y = 0; y < luma.shape.height; ++y)
    for (uint32_t x = 0; x < luma.shape.width; ++x)
      luma.samples.push_back(planes.samples[y * stride + x]);
  const reference::Image mapped = reference::Equalize(parameters, luma);
  for (uint64_t y = 0; y < codec::PlaneRows(planes.layout, 0, luma.shape.height); ++y)
    for (uint64_t x = 0; x < stride; ++x)
      planes.samples[y * stride + x] =
          static_cast<uint8_t>(*mapped.Pixel(std::min<uint64_t>(x, luma.shape.width - 1),
                                             std::min<uint64_t>(y, luma.shape.height - 1)));
  return planes;
}

}  // namespace

TEST_CASE("samples of a PNG follow the formulas exactly") {
  reference::Image image;
  std::string picture;
  SECTION("gray") {
    picture = "gray";
    image = testing::Photograph("moon.png", 1, 1300, 900);
  }
  SECTION("colours") {
    picture = "colours";
    image = testing::Photograph("chelsea.png", 3, 901, 601);
  }
  SECTION("colours and alpha") {
    picture = "alpha";
    image = pictures::WithAlpha(testing::Photograph("coffee.png", 3, 777, 400));
  }
  SECTION("16-bit gray") {
    picture = "deep gray";
    image = pictures::Deepened(testing::Photograph("camera.png", 1, 700, 500));
  }
  SECTION("16-bit colours, several segments") {
    picture = "deep colours";
    image = pictures::Deepened(testing::Photograph("chelsea.png", 3, 1000, 900));
  }
  CAPTURE(picture);
  const Bytes file = testing::MakePng(image);
  for (const auto& [name, operation] : ExactOperations()) {
    CAPTURE(name);
    const reference::Image result = testing::DecodePng(RunInline(file, operation));
    const reference::Image expected = reference::Equalize(operation.equalize, image);
    // Not as one comparison of vectors: Catch would print them.
    CHECK(result.shape.width == image.shape.width);
    CHECK(result.shape.channels == image.shape.channels);
    CHECK(result.shape.bits_per_sample == image.shape.bits_per_sample);
    const bool equal = result.samples == expected.samples;
    CHECK(equal);
  }
}

TEST_CASE("CLAHE and matching do not see the cut") {
  reference::Image image = testing::Photograph("retina.jpg", 3, 1411, 1411);
  if (GENERATE(false, true))
    image = pictures::Deepened(testing::Photograph("moon.png", 1, 1500, 1700));
  const auto clahe = Equalize([](auto& p) {
    p.method = Method::kClahe;
    p.grid_x = 5;
    p.grid_y = 7;
  });
  const auto match = Equalize([&](auto& p) {
    p.method = Method::kMatch;
    p.reference.assign(SampleValues(image.shape), 0);
    for (size_t i = 0; i < p.reference.size(); ++i) p.reference[i] = i % 97;
  });
  const auto gaussian = Equalize([](auto& p) {
    p.method = Method::kMatch;
    p.distribution = Distribution::kGaussian;
  });
  const Bytes file = testing::MakePng(image);
  for (const Operation& operation : {clahe, match, gaussian}) {
    const reference::Image result = testing::DecodePng(RunInline(file, operation));
    const bool equal = result.samples == WholeByLibrary(operation.equalize, image).samples;
    CHECK(equal);
  }
}

TEST_CASE("an interlaced PNG becomes what the plain one becomes") {
  const reference::Image image = testing::Photograph("chelsea.png", 3, 451, 300);
  const Bytes plain = RunInline(testing::MakePng(image), {});
  const Bytes interlaced = RunInline(testing::MakePng(image, true), {});
  CHECK(testing::DecodePng(plain).samples == testing::DecodePng(interlaced).samples);
}

TEST_CASE("luma of a JPEG follows the formula before it is encoded, chroma stays") {
  const auto [horizontal, vertical] = GENERATE(table<int, int>({{1, 1}, {2, 1}, {2, 2}, {1, 2}}));
  const bool progressive = GENERATE(false, true);
  CAPTURE(horizontal, vertical, progressive);
  // Two segments or more, and edges inside of blocks and of MCUs.
  const Bytes file = testing::MakeJpeg(
      testing::Photograph("retina.jpg", 3, 4003, 1109),
      {.horizontal = horizontal, .vertical = vertical, .progressive = progressive});
  const testing::Planes planes = testing::DecodeWhole(file, codec::SampleMode::kRawPlanes);
  for (const auto& [name, operation] : ExactOperations()) {
    if (operation.equalize.color != Color::kLuma) continue;
    // All methods once: they do not know the sampling.
    if (name != "global" && (vertical != 2 || progressive)) continue;
    CAPTURE(name);
    const Bytes result = RunInline(file, operation);
    const Bytes expected = testing::EncodePlanes(MappedPlanes(planes, operation.equalize));
    const bool equal = testing::Coefficients(result) == testing::Coefficients(expected);
    CHECK(equal);
  }
}

TEST_CASE("a gray JPEG, and its smallest sizes") {
  const auto [width, height] =
      GENERATE(table<uint32_t, uint32_t>({{1, 1}, {7, 9}, {8, 8}, {17, 64}, {64, 65}, {512, 300}}));
  const Bytes file = testing::MakeJpeg(testing::Photograph("camera.png", 1, width, height));
  const testing::Planes planes = testing::DecodeWhole(file, codec::SampleMode::kRawPlanes);
  const Bytes expected = testing::EncodePlanes(MappedPlanes(planes, {}));
  CHECK(testing::Coefficients(RunInline(file, {})) == testing::Coefficients(expected));
}

TEST_CASE("pictures with nothing to equalize stay as they are") {
  reference::Image image = testing::Photograph("coffee.png", 3, 200, 100);
  SECTION("one value") { std::fill(image.samples.begin(), image.samples.end(), 77); }
  SECTION("all transparent") {
    image = pictures::WithAlpha(image);
    for (size_t i = 3; i < image.samples.size(); i += 4) image.samples[i] = 0;
  }
  for (const auto& [name, operation] : ExactOperations()) {
    CAPTURE(name);
    const auto result = testing::DecodePng(RunInline(testing::MakePng(image), operation));
    CHECK(result.samples == image.samples);
  }
}

TEST_CASE("every way of working gives the same bytes") {
  Bytes file;
  SECTION("4:2:0 JPEG") {
    file = testing::MakeJpeg(testing::Photograph("retina.jpg", 3, 6001, 777));
  }
  SECTION("progressive JPEG") {
    file = testing::MakeJpeg(testing::Photograph("hubble_deep_field.jpg", 3, 5000, 500),
                             {.progressive = true});
  }
  SECTION("PNG") { file = testing::MakePng(testing::Photograph("chelsea.png", 3, 2000, 1600)); }
  SECTION("small PNG") { file = testing::TestFile("chelsea.png"); }
  SECTION("small JPEG") { file = testing::TestFile("rocket.jpg"); }
  const auto clahe = Equalize([](auto& p) { p.method = Method::kClahe; });
  const auto channels = Equalize([](auto& p) { p.color = Color::kPerChannel; });
  InlineExecutor inline_executor;
  ThreadExecutor one(1), two(2), seven(7);
  const std::vector<Way> ways = {{"one thread", one},
                                 {"two threads", two, 0},
                                 {"seven threads", seven, 5 << 20},
                                 {"seven threads, no memory", seven, 0},
                                 {"small pieces", two, 1 << 30, 0, 777},
                                 {"whole", two, 0, 64 << 20},
                                 {"inline, no memory", inline_executor, 0}};
  for (const Operation& operation : {Operation(), clahe, channels}) {
    const Bytes expected = Run(file, operation, {"inline", inline_executor});
    for (const Way& way : ways) {
      CAPTURE(way.name);
      const bool equal = Run(file, operation, way) == expected;
      CHECK(equal);
    }
    // By itself, and whatever the size.
    for (Executor* executor : std::initializer_list<Executor*>{&inline_executor, &seven}) {
      const auto processed = executor->ProcessImage(file, operation, {}, {});
      REQUIRE(processed.ok());
      const bool equal = processed->file == expected;
      CHECK(equal);
    }
  }
}

namespace {

// Notes how it was called.
class NotingExecutor final : public Executor {
 public:
  absl::Status Transform(const TransformSpec& spec, SegmentExchange& exchange,
                         const base::CancelToken& token) override {
    ++transforms;
    return inner_.Transform(spec, exchange, token);
  }
  absl::StatusOr<ProcessedImage> ProcessImage(std::span<const uint8_t> file,
                                              const Operation& operation,
                                              const codec::DecodeLimits& limits,
                                              const base::CancelToken& token) override {
    whole.assign(file.begin(), file.end());
    return inner_.ProcessImage(file, operation, limits, token);
  }
  int transforms = 0;
  Bytes whole;

 private:
  InlineExecutor inner_;
};

}  // namespace

TEST_CASE("small files go whole, others in segments") {
  const Bytes small = testing::TestFile("rocket.jpg");
  NotingExecutor executor;
  SECTION("at the limit") {
    Run(small, {}, {"whole", executor, 0, small.size()});
    CHECK(executor.whole == small);
    CHECK(executor.transforms == 0);
  }
  SECTION("a byte too long") {
    Run(small, {}, {"segments", executor, 0, small.size() - 1});
    CHECK(executor.whole.empty());
    CHECK(executor.transforms == 1);
  }
  SECTION("a small file of a large picture") {
    reference::Image image = testing::Photograph("moon.png", 1, 2500, 2500);
    std::fill(image.samples.begin(), image.samples.end(), 3);
    const Bytes file = testing::MakePng(image);
    REQUIRE(file.size() < 1 << 20);
    Run(file, {}, {"segments", executor, 0, 1 << 20});
    CHECK(executor.whole.empty());
    CHECK(executor.transforms == 1);
  }
}

}  // namespace histeq::engine
