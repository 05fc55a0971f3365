#include "worker_registry.h"

#include <catch2/catch.hpp>
#include <condition_variable>
#include <set>

#include "base/error.h"
#include "manual_clock.h"

namespace histeq::coordinator {
namespace {

class Pool final : public WorkerListener {
 public:
  void WorkerSeen(const WorkerReport& worker) override {
    std::lock_guard lock(mutex_);
    workers_[worker.name] = worker;
    changed_.notify_all();
  }
  void WorkerGone(const std::string& name) override {
    std::lock_guard lock(mutex_);
    workers_.erase(name);
    changed_.notify_all();
  }
  std::set<std::string> names() {
    std::lock_guard lock(mutex_);
    std::set<std::string> names;
    for (const auto& [name, worker] : workers_) names.insert(name);
    return names;
  }
  uint32_t free_slots(const std::string& name) {
    std::lock_guard lock(mutex_);
    return workers_[name].free_slots;
  }
  bool WaitUntilGone(const std::string& name) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10),
                             [&] { return !workers_.contains(name); });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, WorkerReport> workers_;
};

struct Fixture {
  ManualClock clock;
  base::Watchdog watchdog{clock};
  Pool pool;
  absl::Status probe_answer;
  std::vector<std::string> probed;
  WorkerRegistry registry{clock,
                          watchdog,
                          pool,
                          [this](const std::string& name, const std::string& address) {
                            probed.push_back(name + "@" + address);
                            return probe_answer;
                          },
                          {.gone_after = absl::Seconds(20), .max_workers = 3}};

  auto Attach(const WorkerReport& report) {
    return registry.Attach(report, [] {});
  }
};

WorkerReport Report(const std::string& name, const std::string& address) {
  WorkerReport report;
  report.name = name;
  report.address = address;
  report.slots = 2;
  report.free_slots = 2;
  return report;
}

std::string Reason(const absl::Status& status) {
  const auto detail = base::GetErrorDetail(status);
  return detail ? detail->reason : "";
}

TEST_CASE("a worker is in the pool from its first report until its stream ends") {
  Fixture f;
  {
    auto session = f.Attach(Report("w1", "127.0.0.1:7001"));
    REQUIRE(session.ok());
    CHECK(f.probed == std::vector<std::string>{"w1@127.0.0.1:7001"});
    CHECK(f.pool.names() == std::set<std::string>{"w1"});
    WorkerReport busy = Report("w1", "127.0.0.1:7001");
    busy.free_slots = 0;
    CHECK((*session)->Update(busy).ok());
    CHECK(f.pool.free_slots("w1") == 0);
    REQUIRE(f.registry.Workers().size() == 1);
    CHECK(f.registry.Workers()[0].report.free_slots == 0);
  }
  CHECK(f.pool.names().empty());
  CHECK(f.registry.Workers().empty());
}

TEST_CASE("reports that cannot be workers are refused with the field at fault") {
  Fixture f;
  struct Case {
    WorkerReport report;
    std::string field;
  };
  std::vector<Case> cases = {{Report("", "h:1"), "worker.name"},
                             {Report(std::string(256, 'x'), "h:1"), "worker.name"},
                             {Report("a\nb", "h:1"), "worker.name"},
                             {Report("a", ""), "worker.address"},
                             {Report("a", "host"), "worker.address"},
                             {Report("a", ":80"), "worker.address"},
                             {Report("a", "host:0"), "worker.address"},
                             {Report("a", "host:65536"), "worker.address"},
                             {Report("a", "host:80x"), "worker.address"},
                             {Report("a", "unix:"), "worker.address"}};
  cases.push_back({Report("a", "h:1"), "worker.slots"});
  cases.back().report.slots = cases.back().report.free_slots = 0;
  cases.push_back({Report("a", "h:1"), "worker.free_slots"});
  cases.back().report.free_slots = 3;
  for (const Case& one : cases) {
    CAPTURE(one.report.name, one.report.address);
    const absl::Status status = f.Attach(one.report).status();
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    REQUIRE(base::GetErrorDetail(status));
    CHECK(base::GetErrorDetail(status)->field == one.field);
  }
  CHECK(f.probed.empty());
  CHECK(CheckWorkerReport(Report("a", "[::1]:80")).ok());
  CHECK(CheckWorkerReport(Report("a", "unix:/run/w.sock")).ok());
}

