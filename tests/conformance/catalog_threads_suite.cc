// What every Catalog does when many threads use it: waiting for work, hints, random operations.

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "store_harness.h"
#include "store_support.h"

namespace histeq::store::testing {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);

// Runs `body` on `count` threads and joins them.
template <typename Body>
void RunThreads(int count, const Body& body) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back([&body, i] { body(i); });
  for (std::thread& thread : threads) thread.join();
}

TEMPLATE_TEST_CASE("whoever waits for work wakes when there is some", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const ImageRecord image = AddImage(catalog, "up").image;
  // What makes a job ready, and what must have happened before.
  const int way = GENERATE(0, 1, 2, 3, 4, 5);
  INFO("way " << way);
  if (way != 0) {
    REQUIRE(catalog.CreateJob("r", image.id, EqualizeSpec()).ok());
    REQUIRE(catalog.LeaseNext("north", 0)->has_value());
  }
  if (way == 4) {
    REQUIRE(catalog.CreateJob("r-2", image.id, EqualizeSpec("other")).ok());
  }
  const std::string job = way == 0 ? "" : catalog.ListJobs({}, 0, "")->records.back().id;
  const std::string waiter_name = way == 4 ? "north" : "south";
  std::atomic<bool> found{false};
  std::atomic<bool> looked{false};
  std::thread waiter([&] {
    for (int i = 0; i < 1000 && !found; ++i) {
      const uint64_t seen = catalog.WorkGeneration();
      const auto lease = catalog.LeaseNext(waiter_name, 1);
      found = lease.ok() && lease->has_value();
      looked = true;
      looked.notify_all();
      if (!found) catalog.WaitForWork(seen, kPatience);
    }
  });
  looked.wait(false);
  switch (way) {
    case 0:
      CHECK(catalog.CreateJob("r", image.id, EqualizeSpec()).ok());
      break;
    case 1:
      CHECK(catalog.Fail(job, 1, FailOutcome::kHandBack, {}).ok());
      break;
    case 2:
      harness.clock.Advance(absl::Seconds(31));
      CHECK(catalog.ExpireLeases()->size() == 1);
      break;
    case 3:
      CHECK(AddImage(catalog, "up-2", EqualizeSpec()).job.has_value());
      break;
    case 4:
      // Its place is free again.
      CHECK(catalog.Complete(job, 1, {{MakeFacts("blob:r")}, {}}).ok());
      break;
    case 5:
      // A back-off ends; the clock moves before the waiter could have noticed it by itself.
      harness.clock.Advance(absl::Seconds(2));
      CHECK(catalog.Fail(job, 1, FailOutcome::kRetry, {}).ok());
      harness.clock.Advance(absl::Seconds(2));
      break;
    default:
      break;
  }
  waiter.join();
  CHECK(found);
}

