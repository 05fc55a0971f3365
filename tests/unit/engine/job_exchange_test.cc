// Fragments between an executor and a sink that is slower.
#include "job_exchange.h"

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/operation.h"
#include "engine/thread_executor.h"
#include "histeq/equalize.h"
#include "spool.h"

namespace histeq::engine {
namespace {

constexpr auto kPatience = std::chrono::seconds(60);
constexpr uint32_t kCount = 100;
constexpr uint32_t kWidth = 8;

// Gray PNG of one row a segment.
TransformSpec OneRowSegments() {
  TransformSpec spec;
  spec.layout.planes = {{kWidth, kWidth, 1, 1, 1}};
  spec.encode = {kWidth, kCount, codec::PngEncodeSpec{}};
  const ImageShape shape = ShapeOf(spec.layout, kCount);
  spec.mapping = std::make_shared<Mapping>(
      ComputeMapping(spec.parameters, shape, Statistics::Create(spec.parameters, shape)));
  return spec;
}

// Writes as many fragments as it is allowed to, and holds its caller until then.
class HeldStitcher final : public codec::Stitcher {
 public:
  absl::Status Append(const codec::Fragment&) override {
    std::unique_lock lock(mutex_);
    ++begun_;
    changed_.notify_all();
    if (!changed_.wait_for(lock, kPatience, [this] { return begun_ <= allowed_; }))
      return absl::DeadlineExceededError("held for ever");
    return absl::OkStatus();
  }
  absl::Status Finish() override { return absl::OkStatus(); }

  void Allow(uint32_t count) {
    std::lock_guard lock(mutex_);
    allowed_ = count;
    changed_.notify_all();
  }
  bool AwaitBegun(uint32_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return begun_ >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  uint32_t begun_ = 0;
  uint32_t allowed_ = 0;
};

// Counts the fragments that come.
class CountingExchange final : public SegmentExchange {
 public:
  explicit CountingExchange(SegmentExchange& inner) : inner_(inner) {}
  uint32_t count() const override { return inner_.count(); }
  Segment at(uint32_t index) const override { return inner_.at(index); }
  absl::Status Read(uint32_t index, uint64_t offset, std::span<uint8_t> out) override {
    return inner_.Read(index, offset, out);
  }
  std::span<uint8_t> InPlace(uint32_t index) override { return inner_.InPlace(index); }
  absl::Status Deliver(uint32_t index, codec::Fragment fragment) override {
    ++fragments_;
    return inner_.Deliver(index, std::move(fragment));
  }
  uint32_t delivered_prefix() const override { return inner_.delivered_prefix(); }
  void WatchPrefix(std::function<void()> grown) override { inner_.WatchPrefix(std::move(grown)); }

  uint32_t fragments() const { return fragments_; }

 private:
  SegmentExchange& inner_;
  std::atomic<uint32_t> fragments_ = 0;
};

// Has every task that waits in `executor` now, and every task that these submit, run so often that
// whatever can be done is done.
void LetRun(ThreadExecutor& executor) {
  for (uint32_t i = 0; i < 2 * kCount; ++i) {
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
    executor.Submit([&] {
      std::lock_guard lock(mutex);
      done = true;
      changed.notify_all();
    });
    std::unique_lock lock(mutex);
    REQUIRE(changed.wait_for(lock, kPatience, [&] { return done; }));
  }
}

}  // namespace

TEST_CASE("while the sink is slow no more fragments are made than the window has") {
  base::MemoryBudget budget(1 << 30);
  Spool spool(kCount, kWidth, &budget, std::filesystem::temp_directory_path().string());
  for (uint32_t i = 0; i < kCount; ++i) {
    const auto samples = spool.Allocate(i, kWidth);
    REQUIRE(samples.ok());
    std::fill(samples->begin(), samples->end(), 1);
    REQUIRE(spool.Store(i).ok());
  }
  spool.Seal();
  HeldStitcher stitcher;
  JobExchange exchange(Plan(kCount, 1), spool, stitcher, nullptr);
  CountingExchange counting(exchange);
  const TransformSpec spec = OneRowSegments();
  // One is in the sink, the other goes on.
  ThreadExecutor executor(2);
  constexpr uint32_t kWindow = 5;
  absl::Status status = absl::UnknownError("");
  std::thread job([&] { status = executor.Transform(spec, counting, {}); });
  CHECK(stitcher.AwaitBegun(1));
  LetRun(executor);
  CHECK(counting.fragments() == kWindow);
  CHECK(exchange.delivered_prefix() == 0);

  // Each that is written makes room for one, while the same thread is in the sink again.
  for (uint32_t written = 1; written <= 3; ++written) {
    stitcher.Allow(written);
    CHECK(stitcher.AwaitBegun(written + 1));
    LetRun(executor);
    CHECK(counting.fragments() == kWindow + written);
    CHECK(exchange.delivered_prefix() == written);
  }

  stitcher.Allow(kCount);
  job.join();
  CHECK(status.ok());
  CHECK(counting.fragments() == kCount);
  CHECK(exchange.delivered_prefix() == kCount);
}

}  // namespace histeq::engine
