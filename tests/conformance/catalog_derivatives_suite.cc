// What every catalog does about derivatives: made once, shared, waited for, replaced, removed.

#include <algorithm>
#include <cstdlib>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "store_harness.h"

namespace histeq::store::testing {
namespace {

// A job of several outputs; "eq" makes an equalized image, of which those with ">" are made.
JobSpec DeriveSpec(const std::vector<std::string>& operations) {
  JobSpec spec;
  for (const std::string& operation : operations) {
    spec.operation += operation + ";";
    JobOutput& output = spec.outputs.emplace_back();
    output.operation = operation;
    output.tag = operation == "eq" ? "EQUALIZED" : "thumb";
    if (operation != "eq") output.name_suffix = "_thumb_" + operation.substr(operation[0] == '>');
    if (operation[0] == '>') output.made_of = 0;
  }
  return spec;
}

// The same bytes under another name.
ImageRecord AddCopy(Catalog& catalog, const std::string& upload_id, const std::string& name,
                    const ImageRecord& of) {
  UploadHeader header = MakeHeader(upload_id);
  header.name = name;
  REQUIRE(catalog.BeginUpload(header, "k" + upload_id).ok());
  ImageFacts facts = of.facts;
  facts.location = "blob:" + upload_id;
  const auto finished = catalog.FinishUpload(upload_id, facts);
  REQUIRE(finished.status() == absl::OkStatus());
  return finished->image;
}

JobRecord MustCreate(Catalog& catalog, const std::string& request, const std::string& image_id,
                     const JobSpec& spec) {
  const auto job = catalog.CreateJob(request, image_id, spec);
  REQUIRE(job.status() == absl::OkStatus());
  return *job;
}

Lease MustLease(Catalog& catalog, const std::string& job_id) {
  auto lease = catalog.LeaseNext("c", 0);
  REQUIRE(lease.status() == absl::OkStatus());
  REQUIRE(lease->has_value());
  REQUIRE((*lease)->job.id == job_id);
  return **std::move(lease);
}

void CheckNothingReady(Catalog& catalog) {
  const auto lease = catalog.LeaseNext("idle", 0);
  REQUIRE(lease.ok());
  CHECK_FALSE(lease->has_value());
}

// Completes the lease with blobs "blob:PREFIX-0" and so on.
CompletedJob MustComplete(Catalog& catalog, const Lease& lease, const std::string& prefix,
                          uint64_t bytes = 1000) {
  JobResult result;
  for (const uint32_t output : lease.outputs) {
    result.images.push_back(MakeFacts("blob:" + prefix + "-" + std::to_string(output), bytes));
  }
  auto completed = catalog.Complete(lease.job.id, lease.job.epoch, result);
  REQUIRE(completed.status() == absl::OkStatus());
  return *std::move(completed);
}

std::vector<JobState> States(Catalog& catalog, const std::string& image_id) {
  std::vector<JobState> states;
  const auto description = catalog.DescribeImage(image_id);
  REQUIRE(description.ok());
  for (const DerivativeRecord& derivative : description->derivatives) {
    CHECK(derivative.image.has_value() == (derivative.state == JobState::kSucceeded));
    states.push_back(derivative.state);
  }
  return states;
}

bool NotInUse(const std::string&) { return false; }

TEMPLATE_TEST_CASE("the same again is the same job while it lives, and there at once afterwards",
                   "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const ImageRecord image = AddImage(catalog, "up").image;
  const JobRecord first = MustCreate(catalog, "r-1", image.id, DeriveSpec({"eq"}));
  CHECK(MustCreate(catalog, "r-2", image.id, DeriveSpec({"eq"})).id == first.id);
  CHECK(States(catalog, image.id) == std::vector<JobState>{JobState::kQueued});
  const Lease lease = MustLease(catalog, first.id);
  CHECK(lease.outputs == std::vector<uint32_t>{0});
  CHECK(MustCreate(catalog, "r-3", image.id, DeriveSpec({"eq"})).id == first.id);
  CHECK(States(catalog, image.id) == std::vector<JobState>{JobState::kRunning});
  // Other parameters, and another version of what the program makes, are something else.
  CHECK(MustCreate(catalog, "r-4", image.id, DeriveSpec({"64"})).id != first.id);
  JobSpec newer = DeriveSpec({"eq"});
  newer.outputs[0].format_version = 2;
  CHECK(MustCreate(catalog, "r-5", image.id, newer).id != first.id);
  const CompletedJob completed = MustComplete(catalog, lease, "a");
  CHECK(completed.freed_locations.empty());

  harness.Reopen();
  Catalog& reopened = harness.catalog();
  const JobRecord later = MustCreate(reopened, "r-6", image.id, DeriveSpec({"eq"}));
  CHECK(later.id != first.id);
  CHECK(later.state == JobState::kSucceeded);
  CHECK(later.result_image_id == completed.results.at(0)->id);
  CHECK(later.end_time.has_value());
  CHECK(reopened.GetJob(later.id)->result_image_ids == later.result_image_ids);
  // Every request id keeps its job.
  for (const std::string request : {"r-1", "r-2", "r-3"}) {
    CHECK(MustCreate(reopened, request, image.id, DeriveSpec({"eq"})).id == first.id);
  }
  const absl::Status reused = reopened.CreateJob("r-2", image.id, DeriveSpec({"other"})).status();
  CHECK(ReasonOf(reused) == "REQUEST_ID_REUSED");
  const auto description = reopened.DescribeImage(image.id);
  REQUIRE(description->derivatives.size() == 3);
  CHECK(description->derivatives[0].operation == "eq");
  CHECK(description->derivatives[0].job_id == first.id);
  CHECK(description->derivatives[0].image->facts.location == "blob:a-0");
  CHECK(ReasonOf(reopened.DescribeImage("img-none")) == "IMAGE_NOT_FOUND");
}

TEMPLATE_TEST_CASE("several results of a job are registered together, with their names", "",
                   CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const ImageRecord image = AddImage(catalog, "up").image;
  const JobRecord job = MustCreate(catalog, "r", image.id, DeriveSpec({"eq", ">64", ">32x16"}));
  const Lease lease = MustLease(catalog, job.id);
  CHECK(lease.outputs == std::vector<uint32_t>{0, 1, 2});
  for (const size_t wrong : {0, 1, 2, 4}) {
    JobResult result;
    for (size_t i = 0; i < wrong; ++i) result.images.push_back(MakeFacts("blob:w"));
    CHECK(ReasonOf(catalog.Complete(job.id, 1, result)) == "BAD_RESULT");
  }
  CHECK(catalog.ListImages({}, 0, "")->records.size() == 1);
  const CompletedJob completed = MustComplete(catalog, lease, "a");
  REQUIRE(completed.results.size() == 3);
  CHECK(completed.results[0]->name == "photo_EQUALIZED.jpg");
  CHECK(completed.results[1]->name == "photo_EQUALIZED.jpg_thumb_64.png");
  CHECK(completed.results[2]->name == "photo_EQUALIZED.jpg_thumb_32x16.png");
  CHECK(completed.results[1]->tag == "thumb");
  CHECK(completed.results[1]->source_image_id == image.id);
  CHECK(completed.job.result_image_id == completed.results[0]->id);
  REQUIRE(completed.job.result_image_ids.size() == 3);
  CHECK(completed.job.result_image_ids[2] == completed.results[2]->id);
  JobResult twice;
  twice.images.assign(3, MakeFacts("blob:twice"));
  const auto again = catalog.Complete(job.id, 1, twice);
  REQUIRE(again.ok());
  CHECK(again->already_completed);
  CHECK(again->results.at(1)->id == completed.results[1]->id);
  CHECK(catalog.ListImages({}, 0, "")->records.size() == 4);
}

TEMPLATE_TEST_CASE("a job makes only what is not there, and what that is made of", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const ImageRecord image = AddImage(catalog, "up").image;
  const JobRecord first = MustCreate(catalog, "r-1", image.id, DeriveSpec({"64", "32"}));
  const CompletedJob made = MustComplete(catalog, MustLease(catalog, first.id), "a");
  const JobRecord second = MustCreate(catalog, "r-2", image.id, DeriveSpec({"16", "64", "8"}));
  const Lease lease = MustLease(catalog, second.id);
  CHECK(lease.outputs == std::vector<uint32_t>{0, 2});
  const CompletedJob completed = MustComplete(catalog, lease, "b");
  CHECK(completed.results.at(1)->id == made.results.at(0)->id);
  CHECK(completed.results.at(2)->facts.location == "blob:b-2");

  const JobRecord equalized = MustCreate(catalog, "r-3", image.id, DeriveSpec({"eq"}));
  const CompletedJob kept = MustComplete(catalog, MustLease(catalog, equalized.id), "c");
  const JobRecord of_it = MustCreate(catalog, "r-4", image.id, DeriveSpec({"eq", ">64"}));
  const Lease both = MustLease(catalog, of_it.id);
  CHECK(both.outputs == std::vector<uint32_t>{0, 1});
  const CompletedJob done = MustComplete(catalog, both, "d");
  // The one that was there stays.
  CHECK(done.results.at(0)->id == kept.results.at(0)->id);
  CHECK(done.results.at(1)->facts.location == "blob:d-1");
  CHECK(catalog.UseOfBlob("d-0", "blob:d-0").value() == Catalog::BlobUse::kNone);
}

TEMPLATE_TEST_CASE("a job waits for those that make some of its outputs", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const ImageRecord image = AddImage(catalog, "up").image;
  const JobRecord first = MustCreate(catalog, "r-1", image.id, DeriveSpec({"64"}));
  const JobRecord other = MustCreate(catalog, "r-2", image.id, DeriveSpec({"32"}));
  const JobRecord both = MustCreate(catalog, "r-3", image.id, DeriveSpec({"64", "32"}));
  const JobRecord more = MustCreate(catalog, "r-4", image.id, DeriveSpec({"64", "16"}));
  CHECK(both.blocked);
  CHECK(more.blocked);
  CHECK_FALSE(first.blocked);
  // The same set, also when none of it is its own.
  CHECK(MustCreate(catalog, "r-5", image.id, DeriveSpec({"64", "32"})).id == both.id);
  const Lease lease = MustLease(catalog, first.id);
  const Lease other_lease = MustLease(catalog, other.id);
  CheckNothingReady(catalog);
  const uint64_t seen = catalog.WorkGeneration();

  SECTION("and has them when they succeed") {
    const CompletedJob made = MustComplete(catalog, lease, "a");
    CHECK(catalog.WorkGeneration() != seen);
    CHECK(catalog.GetJob(both.id)->blocked);
    const Lease rest = MustLease(catalog, more.id);
    CHECK(rest.outputs == std::vector<uint32_t>{1});
    CheckNothingReady(catalog);
    MustComplete(catalog, other_lease, "b");
    const auto done = catalog.GetJob(both.id);
    CHECK(done->state == JobState::kSucceeded);
    CHECK(done->result_image_ids.at(0) == made.results.at(0)->id);
    CHECK(done->attempts == 0);
    MustComplete(catalog, rest, "c");
    CHECK(States(catalog, image.id).size() == 3);
  }
  SECTION("and makes itself what they leave unmade; one of those that wait") {
    const int way = GENERATE(0, 1, 2);
    if (way == 0) {
      REQUIRE(catalog.Fail(first.id, 1, FailOutcome::kPermanent, {2, "BROKEN", "", {}}).ok());
    } else if (way == 1) {
      REQUIRE(catalog.CancelJob(first.id).ok());
      REQUIRE(catalog.Fail(first.id, 1, FailOutcome::kCancelled, {}).ok());
    } else {
      harness.Reopen();
      // From here on leases can run out.
      REQUIRE(harness.catalog().ExpireLeases()->empty());
      harness.catalog().CancelJob(first.id).IgnoreError();
      harness.clock.Advance(absl::Seconds(31));
      REQUIRE(harness.catalog().ExpireLeases().ok());
      REQUIRE(harness.catalog().GetJob(first.id)->state == JobState::kCancelled);
    }
    Catalog& after = harness.catalog();
    if (way == 2) {
      // The other one's lease ran out too.
      const Lease again = MustLease(after, other.id);
      MustComplete(after, again, "b");
    } else {
      CheckNothingReady(after);
      MustComplete(after, other_lease, "b");
    }
    const Lease rest = MustLease(after, both.id);
    CHECK(rest.outputs == std::vector<uint32_t>{0});
    CheckNothingReady(after);
    const CompletedJob made = MustComplete(after, rest, "c");
    CHECK(made.results.at(1)->facts.location == "blob:b-0");
    const Lease last = MustLease(after, more.id);
    CHECK(last.outputs == std::vector<uint32_t>{1});
  }
  SECTION("which holds for a job that waits and is cancelled, too") {
    REQUIRE(catalog.CancelJob(more.id)->state == JobState::kCancelled);
    const JobRecord again = MustCreate(catalog, "r-6", image.id, DeriveSpec({"16"}));
    CHECK_FALSE(again.blocked);
    MustLease(catalog, again.id);
    CHECK_FALSE(catalog.GetJob(more.id)->blocked);
    MustComplete(catalog, lease, "a");
    CHECK(catalog.GetJob(more.id)->state == JobState::kCancelled);
  }
}

TEMPLATE_TEST_CASE("what failed says why, and is made when it is asked for again", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const ImageRecord image = AddImage(catalog, "up").image;
  const JobRecord job = MustCreate(catalog, "r-1", image.id, DeriveSpec({"64"}));
  MustLease(catalog, job.id);
  const JobError error{3, "IMAGE_TRUNCATED", "it ends early", {}};
  REQUIRE(catalog.Fail(job.id, 1, FailOutcome::kPermanent, error).ok());
  const auto failed = catalog.DescribeImage(image.id);
  REQUIRE(failed->derivatives.size() == 1);
  CHECK(failed->derivatives[0].state == JobState::kFailed);
  CHECK(failed->derivatives[0].error == error);
  const JobRecord again = MustCreate(catalog, "r-2", image.id, DeriveSpec({"64"}));
  CHECK(again.id != job.id);
  CHECK(States(catalog, image.id) == std::vector<JobState>{JobState::kQueued});
  // What is cancelled is not asked for any more.
  REQUIRE(catalog.CancelJob(again.id).ok());
  CHECK(States(catalog, image.id).empty());
  // A job that is to end is not joined: it is waited for.
  const JobRecord third = MustCreate(catalog, "r-3", image.id, DeriveSpec({"64"}));
  MustLease(catalog, third.id);
  REQUIRE(catalog.CancelJob(third.id).ok());
  const JobRecord fourth = MustCreate(catalog, "r-4", image.id, DeriveSpec({"64"}));
  CHECK(fourth.id != third.id);
  CHECK(fourth.blocked);
  REQUIRE(catalog.Fail(third.id, 1, FailOutcome::kCancelled, {}).ok());
  MustComplete(catalog, MustLease(catalog, fourth.id), "a");
}

TEMPLATE_TEST_CASE("images of the same bytes share what is made of them", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const ImageRecord a = AddImage(catalog, "a").image;
  const ImageRecord b = AddCopy(catalog, "b", "b.jpg", a);
  const ImageRecord c = AddCopy(catalog, "c", "c.jpg", a);
  const JobRecord job = MustCreate(catalog, "r-a", a.id, DeriveSpec({"eq"}));
  CHECK(MustCreate(catalog, "r-b", b.id, DeriveSpec({"eq"})).id == job.id);
  CHECK(States(catalog, b.id) == std::vector<JobState>{JobState::kQueued});
  const CompletedJob made = MustComplete(catalog, MustLease(catalog, job.id), "r");
  CHECK(made.results.at(0)->source_image_id == a.id);
  const auto of_b = catalog.DescribeImage(b.id);
  REQUIRE(of_b->derivatives.size() == 1);
  REQUIRE(of_b->derivatives[0].image.has_value());
  CHECK(of_b->derivatives[0].image->name == "b_EQUALIZED.jpg");
  CHECK(of_b->derivatives[0].image->source_image_id == b.id);
  CHECK(of_b->derivatives[0].image->facts.location == "blob:r-0");
  // Asked for later, it is there at once under its own name.
  const JobRecord later = MustCreate(catalog, "r-c", c.id, DeriveSpec({"eq"}));
  CHECK(later.state == JobState::kSucceeded);
  CHECK(later.image_id == c.id);
  CHECK(catalog.GetImage(later.result_image_id)->name == "c_EQUALIZED.jpg");
  // The bytes go with the last of them.
  const auto first = catalog.DeleteImage(a.id);
  REQUIRE(first.ok());
  CHECK(first->images.size() == 2);
  CHECK(first->freed_locations == std::vector<std::string>{"blob:a"});
  CHECK(ReasonOf(catalog.GetImage(made.results.at(0)->id)) == "IMAGE_NOT_FOUND");
  CHECK(catalog.DeleteImage(later.result_image_id)->freed_locations.empty());
  CHECK(States(catalog, c.id).empty());
  const auto last = catalog.DeleteImage(b.id);
  CHECK(std::set<std::string>(last->freed_locations.begin(), last->freed_locations.end()) ==
        std::set<std::string>{"blob:b", "blob:r-0"});
  // Then it is made again.
  CHECK(MustCreate(catalog, "r-d", c.id, DeriveSpec({"eq"})).state == JobState::kQueued);
}

TEMPLATE_TEST_CASE("a refresh makes results anew and replaces them at once", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const ImageRecord image = AddImage(catalog, "up").image;
  JobSpec spec = DeriveSpec({"64", "32"});
  const JobRecord job = MustCreate(catalog, "r-1", image.id, spec);
  const CompletedJob old = MustComplete(catalog, MustLease(catalog, job.id), "old");
  // Something made of a result goes with it.
  const JobRecord nested = MustCreate(catalog, "r-2", old.results.at(0)->id, DeriveSpec({"8"}));
  MustComplete(catalog, MustLease(catalog, nested.id), "nested");
  spec.refresh = true;
  const JobRecord anew = MustCreate(catalog, "r-3", image.id, spec);
  CHECK(anew.id != job.id);
  CHECK(MustCreate(catalog, "r-4", image.id, spec).id == anew.id);
  // Meanwhile the old ones serve.
  spec.refresh = false;
  const JobRecord meanwhile = MustCreate(catalog, "r-5", image.id, spec);
  CHECK(meanwhile.state == JobState::kSucceeded);
  CHECK(meanwhile.result_image_ids.at(0) == old.results.at(0)->id);
  const Lease lease = MustLease(catalog, anew.id);
  CHECK(lease.outputs == std::vector<uint32_t>{0, 1});
  const CompletedJob replaced = MustComplete(catalog, lease, "new");
  CHECK(std::set<std::string>(replaced.freed_locations.begin(), replaced.freed_locations.end()) ==
        std::set<std::string>{"blob:old-0", "blob:old-1", "blob:nested-0"});
  CHECK(ReasonOf(catalog.GetImage(old.results.at(0)->id)) == "IMAGE_NOT_FOUND");
  const auto description = catalog.DescribeImage(image.id);
  REQUIRE(description->derivatives.size() == 2);
  CHECK(description->derivatives[0].image->facts.location == "blob:new-0");
  CHECK(description->derivatives[0].job_id == anew.id);
  // Of what is not there, a refresh is like any other job.
  spec = DeriveSpec({"16"});
  const JobRecord plain = MustCreate(catalog, "r-6", image.id, spec);
  spec.refresh = true;
  CHECK(MustCreate(catalog, "r-7", image.id, spec).id == plain.id);
  JobSpec cold = DeriveSpec({"4"});
  cold.refresh = true;
  const JobRecord refreshed = MustCreate(catalog, "r-8", image.id, cold);
  cold.refresh = false;
  CHECK(MustCreate(catalog, "r-9", image.id, cold).id == refreshed.id);
}

// The location of the first thing that was made of the image.
std::string MadeOf(Catalog& catalog, const std::string& image_id) {
  const auto description = catalog.DescribeImage(image_id);
  REQUIRE(description.ok());
  REQUIRE_FALSE(description->derivatives.empty());
  REQUIRE(description->derivatives[0].image.has_value());
  return description->derivatives[0].image->facts.location;
}

TEMPLATE_TEST_CASE("a refresh is for every image that asks for it", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const ImageRecord a = AddImage(catalog, "a").image;
  const ImageRecord b = AddCopy(catalog, "b", "b.jpg", a);
  const ImageRecord c = AddCopy(catalog, "c", "c.jpg", a);
  JobSpec spec = DeriveSpec({"64"});
  const JobRecord first = MustCreate(catalog, "r-1", a.id, spec);
  MustComplete(catalog, MustLease(catalog, first.id), "old");
  MustCreate(catalog, "r-2", b.id, spec);
  MustCreate(catalog, "r-3", c.id, spec);
  spec.refresh = true;
  const JobRecord job = MustCreate(catalog, "r-4", a.id, spec);
  SECTION("with the same job") {
    CHECK(MustCreate(catalog, "r-5", b.id, spec).id == job.id);
    // The old one serves until then.
    CHECK(MadeOf(catalog, b.id) == "blob:old-0");
  }
  SECTION("with another job that waits for it") {
    JobSpec both = DeriveSpec({"64", "32"});
    both.refresh = true;
    const JobRecord other = MustCreate(catalog, "r-5", b.id, both);
    CHECK(other.id != job.id);
    CHECK(other.blocked);
  }
  const CompletedJob completed = MustComplete(catalog, MustLease(catalog, job.id), "new");
  CHECK(completed.freed_locations.empty());
  CHECK(MadeOf(catalog, a.id) == "blob:new-0");
  CHECK(MadeOf(catalog, b.id) == "blob:new-0");
  CHECK(catalog.DescribeImage(b.id)->derivatives[0].image->source_image_id == b.id);
  // Did not ask.
  CHECK(MadeOf(catalog, c.id) == "blob:old-0");
  while (true) {
    const auto rest = catalog.LeaseNext("c", 0);
    if (!rest->has_value()) break;
    CHECK((*rest)->outputs == std::vector<uint32_t>{1});
    const CompletedJob done = MustComplete(catalog, **rest, "rest");
    CHECK(done.results.at(0)->facts.location == "blob:new-0");
  }
}

TEMPLATE_TEST_CASE("a refresh that fails changes nothing for those who share it", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const ImageRecord a = AddImage(catalog, "a").image;
  const ImageRecord b = AddCopy(catalog, "b", "b.jpg", a);
  JobSpec spec = DeriveSpec({"64"});
  const JobRecord first = MustCreate(catalog, "r-1", a.id, spec);
  MustComplete(catalog, MustLease(catalog, first.id), "old");
  MustCreate(catalog, "r-2", b.id, spec);
  spec.refresh = true;
  const JobRecord job = MustCreate(catalog, "r-3", a.id, spec);
  CHECK(MustCreate(catalog, "r-4", b.id, spec).id == job.id);
  MustLease(catalog, job.id);
  REQUIRE(catalog.Fail(job.id, 1, FailOutcome::kPermanent, {2, "BROKEN", "", {}}).ok());
  for (const std::string& id : {a.id, b.id}) {
    CHECK(MadeOf(catalog, id) == "blob:old-0");
    CHECK(catalog.DescribeImage(id)->derivatives[0].job_id == first.id);
  }
}

TEMPLATE_TEST_CASE("a request is taken back alone; the last one ends the job", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const FinishedUpload upload = AddImage(catalog, "up", DeriveSpec({"eq"}));
  const std::string job = upload.job->id;
  REQUIRE(MustCreate(catalog, "r-1", upload.image.id, DeriveSpec({"eq"})).id == job);
  REQUIRE(MustCreate(catalog, "r-2", upload.image.id, DeriveSpec({"eq"})).id == job);
  CHECK(catalog.TakeBackRequest(job, "r-1")->state == JobState::kQueued);
  CHECK(catalog.TakeBackRequest(job, "r-1")->state == JobState::kQueued);
  CHECK(ReasonOf(catalog.TakeBackRequest(job, "r-none")) == "REQUEST_NOT_FOUND");
  CHECK(ReasonOf(catalog.TakeBackRequest("job-none", "r-1")) == "JOB_NOT_FOUND");
  const JobRecord other = MustCreate(catalog, "r-3", upload.image.id, DeriveSpec({"64"}));
  CHECK(ReasonOf(catalog.TakeBackRequest(other.id, "r-1")) == "REQUEST_NOT_FOUND");
  harness.Reopen();
  CHECK(harness.catalog().TakeBackRequest(job, "up")->state == JobState::kQueued);
  CHECK(harness.catalog().TakeBackRequest(job, "r-2")->state == JobState::kCancelled);
  CHECK(harness.catalog().GetJob(other.id)->state == JobState::kQueued);
}

TEMPLATE_TEST_CASE("a thousand requests at once make one computation", "", CATALOGS) {
  TestType harness;
  const ImageRecord image = AddImage(harness.catalog(), "up").image;
  constexpr int kThreads = 20;
  constexpr int kEach = 25;
  std::mutex mutex;
  std::set<std::string> jobs;
  const auto request_all = [&](const std::string& prefix) {
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kEach; ++i) {
          const auto job = harness.catalog().CreateJob(
              prefix + std::to_string(t) + "-" + std::to_string(i), image.id, DeriveSpec({"64"}));
          const std::lock_guard lock(mutex);
          jobs.insert(job.ok() ? job->id : std::string(job.status().message()));
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  };
  request_all("before-");
  REQUIRE(jobs.size() == 1);
  MustLease(harness.catalog(), *jobs.begin());
  // The holder dies, and the catalog's process too.
  harness.Reopen();
  // From here on leases can run out.
  REQUIRE(harness.catalog().ExpireLeases()->empty());
  harness.clock.Advance(absl::Seconds(31));
  REQUIRE(harness.catalog().ExpireLeases()->size() == 1);
  request_all("after-");
  REQUIRE(jobs.size() == 1);
  const CompletedJob made =
      MustComplete(harness.catalog(), MustLease(harness.catalog(), *jobs.begin()), "a");
  CheckNothingReady(harness.catalog());
  request_all("later-");
  CheckNothingReady(harness.catalog());
  for (const std::string& id : jobs) {
    CHECK(harness.catalog().GetJob(id)->result_image_id == made.results.at(0)->id);
  }
  CHECK(harness.catalog().ListImages({}, 0, "")->records.size() == 2);
}

TEMPLATE_TEST_CASE("what a job needs is not deleted", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const ImageRecord image = AddImage(catalog, "up").image;
  const JobRecord first = MustCreate(catalog, "r-1", image.id, DeriveSpec({"64"}));
  const CompletedJob made = MustComplete(catalog, MustLease(catalog, first.id), "a");
  const std::string thumbnail = made.results.at(0)->id;
  const JobRecord second = MustCreate(catalog, "r-2", image.id, DeriveSpec({"64", "32"}));
  CHECK(DetailOf(catalog.DeleteImage(thumbnail).status(), "job") == second.id);
  CHECK(DetailOf(catalog.DeleteImage(image.id).status(), "job") == second.id);
  REQUIRE(catalog.CancelJob(second.id).ok());
  // Nor is the image whose derivative a job reads.
  const JobRecord nested = MustCreate(catalog, "r-3", thumbnail, DeriveSpec({"8"}));
  CHECK(DetailOf(catalog.DeleteImage(image.id).status(), "job") == nested.id);
  MustComplete(catalog, MustLease(catalog, nested.id), "n");
  const auto removed = catalog.DeleteImage(image.id);
  REQUIRE(removed.ok());
  REQUIRE(removed->images.size() == 3);
  CHECK(removed->images[0].id == image.id);
  CHECK(removed->freed_locations.size() == 3);
  CHECK(catalog.ListImages({}, 0, "")->records.empty());
}

TEMPLATE_TEST_CASE("results go when their time has come, originals never", "", CATALOGS) {
  CatalogLimits limits;
  limits.result_ttl = absl::Hours(10);
  TestType harness(limits);
  Catalog& catalog = harness.catalog();
  const ImageRecord image = AddImage(catalog, "up").image;
  CHECK_FALSE(image.expire_time.has_value());
  const JobRecord job = MustCreate(catalog, "r-1", image.id, DeriveSpec({"64", "32"}));
  const CompletedJob made = MustComplete(catalog, MustLease(catalog, job.id), "a");
  const std::string kept = made.results.at(0)->id;
  const std::string unused = made.results.at(1)->id;
  CHECK(made.results.at(0)->expire_time == harness.clock.Now() + absl::Hours(10));
  harness.clock.Advance(absl::Hours(6));
  CHECK(catalog.ExpireImages(NotInUse, 100)->images.empty());
  // Asked for again, it begins anew.
  MustCreate(catalog, "r-2", image.id, DeriveSpec({"64"}));
  CHECK(catalog.GetImage(kept)->expire_time == harness.clock.Now() + absl::Hours(10));
  harness.Reopen();
  Catalog& reopened = harness.catalog();
  harness.clock.Advance(absl::Hours(4));
  SECTION("unless somebody reads them") {
    const auto in_use = [&](const std::string& id) { return id == unused; };
    CHECK(reopened.ExpireImages(in_use, 100)->images.empty());
  }
  SECTION("unless a job needs them") {
    const JobRecord reading = MustCreate(reopened, "r-3", unused, DeriveSpec({"8"}));
    CHECK(reopened.ExpireImages(NotInUse, 100)->images.empty());
    REQUIRE(reopened.CancelJob(reading.id).ok());
  }
  const auto expired = reopened.ExpireImages(NotInUse, 100);
  REQUIRE(expired->images.size() == 1);
  CHECK(expired->images[0].id == unused);
  CHECK(expired->freed_locations == std::vector<std::string>{"blob:a-1"});
  CHECK(reopened.GetImage(kept).ok());
  harness.clock.Advance(absl::Hours(1000));
  CHECK(reopened.ExpireImages(NotInUse, 100)->images.size() == 1);
  CHECK(reopened.ExpireImages(NotInUse, 100)->images.empty());
  CHECK(reopened.GetImage(image.id).ok());
  CHECK(States(reopened, image.id).empty());
}

TEMPLATE_TEST_CASE("a result that was made or used a moment ago stays, whatever the budget", "",
                   CATALOGS) {
  CatalogLimits limits;
  limits.derivative_budget_bytes = 1500;
  TestType harness(limits);
  Catalog& catalog = harness.catalog();
  const ImageRecord image = AddImage(catalog, "up").image;
  const JobRecord job = MustCreate(catalog, "r", image.id, DeriveSpec({"1", "2"}));
  const auto ids = MustComplete(catalog, MustLease(catalog, job.id), "a").job.result_image_ids;
  CHECK(catalog.ExpireImages(NotInUse, 100)->images.empty());
  harness.clock.Advance(absl::Seconds(59));
  CHECK(catalog.ExpireImages(NotInUse, 100)->images.empty());
  REQUIRE(catalog.TouchImages({ids[1]}).ok());
  harness.clock.Advance(absl::Seconds(2));
  const auto evicted = catalog.ExpireImages(NotInUse, 100);
  REQUIRE(evicted->images.size() == 1);
  CHECK(evicted->images[0].id == ids[0]);
}

TEMPLATE_TEST_CASE("one look at what has expired is bounded, the next one goes on", "", CATALOGS) {
  CatalogLimits limits;
  limits.result_ttl = absl::Hours(1);
  TestType harness(limits);
  Catalog& catalog = harness.catalog();
  const ImageRecord image = AddImage(catalog, "up").image;
  std::vector<std::string> operations;
  for (int i = 0; i < 1200; ++i) operations.push_back(std::to_string(i));
  const JobRecord job = MustCreate(catalog, "r", image.id, DeriveSpec(operations));
  const auto ids = MustComplete(catalog, MustLease(catalog, job.id), "a").job.result_image_ids;
  harness.clock.Advance(absl::Hours(2));
  // All but the last one are read.
  int asked = 0;
  const auto in_use = [&](const std::string& id) {
    ++asked;
    return id != ids.back();
  };
  const auto first = catalog.ExpireImages(in_use, 100);
  REQUIRE(first.ok());
  CHECK(first->images.empty());
  CHECK(first->more);
  CHECK(asked == 1000);
  const auto second = catalog.ExpireImages(in_use, 100);
  REQUIRE(second.ok());
  REQUIRE(second->images.size() == 1);
  CHECK(second->images[0].id == ids.back());
  // Back to those that were passed over.
  size_t removed = 0;
  for (int i = 0; i < 20; ++i) removed += catalog.ExpireImages(NotInUse, 100)->images.size();
  CHECK(removed == 1199);
}

TEMPLATE_TEST_CASE("a result does not go before what was made of it", "", CATALOGS) {
  CatalogLimits limits;
  limits.result_ttl = absl::Hours(10);
  TestType harness(limits);
  const ImageRecord image = AddImage(harness.catalog(), "up").image;
  const auto make = [&harness](const std::string& of, const std::string& operation) {
    Catalog& now = harness.catalog();
    const JobRecord job = MustCreate(now, "r-" + operation, of, DeriveSpec({operation}));
    return MustComplete(now, MustLease(now, job.id), operation).job.result_image_id;
  };
  const std::string bottom = make(image.id, "1");
  const std::string other = make(image.id, "2");
  const std::string middle = make(bottom, "3");
  harness.clock.Advance(absl::Hours(6));
  const std::string top = make(middle, "4");
  SECTION("by time") {
    harness.clock.Advance(absl::Hours(6));
    SECTION("counted from when it was made") {}
    SECTION("counted from when it was asked for") {
      MustCreate(harness.catalog(), "again", middle, DeriveSpec({"4"}));
      harness.clock.Advance(absl::Hours(6));
    }
    const auto expired = harness.catalog().ExpireImages(NotInUse, 100);
    REQUIRE(expired->images.size() == 1);
    CHECK(expired->images[0].id == other);
    harness.clock.Advance(absl::Hours(10));
    CHECK(harness.catalog().ExpireImages(NotInUse, 100)->images.size() == 3);
  }
  SECTION("by budget") {
    REQUIRE(harness.catalog().TouchImages({other}).ok());
    harness.clock.Advance(absl::Seconds(1));
    REQUIRE(harness.catalog().TouchImages({top}).ok());
    harness.clock.Advance(absl::Minutes(5));
    harness.limits.derivative_budget_bytes = 3500;
    harness.Reopen();
    const auto evicted = harness.catalog().ExpireImages(NotInUse, 100);
    REQUIRE(evicted->images.size() == 1);
    CHECK(evicted->images[0].id == other);
  }
  CHECK(harness.catalog().GetImage(image.id).ok());
}

TEMPLATE_TEST_CASE("beyond the budget the results go that were not used for longest", "",
                   CATALOGS) {
  CatalogLimits limits;
  limits.derivative_budget_bytes = 3500;
  limits.derivative_grace = absl::ZeroDuration();
  TestType harness(limits);
  Catalog& catalog = harness.catalog();
  const ImageRecord image = AddImage(catalog, "up").image;
  const ImageRecord copy = AddCopy(catalog, "copy", "copy.jpg", image);
  std::vector<std::string> ids;
  const auto make = [&](const std::string& operation) {
    Catalog& now = harness.catalog();
    const JobRecord job = MustCreate(now, "r-" + operation, image.id, DeriveSpec({operation}));
    ids.push_back(MustComplete(now, MustLease(now, job.id), operation).job.result_image_id);
    harness.clock.Advance(absl::Seconds(1));
  };
  for (const std::string operation : {"1", "2", "3"}) make(operation);
  // Shares its bytes: they count once.
  MustCreate(catalog, "r-copy", copy.id, DeriveSpec({"3"}));
  CHECK(catalog.ExpireImages(NotInUse, 100)->images.empty());
  harness.clock.Advance(absl::Seconds(1));
  REQUIRE(catalog.TouchImages({ids[0], "img-none"}).ok());
  harness.Reopen();
  make("4");
  const auto in_use = [&](const std::string& id) { return id == ids[1]; };
  // The second is read, the first was touched, the bytes of the third stay with the copy's; so the
  // copy's go too, and that is enough.
  const auto evicted = harness.catalog().ExpireImages(in_use, 100);
  REQUIRE(evicted->images.size() == 2);
  CHECK(evicted->images[0].id == ids[2]);
  CHECK(evicted->images[1].source_image_id == copy.id);
  CHECK(evicted->freed_locations == std::vector<std::string>{"blob:3-0"});
  make("5");
  make("6");
  // No more at a time than is wanted.
  CHECK(harness.catalog().ExpireImages(NotInUse, 1)->images.at(0).id == ids[1]);
  CHECK(harness.catalog().ExpireImages(NotInUse, 1)->images.at(0).id == ids[0]);
  CHECK(harness.catalog().ExpireImages(NotInUse, 1)->images.empty());
}

FileRegistration FileOf(const std::string& id, const std::string& location) {
  FileRegistration file;
  file.image_id = id;
  file.name = id + ".jpg";
  file.location = location;
  file.modify_time = absl::FromUnixSeconds(1'700'000'000);
  file.inspect.operation = "inspect";
  file.inspect.inspects = true;
  return file;
}

TEMPLATE_TEST_CASE(
    "whatever comes in whatever order, nothing is made twice and nobody waits for ever", "",
    CATALOGS) {
  const char* given = std::getenv("HISTEQ_TEST_SEED");
  const unsigned first_seed = given != nullptr ? static_cast<unsigned>(std::atoi(given))
                                               : std::random_device{}() % 1'000'000;
  for (unsigned seed = first_seed; seed < first_seed + 4; ++seed) {
    INFO("HISTEQ_TEST_SEED=" << seed);
    std::mt19937 random(seed);
    CatalogLimits limits;
    limits.backoff = limits.max_backoff = absl::Milliseconds(1);
    limits.result_ttl = absl::Hours(50);
    TestType harness(limits);
    std::vector<ImageRecord> images = {AddImage(harness.catalog(), "a").image};
    images.push_back(AddCopy(harness.catalog(), "b", "b.jpg", images[0]));
    images.push_back(AddImage(harness.catalog(), "c").image);
    // Copies of the first in a file and on a node.
    const ImageFacts content = images[0].facts;
    FileRegistration file = FileOf("f", "file:///f.jpg");
    file.size_bytes = content.size_bytes;
    FileRegistration on_node = FileOf("n", "node://x/n.jpg");
    on_node.storage = "x";
    for (const FileRegistration* registration : {&file, &on_node}) {
      const auto registered = harness.catalog().RegisterImage(*registration);
      REQUIRE(registered.ok());
      images.push_back(registered->image);
    }
    std::vector<std::string> jobs;
    std::vector<Lease> leases;
    std::set<std::string> freed;
    int blobs = 0;
    // What each lease makes, as (bytes, operation), but for what is only a step on the way.
    const auto keys_of = [](const Lease& lease) {
      std::set<std::pair<std::string, std::string>> keys;
      for (const uint32_t output : lease.outputs) {
        if (!lease.job.result_image_ids[output].empty()) continue;
        keys.insert({ToHex(lease.image.facts.sha256), lease.job.spec.outputs[output].operation});
      }
      return keys;
    };
    // Leases end when their image's file is found changed.
    const auto forget_ended = [&] {
      leases.erase(std::remove_if(leases.begin(), leases.end(),
                                  [&](const Lease& lease) {
                                    const auto job = harness.catalog().GetJob(lease.job.id);
                                    return job->state != JobState::kRunning ||
                                           job->epoch != lease.job.epoch;
                                  }),
                   leases.end());
    };
    const auto lease_next = [&](bool with_node) -> bool {
      forget_ended();
      std::vector<std::string> storages;
      if (with_node) storages.push_back("x");
      auto lease = harness.catalog().LeaseNext("c", 0, storages);
      REQUIRE(lease.ok());
      if (!lease->has_value()) return false;
      CHECK((*lease)->outputs.empty() == (*lease)->job.spec.inspects);
      CHECK((with_node || (*lease)->image.facts.location.rfind("node:", 0) != 0));
      for (const auto& key : keys_of(**lease)) {
        // Nobody else makes it, and it is not there unless it is made anew.
        for (const Lease& other : leases) CHECK(keys_of(other).count(key) == 0);
        if ((*lease)->job.spec.refresh) continue;
        const auto description = harness.catalog().DescribeImage((*lease)->image.id);
        REQUIRE(description.ok());
        for (const DerivativeRecord& derivative : description->derivatives) {
          if (derivative.operation == key.second) CHECK_FALSE(derivative.image.has_value());
        }
      }
      leases.push_back(**std::move(lease));
      return true;
    };
    const auto end_one = [&](bool complete) {
      const size_t at = random() % leases.size();
      const Lease lease = leases[at];
      leases.erase(leases.begin() + static_cast<ptrdiff_t>(at));
      if (!complete) {
        const auto outcome = static_cast<FailOutcome>(1 + random() % 4);
        const std::string reason = random() % 2 == 0 ? "X" : "SOURCE_CHANGED";
        REQUIRE(harness.catalog()
                    .Fail(lease.job.id, lease.job.epoch, outcome, {13, reason, "", {}})
                    .ok());
        return;
      }
      if (lease.job.spec.inspects) {
        JobResult result;
        result.inspected = content;
        const auto completed = harness.catalog().Complete(lease.job.id, lease.job.epoch, result);
        REQUIRE(completed.ok());
        CHECK(completed->freed_locations.empty());
        return;
      }
      const CompletedJob completed =
          MustComplete(harness.catalog(), lease, "r" + std::to_string(blobs++));
      for (const auto& result : completed.results) CHECK(result.has_value());
      for (const std::string& location : completed.freed_locations) {
        CHECK(freed.insert(location).second);
      }
    };
    const auto note = [&](const absl::StatusOr<RemovedImages>& removed) {
      if (!removed.ok()) return;
      for (const std::string& location : removed->freed_locations) {
        CHECK(freed.insert(location).second);
      }
    };
    for (int step = 0; step < 300; ++step) {
      Catalog& catalog = harness.catalog();
      const unsigned dice = random() % 100;
      if (dice < 40) {
        std::vector<std::string> operations;
        const bool equalize = random() % 4 == 0;
        if (equalize) operations.push_back("eq");
        for (const std::string size : {"1", "2", "3", "4"}) {
          if (random() % 3 == 0) operations.push_back((equalize ? ">" : "") + size);
        }
        if (operations.empty()) continue;
        if (!equalize) std::shuffle(operations.begin(), operations.end(), random);
        JobSpec spec = DeriveSpec(operations);
        spec.refresh = random() % 8 == 0;
        if (equalize && random() % 2 == 0) {
          spec.reference_image_id = random() % 2 == 0 ? images[2].id : "f";
          for (JobOutput& output : spec.outputs) output.operation += spec.reference_image_id;
          spec.operation += spec.reference_image_id;
        }
        std::string source = images[random() % images.size()].id;
        if (random() % 4 == 0) {
          // Of a result.
          const auto description = catalog.DescribeImage(source);
          for (const DerivativeRecord& derivative : description->derivatives) {
            if (derivative.image.has_value()) source = derivative.image->id;
          }
        }
        const auto job = catalog.CreateJob("r-" + std::to_string(step), source, spec);
        if (!job.ok()) {
          CHECK(ReasonOf(job) == "IMAGE_UNREAD");
          continue;
        }
        jobs.push_back(job->id);
      } else if (dice < 60) {
        lease_next(random() % 2 == 0);
      } else if (dice < 80) {
        forget_ended();
        if (!leases.empty()) end_one(random() % 4 != 0);
      } else if (dice < 85) {
        if (!jobs.empty()) REQUIRE(catalog.CancelJob(jobs[random() % jobs.size()]).ok());
      } else if (dice < 90) {
        const auto description = catalog.DescribeImage(images[random() % images.size()].id);
        REQUIRE(description.ok());
        for (const DerivativeRecord& derivative : description->derivatives) {
          if (!derivative.image.has_value() || random() % 3 != 0) continue;
          note(catalog.DeleteImage(derivative.image->id));
        }
      } else if (dice < 94) {
        harness.clock.Advance(absl::Hours(5));
        note(catalog.ExpireImages(NotInUse, 3));
        leases.clear();
        REQUIRE(catalog.ExpireLeases().ok());
      } else if (dice < 96) {
        if (random() % 2 == 0) *file.modify_time += absl::Seconds(1);
        const auto registered = catalog.RegisterImage(random() % 2 == 0 ? file : on_node);
        REQUIRE(registered.ok());
      } else if (dice < 98) {
        harness.Reopen();
        // From here on leases can run out.
        REQUIRE(harness.catalog().ExpireLeases()->empty());
      } else {
        harness.clock.Advance(absl::Seconds(1));
      }
    }
    // What was begun comes to an end.
    for (int round = 0; round < 2000; ++round) {
      harness.clock.Advance(absl::Seconds(1));
      const bool leased = lease_next(true);
      if (!leased && leases.empty()) break;
      if (!leases.empty()) end_one(true);
    }
    for (const std::string& id : jobs) {
      const auto job = harness.catalog().GetJob(id);
      REQUIRE(job.ok());
      CHECK(IsFinal(job->state));
      if (job->state == JobState::kSucceeded) {
        for (const std::string& result : job->result_image_ids) CHECK_FALSE(result.empty());
      }
    }
    const auto all = harness.catalog().ListImages({}, 1000, "");
    for (const ImageRecord& image : all->records) CHECK(freed.count(image.facts.location) == 0);
    // No trace is left of what was removed.
    for (const ImageRecord& image : images) note(harness.catalog().DeleteImage(image.id));
    harness.clock.Advance(absl::Hours(100));
    note(harness.catalog().ExpireImages(NotInUse, 1000));
    CHECK(harness.catalog().ListImages({}, 0, "")->records.empty());
  }
}

}  // namespace
}  // namespace histeq::store::testing
