#include "executor_suite.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/run_job.h"
#include "engine/thread_executor.h"
#include "files.h"
#include "histeq/equalize.h"
#include "pictures.h"
#include "streams.h"

namespace histeq::testing {
namespace {

using engine::Operation;
using engine::Segment;

// A decoded image, cut into segments that are smaller than RunJob's.
struct Material {
  Planes planes;
  engine::TransformSpec spec;
  engine::Plan plan;

  Material(const Bytes& file, const EqualizeParameters& parameters, uint32_t segment_rows) {
    Operation operation;
    operation.equalize = parameters;
    planes = DecodeWhole(file, engine::SampleModeFor(operation));
    const uint32_t height = planes.encode.height;
    spec.layout = planes.layout;
    spec.encode = planes.encode;
    spec.parameters = parameters;
    const ImageShape shape = engine::ShapeOf(spec.layout, height);
    Statistics statistics = Statistics::Create(parameters, shape);
    AccumulateRows(
        parameters, shape,
        ConstRows{planes.samples.data(),
                  static_cast<ptrdiff_t>(codec::PlaneStride(spec.layout.planes[0])), height},
        0, statistics);
    spec.mapping = std::make_shared<Mapping>(ComputeMapping(parameters, shape, statistics));
    const uint32_t multiple = codec::FragmentRowMultiple(spec.encode, spec.layout);
    plan = engine::Plan(height, (segment_rows + multiple - 1) / multiple * multiple);
  }

  std::vector<uint8_t> SamplesOf(uint32_t index) const {
    const Segment segment = plan.at(index);
    std::vector<uint8_t> samples;
    for (size_t p = 0; p < spec.layout.planes.size(); ++p) {
      const uint64_t stride = codec::PlaneStride(spec.layout.planes[p]);
      const auto begin =
          planes.samples.begin() +
          static_cast<ptrdiff_t>(codec::PlaneOffset(spec.layout, p, planes.encode.height) +
                                 codec::PlaneRows(spec.layout, p, segment.first_row) * stride);
      samples.insert(
          samples.end(), begin,
          begin + static_cast<ptrdiff_t>(codec::PlaneRows(spec.layout, p, segment.rows) * stride));
    }
    return samples;
  }

  // Number of segments whose fragment is not the right one.
  uint32_t Wrong(const std::vector<codec::Fragment>& fragments) const {
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < plan.count(); ++i) {
      std::vector<uint8_t> samples = SamplesOf(i);
      const auto expected = engine::TransformSegment(spec, plan.at(i), samples);
      REQUIRE(expected.ok());
      if (fragments[i].bytes != expected->bytes || fragments[i].adler32 != expected->adler32 ||
          fragments[i].raw_bytes != expected->raw_bytes)
        ++wrong;
    }
    return wrong;
  }
};

// Gives samples, takes fragments, and notes what an executor must not do.
class StrictExchange final : public engine::SegmentExchange {
 public:
  StrictExchange(const Material& material, uint32_t window)
      : material_(material),
        window_(window),
        fragments_(count()),
        states_(count()),
        in_place_(count()) {}

  // Asked at each call, under the exchange's lock.
  std::function<absl::Status(uint32_t index)> on_read = [](uint32_t) { return absl::OkStatus(); };
  std::function<absl::Status(uint32_t index)> on_deliver = on_read;
  // Fragments that wait to be written: so many of them are never written before the last.
  uint32_t lag = 0;
  // Whether segments can be had where they lie.
  bool gives_in_place = false;

  uint32_t count() const override { return material_.plan.count(); }
  Segment at(uint32_t index) const override { return material_.plan.at(index); }

  absl::Status Read(uint32_t index, uint64_t offset, std::span<uint8_t> out) override {
    {
      const std::lock_guard lock(mutex_);
      NoteCall(index);
      if (!in_place_[index].empty()) Misuse("read after it was changed in place");
      ++states_[index].readers;
    }
    if (absl::Status status = Ask(on_read, index); !status.ok()) {
      const std::lock_guard lock(mutex_);
      --states_[index].readers;
      return status;
    }
    const std::vector<uint8_t> samples = material_.SamplesOf(index);
    const bool fits = offset <= samples.size() && out.size() <= samples.size() - offset;
    if (fits)
      std::copy_n(samples.begin() + static_cast<ptrdiff_t>(offset), out.size(), out.begin());
    const std::lock_guard lock(mutex_);
    if (!fits) Misuse("read beyond the end");
    --states_[index].readers;
    return absl::OkStatus();
  }

