// What every Catalog does with jobs and leases.

#include <catch2/catch.hpp>
#include <map>
#include <string>
#include <vector>

#include "store_harness.h"
#include "store_support.h"

namespace histeq::store::testing {
namespace {

const JobError kError{14, "WORKER_LOST", "the worker went away", {{"peer", "10.0.0.9"}, {"", "x"}}};

// A job on a new image.
JobRecord AddJob(Catalog& catalog, const std::string& name) {
  return AddImage(catalog, "up-" + name, EqualizeSpec()).job.value();
}

// The lease of the next job, which must be there.
Lease MustLease(Catalog& catalog, const std::string& coordinator = "north") {
  auto lease = catalog.LeaseNext(coordinator, 0);
  REQUIRE(lease.status() == absl::OkStatus());
  REQUIRE(lease->has_value());
  // Its holder reads the source.
  REQUIRE(catalog.GetLease((*lease)->job.id, (*lease)->job.epoch).ok());
  return **std::move(lease);
}

bool NothingReady(Catalog& catalog) {
  const auto lease = catalog.LeaseNext("nobody", 0);
  REQUIRE(lease.status() == absl::OkStatus());
  return !lease->has_value();
}

LeaseVerdict RenewOne(Catalog& catalog, const std::string& coordinator, const std::string& job,
                      uint64_t epoch, const JobProgress& progress = {}) {
  return catalog.Renew(coordinator, {{job, epoch, progress}}).at(0);
}

void CheckSameJob(const JobRecord& a, const JobRecord& b) {
  CHECK(a.id == b.id);
  CHECK(a.image_id == b.image_id);
  CHECK(a.image_name == b.image_name);
  CHECK(a.spec.operation == b.spec.operation);
  CHECK(a.spec.outputs.size() == b.spec.outputs.size());
  CHECK(a.spec.reference_image_id == b.spec.reference_image_id);
  CHECK(a.state == b.state);
  CHECK(a.attempts == b.attempts);
  CHECK(a.max_attempts == b.max_attempts);
  CHECK(a.holder_deaths == b.holder_deaths);
  CHECK(a.epoch == b.epoch);
  CHECK(a.coordinator == b.coordinator);
  CHECK(a.cancel_requested == b.cancel_requested);
  CHECK(a.result_image_id == b.result_image_id);
  CHECK(a.error == b.error);
  CHECK(a.progress == b.progress);
  CHECK(a.create_time == b.create_time);
  CHECK(a.start_time == b.start_time);
  CHECK(a.end_time == b.end_time);
  CHECK(a.not_before == b.not_before);
}

TEMPLATE_TEST_CASE("a job is made once for a request id", "", CATALOGS) {
  TestType harness;
  const ImageRecord image = AddImage(harness.catalog(), "up").image;
  const ImageRecord other = AddImage(harness.catalog(), "other").image;
  const auto job = harness.catalog().CreateJob("r-1", image.id, EqualizeSpec());
  REQUIRE(job.ok());
  CHECK(job->state == JobState::kQueued);
  CHECK(job->create_time == harness.clock.Now());
  for (int i = 0; i < 2; ++i) {
    Catalog& catalog = harness.catalog();
    CheckSameJob(catalog.CreateJob("r-1", image.id, EqualizeSpec()).value(), *job);
    CheckSameJob(catalog.GetJob(job->id).value(), *job);
    const absl::Status other_image = catalog.CreateJob("r-1", other.id, EqualizeSpec()).status();
    CHECK(other_image.code() == absl::StatusCode::kAlreadyExists);
    CHECK(ReasonOf(other_image) == "REQUEST_ID_REUSED");
    CHECK(ReasonOf(catalog.CreateJob("r-1", image.id, EqualizeSpec("x"))) == "REQUEST_ID_REUSED");
    CHECK(catalog.CountJobs()->queued == 1);
    harness.Reopen();
  }
  CHECK(harness.catalog().CreateJob("r-2", image.id, EqualizeSpec("other"))->id != job->id);
}

TEMPLATE_TEST_CASE("jobs are leased first in, first out, each once", "", CATALOGS) {
  TestType harness;
  std::vector<std::string> jobs;
  for (int i = 0; i < 10; ++i) jobs.push_back(AddJob(harness.catalog(), std::to_string(i)).id);
  for (size_t i = 0; i < jobs.size(); ++i) {
    if (i == 5) harness.Reopen();
    const Lease lease = MustLease(harness.catalog(), "c" + std::to_string(i));
    CHECK(lease.job.id == jobs[i]);
    CHECK(lease.job.state == JobState::kRunning);
    CHECK(lease.job.coordinator == "c" + std::to_string(i));
    CHECK(lease.job.epoch == 1);
    CHECK(lease.job.attempts == 1);
    CHECK(lease.job.start_time == harness.clock.Now());
    CHECK(lease.image.id == lease.job.image_id);
    CHECK(lease.ttl == absl::Seconds(30));
    CHECK_FALSE(lease.reference.has_value());
    CheckSameJob(harness.catalog().GetJob(jobs[i]).value(), lease.job);
    CHECK(harness.catalog().CountJobs()->running == i + 1);
    CHECK(harness.catalog().CountJobs()->queued == jobs.size() - i - 1);
  }
  CHECK(NothingReady(harness.catalog()));
}

TEMPLATE_TEST_CASE("a lease comes with the job's reference image and its statistics", "",
                   CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const ImageRecord source = AddImage(catalog, "src").image;
  const ImageRecord reference = AddImage(catalog, "ref").image;
  REQUIRE(catalog.CreateJob("r-1", source.id, MakeSpec("match", "MATCHED", reference.id)).ok());
  {
    const Lease lease = MustLease(catalog);
    CHECK(lease.reference.value().id == reference.id);
    CHECK_FALSE(lease.reference_statistics.has_value());
    REQUIRE(catalog.Complete(lease.job.id, 1, {{MakeFacts("blob:a")}, {}}).ok());
  }
  // A job without a result image keeps statistics with its image.
  REQUIRE(catalog.CreateJob("r-2", reference.id, MakeSpec("analyze", "", "")).ok());
  const std::string statistics("\0\1counts", 8);
  REQUIRE(catalog.Complete(MustLease(catalog).job.id, 1, {{}, statistics}).ok());
  CHECK(catalog.GetImageStatistics(reference.id).value() == statistics);
  REQUIRE(
      catalog.CreateJob("r-3", source.id, MakeSpec("match again", "MATCHED", reference.id)).ok());
  const Lease lease = MustLease(catalog);
  CHECK(lease.reference_statistics == statistics);
  const auto same = catalog.GetLease(lease.job.id, lease.job.epoch);
  REQUIRE(same.ok());
  CheckSameJob(same->job, lease.job);
  CHECK(same->image.id == source.id);
  CHECK(same->reference.value().id == reference.id);
  CHECK(same->reference_statistics == statistics);
}

TEMPLATE_TEST_CASE("a coordinator gets no more jobs than it may run", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  for (int i = 0; i < 5; ++i) AddJob(catalog, std::to_string(i));
  const auto first = catalog.LeaseNext("north", 2);
  CHECK(first->has_value());
  CHECK(catalog.LeaseNext("north", 2)->has_value());
  CHECK_FALSE(catalog.LeaseNext("north", 2)->has_value());
  CHECK(catalog.LeaseNext("south", 2)->has_value());
  CHECK(catalog.LeaseNext("north", 3)->has_value());
  CHECK_FALSE(catalog.LeaseNext("north", 3)->has_value());
  REQUIRE(catalog.Fail((*first)->job.id, 1, FailOutcome::kPermanent, kError).ok());
  CHECK(catalog.LeaseNext("north", 3)->has_value());
}

TEMPLATE_TEST_CASE("completing a job registers its result once", "", CATALOGS) {
  TestType harness;
  const JobRecord job = AddJob(harness.catalog(), "1");
  const Lease lease = MustLease(harness.catalog());
  harness.clock.Advance(absl::Seconds(5));
  RenewOne(harness.catalog(), "north", job.id, 1, {JobStage::kTransform, 3, 9, 2});
  const auto completed =
      harness.catalog().Complete(job.id, 1, {{MakeFacts("blob:result")}, "statistics"});
  REQUIRE(completed.ok());
  CHECK_FALSE(completed->already_completed);
  CHECK(completed->job.state == JobState::kSucceeded);
  CHECK(completed->job.coordinator.empty());
  CHECK(completed->job.end_time == harness.clock.Now());
  REQUIRE(completed->results.at(0).has_value());
  CHECK(completed->job.result_image_id == completed->results.at(0)->id);
  CHECK(completed->results.at(0)->name == "photo_EQUALIZED.jpg");
  CHECK(completed->results.at(0)->tag == "EQUALIZED");
  CHECK(completed->results.at(0)->source_image_id == job.image_id);
  CHECK(completed->results.at(0)->source_job_id == job.id);
  CHECK(completed->results.at(0)->facts.location == "blob:result");
  for (int i = 0; i < 2; ++i) {
    Catalog& catalog = harness.catalog();
    CheckSameJob(catalog.GetJob(job.id).value(), completed->job);
    CHECK(catalog.GetImage(completed->results.at(0)->id).value().tag == "EQUALIZED");
    CHECK(catalog.GetImageStatistics(job.image_id).value() == "statistics");
    const auto again = catalog.Complete(job.id, 1, {{MakeFacts("blob:another")}, "other"});
    REQUIRE(again.ok());
    CHECK(again->already_completed);
    CHECK(again->results.at(0).value().facts.location == "blob:result");
    CheckSameJob(again->job, completed->job);
    CHECK(catalog.GetImageStatistics(job.image_id).value() == "statistics");
    CHECK(catalog.ListImages({}, 0, "")->records.size() == 2);
    harness.Reopen();
  }
  Catalog& catalog = harness.catalog();
  CHECK(ReasonOf(catalog.Complete(job.id, 2, {{MakeFacts("blob:x")}, {}})) == "STALE_EPOCH");
  CHECK(ReasonOf(catalog.Fail(job.id, 1, FailOutcome::kRetry, kError)) == "STALE_EPOCH");
  CHECK(catalog.CountJobs()->running == 0);
  REQUIRE(catalog.DeleteImage(completed->results.at(0)->id).ok());
  const auto after = catalog.Complete(job.id, 1, {{MakeFacts("blob:result")}, {}});
  REQUIRE(after.ok());
  CHECK(after->already_completed);
  CHECK_FALSE(after->results.at(0).has_value());
}

TEMPLATE_TEST_CASE("a result image comes exactly when the job makes one", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const JobRecord job = AddJob(catalog, "1");
  REQUIRE(catalog.CreateJob("r", job.image_id, MakeSpec("analyze", "", "")).ok());
  const Lease with = MustLease(catalog);
  const Lease without = MustLease(catalog);
  const absl::Status none = catalog.Complete(with.job.id, 1, {}).status();
  CHECK(none.code() == absl::StatusCode::kInvalidArgument);
  CHECK(catalog.Complete(without.job.id, 1, {{MakeFacts("blob:x")}, {}}).status().code() ==
        absl::StatusCode::kInvalidArgument);
  CHECK(catalog.CountJobs()->running == 2);
  const auto completed = catalog.Complete(without.job.id, 1, {{}, "s"});
  REQUIRE(completed.ok());
  CHECK(completed->results.empty());
  CHECK(catalog.Complete(without.job.id, 1, {{}, "s"})->already_completed);
}

TEMPLATE_TEST_CASE("a former holder changes nothing", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const std::string id = AddJob(catalog, "1").id;
  MustLease(catalog, "former");
  harness.clock.Advance(absl::Seconds(31));
  REQUIRE(catalog.ExpireLeases()->size() == 1);
  const auto check_refused = [&](uint64_t epoch) {
    const JobRecord before = catalog.GetJob(id).value();
    CHECK(RenewOne(catalog, "former", id, epoch) == LeaseVerdict::kLost);
    CHECK(catalog.GetLease(id, epoch).status().code() == absl::StatusCode::kFailedPrecondition);
    CHECK(ReasonOf(catalog.GetLease(id, epoch)) == "STALE_EPOCH");
    const absl::Status complete =
        catalog.Complete(id, epoch, {{MakeFacts("blob:late")}, "late"}).status();
    CHECK(complete.code() == absl::StatusCode::kFailedPrecondition);
    CHECK(ReasonOf(complete) == "STALE_EPOCH");
    CheckSameJob(catalog.GetJob(id).value(), before);
    CHECK(catalog.ListImages({}, 0, "")->records.size() == 1);
    CHECK_FALSE(catalog.GetImageStatistics(before.image_id)->has_value());
  };
  // Queued again, and nobody has it.
  check_refused(1);
  CHECK(catalog.GetJob(id)->state == JobState::kQueued);
  CheckSameJob(catalog.Fail(id, 1, FailOutcome::kPermanent, kError).value(),
               catalog.GetJob(id).value());
  CHECK(catalog.GetJob(id)->state == JobState::kQueued);
  // Leased to another.
  CHECK(MustLease(catalog, "successor").job.epoch == 2);
  check_refused(1);
  check_refused(0);
  check_refused(3);
  for (const FailOutcome outcome : {FailOutcome::kRetry, FailOutcome::kPermanent,
                                    FailOutcome::kHandBack, FailOutcome::kCancelled}) {
    CHECK(ReasonOf(catalog.Fail(id, 1, outcome, kError)) == "STALE_EPOCH");
  }
  CHECK(catalog.GetJob(id)->coordinator == "successor");
  CHECK(RenewOne(catalog, "successor", id, 2) == LeaseVerdict::kRenewed);
  CHECK(catalog.Complete(id, 2, {{MakeFacts("blob:r")}, {}}).ok());
  CHECK(ReasonOf(catalog.Complete(id, 1, {{MakeFacts("blob:late")}, {}})) == "STALE_EPOCH");
}

TEMPLATE_TEST_CASE("a lease lives while it is renewed, by the monotonic clock alone", "",
                   CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const std::string id = AddJob(catalog, "1").id;
  MustLease(catalog);
  for (int i = 0; i < 10; ++i) {
    harness.clock.Advance(absl::Seconds(29));
    CHECK(catalog.ExpireLeases()->empty());
    CHECK(RenewOne(catalog, "north", id, 1) == LeaseVerdict::kRenewed);
  }
  // Somebody sets the clock.
  harness.clock.ShiftWall(absl::Hours(24));
  CHECK(catalog.ExpireLeases()->empty());
  harness.clock.ShiftWall(-absl::Hours(48));
  CHECK(catalog.ExpireLeases()->empty());
  // A renewal of others does not count.
  harness.clock.Advance(absl::Seconds(29));
  CHECK(RenewOne(catalog, "south", id, 1) == LeaseVerdict::kLost);
  CHECK(RenewOne(catalog, "north", id, 2) == LeaseVerdict::kLost);
  CHECK(RenewOne(catalog, "north", "job-none", 1) == LeaseVerdict::kLost);
  harness.clock.Advance(absl::Seconds(2));
  const auto expired = catalog.ExpireLeases();
  REQUIRE(expired->size() == 1);
  const JobRecord& job = expired->front();
  CHECK(job.id == id);
  CHECK(job.state == JobState::kQueued);
  CHECK(job.coordinator.empty());
  CHECK(job.holder_deaths == 1);
  CHECK(job.attempts == 1);
  CHECK(job.error.value().reason == "LEASE_EXPIRED");
  CHECK(job.error->code == static_cast<int>(absl::StatusCode::kUnavailable));
  CheckSameJob(catalog.GetJob(id).value(), job);
  CHECK(catalog.ExpireLeases()->empty());
  CHECK(RenewOne(catalog, "north", id, 1) == LeaseVerdict::kLost);
  // At the head of the queue again, at once, under a higher epoch.
  AddJob(catalog, "2");
  const Lease lease = MustLease(catalog, "south");
  CHECK(lease.job.id == id);
  CHECK(lease.job.epoch == 2);
  CHECK(lease.job.attempts == 2);
}

TEMPLATE_TEST_CASE("a lease that ran out can be renewed until it is taken away", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const std::string id = AddJob(catalog, "1").id;
  MustLease(catalog);
  harness.clock.Advance(absl::Seconds(40));
  CHECK(RenewOne(catalog, "north", id, 1) == LeaseVerdict::kRenewed);
  CHECK(catalog.ExpireLeases()->empty());
  harness.clock.Advance(absl::Seconds(40));
  CHECK(catalog.Complete(id, 1, {{MakeFacts("blob:r")}, {}}).ok());
  CHECK(catalog.ExpireLeases()->empty());
}

TEMPLATE_TEST_CASE("renewals answer in order and carry progress", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  std::vector<std::string> ids;
  for (int i = 0; i < 3; ++i) {
    ids.push_back(AddJob(catalog, std::to_string(i)).id);
    MustLease(catalog);
  }
  REQUIRE(catalog.CancelJob(ids[1]).ok());
  const JobProgress progress{JobStage::kTransform, 5, 20, 3};
  const std::vector<LeaseVerdict> verdicts = catalog.Renew(
      "north", {{ids[2], 1, progress}, {"job-none", 1, {}}, {ids[1], 1, {}}, {ids[0], 9, {}}});
  CHECK(verdicts == std::vector<LeaseVerdict>{LeaseVerdict::kRenewed, LeaseVerdict::kLost,
                                              LeaseVerdict::kCancel, LeaseVerdict::kLost});
  CHECK(catalog.GetJob(ids[2])->progress == progress);
  CHECK(catalog.ListJobs({}, 1, "")->records.at(0).progress == progress);
  CHECK(catalog.GetLease(ids[2], 1)->job.progress == progress);
  CHECK(catalog.GetJob(ids[0])->progress == JobProgress());
  CHECK(catalog.Renew("north", {}).empty());
  // The next attempt begins anew.
  CHECK(catalog.Fail(ids[2], 1, FailOutcome::kHandBack, {})->progress == JobProgress());
  CHECK(MustLease(catalog).job.progress == JobProgress());
}

TEMPLATE_TEST_CASE("after a restart every lease is good for one whole term", "", CATALOGS) {
  TestType harness;
  const std::string id = AddJob(harness.catalog(), "1").id;
  const std::string cancelled = AddJob(harness.catalog(), "2").id;
  MustLease(harness.catalog());
  MustLease(harness.catalog());
  REQUIRE(harness.catalog().CancelJob(cancelled).ok());
  harness.clock.Advance(absl::Seconds(29));
  harness.Reopen();
  Catalog& catalog = harness.catalog();
  harness.clock.Advance(absl::Seconds(29));
  CHECK(catalog.ExpireLeases()->empty());
  CHECK(RenewOne(catalog, "north", id, 1) == LeaseVerdict::kRenewed);
  CHECK(RenewOne(catalog, "north", cancelled, 1) == LeaseVerdict::kCancel);
  CHECK(catalog.GetLease(id, 1).ok());
  harness.clock.Advance(absl::Seconds(29));
  CHECK(catalog.ExpireLeases()->empty());
  harness.clock.Advance(absl::Seconds(2));
  CHECK(catalog.ExpireLeases()->size() == 2);
  harness.Reopen();
  CHECK(harness.catalog().GetJob(id)->holder_deaths == 1);
  CHECK(harness.catalog().GetJob(cancelled)->state == JobState::kCancelled);
  CHECK(MustLease(harness.catalog()).job.epoch == 2);
}

TEMPLATE_TEST_CASE("a slow start takes nothing off the leases", "", CATALOGS) {
  TestType harness;
  const std::string id = AddJob(harness.catalog(), "1").id;
  MustLease(harness.catalog());
  harness.Reopen();
  Catalog& catalog = harness.catalog();
  // Until calls are answered.
  harness.clock.Advance(absl::Hours(1));
  CHECK(catalog.ExpireLeases()->empty());
  harness.clock.Advance(absl::Seconds(29));
  CHECK(catalog.ExpireLeases()->empty());
  harness.clock.Advance(absl::Seconds(2));
  CHECK(catalog.ExpireLeases()->size() == 1);
  CHECK(catalog.GetJob(id)->holder_deaths == 1);
}

TEMPLATE_TEST_CASE("failed attempts are repeated with growing waits, and end", "", CATALOGS) {
  TestType harness;
  Catalog* catalog = &harness.catalog();
  const std::string id = AddJob(*catalog, "1").id;
  const double waits[] = {1, 2, 4, 8};
  for (uint32_t attempt = 1; attempt <= 4; ++attempt) {
    const Lease lease = MustLease(*catalog);
    CHECK(lease.job.attempts == attempt);
    CHECK(lease.job.epoch == attempt);
    const auto failed = catalog->Fail(id, attempt, FailOutcome::kRetry, kError);
    REQUIRE(failed.ok());
    CHECK(failed->state == JobState::kQueued);
    CHECK(failed->error == kError);
    CHECK(failed->not_before == harness.clock.Now() + absl::Seconds(waits[attempt - 1]));
    CHECK(failed->holder_deaths == 0);
    // Repeated: no effect.
    harness.clock.Advance(absl::Milliseconds(100));
    CheckSameJob(catalog->Fail(id, attempt, FailOutcome::kPermanent, {}).value(), *failed);
    CHECK(NothingReady(*catalog));
    if (attempt == 3) {
      harness.Reopen();
      catalog = &harness.catalog();
      CheckSameJob(catalog->GetJob(id).value(), *failed);
    }
    harness.clock.Advance(absl::Seconds(waits[attempt - 1]) - absl::Milliseconds(101));
    CHECK(NothingReady(*catalog));
    harness.clock.Advance(absl::Milliseconds(1));
  }
  MustLease(*catalog);
  harness.clock.Advance(absl::Seconds(1));
  const auto failed = catalog->Fail(id, 5, FailOutcome::kRetry, kError);
  REQUIRE(failed.ok());
  CHECK(failed->state == JobState::kFailed);
  CHECK(failed->attempts == 5);
  CHECK(failed->end_time == harness.clock.Now());
  CHECK(failed->error.value().reason == kError.reason);
  for (const auto& [key, value] : kError.metadata) CHECK(failed->error->metadata.at(key) == value);
  CHECK(failed->error->message.find("5 attempts") != std::string::npos);
  CHECK(failed->error->metadata.at("attempts") == "5");
  CHECK(failed->error->metadata.at("max_attempts") == "5");
  CHECK(failed->error->message.find(kError.message) != std::string::npos);
  harness.clock.Advance(absl::Hours(1));
  CHECK(NothingReady(*catalog));
  CheckSameJob(catalog->GetJob(id).value(), *failed);
}

TEMPLATE_TEST_CASE("waits are bounded, moved at random, and hold up nobody else", "", CATALOGS) {
  CatalogLimits limits;
  limits.max_attempts = 100;
  TestType harness(limits);
  Catalog& catalog = harness.catalog();
  const std::string id = AddJob(catalog, "1").id;
  for (uint64_t epoch = 1; epoch <= 20; ++epoch) {
    MustLease(catalog);
    harness.random = epoch % 2 == 0 ? 0.0 : 0.999999;
    const auto failed = catalog.Fail(id, epoch, FailOutcome::kRetry, kError);
    const absl::Duration wait = failed->not_before.value() - harness.clock.Now();
    const double nominal = epoch > 6 ? 60 : static_cast<double>(1 << (epoch - 1));
    CHECK(absl::ToDoubleSeconds(wait) == Approx(nominal * (epoch % 2 == 0 ? 0.8 : 1.2)));
    const std::string other = AddJob(catalog, "other-" + std::to_string(epoch)).id;
    CHECK(MustLease(catalog, "south").job.id == other);
    harness.clock.Advance(wait);
  }
}

TEMPLATE_TEST_CASE("a wall clock that was set back does not hold a job for ever", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const std::string id = AddJob(catalog, "1").id;
  MustLease(catalog);
  REQUIRE(catalog.Fail(id, 1, FailOutcome::kRetry, kError).ok());
  harness.clock.ShiftWall(-absl::Hours(24));
  CHECK(MustLease(catalog).job.id == id);
}

TEMPLATE_TEST_CASE("a permanent failure is final", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const std::string id = AddJob(catalog, "1").id;
  const bool cancel = GENERATE(false, true);
  MustLease(catalog);
  if (cancel) {
    REQUIRE(catalog.CancelJob(id)->cancel_requested);
  }
  const auto failed = catalog.Fail(id, 1, FailOutcome::kPermanent, kError);
  REQUIRE(failed.ok());
  CHECK(failed->state == JobState::kFailed);
  CHECK(failed->error == kError);
  CHECK_FALSE(failed->cancel_requested);
  harness.Reopen();
  CheckSameJob(harness.catalog().GetJob(id).value(), *failed);
  CheckSameJob(harness.catalog().Fail(id, 1, FailOutcome::kRetry, {}).value(), *failed);
  CHECK(NothingReady(harness.catalog()));
}

TEMPLATE_TEST_CASE("handing back costs no attempt and no wait", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const std::string id = AddJob(catalog, "1").id;
  for (uint64_t epoch = 1; epoch <= 10; ++epoch) {
    const Lease lease = MustLease(catalog);
    CHECK(lease.job.epoch == epoch);
    CHECK(lease.job.attempts == 1);
    const auto back = catalog.Fail(id, epoch, FailOutcome::kHandBack, kError);
    REQUIRE(back.ok());
    CHECK(back->state == JobState::kQueued);
    CHECK(back->attempts == 0);
    CHECK_FALSE(back->not_before.has_value());
  }
}

TEMPLATE_TEST_CASE("a queued job is cancelled at once", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const std::string id = AddJob(catalog, "1").id;
  const bool backing_off = GENERATE(false, true);
  if (backing_off) {
    MustLease(catalog);
    REQUIRE(catalog.Fail(id, 1, FailOutcome::kRetry, kError).ok());
  }
  const auto cancelled = catalog.CancelJob(id);
  REQUIRE(cancelled.ok());
  CHECK(cancelled->state == JobState::kCancelled);
  CHECK(cancelled->end_time == harness.clock.Now());
  CHECK_FALSE(cancelled->not_before.has_value());
  harness.clock.Advance(absl::Hours(1));
  CheckSameJob(catalog.CancelJob(id).value(), *cancelled);
  CHECK(NothingReady(catalog));
  CHECK(catalog.CountJobs()->queued == 0);
  harness.Reopen();
  CheckSameJob(harness.catalog().GetJob(id).value(), *cancelled);
}

TEMPLATE_TEST_CASE("a running job is cancelled through its holder", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const std::string id = AddJob(catalog, "1").id;
  MustLease(catalog);
  CHECK(RenewOne(catalog, "north", id, 1) == LeaseVerdict::kRenewed);
  for (int i = 0; i < 2; ++i) {
    const auto asked = catalog.CancelJob(id);
    REQUIRE(asked.ok());
    CHECK(asked->state == JobState::kRunning);
    CHECK(asked->cancel_requested);
    CHECK(RenewOne(catalog, "north", id, 1) == LeaseVerdict::kCancel);
  }
  SECTION("the holder stops") {
    const FailOutcome outcome =
        GENERATE(FailOutcome::kCancelled, FailOutcome::kRetry, FailOutcome::kHandBack);
    const auto stopped = catalog.Fail(id, 1, outcome, kError);
    REQUIRE(stopped.ok());
    CHECK(stopped->state == JobState::kCancelled);
    CHECK_FALSE(stopped->cancel_requested);
  }
  SECTION("the holder dies") {
    harness.clock.Advance(absl::Seconds(31));
    CHECK(catalog.ExpireLeases()->at(0).state == JobState::kCancelled);
  }
  SECTION("the result was faster") {
    const auto completed = catalog.Complete(id, 1, {{MakeFacts("blob:r")}, {}});
    REQUIRE(completed.ok());
    CHECK(completed->job.state == JobState::kSucceeded);
    CHECK_FALSE(completed->job.cancel_requested);
    CHECK(catalog.CancelJob(id)->state == JobState::kSucceeded);
  }
  CHECK(IsFinal(catalog.GetJob(id)->state));
  CHECK(NothingReady(catalog));
  CHECK(catalog.DeleteImage(catalog.GetJob(id)->image_id).ok());
}

TEMPLATE_TEST_CASE("a holder that gives up as cancelled without being asked is retried", "",
                   CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const std::string id = AddJob(catalog, "1").id;
  MustLease(catalog);
  const auto failed = catalog.Fail(id, 1, FailOutcome::kCancelled, kError);
  CHECK(failed->state == JobState::kQueued);
  CHECK(failed->not_before.has_value());
}

TEMPLATE_TEST_CASE("a lease of which nobody heard costs no attempt and is nobody's death", "",
                   CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const std::string id = AddJob(catalog, "1").id;
  const bool told = GENERATE(true, false);
  for (uint64_t epoch = 1; epoch <= 10; ++epoch) {
    REQUIRE(catalog.LeaseNext("north", 0)->has_value());
    // Somebody else's reports, and one that was on its way when the lease was given, say nothing.
    harness.clock.Advance(absl::Seconds(5));
    catalog.Renew("north", {});
    catalog.Renew("south", {});
    CHECK(catalog.ExpireLeases()->empty());
    harness.clock.Advance(absl::Seconds(told ? 5 : 26));
    if (told) {
      CHECK(catalog.ExpireLeases()->empty());
      catalog.Renew("north", {});
    }
    const auto expired = catalog.ExpireLeases();
    REQUIRE(expired->size() == 1);
    const JobRecord& job = expired->front();
    CHECK(job.id == id);
    CHECK(job.state == JobState::kQueued);
    CHECK(job.epoch == epoch);
    CHECK(job.attempts == 0);
    CHECK(job.holder_deaths == 0);
    CHECK_FALSE(job.error.has_value());
    CHECK(RenewOne(catalog, "north", id, epoch) == LeaseVerdict::kLost);
  }
  // One that was heard of is not ended by a report without it.
  MustLease(catalog);
  harness.clock.Advance(absl::Seconds(20));
  catalog.Renew("north", {});
  CHECK(catalog.ExpireLeases()->empty());
}

TEMPLATE_TEST_CASE("a job that kills its holders is poison", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const std::string id = AddJob(catalog, "1").id;
  for (uint32_t death = 1; death <= 3; ++death) {
    MustLease(catalog, "c" + std::to_string(death));
    harness.clock.Advance(absl::Seconds(31));
    const auto expired = catalog.ExpireLeases();
    REQUIRE(expired->size() == 1);
    CHECK(expired->front().holder_deaths == death);
    CHECK(expired->front().state == (death < 3 ? JobState::kQueued : JobState::kFailed));
  }
  const JobRecord job = catalog.GetJob(id).value();
  CHECK(job.error.value().reason == "POISON_JOB");
  CHECK(job.error->message.find("c3") != std::string::npos);
  CHECK(job.error->metadata.at("limit") == "3");
  CHECK(job.end_time == harness.clock.Now());
  CHECK(NothingReady(catalog));
}

TEMPLATE_TEST_CASE("deaths and failures share the attempts", "", CATALOGS) {
  CatalogLimits limits;
  limits.max_attempts = 2;
  TestType harness(limits);
  Catalog& catalog = harness.catalog();
  const std::string id = AddJob(catalog, "1").id;
  MustLease(catalog);
  REQUIRE(catalog.Fail(id, 1, FailOutcome::kRetry, kError).ok());
  harness.clock.Advance(absl::Seconds(2));
  MustLease(catalog);
  harness.clock.Advance(absl::Seconds(31));
  const auto expired = catalog.ExpireLeases();
  REQUIRE(expired->size() == 1);
  CHECK(expired->front().state == JobState::kFailed);
  CHECK(expired->front().error.value().reason == "ATTEMPTS_EXHAUSTED");
  CHECK(expired->front().error->code == static_cast<int>(absl::StatusCode::kAborted));
  CHECK(expired->front().error->metadata.at("actual") == "2");
}

TEMPLATE_TEST_CASE("a full queue refuses jobs with a hint when to try again", "", CATALOGS) {
  CatalogLimits limits;
  limits.max_queued_jobs = 2;
  TestType harness(limits);
  Catalog& catalog = harness.catalog();
  const ImageRecord image = AddImage(catalog, "plain").image;
  REQUIRE(catalog.BeginUpload(MakeHeader("open", EqualizeSpec()), "k").ok());
  AddJob(catalog, "1");
  REQUIRE(catalog.CreateJob("r-1", image.id, EqualizeSpec()).ok());
  const auto refused = [](const absl::Status& status) {
    CHECK(status.code() == absl::StatusCode::kResourceExhausted);
    CHECK(ReasonOf(status) == "QUEUE_FULL");
    CHECK(DetailOf(status, "limit") == "2");
    CHECK(DetailOf(status, "actual") == "2");
    CHECK(base::GetErrorDetail(status).value().retry_after == absl::Seconds(5));
  };
  refused(catalog.CreateJob("r-2", image.id, EqualizeSpec("other")).status());
  refused(catalog.BeginUpload(MakeHeader("next", EqualizeSpec()), "k").status());
  refused(catalog.FinishUpload("open", MakeFacts("blob:open")).status());
  CHECK_FALSE(catalog.GetUpload("open")->finished);
  CHECK(ReasonOf(catalog.GetUpload("next")) == "UPLOAD_NOT_FOUND");
  CHECK(catalog.ListImages({}, 0, "")->records.size() == 2);
  // What is there already, and what queues nothing, is not refused.
  CHECK(catalog.CreateJob("r-1", image.id, EqualizeSpec()).ok());
  CHECK(AddImage(catalog, "another").image.id.size() > 4);
  // A lease makes room; a running job that comes back is not refused.
  const Lease lease = MustLease(catalog);
  CHECK(catalog.FinishUpload("open", MakeFacts("blob:open")).ok());
  CHECK(catalog.Fail(lease.job.id, 1, FailOutcome::kHandBack, {}).ok());
  CHECK(catalog.CountJobs()->queued == 3);
}

TEMPLATE_TEST_CASE("jobs that ended long ago are forgotten, with their requests and uploads", "",
                   CATALOGS) {
  CatalogLimits limits;
  limits.result_ttl = absl::InfiniteDuration();
  TestType harness(limits);
  Catalog& catalog = harness.catalog();
  const FinishedUpload done = AddImage(catalog, "up-done", EqualizeSpec());
  const FinishedUpload plain = AddImage(catalog, "up-plain");
  const auto failed = catalog.CreateJob("r-failed", plain.image.id, EqualizeSpec("other"));
  const auto lease = catalog.LeaseNext("c", 0);
  REQUIRE(catalog.Complete((*lease)->job.id, 1, {{MakeFacts("blob:r")}, {}}).ok());
  REQUIRE(catalog.LeaseNext("c", 0)->has_value());
  JobError error;
  error.reason = "IMAGE_CORRUPT";
  REQUIRE(catalog.Fail(failed->id, 1, FailOutcome::kPermanent, error).ok());
  const auto waits = catalog.CreateJob("r-waits", plain.image.id, EqualizeSpec("third"));
  REQUIRE(waits.ok());
  // Reading a file.
  FileRegistration registration;
  registration.image_id = "registered";
  registration.name = "r.jpg";
  registration.location = "node://x/r.jpg";
  registration.storage = "x";
  registration.inspect = MakeSpec("inspect", "");
  registration.inspect.inspects = true;
  REQUIRE(catalog.RegisterImage(registration).ok());
  std::string reader;
  for (int i = 0; i < 3 && reader.empty(); ++i) {
    const auto next = catalog.LeaseNext("c", 0, {"x"});
    REQUIRE(next->has_value());
    if (!(*next)->job.spec.inspects) continue;
    reader = (*next)->job.id;
    JobResult result;
    result.inspected = MakeFacts("registered");
    REQUIRE(catalog.Complete(reader, 1, result).ok());
  }
  CHECK(catalog.ForgetFinished(100)->jobs == 0);
  CHECK(catalog.DescribeImage(plain.image.id)->derivatives.size() == 2);

  harness.clock.Advance(limits.job_retention + absl::Seconds(1));
  const auto later = catalog.CreateJob("r-later", done.image.id, EqualizeSpec());
  REQUIRE(later->state == JobState::kSucceeded);
  // However little is looked at each time.
  uint64_t jobs = 0;
  uint64_t uploads = 0;
  for (int i = 0; i < 20; ++i) {
    const auto forgotten = catalog.ForgetFinished(1);
    REQUIRE(forgotten.status() == absl::OkStatus());
    jobs += forgotten->jobs;
    uploads += forgotten->uploads;
  }
  CHECK(jobs == 2);
  CHECK(uploads == 2);
  CHECK(ReasonOf(catalog.GetJob(done.job->id)) == "JOB_NOT_FOUND");
  CHECK(ReasonOf(catalog.GetUpload("up-done")) == "UPLOAD_NOT_FOUND");
  CHECK(ReasonOf(catalog.GetUpload("up-plain")) == "UPLOAD_NOT_FOUND");
  CHECK(ReasonOf(catalog.GetJob(failed->id)) == "JOB_NOT_FOUND");
  CHECK(catalog.DescribeImage(plain.image.id)->derivatives.size() == 1);
  // What is not over, what ended now, what reading a file brought, and all images stay.
  CHECK(catalog.GetJob(waits->id).ok());
  CHECK(catalog.GetJob(later->id).ok());
  CHECK(catalog.GetJob(reader).ok());
  CHECK(catalog.DescribeImage(done.image.id)->derivatives.size() == 1);
  // The ids are free.
  CHECK(catalog.CreateJob("r-failed", plain.image.id, EqualizeSpec("more"))->state ==
        JobState::kQueued);
  AddImage(catalog, "up-done", EqualizeSpec("another"));
  CHECK(catalog.DeleteImage("registered").ok());
  CHECK(catalog.ForgetFinished(100)->jobs == 1);
  CHECK(ReasonOf(catalog.GetJob(reader)) == "JOB_NOT_FOUND");

  limits.job_retention = absl::InfiniteDuration();
  harness.limits = limits;
  harness.Reopen();
  harness.clock.Advance(absl::Hours(24 * 365));
  CHECK(harness.catalog().ForgetFinished(100)->jobs == 0);
}

}  // namespace
}  // namespace histeq::store::testing
