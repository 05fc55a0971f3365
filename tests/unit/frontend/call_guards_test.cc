#include "call_guards.h"

#include <catch2/catch.hpp>
#include <condition_variable>
#include <mutex>
#include <set>

#include "base/error.h"
#include "manual_clock.h"

namespace histeq::frontend {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);

// Remembers with what a call was ended.
class Ended {
 public:
  CallGuards::End end() {
    return [this](const absl::Status& why) {
      std::lock_guard lock(mutex_);
      ++count_;
      why_ = why;
      changed_.notify_all();
    };
  }
  bool Wait() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, absl::ToChronoNanoseconds(kPatience),
                             [&] { return count_ > 0; });
  }
  int count() {
    std::lock_guard lock(mutex_);
    return count_;
  }
  absl::Status why() {
    std::lock_guard lock(mutex_);
    return why_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
  absl::Status why_;
};

// Leases of a catalog, and how often they were looked at.
class Leases {
 public:
  CallGuards::CheckLease check() {
    return [this](const std::string& job_id, uint64_t) {
      std::lock_guard lock(mutex_);
      ++looks_;
      changed_.notify_all();
      return answers_.count(job_id) > 0 ? answers_[job_id] : absl::OkStatus();
    };
  }
  void Set(const std::string& job_id, absl::Status answer) {
    std::lock_guard lock(mutex_);
    answers_[job_id] = std::move(answer);
  }
  // Waits for a look after this call.
  bool WaitForLooks(int more) {
    std::unique_lock lock(mutex_);
    const int wanted = looks_ + more;
    return changed_.wait_for(lock, absl::ToChronoNanoseconds(kPatience),
                             [&] { return looks_ >= wanted; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, absl::Status> answers_;
  int looks_ = 0;
};

TEST_CASE("silence ends a call, once") {
  testing::ManualClock clock;
  Leases leases;
  CallGuards guards(clock, leases.check(), {.tick = absl::Milliseconds(5)});
  Ended silent, busy, served;
  const auto guard = guards.Watch(silent.end(), "no chunk came");
  const auto paused = guards.Watch(busy.end(), "no chunk came");
  const auto extended = guards.Watch(served.end(), "no chunk came");
  guard->Expect(absl::Seconds(30));
  paused->Expect(absl::Seconds(30));
  paused->Pause();
  extended->Expect(absl::Seconds(30));
  clock.Advance(absl::Seconds(29));
  extended->Expect(absl::Seconds(30));
  clock.Advance(absl::Seconds(2));
  REQUIRE(silent.Wait());
  CHECK(absl::IsDeadlineExceeded(silent.why()));
  CHECK(silent.why().message() == "no chunk came for 30s");
  CHECK(base::GetErrorDetail(silent.why())->reason == "IDLE_TIMEOUT");
  clock.Advance(absl::Seconds(100));
  REQUIRE(served.Wait());
  CHECK(silent.count() == 1);
  CHECK(busy.count() == 0);
}

TEST_CASE("a lost lease ends its call") {
  testing::ManualClock clock;
  Leases leases;
  CallGuards guards(clock, leases.check(), {.tick = absl::Milliseconds(5)});
  Ended ended, other;
  const auto guard = guards.WatchLease("a", 1, ended.end(), "");
  const auto keeps = guards.WatchLease("b", 1, other.end(), "");
  // Trouble of the catalog is not the lease's.
  leases.Set("b", absl::ResourceExhaustedError("disk full"));
  leases.Set("a", absl::FailedPreconditionError("stale"));
  SECTION("by a hint") {
    guards.JobChanged("a");
    guards.JobChanged("b");
  }
  SECTION("in time") { clock.Advance(absl::Seconds(4)); }
  REQUIRE(ended.Wait());
  CHECK(absl::IsFailedPrecondition(ended.why()));
  clock.Advance(absl::Seconds(4));
  REQUIRE(leases.WaitForLooks(1));
  CHECK(ended.count() == 1);
  CHECK(other.count() == 0);
}

TEST_CASE("a guard that is gone ends nothing") {
  testing::ManualClock clock;
  Leases leases;
  CallGuards guards(clock, leases.check(), {.tick = absl::Milliseconds(5)});
  Ended ended, later;
  auto guard = guards.Watch(ended.end(), "no chunk came");
  guard->Expect(absl::Seconds(1));
  guard.reset();
  const auto second = guards.Watch(later.end(), "no chunk came");
  second->Expect(absl::Seconds(1));
  clock.Advance(absl::Seconds(2));
  REQUIRE(later.Wait());
  CHECK(ended.count() == 0);
}

}  // namespace
}  // namespace histeq::frontend