  std::span<uint8_t> InPlace(uint32_t index) override {
    const std::lock_guard lock(mutex_);
    NoteCall(index);
    if (!gives_in_place || index % 2 == 0) return {};
    in_place_[index] = material_.SamplesOf(index);
    return in_place_[index];
  }

  absl::Status Deliver(uint32_t index, codec::Fragment fragment) override {
    {
      const std::lock_guard lock(mutex_);
      NoteCall(index);
      if (states_[index].readers > 0) Misuse("delivered while it is read");
      states_[index].delivered = true;
      ++delivered_;
      fragments_[index] = std::move(fragment);
      // Whoever uses it still finds out.
      in_place_[index] = {};
      while (prefix_ < count() && states_[prefix_].delivered) ++prefix_;
    }
    return Ask(on_deliver, index);
  }

  uint32_t delivered_prefix() const override {
    const std::lock_guard lock(mutex_);
    return Written();
  }

  // The call of Transform has returned.
  void Close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    for (const State& state : states_)
      if (state.readers > 0) Misuse("returned while a segment is read");
  }
  std::vector<std::string> misuses() const {
    const std::lock_guard lock(mutex_);
    return misuses_;
  }
  uint32_t delivered() const {
    const std::lock_guard lock(mutex_);
    return delivered_;
  }
  const std::vector<codec::Fragment>& fragments() const { return fragments_; }

 private:
  struct State {
    uint32_t readers = 0;
    bool delivered = false;
  };
  uint32_t Written() const {
    return prefix_ == count() ? prefix_ : prefix_ - std::min(prefix_, lag);
  }
  // One question at a time, and never while what the executor may ask is locked: an answer may
  // cancel the job, which waits for whoever asks.
  absl::Status Ask(const std::function<absl::Status(uint32_t index)>& question, uint32_t index) {
    const std::lock_guard lock(asking_);
    return question(index);
  }

  void NoteCall(uint32_t index) {
    if (closed_) Misuse("called after the end");
    if (states_[index].delivered) Misuse("used after its delivery");
    if (index >= Written() + window_) Misuse("started beyond the window");
  }
  void Misuse(const std::string& what) { misuses_.push_back(what); }

  const Material& material_;
  const uint32_t window_;
  std::mutex asking_;
  mutable std::mutex mutex_;
  std::vector<codec::Fragment> fragments_;
  std::vector<State> states_;
  std::vector<std::vector<uint8_t>> in_place_;
  uint32_t prefix_ = 0;
  uint32_t delivered_ = 0;
  bool closed_ = false;
  std::vector<std::string> misuses_;
};

absl::Status Transform(const ExecutorSuite& suite, const Material& material,
                       StrictExchange& exchange, const base::CancelToken& token = {}) {
  const auto executor = suite.make();
  const absl::Status status = executor->Transform(material.spec, exchange, token);
  exchange.Close();
  return status;
}

std::vector<Material> Materials() {
  const auto with = [](const std::function<void(EqualizeParameters&)>& change) {
    EqualizeParameters parameters;
    change(parameters);
    return parameters;
  };
  const auto clahe = with([](auto& p) {
    p.method = Method::kClahe;
    p.grid_x = 3;
    p.grid_y = 4;
  });
  const auto channels = with([](auto& p) { p.color = Color::kPerChannel; });
  std::vector<Material> all;
  const Bytes jpeg = MakeJpeg(Photograph("retina.jpg", 3, 203, 1500));
  all.emplace_back(jpeg, EqualizeParameters(), 128);
  all.emplace_back(jpeg, clahe, 128);
  all.emplace_back(jpeg, channels, 128);
  all.emplace_back(MakePng(Photograph("moon.png", 1, 300, 331)), EqualizeParameters(), 10);
  all.emplace_back(MakePng(pictures::Deepened(Photograph("chelsea.png", 3, 150, 200))), channels,
                   9);
  all.emplace_back(MakePng(pictures::WithAlpha(Photograph("coffee.png", 3, 100, 90))), clahe, 33);
  // One segment.
  all.emplace_back(MakePng(Photograph("moon.png", 1, 30, 20)), EqualizeParameters(), 100);
  return all;
}