TEMPLATE_TEST_CASE("of many who wait as many wake as there are jobs", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  // One coordinator has all that it may, and may wait too: a job that it was woken for goes to
  // others.
  const int full_waiters = GENERATE(0, 1);
  const ImageRecord image = AddImage(catalog, "up", EqualizeSpec()).image;
  REQUIRE(catalog.LeaseNext("full", 1)->has_value());
  constexpr int kWaiters = 4;
  std::atomic<int> looked{0};
  std::atomic<int> leased{0};
  std::atomic<bool> slept_through{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < kWaiters + full_waiters; ++t) {
    threads.emplace_back([&, t] {
      const bool full = t == kWaiters;
      bool first = true;
      while (leased < kWaiters) {
        const uint64_t seen = catalog.WorkGeneration();
        const auto lease = catalog.LeaseNext(full ? "full" : "free-" + std::to_string(t), 1);
        if (std::exchange(first, false)) ++looked;
        if (lease.ok() && lease->has_value()) {
          // Whoever has all waits no more, but for the one that must be let go at the end.
          if (++leased == kWaiters) {
            catalog.CreateJob("last", image.id, EqualizeSpec("last")).IgnoreError();
          }
          return;
        }
        if (leased == kWaiters) return;
        const auto began = std::chrono::steady_clock::now();
        catalog.WaitForWork(seen, kPatience);
        if (std::chrono::steady_clock::now() - began >= absl::ToChronoSeconds(kPatience)) {
          slept_through = true;
        }
      }
    });
  }
  while (looked < kWaiters + full_waiters) std::this_thread::yield();
  for (int i = 0; i < kWaiters; ++i) {
    const std::string number = std::to_string(i);
    CHECK(catalog.CreateJob("r-" + number, image.id, EqualizeSpec("e-" + number)).ok());
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(leased == kWaiters);
  CHECK_FALSE(slept_through);
}

TEMPLATE_TEST_CASE("a wait ends by its timeout, its generation, or a back-off found at start", "",
                   CATALOGS) {
  TestType harness;
  Catalog* catalog = &harness.catalog();
  catalog->WaitForWork(catalog->WorkGeneration(), absl::ZeroDuration());
  catalog->WaitForWork(catalog->WorkGeneration(), -absl::InfiniteDuration());
  catalog->WaitForWork(catalog->WorkGeneration(), absl::Milliseconds(1));
  catalog->WaitForWork(catalog->WorkGeneration() + 1, absl::InfiniteDuration());
  const uint64_t before = catalog->WorkGeneration();
  const std::string job = AddImage(*catalog, "up", EqualizeSpec()).job->id;
  CHECK(catalog->WorkGeneration() != before);
  catalog->WaitForWork(before, absl::InfiniteDuration());
  REQUIRE(catalog->LeaseNext("c", 0)->has_value());
  REQUIRE(catalog->Fail(job, 1, FailOutcome::kRetry, {}).ok());
  harness.Reopen();
  catalog = &harness.catalog();
  const uint64_t seen = catalog->WorkGeneration();
  CHECK_FALSE(catalog->LeaseNext("c", 0)->has_value());
  harness.clock.Advance(absl::Seconds(1));
  catalog->WaitForWork(seen, absl::InfiniteDuration());
  CHECK(catalog->LeaseNext("c", 0)->has_value());
}

TEMPLATE_TEST_CASE("hints tell of every change, until unsubscribed", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  std::mutex mutex;
  std::vector<std::string> hints;
  const auto note = [&](const CatalogHint& hint) {
    const std::lock_guard lock(mutex);
    hints.push_back(hint.kind == CatalogHint::Kind::kWork ? "work" : hint.job_id);
  };
  const auto take = [&] {
    const std::lock_guard lock(mutex);
    return std::exchange(hints, {});
  };
  using Hints = std::vector<std::string>;
  auto handle = catalog.Subscribe(note);
  int others = 0;
  auto other = catalog.Subscribe([&others](const CatalogHint&) { ++others; });
  AddImage(catalog, "plain");
  CHECK(take().empty());
  const std::string job = AddImage(catalog, "up", EqualizeSpec()).job->id;
  CHECK(take() == Hints{job, "work"});
  REQUIRE(catalog.LeaseNext("c", 0)->has_value());
  CHECK(take() == Hints{job});
  catalog.Renew("c", {{job, 1, {JobStage::kAnalyze, 1, 2, 0}}});
  CHECK(take() == Hints{job});
  catalog.Renew("c", {{job, 1, {JobStage::kAnalyze, 1, 2, 0}}});
  catalog.Renew("c", {{job, 7, {JobStage::kAnalyze, 2, 2, 0}}});
  CHECK(take().empty());
  REQUIRE(catalog.Fail(job, 1, FailOutcome::kHandBack, {}).ok());
  CHECK(take() == Hints{job, "work"});
  REQUIRE(catalog.LeaseNext("c", 0)->has_value());
  take();
  REQUIRE(catalog.CancelJob(job).ok());
  CHECK(take() == Hints{job});
  CHECK_FALSE(catalog.Complete(job, 1, {{MakeFacts("blob:late")}, {}}).ok());
  CHECK(take().empty());
  harness.clock.Advance(absl::Seconds(31));
  REQUIRE(catalog.ExpireLeases()->size() == 1);
  CHECK(take() == Hints{job});
  const int before = others;
  handle.reset();
  REQUIRE(AddImage(catalog, "up-2", EqualizeSpec()).job.has_value());
  CHECK(take().empty());
  CHECK(others == before + 2);
}

TEMPLATE_TEST_CASE("unsubscribing waits for the call in progress", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  std::atomic<int> calls{0};
  for (int round = 0; round < 20; ++round) {
    auto alive = std::make_unique<std::atomic<bool>>(true);
    auto handle = catalog.Subscribe([&calls, alive = alive.get()](const CatalogHint&) {
      if (*alive) ++calls;
    });
    std::thread changer([&] { AddImage(catalog, "up-" + std::to_string(round), EqualizeSpec()); });
    handle.reset();
    alive.reset();
    changer.join();
  }
  CHECK(calls <= 40);
}

TEMPLATE_TEST_CASE("one request id from a hundred threads is one job", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const ImageRecord image = AddImage(catalog, "up").image;
  std::mutex mutex;
  std::set<std::string> jobs;
  std::set<std::string> images;
  std::atomic<int> failures{0};
  RunThreads(16, [&](int) {
    for (int i = 0; i < 7; ++i) {
      const auto job = catalog.CreateJob("r", image.id, EqualizeSpec());
      const auto upload = catalog.BeginUpload(MakeHeader("one", EqualizeSpec()), "k");
      const auto finished = catalog.FinishUpload("one", MakeFacts("blob:k"));
      if (!job.ok() || !upload.ok() || !finished.ok()) {
        ++failures;
        continue;
      }
      const std::lock_guard lock(mutex);
      jobs.insert(job->id);
      images.insert(finished->image.id);
    }
  });
  CHECK(failures == 0);
  CHECK(jobs.size() == 1);
  CHECK(images.size() == 1);
  CHECK(catalog.CountJobs()->queued == 2);
}

// Threads that produce, lease, complete, fail, die, cancel, delete and look at random, against a
// model of what was acknowledged.
class Storm {
 public:
  Storm(Catalog& catalog, TestClock& clock, uint64_t seed)
      : catalog_(catalog), clock_(clock), seed_(seed) {}

  void Run(int threads, int operations) {
    RunThreads(threads, [&](int thread) {
      std::mt19937_64 random(seed_ * 1000 + static_cast<uint64_t>(thread));
      for (int i = 0; i < operations; ++i) Step(thread, i, random);
    });
  }

  // Ends every job that is left, as good coordinators would.
  void Drain() {
    for (int i = 0; i < 100'000; ++i) {
      auto lease = catalog_.LeaseNext("drain", 0);
      REQUIRE(lease.status() == absl::OkStatus());
      if (lease->has_value()) {
        Complete(**lease);
        continue;
      }
      const auto counts = catalog_.CountJobs();
      if (counts->queued + counts->running == 0) return;
      clock_.Advance(absl::Seconds(61));
      REQUIRE(catalog_.ExpireLeases().ok());
    }
    FAIL("jobs never end");
  }

  void Check(Catalog& catalog) {
    CHECK(errors_.empty());
    std::map<JobState, uint64_t> states;
    std::map<std::string, int> results;
    size_t jobs = 0;
    std::string token;
    do {
      const auto page = catalog.ListJobs({}, 100, token);
      REQUIRE(page.ok());
      for (const JobRecord& job : page->records) {
        ++jobs;
        ++states[job.state];
        const auto known = jobs_.find(job.id);
        REQUIRE(known != jobs_.end());
        CHECK(IsFinal(job.state));
        CHECK(job.attempts <= job.max_attempts);
        CHECK(job.holder_deaths <= 3);
        CHECK(job.coordinator.empty());
        CHECK(job.epoch >= known->second.epoch);
        CHECK(job.end_time.has_value());
        CHECK((job.state == JobState::kSucceeded) == !job.result_image_id.empty());
        CHECK((job.state == JobState::kFailed) <= job.error.has_value());
        // What was acknowledged is what is.
        if (known->second.final.has_value()) CHECK(job.state == *known->second.final);
        if (!known->second.result.empty()) CHECK(job.result_image_id == known->second.result);
        if (!job.result_image_id.empty()) CHECK(++results[job.result_image_id] == 1);
      }
      token = page->next_page_token;
    } while (!token.empty());
    // Every acknowledged job is there, and no other; each job of an upload with its image.
    CHECK(jobs == jobs_.size());
    std::set<std::string> images;
    do {
      const auto page = catalog.ListImages({}, 100, token);
      REQUIRE(page.ok());
      for (const ImageRecord& image : page->records) {
        CHECK(images.insert(image.id).second);
        CHECK(deleted_.count(image.id) == 0);
        if (image.tag.empty()) {
          CHECK(uploaded_.count(image.id) == 1);
        } else {
          CHECK(results.count(image.id) == 1);
        }
      }
      token = page->next_page_token;
    } while (!token.empty());
    for (const std::string& id : uploaded_) CHECK(images.count(id) + deleted_.count(id) == 1);
    for (const auto& [id, count] : results) CHECK(images.count(id) + deleted_.count(id) == 1);
    const auto counts = catalog.CountJobs();
    CHECK(counts->queued == 0);
    CHECK(counts->running == 0);
    // The storm was one: every kind of end happened.
    CHECK(states[JobState::kSucceeded] > 0);
    CHECK(states[JobState::kFailed] > 0);
    CHECK(states[JobState::kCancelled] > 0);
  }

 private:
  struct Known {
    // The highest lease given.
    uint64_t epoch = 0;
    std::optional<JobState> final;
    uint64_t final_epoch = 0;
    std::string result;
  };

  void Error(const std::string& what, const absl::Status& status) {
    errors_.push_back(what + ": " + status.ToString());
  }

  // An answer that is neither OK nor one that the rules allow is an error.
  void Allow(const std::string& what, const absl::Status& status,
             const std::set<std::string>& reasons) {
    if (status.ok() || reasons.count(ReasonOf(status)) > 0) return;
    const std::lock_guard lock(mutex_);
    Error(what, status);
  }

  std::string AnyJob(std::mt19937_64& random) {
    const std::lock_guard lock(mutex_);
    if (names_.empty()) return "job-none";
    return names_[random() % names_.size()];
  }

  void Add(const JobRecord& job) {
    const std::lock_guard lock(mutex_);
    if (jobs_.try_emplace(job.id).second) names_.push_back(job.id);
  }

  void Ended(const JobRecord& job) {
    if (!IsFinal(job.state)) return;
    const std::lock_guard lock(mutex_);
    Known& known = jobs_[job.id];
    if (known.final.has_value() && *known.final != job.state) {
      errors_.push_back("job " + job.id + " ended twice");
    }
    known.final = job.state;
    known.final_epoch = job.epoch;
    if (known.epoch > job.epoch) errors_.push_back("leased after its end: " + job.id);
    if (job.state == JobState::kSucceeded) known.result = job.result_image_id;
  }

  // Epochs of one job only grow, and no epoch is given twice.
  void Leased(const JobRecord& job) {
    const std::lock_guard lock(mutex_);
    if (!epochs_.emplace(job.id, job.epoch).second) {
      errors_.push_back("epoch given twice for " + job.id);
    }
    Known& known = jobs_[job.id];
    known.epoch = std::max(known.epoch, job.epoch);
    if (known.final.has_value() && job.epoch > known.final_epoch) {
      errors_.push_back("leased after its end: " + job.id);
    }
  }

  void Complete(const Lease& lease) {
    const auto completed = catalog_.Complete(
        lease.job.id, lease.job.epoch,
        {{MakeFacts("blob:" + lease.job.id + "-" + std::to_string(lease.job.epoch))}, "s"});
    Allow("complete", completed.status(), {"STALE_EPOCH"});
    if (completed.ok()) Ended(completed->job);
  }

  void Upload(int thread, int i) {
    const std::string id = "up-" + std::to_string(thread) + "-" + std::to_string(i);
    const auto begun = catalog_.BeginUpload(MakeHeader(id, EqualizeSpec()), "k-" + id);
    Allow("begin", begun.status(), {});
    const auto finished = catalog_.FinishUpload(id, MakeFacts("blob:" + id));
    Allow("finish", finished.status(), {});
    if (!finished.ok()) return;
    Add(*finished->job);
    const std::lock_guard lock(mutex_);
    uploaded_.insert(finished->image.id);
  }

  void Work(int thread, std::mt19937_64& random) {
    const std::string name = "c-" + std::to_string(thread);
    const auto lease = catalog_.LeaseNext(name, 8);
    Allow("lease", lease.status(), {});
    if (!lease.ok() || !lease->has_value()) return;
    const JobRecord& job = (*lease)->job;
    Add(job);
    Leased(job);
    catalog_.Renew(name, {{job.id, job.epoch, {JobStage::kTransform, 1, 2, 1}}});
    const uint64_t dice = random() % 10;
    if (dice < 5) {
      Complete(**lease);
      if (dice == 0) Complete(**lease);
    } else if (dice < 8) {
      const auto outcome = static_cast<FailOutcome>(1 + random() % 4);
      const auto failed = catalog_.Fail(job.id, job.epoch, outcome, {14, "X", "x", {}});
      Allow("fail", failed.status(), {"STALE_EPOCH"});
      if (failed.ok()) Ended(*failed);
    } else {
      // It dies, or is a zombie that comes back under an old epoch.
      Allow("zombie", catalog_.Fail(job.id, job.epoch - 1, FailOutcome::kPermanent, {}).status(),
            {"STALE_EPOCH"});
    }
  }

  void Step(int thread, int i, std::mt19937_64& random) {
    const uint64_t dice = random() % 100;
    if (dice < 30) return Upload(thread, i);
    if (dice < 75) return Work(thread, random);
    if (dice < 80) {
      const auto cancelled = catalog_.CancelJob(AnyJob(random));
      Allow("cancel", cancelled.status(), {"JOB_NOT_FOUND"});
      if (cancelled.ok()) Ended(*cancelled);
      return;
    }
    if (dice < 85) {
      const auto job = catalog_.GetJob(AnyJob(random));
      Allow("get", job.status(), {"JOB_NOT_FOUND"});
      if (job.ok()) Ended(*job);
      return;
    }
    if (dice < 90) {
      const auto job = catalog_.GetJob(AnyJob(random));
      if (!job.ok()) return;
      const std::string number = std::to_string(random() % 50);
      const auto again =
          catalog_.CreateJob("r-" + number, job->image_id, EqualizeSpec("operation-" + number));
      Allow("create", again.status(), {"REQUEST_ID_REUSED", "IMAGE_NOT_FOUND"});
      if (again.ok()) Add(*again);
      return;
    }
    if (dice < 94) {
      const auto job = catalog_.GetJob(AnyJob(random));
      if (!job.ok()) return;
      const std::string id = random() % 2 == 0 ? job->image_id : job->result_image_id;
      const auto deleted = catalog_.DeleteImage(id);
      Allow("delete", deleted.status(), {"IMAGE_NOT_FOUND", "IMAGE_IN_USE"});
      if (!deleted.ok()) return;
      const std::lock_guard lock(mutex_);
      // The image, and what was made of it.
      for (const ImageRecord& image : deleted->images) {
        if (!deleted_.insert(image.id).second) errors_.push_back("deleted twice: " + image.id);
      }
      return;
    }
    if (dice < 97) {
      Allow("list", catalog_.ListJobs({JobState::kQueued, ""}, 10, "").status(), {});
      return;
    }
    clock_.Advance(absl::Seconds(random() % 12));
    const auto expired = catalog_.ExpireLeases();
    Allow("expire", expired.status(), {});
    if (!expired.ok()) return;
    for (const JobRecord& job : *expired) Ended(job);
  }

  Catalog& catalog_;
  TestClock& clock_;
  const uint64_t seed_;
  std::mutex mutex_;
  std::vector<std::string> errors_;
  std::map<std::string, Known> jobs_;
  std::vector<std::string> names_;
  std::set<std::pair<std::string, uint64_t>> epochs_;
  std::set<std::string> uploaded_;
  std::set<std::string> deleted_;
};

TEMPLATE_TEST_CASE("sixteen threads of random operations break no rule", "", CATALOGS) {
  const char* given = std::getenv("HISTEQ_TEST_SEED");
  const uint64_t seed =
      given == nullptr ? std::random_device{}() : std::strtoull(given, nullptr, 10);
  std::cout << "HISTEQ_TEST_SEED=" << seed << std::endl;
  INFO("HISTEQ_TEST_SEED=" << seed);
  TestType harness;
  Storm storm(harness.catalog(), harness.clock, seed);
  storm.Run(16, 150);
  storm.Drain();
  storm.Check(harness.catalog());
  harness.Reopen();
  storm.Check(harness.catalog());
}

}  // namespace
}  // namespace histeq::store::testing
