// What every catalog does about registered files: read before anything else, read again when they
// have changed, leased only to those who have them.

#include <vector>

#include "store_harness.h"

namespace histeq::store::testing {
namespace {

JobSpec InspectSpec() {
  JobSpec spec;
  spec.operation = "inspect";
  spec.inspects = true;
  return spec;
}

FileRegistration MakeFile(const std::string& id, std::optional<JobSpec> job = {}) {
  FileRegistration file;
  file.image_id = id;
  file.name = id + ".jpg";
  file.location = "file:///pictures/" + id + ".jpg";
  file.size_bytes = 500;
  file.modify_time = absl::FromUnixNanos(1'700'000'000'123'456'789);
  file.inspect = InspectSpec();
  file.job = std::move(job);
  return file;
}

FileRegistration MakeNodeFile(const std::string& id, const std::string& storage,
                              std::optional<JobSpec> job = {}) {
  FileRegistration file = MakeFile(id, std::move(job));
  file.location = "node://" + storage + "/" + id + ".jpg";
  file.storage = storage;
  file.size_bytes.reset();
  file.modify_time.reset();
  return file;
}

RegisteredImage MustRegister(Catalog& catalog, const FileRegistration& file) {
  auto registered = catalog.RegisterImage(file);
  REQUIRE(registered.status() == absl::OkStatus());
  return *std::move(registered);
}

std::optional<Lease> TryLease(Catalog& catalog, const std::vector<std::string>& storages = {}) {
  auto lease = catalog.LeaseNext("c", 0, storages);
  REQUIRE(lease.status() == absl::OkStatus());
  return *std::move(lease);
}

Lease MustLease(Catalog& catalog, const std::string& job_id,
                const std::vector<std::string>& storages = {}) {
  auto lease = TryLease(catalog, storages);
  REQUIRE(lease.has_value());
  CHECK(lease->job.id == job_id);
  return *std::move(lease);
}

// What a file of 500 bytes is, of its own content.
JobResult Inspected(const std::string& content, uint64_t size_bytes = 500) {
  JobResult result;
  result.inspected = MakeFacts(content, size_bytes);
  return result;
}

absl::Status Complete(Catalog& catalog, const Lease& lease, const JobResult& result) {
  return catalog.Complete(lease.job.id, lease.job.epoch, result).status();
}

CompletedJob MustMake(Catalog& catalog, const Lease& lease, const std::string& blob) {
  JobResult result;
  for (size_t i = 0; i < lease.outputs.size(); ++i) result.images.push_back(MakeFacts(blob));
  auto completed = catalog.Complete(lease.job.id, lease.job.epoch, result);
  REQUIRE(completed.status() == absl::OkStatus());
  return *std::move(completed);
}

JobError Error(const std::string& reason) {
  JobError error;
  error.code = static_cast<int>(absl::StatusCode::kInvalidArgument);
  error.reason = reason;
  error.message = "because";
  return error;
}

TEMPLATE_TEST_CASE("a registered file is read, then known", "", CATALOGS) {
  TestType harness;
  const RegisteredImage registered = MustRegister(harness.catalog(), MakeFile("a"));
  CHECK(registered.image.id == "a");
  CHECK(registered.image.unread);
  REQUIRE(registered.inspection.has_value());
  REQUIRE(registered.job.has_value());
  CHECK(registered.job->id == registered.inspection->id);
  harness.Reopen();
  Catalog& catalog = harness.catalog();
  CHECK(catalog.GetImage("a")->unread);
  CHECK(catalog.DescribeImage("a")->inspection->id == registered.job->id);
  const Lease lease = MustLease(catalog, registered.job->id);
  CHECK(lease.job.spec.inspects);
  CHECK(lease.image.facts.size_bytes == 500);
  CHECK(lease.image.modify_time == MakeFile("a").modify_time);
  CHECK(lease.outputs.empty());
  // Not as many bytes as the file had; and nothing where something is wanted.
  CHECK(ReasonOf(Complete(catalog, lease, Inspected("bytes", 499))) == "BAD_RESULT");
  CHECK(ReasonOf(Complete(catalog, lease, JobResult())) == "BAD_RESULT");
  CHECK(catalog.GetImage("a")->unread);
  REQUIRE(Complete(catalog, lease, Inspected("bytes")).ok());
  const auto image = catalog.GetImage("a");
  CHECK_FALSE(image->unread);
  CHECK(image->facts.sha256 == MakeFacts("bytes").sha256);
  CHECK(image->facts.location == "file:///pictures/a.jpg");
  CHECK(image->facts.width == 640);
  CHECK(image->modify_time == MakeFile("a").modify_time);
  // The answer was lost.
  CHECK(Complete(catalog, lease, Inspected("bytes")).ok());
  // A job that does not inspect says nothing of files.
  REQUIRE(catalog.CreateJob("r", "a", EqualizeSpec()).ok());
  JobResult result = Inspected("bytes");
  result.images.push_back(MakeFacts("blob:x"));
  const auto equalize = TryLease(catalog);
  REQUIRE(equalize.has_value());
  CHECK(ReasonOf(Complete(catalog, *equalize, result)) == "BAD_RESULT");
}

TEMPLATE_TEST_CASE("the same registration again", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const RegisteredImage first = MustRegister(catalog, MakeFile("a"));
  // While it is read, and after.
  const RegisteredImage second = MustRegister(catalog, MakeFile("a"));
  CHECK_FALSE(second.inspection.has_value());
  CHECK(second.job->id == first.job->id);
  FileRegistration elsewhere = MakeFile("a");
  elsewhere.location = "file:///pictures/b.jpg";
  const auto taken = catalog.RegisterImage(elsewhere);
  CHECK(taken.status().code() == absl::StatusCode::kAlreadyExists);
  CHECK(ReasonOf(taken) == "IMAGE_ID_TAKEN");
  REQUIRE(Complete(catalog, MustLease(catalog, first.job->id), Inspected("bytes")).ok());
  const RegisteredImage third = MustRegister(catalog, MakeFile("a"));
  CHECK_FALSE(third.inspection.has_value());
  CHECK_FALSE(third.image.unread);
  CHECK(third.job->id == first.job->id);
  CHECK(third.job->state == JobState::kSucceeded);
  CHECK_FALSE(TryLease(catalog).has_value());
  // An uploaded image's id is taken too.
  const ImageRecord uploaded = AddImage(catalog, "up").image;
  CHECK(ReasonOf(catalog.RegisterImage(MakeFile(uploaded.id))) == "IMAGE_ID_TAKEN");
}

TEMPLATE_TEST_CASE("other jobs wait until the file is read", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const RegisteredImage registered = MustRegister(catalog, MakeFile("a", EqualizeSpec()));
  REQUIRE(registered.inspection.has_value());
  REQUIRE(registered.job.has_value());
  CHECK(registered.job->id != registered.inspection->id);
  CHECK(registered.job->blocked);
  // The same again is the same job; counting waits too.
  CHECK(MustRegister(catalog, MakeFile("a", EqualizeSpec())).job->id == registered.job->id);
  CHECK(catalog.CreateJob("r-1", "a", EqualizeSpec())->id == registered.job->id);
  const auto analyze = catalog.CreateJob("r-2", "a", MakeSpec("analyze", ""));
  REQUIRE(analyze.ok());
  CHECK(analyze->blocked);
  CHECK(ReasonOf(catalog.DeleteImage("a")) == "IMAGE_IN_USE");
  const Lease inspection = MustLease(catalog, registered.inspection->id);
  CHECK_FALSE(TryLease(catalog).has_value());
  const uint64_t seen = catalog.WorkGeneration();
  REQUIRE(Complete(catalog, inspection, Inspected("bytes")).ok());
  CHECK(catalog.WorkGeneration() != seen);
  const Lease lease = MustLease(catalog, registered.job->id);
  CHECK(lease.image.facts.sha256 == MakeFacts("bytes").sha256);
  CHECK(lease.outputs == std::vector<uint32_t>{0});
  MustLease(catalog, analyze->id);
  MustMake(catalog, lease, "blob:made");
  CHECK(catalog.GetJob(registered.job->id)->state == JobState::kSucceeded);
  // Known by its bytes from now on.
  CHECK(MustRegister(catalog, MakeFile("a", EqualizeSpec())).job->state == JobState::kSucceeded);
}

TEMPLATE_TEST_CASE("what is there already of the same bytes is not made for a registered file", "",
                   CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const ImageRecord uploaded = AddImage(catalog, "up", EqualizeSpec()).image;
  const auto made = TryLease(catalog);
  REQUIRE(made.has_value());
  MustMake(catalog, *made, "blob:made");
  const RegisteredImage registered = MustRegister(catalog, MakeFile("a", EqualizeSpec()));
  JobResult result = Inspected("blob:up");
  REQUIRE(result.inspected->sha256 == uploaded.facts.sha256);
  REQUIRE(Complete(catalog, MustLease(catalog, registered.inspection->id), result).ok());
  const auto job = catalog.GetJob(registered.job->id);
  CHECK(job->state == JobState::kSucceeded);
  CHECK(catalog.GetImage(job->result_image_id)->facts.location == "blob:made");
  CHECK_FALSE(TryLease(catalog).has_value());
}

TEMPLATE_TEST_CASE("a refresh on an unread image is one when it is read", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  AddImage(catalog, "up", EqualizeSpec());
  MustMake(catalog, *TryLease(catalog), "blob:old");
  const RegisteredImage registered = MustRegister(catalog, MakeFile("a", EqualizeSpec()));
  JobSpec spec = EqualizeSpec();
  spec.refresh = true;
  const auto refresh = catalog.CreateJob("r-1", "a", spec);
  CHECK(refresh->id != registered.job->id);
  CHECK(catalog.CreateJob("r-2", "a", spec)->id == refresh->id);
  CHECK(catalog.CreateJob("r-3", "a", EqualizeSpec())->id == registered.job->id);
  REQUIRE(
      Complete(catalog, MustLease(catalog, registered.inspection->id), Inspected("blob:up")).ok());
  CHECK(catalog.GetJob(registered.job->id)->state == JobState::kSucceeded);
  MustMake(catalog, MustLease(catalog, refresh->id), "blob:new");
  CHECK(catalog.DescribeImage("a")->derivatives.at(0).image->facts.location == "blob:new");
}

TEMPLATE_TEST_CASE("a file that cannot be read fails what waits for it", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const RegisteredImage registered = MustRegister(catalog, MakeFile("a", EqualizeSpec()));
  const Lease lease = MustLease(catalog, registered.inspection->id);
  REQUIRE(
      catalog.Fail(lease.job.id, lease.job.epoch, FailOutcome::kPermanent, Error("NOT_AN_IMAGE"))
          .ok());
  const auto job = catalog.GetJob(registered.job->id);
  CHECK(job->state == JobState::kFailed);
  CHECK(job->error->reason == "NOT_AN_IMAGE");
  CHECK(job->error->message == "because");
  CHECK(catalog.DescribeImage("a")->inspection->state == JobState::kFailed);
  const auto refused = catalog.CreateJob("r", "a", EqualizeSpec());
  CHECK(refused.status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK(ReasonOf(refused) == "IMAGE_UNREAD");
  const ImageRecord other = AddImage(catalog, "up").image;
  CHECK(ReasonOf(catalog.CreateJob("r", other.id, MakeSpec("match", "EQUALIZED", "a"))) ==
        "IMAGE_UNREAD");
  // Another try.
  const RegisteredImage again = MustRegister(catalog, MakeFile("a", EqualizeSpec()));
  REQUIRE(again.inspection.has_value());
  CHECK(again.inspection->id != registered.inspection->id);
  CHECK(again.job->id != registered.job->id);
  SECTION("cancelled") {
    REQUIRE(catalog.CancelJob(again.inspection->id).ok());
    CHECK(catalog.GetJob(again.job->id)->state == JobState::kFailed);
    CHECK(catalog.GetJob(again.job->id)->error->reason == "INSPECT_CANCELLED");
  }
  SECTION("the one that waits is cancelled") {
    REQUIRE(catalog.CancelJob(again.job->id).ok());
    CHECK(catalog.GetJob(again.job->id)->state == JobState::kCancelled);
    REQUIRE(Complete(catalog, MustLease(catalog, again.inspection->id), Inspected("x")).ok());
    CHECK(catalog.GetJob(again.job->id)->state == JobState::kCancelled);
    CHECK_FALSE(TryLease(catalog).has_value());
    CHECK(catalog.DeleteImage("a").ok());
  }
}

TEMPLATE_TEST_CASE("a file that has changed is read anew", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const RegisteredImage first = MustRegister(catalog, MakeFile("a", EqualizeSpec()));
  REQUIRE(Complete(catalog, MustLease(catalog, first.inspection->id), Inspected("old")).ok());
  const CompletedJob old = MustMake(catalog, MustLease(catalog, first.job->id), "blob:old");
  JobResult statistics;
  statistics.statistics = "counts";
  REQUIRE(catalog.CreateJob("r-s", "a", MakeSpec("analyze", "")).ok());
  REQUIRE(Complete(catalog, *TryLease(catalog), statistics).ok());
  // One that waits, one that runs.
  const auto waits = catalog.CreateJob("r-1", "a", MakeSpec("64", "thumb"));
  REQUIRE(waits.ok());
  const Lease running = MustLease(catalog, waits->id);
  const auto queued = catalog.CreateJob("r-2", "a", MakeSpec("128", "thumb"));
  REQUIRE(queued.ok());

  FileRegistration changed = MakeFile("a", EqualizeSpec());
  changed.modify_time = *changed.modify_time + absl::Nanoseconds(1);
  SECTION("another time") {}
  SECTION("another size") { changed.size_bytes = 600; }
  const RegisteredImage again = MustRegister(catalog, changed);
  REQUIRE(again.inspection.has_value());
  CHECK(again.image.unread);
  for (const std::string& id : {waits->id, queued->id}) {
    CHECK(catalog.GetJob(id)->state == JobState::kFailed);
    CHECK(catalog.GetJob(id)->error->reason == "SOURCE_CHANGED");
  }
  JobResult late;
  late.images.push_back(MakeFacts("blob:late"));
  CHECK(ReasonOf(Complete(catalog, running, late)) == "STALE_EPOCH");
  const Lease lease = MustLease(catalog, again.inspection->id);
  CHECK(lease.image.facts.size_bytes == *changed.size_bytes);
  SECTION("to other bytes: what was made of the old ones goes") {
    const auto completed =
        catalog.Complete(lease.job.id, lease.job.epoch, Inspected("new", *changed.size_bytes));
    REQUIRE(completed.ok());
    CHECK(completed->freed_locations == std::vector<std::string>{"blob:old"});
    CHECK(ReasonOf(catalog.GetImage(old.results.at(0)->id)) == "IMAGE_NOT_FOUND");
    CHECK_FALSE(catalog.GetImageStatistics("a")->has_value());
    const Lease fresh = MustLease(catalog, again.job->id);
    MustMake(catalog, fresh, "blob:new");
    const auto description = catalog.DescribeImage("a");
    REQUIRE(description->derivatives.size() == 1);
    CHECK(description->derivatives[0].image->facts.location == "blob:new");
  }
  SECTION("to the same bytes: what was made of them is kept") {
    const auto completed =
        catalog.Complete(lease.job.id, lease.job.epoch, Inspected("old", *changed.size_bytes));
    REQUIRE(completed.ok());
    CHECK(completed->freed_locations.empty());
    CHECK(catalog.GetImageStatistics("a")->has_value());
    CHECK(catalog.GetJob(again.job->id)->state == JobState::kSucceeded);
    CHECK_FALSE(TryLease(catalog).has_value());
  }
}

TEMPLATE_TEST_CASE("a job that finds the file changed makes it unread", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const RegisteredImage first = MustRegister(catalog, MakeFile("a", EqualizeSpec()));
  REQUIRE(Complete(catalog, MustLease(catalog, first.inspection->id), Inspected("old")).ok());
  const Lease lease = MustLease(catalog, first.job->id);
  REQUIRE(
      catalog.Fail(lease.job.id, lease.job.epoch, FailOutcome::kPermanent, Error("SOURCE_CHANGED"))
          .ok());
  CHECK(catalog.GetImage("a")->unread);
  CHECK(ReasonOf(catalog.CreateJob("r", "a", EqualizeSpec())) == "IMAGE_UNREAD");
  CHECK(MustRegister(catalog, MakeFile("a")).inspection.has_value());
}

TEMPLATE_TEST_CASE("a node's file is leased only to those who have it", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const RegisteredImage on_x = MustRegister(catalog, MakeNodeFile("a", "x", EqualizeSpec()));
  const RegisteredImage on_y = MustRegister(catalog, MakeNodeFile("b", "y"));
  const FinishedUpload uploaded = AddImage(catalog, "up", EqualizeSpec());
  CHECK(on_x.job->storage == "x");
  // Those that cannot be leased do not stand in the way of the others.
  MustLease(catalog, uploaded.job->id);
  CHECK_FALSE(TryLease(catalog).has_value());
  CHECK_FALSE(TryLease(catalog, {"z"}).has_value());
  harness.Reopen();
  Catalog& reopened = harness.catalog();
  MustLease(reopened, on_y.job->id, {"y"});
  const Lease lease = MustLease(reopened, on_x.inspection->id, {"y", "x"});
  JobResult result = Inspected("bytes", 777);
  result.modify_time = absl::FromUnixNanos(1'600'000'000'000'000'001);
  REQUIRE(Complete(reopened, lease, result).ok());
  const auto image = reopened.GetImage("a");
  CHECK(image->facts.size_bytes == 777);
  CHECK(image->modify_time == result.modify_time);
  CHECK_FALSE(TryLease(reopened).has_value());
  const Lease work = MustLease(reopened, on_x.job->id, {"x"});
  // Given back, it waits for the storage again.
  REQUIRE(reopened.Fail(work.job.id, work.job.epoch, FailOutcome::kHandBack, Error("STORAGE_GONE"))
              .ok());
  CHECK(reopened.GetJob(work.job.id)->attempts == 0);
  // Not at once: whoever asks next may not know yet that it is gone.
  CHECK(reopened.GetJob(work.job.id)->error->reason == "STORAGE_GONE");
  CHECK_FALSE(TryLease(reopened, {"x"}).has_value());
  harness.clock.Advance(absl::Seconds(2));
  CHECK_FALSE(TryLease(reopened, {"y"}).has_value());
  // While a job is at work on it, registering it again changes nothing.
  CHECK_FALSE(MustRegister(reopened, MakeNodeFile("a", "x")).inspection.has_value());
  MustMake(reopened, MustLease(reopened, on_x.job->id, {"x"}), "blob:made");
  // After that nobody here can know whether it has changed.
  const RegisteredImage again = MustRegister(reopened, MakeNodeFile("a", "x", EqualizeSpec()));
  REQUIRE(again.inspection.has_value());
  REQUIRE(Complete(reopened, MustLease(reopened, again.inspection->id, {"x"}), result).ok());
  CHECK(reopened.GetJob(again.job->id)->state == JobState::kSucceeded);
}

// An uploaded image of the same bytes as a file with this content, and what CreateJob says for it.
ImageRecord UploadCopy(Catalog& catalog, const std::string& upload_id, const std::string& content,
                       std::optional<JobSpec> job = {}) {
  REQUIRE(catalog.BeginUpload(MakeHeader(upload_id, std::move(job)), "k" + upload_id).ok());
  ImageFacts facts = MakeFacts(content);
  facts.location = "blob:" + upload_id;
  const auto finished = catalog.FinishUpload(upload_id, facts);
  REQUIRE(finished.status() == absl::OkStatus());
  return finished->image;
}

// Both images have the equalized one.
void CheckBothHave(Catalog& catalog, const std::string& a, const std::string& b) {
  for (const std::string& id : {a, b}) {
    const auto description = catalog.DescribeImage(id);
    REQUIRE(description->derivatives.size() == 1);
    REQUIRE(description->derivatives[0].image.has_value());
    CHECK(description->derivatives[0].image->source_image_id == id);
  }
}

// A node's file that was read; its node is gone from then on.
void RegisterOnNode(Catalog& catalog, const std::string& id) {
  const RegisteredImage image = MustRegister(catalog, MakeNodeFile(id, "x"));
  REQUIRE(Complete(catalog, MustLease(catalog, image.job->id, {"x"}), Inspected("bytes")).ok());
}

TEMPLATE_TEST_CASE("a copy that is there does not wait for a node that is gone", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  RegisterOnNode(catalog, "a");
  const auto on_node = catalog.CreateJob("r-a", "a", EqualizeSpec());
  REQUIRE(on_node.ok());
  CHECK(on_node->storage == "x");
  SECTION("queued there: it reads the copy") {
    const uint64_t seen = catalog.WorkGeneration();
    const ImageRecord copy = UploadCopy(catalog, "up", "bytes", EqualizeSpec());
    CHECK(catalog.WorkGeneration() != seen);
    harness.Reopen();
    const Lease lease = MustLease(harness.catalog(), on_node->id);
    CHECK(lease.image.id == copy.id);
    MustMake(harness.catalog(), lease, "blob:made");
    CheckBothHave(harness.catalog(), "a", copy.id);
  }
  SECTION("the other way round") {
    const ImageRecord copy = UploadCopy(catalog, "up", "bytes");
    REQUIRE(catalog.CancelJob(on_node->id).ok());
    const auto here = catalog.CreateJob("r-c", copy.id, EqualizeSpec());
    CHECK(catalog.CreateJob("r-b", "a", EqualizeSpec())->id == here->id);
    CHECK(MustLease(catalog, here->id).image.id == copy.id);
  }
  SECTION("several outputs, of which the node's job makes one") {
    const ImageRecord copy = UploadCopy(catalog, "up", "bytes");
    JobSpec both = EqualizeSpec();
    both.operation = "both";
    both.outputs.push_back(MakeSpec("64", "thumb").outputs[0]);
    const auto waits_there = catalog.CreateJob("r-b", "a", both);
    CHECK(waits_there->blocked);
    const auto waits = catalog.CreateJob("r-c", copy.id, both);
    CHECK(waits->id == waits_there->id);
    CHECK(waits->image_id == copy.id);
    MustMake(catalog, MustLease(catalog, on_node->id), "blob:made");
    MustMake(catalog, MustLease(catalog, waits->id), "blob:64");
    CHECK(catalog.DescribeImage("a")->derivatives.size() == 2);
    CHECK(catalog.DescribeImage(copy.id)->derivatives.size() == 2);
  }
  SECTION("running there, and handed back") {
    const Lease lease = MustLease(catalog, on_node->id, {"x"});
    const ImageRecord copy = UploadCopy(catalog, "up", "bytes", EqualizeSpec());
    CHECK_FALSE(TryLease(catalog).has_value());
    REQUIRE(
        catalog.Fail(lease.job.id, lease.job.epoch, FailOutcome::kHandBack, Error("STORAGE_GONE"))
            .ok());
    const Lease again = MustLease(catalog, on_node->id);
    CHECK(again.image.id == copy.id);
    MustMake(catalog, again, "blob:made");
    CheckBothHave(catalog, "a", copy.id);
  }
  SECTION("running there, and another job waits for it") {
    const Lease lease = MustLease(catalog, on_node->id, {"x"});
    const ImageRecord copy = UploadCopy(catalog, "up", "bytes");
    JobSpec both = EqualizeSpec();
    both.operation = "both";
    both.outputs.push_back(MakeSpec("64", "thumb").outputs[0]);
    const auto waits = catalog.CreateJob("r-c", copy.id, both);
    CHECK(waits->blocked);
    // From here on leases can run out.
    harness.Reopen();
    REQUIRE(harness.catalog().ExpireLeases()->empty());
    harness.clock.Advance(absl::Seconds(31));
    REQUIRE(harness.catalog().ExpireLeases()->size() == 1);
    CHECK(MustLease(harness.catalog(), on_node->id).image.id == copy.id);
    (void)lease;
  }
}

TEMPLATE_TEST_CASE("a copy's request does not fail with the file of another image", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const RegisteredImage first = MustRegister(catalog, MakeFile("a"));
  REQUIRE(Complete(catalog, MustLease(catalog, first.inspection->id), Inspected("bytes")).ok());
  const auto job = catalog.CreateJob("r-a", "a", EqualizeSpec());
  const Lease lease = MustLease(catalog, job->id);
  FileRegistration changed = MakeFile("a");
  changed.modify_time = *changed.modify_time + absl::Nanoseconds(1);
  SECTION("an uploaded copy") {
    const ImageRecord copy = UploadCopy(catalog, "up", "bytes", EqualizeSpec());
    SECTION("when the file is registered again") {
      const RegisteredImage again = MustRegister(catalog, changed);
      REQUIRE(again.inspection.has_value());
      CHECK(ReasonOf(Complete(catalog, lease, JobResult())) == "STALE_EPOCH");
      const Lease on_copy = MustLease(catalog, job->id);
      CHECK(on_copy.image.id == copy.id);
      const Lease inspection = MustLease(catalog, again.inspection->id);
      SECTION("and is the same after all") {
        REQUIRE(Complete(catalog, inspection, Inspected("bytes")).ok());
        MustMake(catalog, on_copy, "blob:made");
        CheckBothHave(catalog, "a", copy.id);
      }
      SECTION("and is another one") {
        MustMake(catalog, on_copy, "blob:made");
        REQUIRE(Complete(catalog, inspection, Inspected("other")).ok());
        CHECK(catalog.DescribeImage("a")->derivatives.empty());
        CHECK(catalog.DescribeImage(copy.id)->derivatives.size() == 1);
      }
      SECTION("and is known as another one first") {
        REQUIRE(Complete(catalog, inspection, Inspected("other")).ok());
        MustMake(catalog, on_copy, "blob:made");
        CHECK(catalog.DescribeImage("a")->derivatives.empty());
        CHECK(catalog.DescribeImage(copy.id)->derivatives.size() == 1);
      }
    }
    SECTION("when the job says so") {
      const std::string reason = GENERATE("SOURCE_CHANGED", "FILE_NOT_FOUND");
      REQUIRE(
          catalog.Fail(lease.job.id, lease.job.epoch, FailOutcome::kPermanent, Error(reason)).ok());
      CHECK(catalog.GetImage("a")->unread == (reason == "SOURCE_CHANGED"));
      const Lease on_copy = MustLease(catalog, job->id);
      CHECK(on_copy.image.id == copy.id);
      CHECK(on_copy.job.error->reason == reason);
      MustMake(catalog, on_copy, "blob:made");
      CHECK(catalog.GetJob(job->id)->state == JobState::kSucceeded);
    }
    SECTION("but with what is wrong with the bytes") {
      REQUIRE(catalog
                  .Fail(lease.job.id, lease.job.epoch, FailOutcome::kPermanent,
                        Error("IMAGE_TRUNCATED"))
                  .ok());
      CHECK(catalog.GetJob(job->id)->state == JobState::kFailed);
    }
  }
  SECTION("files that have all gone") {
    for (const std::string id : {"b", "c"}) {
      const RegisteredImage other = MustRegister(catalog, MakeFile(id));
      REQUIRE(Complete(catalog, MustLease(catalog, other.inspection->id), Inspected("bytes")).ok());
      CHECK(catalog.CreateJob("r-" + id, id, EqualizeSpec())->id == job->id);
    }
    // In turn, and not for ever.
    std::vector<std::string> read = {lease.image.id};
    std::optional<Lease> next = lease;
    while (next.has_value()) {
      REQUIRE(
          catalog
              .Fail(next->job.id, next->job.epoch, FailOutcome::kPermanent, Error("FILE_NOT_FOUND"))
              .ok());
      next = TryLease(catalog);
      if (next.has_value()) read.push_back(next->image.id);
    }
    CHECK(read == std::vector<std::string>{"a", "b", "c", "a", "b"});
    CHECK(catalog.GetJob(job->id)->state == JobState::kFailed);
    CHECK(catalog.GetJob(job->id)->error->reason == "FILE_NOT_FOUND");
  }
}

TEMPLATE_TEST_CASE("jobs of several storages and of none come in their order", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const RegisteredImage first = MustRegister(catalog, MakeNodeFile("a", "x"));
  const RegisteredImage second = MustRegister(catalog, MakeFile("b"));
  const RegisteredImage third = MustRegister(catalog, MakeNodeFile("c", "y"));
  MustLease(catalog, first.job->id, {"y", "x"});
  MustLease(catalog, second.job->id, {"y", "x"});
  MustLease(catalog, third.job->id, {"y", "x"});
}

TEMPLATE_TEST_CASE("a reference in a storage is for images there", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  JobResult result = Inspected("bytes", 777);
  for (const std::string id : {"a", "b"}) {
    const RegisteredImage image = MustRegister(catalog, MakeNodeFile(id, "x"));
    REQUIRE(Complete(catalog, MustLease(catalog, image.job->id, {"x"}), result).ok());
  }
  const ImageRecord other = AddImage(catalog, "up").image;
  const JobSpec match = MakeSpec("match", "EQUALIZED", "a");
  CHECK(catalog.CreateJob("r-1", "b", match).ok());
  CHECK(ReasonOf(catalog.CreateJob("r-2", other.id, match)) == "REFERENCE_ELSEWHERE");
  REQUIRE(catalog.CreateJob("r-3", "a", MakeSpec("analyze", "")).ok());
  MustMake(catalog, *TryLease(catalog, {"x"}), "blob:made");
  JobResult statistics;
  statistics.statistics = "counts";
  REQUIRE(Complete(catalog, *TryLease(catalog, {"x"}), statistics).ok());
  CHECK(catalog.CreateJob("r-4", other.id, match).ok());
}

TEMPLATE_TEST_CASE("what was made with another reference file is not taken", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const ImageRecord image = AddImage(catalog, "up").image;
  const RegisteredImage reference = MustRegister(catalog, MakeFile("ref"));
  REQUIRE(Complete(catalog, MustLease(catalog, reference.job->id), Inspected("old")).ok());
  const JobSpec match = MakeSpec("match:ref", "EQUALIZED", "ref");
  const auto first = catalog.CreateJob("r-1", image.id, match);
  MustMake(catalog, MustLease(catalog, first->id), "blob:old");
  CHECK(catalog.CreateJob("r-2", image.id, match)->state == JobState::kSucceeded);
  FileRegistration changed = MakeFile("ref");
  SECTION("its file changed") {
    // One that runs and one that waits read the old one.
    const JobSpec other = MakeSpec("match2:ref", "EQUALIZED", "ref");
    const auto running = catalog.CreateJob("r-3", image.id, other);
    const Lease lease = MustLease(catalog, running->id);
    const auto queued = catalog.CreateJob("r-4", image.id, MakeSpec("match3:ref", "m", "ref"));
    changed.modify_time = *changed.modify_time + absl::Nanoseconds(1);
    const RegisteredImage again = MustRegister(catalog, changed);
    for (const std::string& id : {running->id, queued->id}) {
      const auto ended = catalog.GetJob(id);
      CHECK(ended->state == JobState::kFailed);
      CHECK(ended->error->reason == "SOURCE_CHANGED");
      CHECK(ended->error->metadata.at("image") == "ref");
    }
    CHECK(ReasonOf(Complete(catalog, lease, JobResult())) == "STALE_EPOCH");
    const Lease inspection = MustLease(catalog, again.inspection->id);
    SECTION("to other bytes") {
      REQUIRE(Complete(catalog, inspection, Inspected("new")).ok());
      const auto anew = catalog.CreateJob("r-5", image.id, match);
      REQUIRE(anew->state == JobState::kQueued);
      const CompletedJob made = MustMake(catalog, MustLease(catalog, anew->id), "blob:new");
      CHECK(made.results.at(0)->facts.location == "blob:new");
      CHECK(catalog.CreateJob("r-6", image.id, match)->result_image_id == made.results.at(0)->id);
    }
    SECTION("to the same bytes") {
      REQUIRE(Complete(catalog, inspection, Inspected("old")).ok());
      CHECK(catalog.CreateJob("r-5", image.id, match)->state == JobState::kSucceeded);
    }
  }
  SECTION("its id was given to another one") {
    REQUIRE(catalog.DeleteImage("ref").ok());
    changed.location = "file:///pictures/other.jpg";
    const RegisteredImage again = MustRegister(catalog, changed);
    REQUIRE(Complete(catalog, MustLease(catalog, again.job->id), Inspected("new")).ok());
    CHECK(catalog.CreateJob("r-5", image.id, match)->state == JobState::kQueued);
    // Also when the image waits to be read itself.
    const RegisteredImage copy = MustRegister(catalog, MakeFile("copy", match));
    REQUIRE(Complete(catalog, *TryLease(catalog), JobResult{{MakeFacts("blob:new")}, {}}).ok());
    REQUIRE(Complete(catalog, MustLease(catalog, copy.inspection->id), Inspected("blob:up")).ok());
    const auto result = catalog.GetJob(copy.job->id);
    REQUIRE(result->state == JobState::kSucceeded);
    CHECK(catalog.GetImage(result->result_image_id)->facts.location == "blob:new");
  }
}

TEMPLATE_TEST_CASE("what is known of a node's file serves while it is read again", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  RegisterOnNode(catalog, "a");
  REQUIRE(catalog.CreateJob("r-1", "a", EqualizeSpec()).ok());
  MustMake(catalog, *TryLease(catalog, {"x"}), "blob:old");
  // Its node is gone.
  const RegisteredImage again = MustRegister(catalog, MakeNodeFile("a", "x", EqualizeSpec()));
  REQUIRE(again.inspection.has_value());
  CHECK_FALSE(again.image.unread);
  CHECK(again.image.facts.sha256 == MakeFacts("bytes").sha256);
  CHECK(catalog.DescribeImage("a")->inspection->id == again.inspection->id);
  CHECK(catalog.CreateJob("r-2", "a", EqualizeSpec())->state == JobState::kSucceeded);
  // What the registration asks for is of the file as it is now; what must be made too.
  CHECK(again.job->blocked);
  const auto other = catalog.CreateJob("r-3", "a", MakeSpec("64", "thumb"));
  CHECK(other->blocked);
  CHECK_FALSE(TryLease(catalog).has_value());
  const Lease inspection = MustLease(catalog, again.inspection->id, {"x"});
  CHECK_FALSE(TryLease(catalog, {"x"}).has_value());
  SECTION("the same") {
    REQUIRE(Complete(catalog, inspection, Inspected("bytes")).ok());
    CHECK_FALSE(catalog.DescribeImage("a")->inspection.has_value());
    const auto job = catalog.GetJob(again.job->id);
    CHECK(job->state == JobState::kSucceeded);
    CHECK(catalog.GetImage(job->result_image_id)->facts.location == "blob:old");
    MustMake(catalog, MustLease(catalog, other->id, {"x"}), "blob:64");
  }
  SECTION("another one") {
    // A job with the file as its reference reads the old one.
    const RegisteredImage image = MustRegister(catalog, MakeNodeFile("b", "x"));
    REQUIRE(Complete(catalog, MustLease(catalog, image.job->id, {"x"}), Inspected("more")).ok());
    const auto match = catalog.CreateJob("r-4", "b", MakeSpec("match", "EQUALIZED", "a"));
    const Lease running = MustLease(catalog, match->id, {"x"});
    const auto completed =
        catalog.Complete(inspection.job.id, inspection.job.epoch, Inspected("new"));
    REQUIRE(completed.ok());
    CHECK(completed->freed_locations == std::vector<std::string>{"blob:old"});
    CHECK(catalog.GetJob(match->id)->error->reason == "SOURCE_CHANGED");
    CHECK(ReasonOf(Complete(catalog, running, JobResult())) == "STALE_EPOCH");
    MustMake(catalog, MustLease(catalog, again.job->id, {"x"}), "blob:new");
    MustMake(catalog, MustLease(catalog, other->id, {"x"}), "blob:64");
    CHECK(catalog.DescribeImage("a")->derivatives.size() == 2);
  }
  SECTION("not there any more") {
    REQUIRE(catalog
                .Fail(inspection.job.id, inspection.job.epoch, FailOutcome::kPermanent,
                      Error("FILE_NOT_FOUND"))
                .ok());
    CHECK(catalog.GetImage("a")->unread);
    CHECK(catalog.GetJob(other->id)->error->reason == "FILE_NOT_FOUND");
    CHECK(ReasonOf(catalog.CreateJob("r-5", "a", EqualizeSpec())) == "IMAGE_UNREAD");
  }
}

TEMPLATE_TEST_CASE("a failure that was the file's goes when the file is read again", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const RegisteredImage first = MustRegister(catalog, MakeFile("a", EqualizeSpec()));
  REQUIRE(Complete(catalog, MustLease(catalog, first.inspection->id), Inspected("bytes")).ok());
  const Lease lease = MustLease(catalog, first.job->id);
  REQUIRE(
      catalog.Fail(lease.job.id, lease.job.epoch, FailOutcome::kPermanent, Error("SOURCE_CHANGED"))
          .ok());
  REQUIRE(catalog.DescribeImage("a")->derivatives.size() == 1);
  CHECK(catalog.DescribeImage("a")->derivatives[0].end_time.has_value());
  const RegisteredImage again = MustRegister(catalog, MakeFile("a"));
  REQUIRE(Complete(catalog, MustLease(catalog, again.inspection->id), Inspected("bytes")).ok());
  CHECK(catalog.DescribeImage("a")->derivatives.empty());
  // What is wrong with the bytes stays.
  const auto job = catalog.CreateJob("r", "a", EqualizeSpec());
  MustLease(catalog, job->id);
  REQUIRE(catalog.Fail(job->id, 1, FailOutcome::kPermanent, Error("IMAGE_TRUNCATED")).ok());
  FileRegistration changed = MakeFile("a");
  changed.modify_time = *changed.modify_time + absl::Nanoseconds(1);
  const RegisteredImage third = MustRegister(catalog, changed);
  REQUIRE(Complete(catalog, MustLease(catalog, third.inspection->id), Inspected("bytes")).ok());
  CHECK(catalog.DescribeImage("a")->derivatives.size() == 1);
}

TEMPLATE_TEST_CASE("a changed reference makes the reference unread, not the source", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  for (const std::string id : {"source", "ref"}) {
    const RegisteredImage image = MustRegister(catalog, MakeFile(id));
    REQUIRE(Complete(catalog, MustLease(catalog, image.job->id), Inspected(id)).ok());
  }
  const ImageRecord copy = UploadCopy(catalog, "up", "source");
  const JobSpec match = MakeSpec("match", "EQUALIZED", "ref");
  const auto job = catalog.CreateJob("r-1", "source", match);
  const Lease lease = MustLease(catalog, job->id);
  // Another place of the source does not help.
  CHECK(catalog.CreateJob("r-2", copy.id, match)->id == job->id);
  JobError error = Error("SOURCE_CHANGED");
  const std::string named = GENERATE("ref", "source", "copy");
  error.metadata["image"] = named;
  REQUIRE(catalog.Fail(job->id, lease.job.epoch, FailOutcome::kPermanent, error).ok());
  CHECK(catalog.GetImage("ref")->unread == (named == "ref"));
  CHECK(catalog.GetImage("source")->unread == (named != "ref"));
  CHECK((catalog.GetJob(job->id)->state == JobState::kFailed) == (named == "ref"));
}

TEMPLATE_TEST_CASE("a full queue takes no registration", "", CATALOGS) {
  CatalogLimits limits;
  limits.max_queued_jobs = 1;
  TestType harness(limits);
  Catalog& catalog = harness.catalog();
  // The file's reading fits in, the other job does not: neither is kept.
  CHECK(ReasonOf(catalog.RegisterImage(MakeFile("a", EqualizeSpec()))) == "QUEUE_FULL");
  CHECK(ReasonOf(catalog.GetImage("a")) == "IMAGE_NOT_FOUND");
  CHECK_FALSE(TryLease(catalog).has_value());
}

}  // namespace
}  // namespace histeq::store::testing
