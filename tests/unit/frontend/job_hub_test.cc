#include "job_hub.h"

#include <catch2/catch.hpp>
#include <thread>

#include "activity.h"

namespace histeq::frontend {
namespace {

TEST_CASE("a hint wakes the watches of its job, once each") {
  JobHub hub;
  const auto one = hub.MakeWatch("a");
  const auto two = hub.MakeWatch("a");
  const auto other = hub.MakeWatch("b");
  hub.Notify("a");
  hub.Notify("a");
  hub.Notify("nobody waits for this one");
  CHECK(one->Wait(absl::ZeroDuration()));
  CHECK(!one->Wait(absl::ZeroDuration()));
  CHECK(two->Wait(absl::Seconds(60)));
  CHECK(!other->Wait(absl::ZeroDuration()));
}

TEST_CASE("a hint ends a wait") {
  JobHub hub;
  const auto watch = hub.MakeWatch("a");
  std::thread notifier([&] { hub.Notify("a"); });
  CHECK(watch->Wait(absl::Seconds(60)));
  notifier.join();
}

TEST_CASE("transfers hold a drain up") {
  Activity activity;
  CHECK(activity.CheckServing().ok());
  auto transfer = std::make_unique<Activity::Transfer>(activity);
  activity.StartDrain();
  CHECK(absl::IsUnavailable(activity.CheckServing()));
  CHECK(activity.transfers() == 1);
  CHECK(!activity.WaitIdle(absl::Milliseconds(1)));
  std::thread ends([&] { transfer.reset(); });
  CHECK(activity.WaitIdle(absl::Seconds(60)));
  ends.join();
}

}  // namespace
}  // namespace histeq::frontend
