#include "base/watchdog.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <future>

namespace histeq::base {
namespace {

// A clock that the test moves.
class ManualClock final : public Clock {
 public:
  absl::Time Now() const override { return absl::UnixEpoch() + Monotonic(); }
  absl::Duration Monotonic() const override { return absl::Milliseconds(now_ms.load()); }
  std::atomic<int64_t> now_ms = 1000;
};

TEST_CASE("an alarm rings once, when its time has come") {
  ManualClock clock;
  Watchdog watchdog(clock);
  std::atomic<int> rings = 0;
  std::promise<void> rang;
  const auto alarm = watchdog.ArmAfter(absl::Milliseconds(100), [&] {
    if (++rings == 1) rang.set_value();
  });
  clock.now_ms += 99;
  watchdog.Poke();
  // Another alarm proves that the first was looked at and found to be early.
  std::promise<void> other;
  const auto due = watchdog.Arm(clock.Monotonic(), [&] { other.set_value(); });
  other.get_future().wait();
  CHECK(rings == 0);
  clock.now_ms += 1;
  watchdog.Poke();
  rang.get_future().wait();
  alarm->Extend(absl::ZeroDuration());
  watchdog.Poke();
  CHECK(rings == 1);
}

TEST_CASE("an alarm that is moved, or gone, does not ring") {
  ManualClock clock;
  Watchdog watchdog(clock);
  std::atomic<int> rings = 0;
  const auto moved = watchdog.ArmAfter(absl::Milliseconds(100), [&] { ++rings; });
  auto gone = watchdog.ArmAfter(absl::Milliseconds(100), [&] { ++rings; });
  moved->Extend(absl::Milliseconds(500));
  gone.reset();
  clock.now_ms += 200;
  std::promise<void> other;
  const auto due = watchdog.Arm(clock.Monotonic(), [&] { other.set_value(); });
  other.get_future().wait();
  CHECK(rings == 0);
}

TEST_CASE("alarms ring in whatever order they came") {
  Watchdog watchdog(SystemClock());
  std::promise<void> first, second, third;
  const auto late = watchdog.ArmAfter(absl::Milliseconds(60), [&] { third.set_value(); });
  const auto middle = watchdog.ArmAfter(absl::Milliseconds(30), [&] { second.set_value(); });
  const auto early = watchdog.ArmAfter(absl::Milliseconds(1), [&] { first.set_value(); });
  first.get_future().wait();
  second.get_future().wait();
  const auto later = watchdog.ArmAfter(absl::Hours(1), [] {});
  third.get_future().wait();
}

TEST_CASE("the end of an alarm waits for its callback") {
  Watchdog watchdog(SystemClock());
  std::promise<void> entered, leave;
  std::atomic<bool> left = false;
  auto alarm = watchdog.ArmAfter(absl::ZeroDuration(), [&] {
    entered.set_value();
    leave.get_future().wait();
    left = true;
  });
  entered.get_future().wait();
  auto ended = std::async(std::launch::async, [&] {
    alarm.reset();
    return left.load();
  });
  leave.set_value();
  CHECK(ended.get());
}

}  // namespace
}  // namespace histeq::base