TEST_CASE("a name belongs to one live worker; the same worker may come again") {
  Fixture f;
  int ended = 0;
  auto first = f.registry.Attach(Report("w", "h:1"), [&] { ++ended; });
  REQUIRE(first.ok());
  auto other = f.Attach(Report("w", "h:2"));
  CHECK(other.status().code() == absl::StatusCode::kAlreadyExists);
  CHECK(Reason(other.status()) == "WORKER_NAME_TAKEN");
  CHECK(ended == 0);

  auto again = f.Attach(Report("w", "h:1"));
  REQUIRE(again.ok());
  CHECK(ended == 1);
  CHECK((*first)->Update(Report("w", "h:1")).code() == absl::StatusCode::kAborted);
  // The end of the old stream does not detach the new one.
  first->reset();
  CHECK(f.pool.names() == std::set<std::string>{"w"});
  again->reset();
  CHECK(f.Attach(Report("w", "h:2")).ok());
}

TEST_CASE("a worker that cannot be called back is told so and not used") {
  Fixture f;
  f.probe_answer = absl::UnavailableError("connection refused");
  auto status = f.Attach(Report("w", "h:1")).status();
  CHECK(status.code() == absl::StatusCode::kUnavailable);
  CHECK(Reason(status) == "WORKER_UNREACHABLE");
  CHECK_THAT(std::string(status.message()), Catch::Contains("connection refused"));
  f.probe_answer = absl::InvalidArgumentError("worker x answers there");
  CHECK(f.Attach(Report("w", "h:1")).status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(f.pool.names().empty());
  // The name is free again.
  f.probe_answer = absl::OkStatus();
  CHECK(f.Attach(Report("w", "h:2")).ok());
}

TEST_CASE("a silent worker is gone after 20 s, and its stream is ended") {
  Fixture f;
  std::atomic<int> ended = 0;
  auto session = f.registry.Attach(Report("w", "h:1"), [&] { ++ended; });
  REQUIRE(session.ok());
  f.clock.Advance(absl::Seconds(15));
  REQUIRE((*session)->Update(Report("w", "h:1")).ok());
  f.clock.Advance(absl::Seconds(15));
  f.watchdog.Poke();
  CHECK(f.pool.names() == std::set<std::string>{"w"});
  f.clock.Advance(absl::Seconds(6));
  f.watchdog.Poke();
  CHECK(f.pool.WaitUntilGone("w"));
  CHECK((*session)->Update(Report("w", "h:1")).code() == absl::StatusCode::kAborted);
  session->reset();
  CHECK(ended == 1);
}

TEST_CASE("a worker's identity cannot change during a stream") {
  Fixture f;
  auto session = f.Attach(Report("w", "h:1"));
  REQUIRE(session.ok());
  CHECK((*session)->Update(Report("v", "h:1")).code() == absl::StatusCode::kInvalidArgument);
  CHECK((*session)->Update(Report("w", "h:2")).code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("a draining coordinator keeps its workers and takes no new ones") {
  Fixture f;
  auto session = f.Attach(Report("w", "h:1"));
  REQUIRE(session.ok());
  f.registry.StartDrain();
  CHECK((*session)->Update(Report("w", "h:1")).ok());
  auto status = f.Attach(Report("v", "h:2")).status();
  CHECK(status.code() == absl::StatusCode::kUnavailable);
  CHECK(Reason(status) == "COORDINATOR_DRAINING");
}

TEST_CASE("the number of workers is limited") {
  Fixture f;
  std::vector<std::unique_ptr<WorkerRegistry::Session>> sessions;
  for (int i = 0; i < 3; ++i) {
    auto session = f.Attach(Report("w" + std::to_string(i), "h:1"));
    REQUIRE(session.ok());
    sessions.push_back(*std::move(session));
  }
  const absl::Status refused = f.Attach(Report("w3", "h:1")).status();
  CHECK(refused.code() == absl::StatusCode::kResourceExhausted);
  CHECK(base::GetErrorDetail(refused)->metadata ==
        std::map<std::string, std::string>{{"limit", "3"}, {"actual", "4"}});
  sessions.pop_back();
  CHECK(f.Attach(Report("w3", "h:1")).ok());
}

}  // namespace
}  // namespace histeq::coordinator
