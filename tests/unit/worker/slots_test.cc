#include "slots.h"

#include <catch2/catch.hpp>
#include <thread>

#include "base/error.h"

namespace histeq::worker {
namespace {

std::string ReasonOf(const absl::Status& status) {
  const auto detail = base::GetErrorDetail(status);
  return detail ? detail->reason : "";
}

TEST_CASE("no more than the slots are taken, and they come back") {
  Slots slots(2, 1000);
  int changes = 0;
  slots.SetChangeCallback([&] { ++changes; });
  auto first = slots.Take({.job_id = "a", .segment = 1}, 10);
  auto second = slots.Take({.job_id = "b", .segment = 2}, 20);
  REQUIRE(first.ok());
  REQUIRE(second.ok());
  CHECK(slots.state().free_slots == 0);
  CHECK(slots.state().free_memory_bytes == 970);
  REQUIRE(slots.Working().size() == 2);
  CHECK(slots.Working()[1].job_id == "b");

  const auto third = slots.Take({}, 10);
  CHECK(third.status().code() == absl::StatusCode::kResourceExhausted);
  CHECK(ReasonOf(third.status()) == "NO_SLOT");
  CHECK(base::GetErrorDetail(third.status())->metadata ==
        std::map<std::string, std::string>{{"limit", "2"}, {"actual", "3"}});
  CHECK(base::GetErrorDetail(third.status())->retry_after.has_value());

  first->reset();
  CHECK(slots.state().free_slots == 1);
  CHECK(slots.state().free_memory_bytes == 980);
  CHECK(slots.Working()[0].job_id == "b");
  CHECK(slots.Take({}, 10).ok());
  CHECK(changes == 5);
}

TEST_CASE("memory is refused beyond the budget, for ever when it can never fit") {
  Slots slots(4, 1000);
  auto place = slots.Take({}, 600);
  REQUIRE(place.ok());
  const auto later = slots.Take({}, 401);
  CHECK(ReasonOf(later.status()) == "MEMORY_BUDGET");
  CHECK(base::GetErrorDetail(later.status())->retry_after.has_value());
  const auto never = slots.Take({}, 1001);
  CHECK(ReasonOf(never.status()) == "MEMORY_BUDGET");
  CHECK_FALSE(base::GetErrorDetail(never.status())->retry_after.has_value());
  CHECK(slots.Take({}, ~uint64_t{0}).status().code() == absl::StatusCode::kResourceExhausted);

  CHECK((*place)->Grow(400).ok());
  const absl::Status more = (*place)->Grow(1);
  CHECK(ReasonOf(more) == "MEMORY_BUDGET");
  // There is no more for this piece of work, whoever else leaves.
  CHECK_FALSE(base::GetErrorDetail(more)->retry_after.has_value());
  CHECK(slots.state().free_memory_bytes == 0);
  place->reset();
  CHECK(slots.state().free_memory_bytes == 1000);
  auto small = slots.Take({}, 100);
  auto other = slots.Take({}, 800);
  REQUIRE(small.ok());
  REQUIRE(other.ok());
  // There will be when the other leaves.
  CHECK(base::GetErrorDetail((*small)->Grow(900))->retry_after.has_value());
  CHECK_FALSE(base::GetErrorDetail((*small)->Grow(901))->retry_after.has_value());
  small->reset();
  other->reset();
  CHECK(slots.state().free_slots == 4);
}

TEST_CASE("a drain refuses, and waits for what runs") {
  Slots slots(2, 1000);
  auto place = slots.Take({}, 1);
  slots.StartDrain();
  CHECK(slots.state().draining);
  CHECK(slots.state().free_slots == 0);
  const auto refused = slots.Take({}, 1);
  CHECK(refused.status().code() == absl::StatusCode::kUnavailable);
  CHECK(ReasonOf(refused.status()) == "WORKER_DRAINING");
  CHECK_FALSE(slots.WaitIdle(absl::ZeroDuration()));
  std::thread end([&] { place->reset(); });
  CHECK(slots.WaitIdle(absl::InfiniteDuration()));
  end.join();
  CHECK(slots.done() == 1);
}

}  // namespace
}  // namespace histeq::worker
