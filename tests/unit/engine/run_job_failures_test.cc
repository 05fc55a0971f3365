// What RunJob answers when something goes wrong, and what it leaves.
#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <string>

#include "base/error.h"
#include "engine/run_job.h"
#include "engine/thread_executor.h"
#include "files.h"
#include "streams.h"

namespace histeq::engine {
namespace {

using testing::Bytes;
using testing::TestSink;
using testing::TestSource;

std::string Reason(const absl::Status& status) {
  const auto detail = base::GetErrorDetail(status);
  return detail.has_value() ? detail->reason : "";
}

// A job on two threads with a budget of two or three segments.
struct Attempt {
  base::MemoryBudget budget{10 << 20};
  JobOptions options;
  ThreadExecutor executor{2};
  Operation operation;
  TestSink sink;

  Attempt() {
    options.budget = &budget;
    options.small_image_bytes = 0;
    options.scratch_dir = std::filesystem::temp_directory_path().string();
  }
  absl::Status Run(TestSource& source) {
    const absl::Status status = RunJob(source, sink, operation, executor, options).status();
    CHECK(budget.used_bytes() == 0);
    return status;
  }
};

const Bytes& LargePng() {
  static const Bytes file = testing::MakePng(testing::Photograph("chelsea.png", 3, 2000, 3000));
  return file;
}
const Bytes& LargeJpeg() {
  static const Bytes file = testing::MakeJpeg(testing::Photograph("retina.jpg", 3, 2500, 3000));
  return file;
}

}  // namespace

TEST_CASE("nothing is written before the whole file is known to be good") {
  Attempt attempt;
  SECTION("a PNG that ends early") {
    Bytes file = LargePng();
    file.resize(file.size() - 3);
    TestSource source(file);
    const absl::Status status = attempt.Run(source);
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(Reason(status) == "IMAGE_TRUNCATED");
  }
  SECTION("a PNG whose last checksum is wrong") {
    Bytes file = LargePng();
    file.back() ^= 1;
    TestSource source(file);
    const absl::Status status = attempt.Run(source);
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(Reason(status) == "IMAGE_CORRUPT");
  }
  SECTION("a JPEG without its end") {
    Bytes file = LargeJpeg();
    file.resize(file.size() - 2000);
    TestSource source(file);
    const absl::Status status = attempt.Run(source);
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(Reason(status) == "IMAGE_TRUNCATED");
  }
  SECTION("a PNG with a wrong byte in the middle") {
    Bytes file = LargePng();
    file[file.size() / 2] ^= 0x55;
    TestSource source(file);
    CHECK(attempt.Run(source).code() == absl::StatusCode::kInvalidArgument);
  }
  CHECK(attempt.sink.bytes().empty());
}

TEST_CASE("what is no image is refused, small or not") {
  Attempt attempt;
  attempt.options.small_image_bytes = GENERATE(0u, 1u << 20);
  SECTION("text") {
    TestSource source(Bytes(1000, 'x'));
    CHECK(Reason(attempt.Run(source)) == "NOT_AN_IMAGE");
  }
  SECTION("nothing") {
    TestSource source({});
    CHECK(Reason(attempt.Run(source)) == "NOT_AN_IMAGE");
  }
  SECTION("too large") {
    attempt.options.limits.max_pixels = 1000;
    TestSource source(testing::TestFile("chelsea.png"));
    CHECK(Reason(attempt.Run(source)) == "IMAGE_TOO_LARGE");
  }
  SECTION("half an image") {
    Bytes file = testing::TestFile("chelsea.png");
    file.resize(file.size() / 2);
    TestSource source(file);
    CHECK(Reason(attempt.Run(source)) == "IMAGE_TRUNCATED");
  }
  CHECK(attempt.sink.bytes().empty());
}

TEST_CASE("an operation that does not fit the image") {
  Attempt attempt;
  attempt.options.small_image_bytes = GENERATE(0u, 1u << 20);
  SECTION("a wrong parameter") { attempt.operation.equalize.strength_q16 = 1 << 20; }
  SECTION("nodata beyond the depth") {
    attempt.operation.equalize.has_nodata = true;
    attempt.operation.equalize.nodata = 256;
  }
  SECTION("a reference of another depth") {
    attempt.operation.equalize.method = Method::kMatch;
    attempt.operation.equalize.reference.assign(65536, 1);
  }
  SECTION("a reference that nobody filled in") {
    attempt.operation.equalize.method = Method::kMatch;
    attempt.operation.reads_reference = true;
  }
  TestSource source(testing::TestFile("chelsea.png"));
  const absl::Status status = attempt.Run(source);
  CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  CHECK(Reason(status) == "BAD_PARAMETER");
  CHECK(attempt.sink.bytes().empty());
}

TEST_CASE("the source's error is the job's") {
  Attempt attempt;
  const uint64_t at = GENERATE(0u, 1000u, 1'500'000u);
  attempt.options.small_image_bytes = GENERATE(0u, 1u << 20);
  for (const Bytes& file : {LargePng(), LargeJpeg()}) {
    if (at >= file.size()) continue;
    TestSource source(file);
    source.At(at, [] { return absl::UnavailableError("the wire broke"); });
    const absl::Status status = attempt.Run(source);
    CHECK(status.code() == absl::StatusCode::kUnavailable);
    CHECK(status.message() == "the wire broke");
  }
  CHECK(attempt.sink.bytes().empty());
}

TEST_CASE("the sink's error is the job's, and ends it") {
  Attempt attempt;
  const uint64_t at = GENERATE(1u, 100'000u, 1'000'000u);
  attempt.sink.At(at, [] { return absl::AbortedError("nobody listens"); });
  TestSource source(LargePng());
  const absl::Status status = attempt.Run(source);
  CHECK(status.code() == absl::StatusCode::kAborted);
  CHECK(status.message() == "nobody listens");
  // Nothing after an error.
  CHECK(attempt.sink.bytes().size() < at);
}

TEST_CASE("no room for the spool") {
  Attempt attempt;
  attempt.options.budget = nullptr;
  attempt.options.scratch_dir = "/nowhere/at/all";
  TestSource source(LargePng());
  const absl::Status status = attempt.Run(source);
  CHECK(status.code() == absl::StatusCode::kResourceExhausted);
  CHECK(Reason(status) == "SCRATCH_FAILED");
}

TEST_CASE("a cancelled job ends with the token's status") {
  base::CancelSource cancel;
  Attempt attempt;
  attempt.options.token = cancel.token();
  const auto stop = [&] { cancel.Cancel(absl::CancelledError("no longer wanted")); };
  Bytes file = LargePng();
  std::atomic<uint32_t> analyzed = 0;
  std::atomic<uint32_t> transformed = 0;
  bool writes = false;
  JobStage stop_in = JobStage::kAnalyze;
  uint32_t stop_after = ~0u;
  SECTION("before it begins") { stop(); }
  SECTION("while it decodes") { stop_after = 2; }
  SECTION("when all is decoded") { stop_after = 5; }
  SECTION("while it transforms") {
    stop_in = JobStage::kTransform;
    stop_after = 2;
    writes = true;
  }
  SECTION("while a progressive JPEG is read") {
    file =
        testing::MakeJpeg(testing::Photograph("rocket.jpg", 3, 1500, 1500), {.progressive = true});
  }
  attempt.options.progress = [&](JobStage stage, uint32_t done, uint32_t) {
    (stage == JobStage::kAnalyze ? analyzed : transformed) = done;
    if (stage == stop_in && done == stop_after) stop();
  };
  TestSource source(file);
  if (file != LargePng()) {
    source.At(file.size() / 2, [&] {
      stop();
      return absl::OkStatus();
    });
  }
  const absl::Status status = attempt.Run(source);
  CHECK(status.code() == absl::StatusCode::kCancelled);
  CHECK(status.message() == "no longer wanted");
  CHECK(attempt.sink.bytes().empty() == !writes);
  if (!writes && stop_after < 5) CHECK(analyzed == stop_after);
  // Two threads may have been at work on what came next.
  if (writes) CHECK(transformed <= stop_after + 5);
}

TEST_CASE("a full disk ends the job, and nothing is left") {
  Attempt attempt;
  const std::string folder = (std::filesystem::temp_directory_path() / "run-job-test").string();
  std::filesystem::create_directories(folder);
  attempt.options.budget = nullptr;
  attempt.options.scratch_dir = folder;
  TestSource source(LargeJpeg());
  CHECK(attempt.Run(source).ok());
  CHECK(std::filesystem::is_empty(folder));
  std::filesystem::remove_all(folder);
}

namespace {

// Ends without having done its work.
class LazyExecutor final : public Executor {
 public:
  absl::Status Transform(const TransformSpec&, SegmentExchange&,
                         const base::CancelToken&) override {
    return absl::OkStatus();
  }
  absl::StatusOr<ProcessedImage> ProcessImage(std::span<const uint8_t>, const Operation&,
                                              const codec::DecodeLimits&,
                                              const base::CancelToken&) override {
    return absl::UnavailableError("no");
  }
};

// Delivers one segment twice.
class EagerExecutor final : public Executor {
 public:
  absl::Status Transform(const TransformSpec&, SegmentExchange& exchange,
                         const base::CancelToken&) override {
    if (absl::Status status = exchange.Deliver(3, {}); !status.ok()) return status;
    return exchange.Deliver(3, {});
  }
  absl::StatusOr<ProcessedImage> ProcessImage(std::span<const uint8_t>, const Operation&,
                                              const codec::DecodeLimits&,
                                              const base::CancelToken&) override {
    return absl::UnavailableError("no");
  }
};

}  // namespace

TEST_CASE("executors that break their promise do not make a file") {
  Attempt attempt;
  LazyExecutor lazy;
  EagerExecutor eager;
  for (Executor* executor : std::initializer_list<Executor*>{&lazy, &eager}) {
    TestSource source(LargePng());
    CHECK(RunJob(source, attempt.sink, {}, *executor, attempt.options).status().code() ==
          absl::StatusCode::kInternal);
  }
  attempt.options.small_image_bytes = 1 << 20;
  TestSource small(testing::TestFile("rocket.jpg"));
  CHECK(RunJob(small, attempt.sink, {}, lazy, attempt.options).status().code() ==
        absl::StatusCode::kUnavailable);
  CHECK(attempt.budget.used_bytes() == 0);
}

}  // namespace histeq::engine
