#include "engine/thread_executor.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/operation.h"
#include "histeq/equalize.h"

namespace histeq::engine {
namespace {

constexpr auto kPatience = std::chrono::seconds(60);

// Gray PNG of one row a segment.
TransformSpec OneRowSegments(uint32_t count) {
  TransformSpec spec;
  spec.layout.planes = {{8, 8, 1, 1, 1}};
  spec.encode = {8, count, codec::PngEncodeSpec{}};
  const ImageShape shape = ShapeOf(spec.layout, count);
  spec.mapping = std::make_shared<Mapping>(
      ComputeMapping(spec.parameters, shape, Statistics::Create(spec.parameters, shape)));
  return spec;
}

class RowExchange final : public SegmentExchange {
 public:
  RowExchange(uint32_t count, std::function<absl::Status(uint32_t)> delivered)
      : count_(count), delivered_(std::move(delivered)) {}
  uint32_t count() const override { return count_; }
  Segment at(uint32_t index) const override { return {index, index, 1}; }
  absl::Status Read(uint32_t, uint64_t, std::span<uint8_t> out) override {
    std::fill(out.begin(), out.end(), 1);
    return absl::OkStatus();
  }
  absl::Status Deliver(uint32_t index, codec::Fragment) override {
    ++total_;
    return delivered_(index);
  }
  uint32_t delivered_prefix() const override { return total_; }
  uint32_t total() const { return total_; }

 private:
  const uint32_t count_;
  const std::function<absl::Status(uint32_t)> delivered_;
  std::atomic<uint32_t> total_ = 0;
};

}  // namespace

TEST_CASE("jobs share the threads segment by segment") {
  // The first job is as good as endless: without turns the second would not come to its end before.
  constexpr uint32_t kLong = 1'000'000;
  constexpr uint32_t kShort = 20;
  ThreadExecutor executor(1);
  const TransformSpec long_spec = OneRowSegments(kLong);
  const TransformSpec short_spec = OneRowSegments(kShort);
  base::CancelSource enough;
  // Deliveries of the long job so far, at each delivery of the short one; one thread does both.
  uint32_t long_done = 0;
  std::vector<uint32_t> turns;
  std::mutex mutex;
  std::condition_variable changed;
  bool started = false;
  RowExchange long_job(kLong, [&](uint32_t) {
    ++long_done;
    std::lock_guard lock(mutex);
    started = true;
    changed.notify_all();
    return absl::OkStatus();
  });
  RowExchange short_job(kShort, [&](uint32_t) {
    turns.push_back(long_done);
    return absl::OkStatus();
  });
  absl::Status long_status;
  std::thread first([&] { long_status = executor.Transform(long_spec, long_job, enough.token()); });
  {
    std::unique_lock lock(mutex);
    REQUIRE(changed.wait_for(lock, kPatience, [&] { return started; }));
  }
  const absl::Status short_status = executor.Transform(short_spec, short_job, {});
  enough.Cancel(absl::CancelledError("enough"));
  first.join();
  CHECK(short_status.ok());
  CHECK(long_status.code() == absl::StatusCode::kCancelled);
  CHECK(long_job.total() < kLong);
  REQUIRE(turns.size() == kShort);
  for (uint32_t i = 1; i < kShort; ++i) CHECK(turns[i] - turns[i - 1] == 1);
}

TEST_CASE("one job uses all threads") {
  constexpr uint32_t kThreads = 3;
  ThreadExecutor executor(kThreads);
  CHECK(executor.threads() == kThreads);
  const TransformSpec spec = OneRowSegments(kThreads);
  std::mutex mutex;
  std::condition_variable changed;
  uint32_t inside = 0;
  // Each waits for the others.
  RowExchange exchange(kThreads, [&](uint32_t) -> absl::Status {
    std::unique_lock lock(mutex);
    ++inside;
    changed.notify_all();
    if (changed.wait_for(lock, kPatience, [&] { return inside == kThreads; }))
      return absl::OkStatus();
    return absl::DeadlineExceededError("alone");
  });
  CHECK(executor.Transform(spec, exchange, {}).ok());
}

TEST_CASE("tasks run in order, between the segments of jobs") {
  ThreadExecutor executor(1);
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<int> done;
  for (int i = 0; i < 5; ++i) {
    executor.Submit([&, i] {
      std::lock_guard lock(mutex);
      done.push_back(i);
      changed.notify_all();
    });
  }
  std::unique_lock lock(mutex);
  REQUIRE(changed.wait_for(lock, kPatience, [&] { return done.size() == 5; }));
  CHECK(done == std::vector<int>{0, 1, 2, 3, 4});
}

TEST_CASE("an executor that ends does what was submitted") {
  std::atomic<int> done = 0;
  {
    ThreadExecutor executor(2);
    for (int i = 0; i < 50; ++i) executor.Submit([&] { ++done; });
  }
  CHECK(done == 50);
}

TEST_CASE("many jobs at once, some of which fail") {
  ThreadExecutor executor(3);
  const TransformSpec spec = OneRowSegments(40);
  std::vector<std::thread> callers;
  std::atomic<uint32_t> wrong = 0;
  for (uint32_t caller = 0; caller < 8; ++caller) {
    callers.emplace_back([&, caller] {
      const bool fails = caller % 2 == 1;
      RowExchange exchange(40, [&](uint32_t index) {
        return fails && index == 17 ? absl::DataLossError("seventeen") : absl::OkStatus();
      });
      const absl::Status status = executor.Transform(spec, exchange, {});
      if (fails ? status.message() != "seventeen" : !status.ok()) ++wrong;
      if (!fails && exchange.total() != 40) ++wrong;
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0);
}

}  // namespace histeq::engine