Material Many() {
  return Material(MakePng(Photograph("moon.png", 1, 120, 400)), EqualizeParameters(), 4);
}

std::string Reason(const absl::Status& status) {
  const auto detail = base::GetErrorDetail(status);
  return detail.has_value() ? detail->reason : "";
}

}  // namespace

void CheckExecutor(const ExecutorSuite& suite) {
  SECTION("every segment is delivered once, with the bytes that the segment alone decides") {
    for (const Material& material : Materials()) {
      for (const bool in_place : {false, true}) {
        StrictExchange exchange(material, suite.window);
        exchange.gives_in_place = in_place;
        const absl::Status status = Transform(suite, material, exchange);
        INFO(status);
        REQUIRE(status.ok());
        CHECK(exchange.delivered() == material.plan.count());
        CHECK(material.Wrong(exchange.fragments()) == 0);
        CHECK(exchange.misuses() == std::vector<std::string>());
      }
    }
  }

  SECTION("a sink that lags behind holds the executor back") {
    const Material material = Many();
    for (const uint32_t lag : {suite.window / 2, suite.window - 1}) {
      StrictExchange exchange(material, suite.window);
      exchange.lag = lag;
      const absl::Status status = Transform(suite, material, exchange);
      INFO(status);
      REQUIRE(status.ok());
      CHECK(material.Wrong(exchange.fragments()) == 0);
      CHECK(exchange.misuses() == std::vector<std::string>());
    }
  }

  SECTION("an executor is used again") {
    const Material material = Many();
    const auto executor = suite.make();
    for (int i = 0; i < 3; ++i) {
      StrictExchange exchange(material, suite.window);
      CHECK(executor->Transform(material.spec, exchange, {}).ok());
      exchange.Close();
      CHECK(material.Wrong(exchange.fragments()) == 0);
      CHECK(exchange.misuses() == std::vector<std::string>());
      CHECK(executor->busy_workers() == 0);
    }
  }

  SECTION("samples that cannot be read end the job") {
    const Material material = Many();
    StrictExchange exchange(material, suite.window);
    const uint32_t at = GENERATE(0u, 37u, 99u);
    exchange.on_read = [&](uint32_t index) {
      return index == at ? absl::ResourceExhaustedError("the spool is broken") : absl::OkStatus();
    };
    const absl::Status status = Transform(suite, material, exchange);
    CHECK(status.code() == absl::StatusCode::kResourceExhausted);
    CHECK(status.message() == "the spool is broken");
    CHECK(exchange.delivered() < material.plan.count());
    CHECK(exchange.misuses() == std::vector<std::string>());
  }

  SECTION("a result that cannot be written ends the job") {
    const Material material = Many();
    StrictExchange exchange(material, suite.window);
    const uint32_t at = GENERATE(0u, 37u, 99u);
    exchange.on_deliver = [&](uint32_t index) {
      return index == at ? base::MakeError(absl::StatusCode::kResourceExhausted, "no room",
                                           {.reason = "DISK_FULL"})
                         : absl::OkStatus();
    };
    const absl::Status status = Transform(suite, material, exchange);
    CHECK(status.message() == "no room");
    CHECK(Reason(status) == "DISK_FULL");
    CHECK(exchange.misuses() == std::vector<std::string>());
  }

  SECTION("a cancelled token ends the job with its status") {
    const Material material = Many();
    base::CancelSource cancel;
    StrictExchange exchange(material, suite.window);
    const auto stop = [&] { cancel.Cancel(absl::AbortedError("the lease is lost")); };
    // 100: before it begins.
    const uint32_t after = GENERATE(100u, 0u, 50u);
    uint32_t calls = 0;
    if (after == 100) stop();
    const auto count = [&](uint32_t) {
      if (calls++ == after) stop();
      return absl::OkStatus();
    };
    SECTION("at a delivery") { exchange.on_deliver = count; }
    SECTION("at a read") { exchange.on_read = count; }
    const absl::Status status = Transform(suite, material, exchange, cancel.token());
    CHECK(status.code() == absl::StatusCode::kAborted);
    CHECK(status.message() == "the lease is lost");
    if (after == 100) CHECK(exchange.delivered() == 0);
    CHECK(exchange.delivered() < material.plan.count());
    CHECK(exchange.misuses() == std::vector<std::string>());
  }

  SECTION("a small image is done whole, with the bytes of RunJob") {
    const auto executor = suite.make();
    for (const char* name : {"rocket.jpg", "chelsea.png", "moon.png"}) {
      const Bytes file = TestFile(name);
      for (const Color color : {Color::kLuma, Color::kPerChannel}) {
        Operation operation;
        operation.equalize.color = color;
        TestSource source(file);
        TestSink sink;
        engine::InlineExecutor inline_executor;
        engine::JobOptions options;
        options.small_image_bytes = 0;
        const auto job = RunJob(source, sink, operation, inline_executor, options);
        REQUIRE(job.ok());
        const auto processed = executor->ProcessImage(file, operation, {}, {});
        INFO(processed.status());
        REQUIRE(processed.ok());
        const bool equal = processed->file == sink.bytes();
        CHECK(equal);
        CHECK(processed->pixels == job->pixels);
        CHECK_FALSE(processed->statistics.has_value());
      }
    }
  }

  SECTION("a small image is analyzed") {
    const auto executor = suite.make();
    const auto processed = executor->ProcessImage(TestFile("chelsea.png"),
                                                  {.kind = Operation::Kind::kAnalyze}, {}, {});
    INFO(processed.status());
    REQUIRE(processed.ok());
    CHECK(processed->file.empty());
    REQUIRE(processed->statistics.has_value());
    CHECK(processed->statistics->counted_pixels == 451 * 300);
    REQUIRE(processed->statistics->channels.size() == 4);
    CHECK(processed->statistics->channels[0].channel == engine::StatisticsChannel::kLuma);
    CHECK(processed->statistics->channels[0].histogram.size() == 256);
    CHECK(processed->statistics->channels[3].percentiles.size() == 7);
  }

  SECTION("what is wrong with a small image, or with its operation, is said") {
    const auto executor = suite.make();
    Bytes half = TestFile("rocket.jpg");
    half.resize(half.size() / 2);
    absl::Status status = executor->ProcessImage(half, {}, {}, {}).status();
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(Reason(status) == "IMAGE_TRUNCATED");
    status = executor->ProcessImage(Bytes(100, 'x'), {}, {}, {}).status();
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(Reason(status) == "NOT_AN_IMAGE");
    codec::DecodeLimits limits;
    limits.max_pixels = 1000;
    status = executor->ProcessImage(TestFile("rocket.jpg"), {}, limits, {}).status();
    CHECK(Reason(status) == "IMAGE_TOO_LARGE");
    Operation operation;
    operation.equalize.strength_q16 = 1 << 20;
    status = executor->ProcessImage(TestFile("rocket.jpg"), operation, {}, {}).status();
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(Reason(status) == "BAD_PARAMETER");
    base::CancelSource cancel;
    cancel.Cancel(absl::AbortedError("the lease is lost"));
    status = executor->ProcessImage(TestFile("rocket.jpg"), {}, {}, cancel.token()).status();
    CHECK(status.message() == "the lease is lost");
  }

  SECTION("whole jobs give the bytes of the calling thread") {
    // Made once: a section runs anew for each implementation and method.
    static const std::vector<Bytes> files = {MakeJpeg(Photograph("retina.jpg", 3, 2000, 3500)),
                                             MakePng(Photograph("chelsea.png", 3, 1200, 3000))};
    for (const Bytes& file : files) {
      Operation operation;
      operation.equalize.method = GENERATE(Method::kGlobal, Method::kClahe);
      std::vector<Bytes> results;
      engine::InlineExecutor inline_executor;
      const auto executor = suite.make();
      for (engine::Executor* each :
           std::initializer_list<engine::Executor*>{&inline_executor, executor.get()}) {
        base::MemoryBudget budget(5 << 20);
        engine::JobOptions options;
        options.budget = &budget;
        options.scratch_dir = std::filesystem::temp_directory_path().string();
        TestSource source(file);
        TestSink sink;
        const auto job = RunJob(source, sink, operation, *each, options);
        INFO(job.status());
        REQUIRE(job.ok());
        CHECK(job->segments > 1);
        CHECK(budget.used_bytes() == 0);
        results.push_back(sink.bytes());
      }
      const bool equal = results[0] == results[1];
      CHECK(equal);
    }
  }
}

}  // namespace histeq::testing
