#include "lease_table.h"

#include <catch2/catch.hpp>

#include "manual_clock.h"

namespace histeq::coordinator {
namespace {

struct Fixture {
  ManualClock clock;
  base::Watchdog watchdog{clock};
  LeaseTable table{clock, watchdog};

  void Pass(absl::Duration time) {
    clock.Advance(time);
    watchdog.Poke();
  }
};

constexpr absl::Duration kTtl = absl::Seconds(30);

TEST_CASE("a lease stops itself after two thirds of its time without renewal") {
  Fixture f;
  auto lease = f.table.Add({"job", 1}, "a.png", kTtl);
  f.Pass(absl::Seconds(19));
  CHECK_FALSE(lease->work().WaitFor(absl::Milliseconds(50)).code() == absl::StatusCode::kAborted);
  f.Pass(absl::Seconds(2));
  CHECK(lease->work().WaitFor(absl::Seconds(10)).code() == absl::StatusCode::kAborted);
  CHECK(lease->life().cancelled());
  CHECK(lease->stop_reason() == StopReason::kLost);
  CHECK(f.table.Held().empty());
}

TEST_CASE("a renewal counts from when it was asked for, not from when it was answered") {
  Fixture f;
  auto lease = f.table.Add({"job", 1}, "a.png", kTtl);
  const absl::Duration sent = f.clock.Monotonic();
  f.Pass(absl::Seconds(15));
  f.table.Answer({"job", 1}, Verdict::kRenewed, sent + absl::Seconds(10), kTtl);
  f.Pass(absl::Seconds(14));
  CHECK(lease->work().WaitFor(absl::Milliseconds(50)).ok());
  f.Pass(absl::Seconds(2));
  CHECK_FALSE(lease->work().WaitFor(absl::Seconds(10)).ok());
}

TEST_CASE("verdicts reach the lease that they name, and no other") {
  Fixture f;
  auto lost = f.table.Add({"lost", 4}, "", kTtl);
  auto cancelled = f.table.Add({"cancelled", 2}, "", kTtl);
  auto other = f.table.Add({"other", 3}, "", kTtl);
  const absl::Duration now = f.clock.Monotonic();
  f.table.Answer({"lost", 4}, Verdict::kLost, now, kTtl);
  f.table.Answer({"cancelled", 2}, Verdict::kCancel, now, kTtl);
  f.table.Answer({"other", 2}, Verdict::kLost, now, kTtl);
  f.table.Answer({"unknown", 1}, Verdict::kLost, now, kTtl);

  CHECK(lost->stop_reason() == StopReason::kLost);
  CHECK(lost->life().cancelled());
  CHECK(cancelled->stop_reason() == StopReason::kCancelled);
  CHECK(cancelled->work().Check().code() == absl::StatusCode::kCancelled);
  // The answer to a cancellation still has to be given under this lease.
  CHECK_FALSE(cancelled->life().cancelled());
  CHECK(other->stop_reason() == StopReason::kNone);

  std::vector<std::string> held;
  for (const auto& one : f.table.Held()) held.push_back(one.key.job_id);
  CHECK(held == std::vector<std::string>{"cancelled", "other"});
}

TEST_CASE("a job leased again under a higher epoch takes the older lease's life") {
  Fixture f;
  auto old = f.table.Add({"job", 1}, "", kTtl);
  auto again = f.table.Add({"job", 2}, "", kTtl);
  CHECK(old->life().cancelled());
  CHECK_FALSE(again->work().cancelled());
  old.reset();
  CHECK(f.table.size() == 1);
}

TEST_CASE("a drain stops the work but not the life of every lease, and a loss wins over it") {
  Fixture f;
  auto a = f.table.Add({"a", 1}, "", kTtl);
  auto b = f.table.Add({"b", 1}, "", kTtl);
  f.table.DrainAll();
  CHECK(a->stop_reason() == StopReason::kDrained);
  CHECK(a->work().cancelled());
  CHECK_FALSE(a->life().cancelled());
  b->MarkLost(absl::FailedPreconditionError("epoch 2 is current"));
  CHECK(b->stop_reason() == StopReason::kLost);
  CHECK(b->life().cancelled());
}

TEST_CASE("a new stage is urgent news, a finished segment is not") {
  Fixture f;
  int calls = 0;
  f.table.SetChangeCallback([&] { ++calls; });
  auto lease = f.table.Add({"job", 1}, "", kTtl);
  const auto first = f.table.revision();
  CHECK(first.urgent == 1);
  lease->SetProgress({Stage::kAnalyze, 1, 10, 0});
  const auto second = f.table.revision();
  CHECK(second.urgent == 2);
  lease->SetProgress({Stage::kAnalyze, 2, 10, 0});
  lease->SetProgress({Stage::kAnalyze, 2, 10, 0});
  const auto third = f.table.revision();
  CHECK(third.urgent == 2);
  CHECK(third.progress == second.progress + 1);
  CHECK(calls == 3);
  lease.reset();
  CHECK(f.table.revision().urgent == 3);
  CHECK(f.table.size() == 0);
}

}  // namespace
}  // namespace histeq::coordinator
