#include "engine/segment_queue.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <set>
#include <thread>
#include <vector>

namespace histeq::engine {
namespace {

// Longer than any test takes: when it passes, something hangs.
constexpr absl::Duration kPatience = absl::Seconds(60);

}  // namespace

TEST_CASE("indices come in order, within the window") {
  SegmentQueue queue(5, 2, {});
  CHECK(queue.TryTake() == 0u);
  CHECK(queue.TryTake() == 1u);
  CHECK_FALSE(queue.TryTake().has_value());
  CHECK(queue.taken() == 2);
  // 0 is still out.
  queue.Complete(1);
  CHECK_FALSE(queue.TryTake().has_value());
  queue.Complete(0);
  CHECK(queue.TryTake() == 2u);
  CHECK(queue.TryTake() == 3u);
  CHECK_FALSE(queue.TryTake().has_value());
  queue.Complete(2);
  CHECK(queue.TryTake() == 4u);
  queue.Complete(3);
  CHECK_FALSE(queue.over());
  CHECK_FALSE(queue.WaitFor(absl::ZeroDuration()));
  queue.Complete(4);
  CHECK(queue.over());
  CHECK(queue.completed() == 5);
  CHECK(queue.Wait().ok());
  CHECK_FALSE(queue.TryTake().has_value());
}

TEST_CASE("the window moves with what is delivered, not with what is complete") {
  uint32_t delivered = 0;
  SegmentQueue queue(5, 2, {}, [&] { return delivered; });
  REQUIRE(queue.TryTake() == 0u);
  REQUIRE(queue.TryTake() == 1u);
  queue.Complete(0);
  queue.Complete(1);
  CHECK_FALSE(queue.TryTake().has_value());
  delivered = 1;
  CHECK(queue.TryTake() == 2u);
  CHECK_FALSE(queue.TryTake().has_value());
  // Also before the call that delivers it has returned.
  delivered = 3;
  CHECK(queue.TryTake() == 3u);
  CHECK(queue.TryTake() == 4u);
  for (const uint32_t index : {2u, 3u, 4u}) queue.Complete(index);
  CHECK(queue.Wait().ok());
}

TEST_CASE("what is given back goes to the front, the lowest first") {
  SegmentQueue queue(10, 4, {});
  for (uint32_t i = 0; i < 4; ++i) REQUIRE(queue.TryTake() == i);
  queue.GiveBack(2);
  queue.GiveBack(1);
  CHECK(queue.TryTake() == 1u);
  CHECK(queue.TryTake() == 2u);
  CHECK_FALSE(queue.TryTake().has_value());
  // Also when the window is full.
  queue.GiveBack(3);
  CHECK(queue.TryTake() == 3u);
}

TEST_CASE("the first error ends the queue, and stays") {
  SegmentQueue queue(10, 4, {});
  REQUIRE(queue.TryTake() == 0u);
  queue.Fail(absl::DataLossError("first"));
  queue.Fail(absl::InternalError("second"));
  CHECK(queue.over());
  CHECK_FALSE(queue.TryTake().has_value());
  CHECK_FALSE(queue.Take(kPatience).has_value());
  // One is still out.
  CHECK_FALSE(queue.WaitFor(absl::ZeroDuration()));
  queue.GiveBack(0);
  CHECK(queue.Wait().message() == "first");
  CHECK_FALSE(queue.TryTake().has_value());
}

TEST_CASE("a finished queue cannot fail") {
  SegmentQueue queue(1, 1, {});
  REQUIRE(queue.TryTake() == 0u);
  queue.Complete(0);
  queue.Fail(absl::InternalError("late"));
  CHECK(queue.Wait().ok());
}

TEST_CASE("a queue of nothing is over at once") {
  SegmentQueue queue(0, 1, {});
  CHECK(queue.over());
  CHECK(queue.Wait().ok());
}

TEST_CASE("a cancelled token fails the queue and wakes those who wait") {
  base::CancelSource cancel;
  SECTION("before") {
    cancel.Cancel(absl::AbortedError("lost"));
    SegmentQueue queue(3, 3, cancel.token());
    CHECK(queue.over());
    CHECK(queue.Wait().message() == "lost");
  }
  SECTION("while a thread waits") {
    SegmentQueue queue(3, 1, cancel.token());
    REQUIRE(queue.TryTake() == 0u);
    std::thread waiting([&] { CHECK_FALSE(queue.Take(kPatience).has_value()); });
    cancel.Cancel(absl::AbortedError("lost"));
    waiting.join();
    queue.GiveBack(0);
    CHECK(queue.Wait().message() == "lost");
  }
}

TEST_CASE("a cancel after the queue is gone touches nothing") {
  base::CancelSource cancel;
  { SegmentQueue queue(3, 1, cancel.token()); }
  cancel.Cancel(absl::AbortedError("late"));
}

TEST_CASE("waiting ends with what was waited for") {
  SegmentQueue queue(2, 1, {});
  REQUIRE(queue.Take(kPatience) == 0u);
  SECTION("nothing, in time") { CHECK_FALSE(queue.Take(absl::Milliseconds(1)).has_value()); }
  SECTION("a window that opens") {
    std::thread waiting([&] { CHECK(queue.Take(kPatience) == 1u); });
    queue.Complete(0);
    waiting.join();
  }
  SECTION("an index that is given back") {
    std::thread waiting([&] { CHECK(queue.Take(absl::InfiniteDuration()) == 0u); });
    queue.GiveBack(0);
    waiting.join();
  }
  SECTION("a puller that shall stop") {
    std::atomic<bool> stop = false;
    std::thread waiting(
        [&] { CHECK_FALSE(queue.Take(kPatience, [&] { return stop.load(); }).has_value()); });
    stop = true;
    queue.Wake();
    waiting.join();
  }
}

TEST_CASE("many threads, with failures, do every index once") {
  constexpr uint32_t kCount = 2000;
  constexpr uint32_t kWindow = 7;
  SegmentQueue queue(kCount, kWindow, {});
  std::mutex mutex;
  std::set<uint32_t> done;
  std::atomic<uint32_t> wrong = 0;
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      uint32_t turn = t;
      while (const auto index = queue.Take(kPatience)) {
        if (queue.taken() > kWindow) ++wrong;
        if (++turn % 5 == 0) {
          queue.GiveBack(*index);
          continue;
        }
        {
          std::lock_guard lock(mutex);
          if (!done.insert(*index).second) ++wrong;
        }
        queue.Complete(*index);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(queue.Wait().ok());
  CHECK(done.size() == kCount);
  CHECK(wrong == 0);
}

}  // namespace histeq::engine
