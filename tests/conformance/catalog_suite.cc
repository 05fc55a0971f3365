// What every Catalog does: uploads, images, lists, coordinators, what survives.

#include <catch2/catch.hpp>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "store_harness.h"
#include "store_support.h"

namespace histeq::store::testing {
namespace {

void CheckSameImage(const ImageRecord& a, const ImageRecord& b) {
  CHECK(a.id == b.id);
  CHECK(a.name == b.name);
  CHECK(a.facts.location == b.facts.location);
  CHECK(a.facts.sha256 == b.facts.sha256);
  CHECK(a.facts.size_bytes == b.facts.size_bytes);
  CHECK(a.facts.format == b.facts.format);
  CHECK(a.facts.width == b.facts.width);
  CHECK(a.facts.height == b.facts.height);
  CHECK(a.facts.channels == b.facts.channels);
  CHECK(a.facts.bits_per_sample == b.facts.bits_per_sample);
  CHECK(a.create_time == b.create_time);
  CHECK(a.tag == b.tag);
  CHECK(a.source_image_id == b.source_image_id);
  CHECK(a.source_job_id == b.source_job_id);
}

TEMPLATE_TEST_CASE("an upload registers its image and queues its job together", "", CATALOGS) {
  TestType harness;
  UploadHeader header = MakeHeader("up-1", MakeSpec(std::string("eq\0\xff", 4), "EQUALIZED"));
  header.name = "../r\xc3\xb6ntgen '; DROP TABLE images; --.png";
  header.size_bytes = uint64_t{1} << 40;
  header.sha256 = Sha256Of({});
  const auto begun = harness.catalog().BeginUpload(header, "key-1");
  REQUIRE(begun.ok());
  CHECK(begun->blob_key == "key-1");
  CHECK_FALSE(begun->finished);
  CHECK(begun->touch_time == harness.clock.Now());
  harness.Reopen();
  Catalog& catalog = harness.catalog();
  CHECK(catalog.CountJobs()->queued == 0);
  CHECK(catalog.ListImages({}, 0, "")->records.empty());

  const auto open = catalog.GetUpload("up-1");
  REQUIRE(open.ok());
  CHECK(open->header.name == header.name);
  CHECK(open->header.size_bytes == header.size_bytes);
  CHECK(open->header.sha256 == header.sha256);
  REQUIRE(open->header.job.has_value());
  CHECK(open->header.job->operation == header.job->operation);
  CHECK(open->blob_key == "key-1");
  CHECK_FALSE(open->finished);

  ImageFacts facts = MakeFacts("blob:key-1", 77);
  facts.sha256 = Sha256Of(RandomContent(10, 1));
  const auto finished = catalog.FinishUpload("up-1", facts);
  REQUIRE(finished.ok());
  CHECK_FALSE(finished->already_finished);
  CHECK(finished->image.name == header.name);
  CHECK(finished->image.facts.location == "blob:key-1");
  CHECK(finished->image.create_time == harness.clock.Now());
  CHECK(finished->image.tag.empty());
  REQUIRE(finished->job.has_value());
  CHECK(finished->job->image_id == finished->image.id);
  CHECK(finished->job->image_name == header.name);
  CHECK(finished->job->state == JobState::kQueued);
  CHECK(finished->job->attempts == 0);
  CHECK(finished->job->max_attempts == 5);
  CHECK(catalog.CountJobs()->queued == 1);

  harness.clock.Advance(absl::Hours(1));
  harness.Reopen();
  const auto image = harness.catalog().GetImage(finished->image.id);
  REQUIRE(image.ok());
  CheckSameImage(*image, finished->image);
  const auto job = harness.catalog().GetJob(finished->job->id);
  REQUIRE(job.ok());
  CHECK(job->spec.operation == header.job->operation);
  CHECK(job->create_time == finished->job->create_time);
  const auto upload = harness.catalog().GetUpload("up-1");
  REQUIRE(upload.ok());
  CHECK(upload->finished);
  CheckSameImage(upload->image.value(), finished->image);
  CHECK(upload->job.value().id == finished->job->id);
}

TEMPLATE_TEST_CASE("an upload sent again is the same upload", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const UploadHeader header = MakeHeader("up-1", EqualizeSpec());
  REQUIRE(catalog.BeginUpload(header, "key-1").ok());
  harness.clock.Advance(absl::Minutes(1));
  const auto again = catalog.BeginUpload(header, "key-2");
  REQUIRE(again.ok());
  CHECK(again->blob_key == "key-1");
  CHECK(again->touch_time == harness.clock.Now());
  CHECK(catalog.GetUpload("up-1")->touch_time == harness.clock.Now());

  const auto finished = catalog.FinishUpload("up-1", MakeFacts("blob:key-1"));
  REQUIRE(finished.ok());
  for (int i = 0; i < 2; ++i) {
    const auto repeated = harness.catalog().FinishUpload("up-1", MakeFacts("blob:another"));
    REQUIRE(repeated.ok());
    CHECK(repeated->already_finished);
    CheckSameImage(repeated->image, finished->image);
    CHECK(repeated->job.value().id == finished->job->id);
    const auto begun = harness.catalog().BeginUpload(header, "key-3");
    REQUIRE(begun.ok());
    CHECK(begun->finished);
    CheckSameImage(begun->image.value(), finished->image);
    CHECK(begun->job.value().id == finished->job->id);
    harness.Reopen();
  }
  CHECK(harness.catalog().CountJobs()->queued == 1);
  CHECK(harness.catalog().ListImages({}, 0, "")->records.size() == 1);
}

TEMPLATE_TEST_CASE("an upload id with another header is refused", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  UploadHeader header = MakeHeader("up-1", EqualizeSpec());
  header.size_bytes = 100;
  REQUIRE(catalog.BeginUpload(header, "key-1").ok());
  std::vector<std::pair<std::string, UploadHeader>> others(5, {"", header});
  others[0].first = "name";
  others[0].second.name += "x";
  others[1].first = "size_bytes";
  others[1].second.size_bytes.reset();
  others[2].first = "sha256";
  others[2].second.sha256 = Sha256Of({});
  others[3].first = "operation";
  others[3].second.job.reset();
  others[4].first = "operation";
  others[4].second.job->operation += "x";
  for (const bool finish : {false, true}) {
    if (finish) {
      REQUIRE(catalog.FinishUpload("up-1", MakeFacts("blob:key-1")).ok());
    }
    for (const auto& [field, other] : others) {
      const absl::Status status = catalog.BeginUpload(other, "key-2").status();
      CHECK(status.code() == absl::StatusCode::kAlreadyExists);
      CHECK(ReasonOf(status) == "UPLOAD_ID_REUSED");
      CHECK(base::GetErrorDetail(status).value().field == field);
    }
  }
}

TEMPLATE_TEST_CASE("what does not exist is not found", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const auto check = [](const absl::Status& status, const std::string& reason) {
    CHECK(status.code() == absl::StatusCode::kNotFound);
    CHECK(ReasonOf(status) == reason);
  };
  for (const std::string id : {"", "nothing", "img-0", "' OR 1=1 --"}) {
    check(catalog.GetUpload(id).status(), "UPLOAD_NOT_FOUND");
    check(catalog.FinishUpload(id, MakeFacts("blob:x")).status(), "UPLOAD_NOT_FOUND");
    check(catalog.RemoveUpload(id, absl::InfiniteFuture()), "UPLOAD_NOT_FOUND");
    check(catalog.GetImage(id).status(), "IMAGE_NOT_FOUND");
    check(catalog.DeleteImage(id).status(), "IMAGE_NOT_FOUND");
    check(catalog.CreateJob("r", id, EqualizeSpec()).status(), "IMAGE_NOT_FOUND");
    check(catalog.GetJob(id).status(), "JOB_NOT_FOUND");
    check(catalog.CancelJob(id).status(), "JOB_NOT_FOUND");
    check(catalog.GetLease(id, 1).status(), "JOB_NOT_FOUND");
    check(catalog.Complete(id, 1, {}).status(), "JOB_NOT_FOUND");
    check(catalog.Fail(id, 1, FailOutcome::kRetry, {}).status(), "JOB_NOT_FOUND");
    check(catalog.RemoveCoordinator(id), "COORDINATOR_NOT_FOUND");
    CHECK_FALSE(catalog.GetImageStatistics(id)->has_value());
  }
}

TEMPLATE_TEST_CASE("a job's reference image must exist when the job is queued", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const JobSpec missing = MakeSpec("match", "MATCHED", "img-none");
  CHECK(ReasonOf(catalog.BeginUpload(MakeHeader("up-1", missing), "k")) == "IMAGE_NOT_FOUND");
  CHECK(ReasonOf(catalog.GetUpload("up-1")) == "UPLOAD_NOT_FOUND");

  const ImageRecord reference = AddImage(catalog, "ref").image;
  const JobSpec spec = MakeSpec("match", "MATCHED", reference.id);
  REQUIRE(catalog.BeginUpload(MakeHeader("up-2", spec), "k2").ok());
  REQUIRE(catalog.DeleteImage(reference.id).ok());
  // Neither the image nor the job: all or nothing.
  CHECK(ReasonOf(catalog.FinishUpload("up-2", MakeFacts("blob:k2"))) == "IMAGE_NOT_FOUND");
  CHECK(catalog.ListImages({}, 0, "")->records.empty());
  CHECK_FALSE(catalog.GetUpload("up-2")->finished);
  CHECK(catalog.CountJobs()->queued == 0);

  const ImageRecord source = AddImage(catalog, "src").image;
  const absl::Status status = catalog.CreateJob("r-1", source.id, missing).status();
  CHECK(status.code() == absl::StatusCode::kNotFound);
  CHECK_FALSE(base::GetErrorDetail(status).value().field.empty());
}

TEMPLATE_TEST_CASE("a deleted image is gone, with what is known of it", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const FinishedUpload upload = AddImage(catalog, "up-1");
  const std::string id = upload.image.id;
  const auto deleted = catalog.DeleteImage(id);
  REQUIRE(deleted.ok());
  REQUIRE(deleted->images.size() == 1);
  CheckSameImage(deleted->images[0], upload.image);
  CHECK(deleted->freed_locations == std::vector<std::string>{"blob:up-1"});
  harness.Reopen();
  Catalog& reopened = harness.catalog();
  CHECK(ReasonOf(reopened.GetImage(id)) == "IMAGE_NOT_FOUND");
  CHECK(ReasonOf(reopened.DeleteImage(id)) == "IMAGE_NOT_FOUND");
  CHECK(ReasonOf(reopened.BeginUpload(MakeHeader("up-1"), "k")) == "IMAGE_NOT_FOUND");
  CHECK(ReasonOf(reopened.FinishUpload("up-1", MakeFacts("blob:k"))) == "IMAGE_NOT_FOUND");
  const auto record = reopened.GetUpload("up-1");
  REQUIRE(record.ok());
  CHECK(record->finished);
  CHECK_FALSE(record->image.has_value());
}

TEMPLATE_TEST_CASE("an image that a job reads cannot be deleted", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  const ImageRecord source = AddImage(catalog, "src").image;
  const ImageRecord reference = AddImage(catalog, "ref").image;
  const auto job = catalog.CreateJob("r-1", source.id, MakeSpec("match", "MATCHED", reference.id));
  REQUIRE(job.ok());
  const auto check_in_use = [&] {
    for (const std::string& id : {source.id, reference.id}) {
      const absl::Status status = catalog.DeleteImage(id).status();
      CHECK(status.code() == absl::StatusCode::kFailedPrecondition);
      CHECK(ReasonOf(status) == "IMAGE_IN_USE");
      CHECK(DetailOf(status, "job") == job->id);
    }
  };
  check_in_use();
  const auto lease = catalog.LeaseNext("c", 0);
  REQUIRE(lease->has_value());
  check_in_use();
  REQUIRE(catalog.Complete(job->id, (*lease)->job.epoch, {{MakeFacts("blob:r")}, "stats"}).ok());
  CHECK(catalog.GetImageStatistics(source.id).value() == "stats");
  CHECK(catalog.DeleteImage(source.id).ok());
  CHECK(catalog.DeleteImage(reference.id).ok());
  CHECK_FALSE(catalog.GetImageStatistics(source.id)->has_value());
  CHECK(catalog.GetJob(job->id)->state == JobState::kSucceeded);
}

TEMPLATE_TEST_CASE("lists are newest first, by pages that rows added meanwhile do not move", "",
                   CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  std::vector<std::string> images;
  std::vector<std::string> jobs;
  for (int i = 0; i < 25; ++i) {
    const FinishedUpload upload = AddImage(catalog, "up-" + std::to_string(i), EqualizeSpec());
    images.insert(images.begin(), upload.image.id);
    jobs.insert(jobs.begin(), upload.job->id);
  }
  const uint32_t page_size = GENERATE(1u, 7u, 24u, 25u, 26u);
  std::vector<std::string> seen_images;
  std::vector<std::string> seen_jobs;
  std::string image_token;
  std::string job_token;
  int pages = 0;
  do {
    const auto image_page = harness.catalog().ListImages({}, page_size, image_token);
    const auto job_page = harness.catalog().ListJobs({}, page_size, job_token);
    REQUIRE(image_page.ok());
    REQUIRE(job_page.ok());
    CHECK(image_page->records.size() <= page_size);
    for (const ImageRecord& image : image_page->records) seen_images.push_back(image.id);
    for (const JobRecord& job : job_page->records) seen_jobs.push_back(job.id);
    image_token = image_page->next_page_token;
    job_token = job_page->next_page_token;
    CHECK(image_token.empty() == job_token.empty());
    if (++pages == 2) harness.Reopen();
    AddImage(harness.catalog(), "more-" + std::to_string(pages), EqualizeSpec());
  } while (!image_token.empty());
  CHECK(seen_images == images);
  CHECK(seen_jobs == jobs);
}

TEMPLATE_TEST_CASE("lists are filtered", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  std::vector<std::string> ids;
  for (const std::string name : {"a.jpg", "b.jpg", "a.jpg", "A.jpg", "a.jpg%"}) {
    UploadHeader header = MakeHeader("up-" + std::to_string(ids.size()));
    header.name = name;
    REQUIRE(catalog.BeginUpload(header, "k").ok());
    ids.push_back(catalog.FinishUpload(header.upload_id, MakeFacts("blob:x"))->image.id);
  }
  const auto named = catalog.ListImages({"a.jpg"}, 0, "");
  REQUIRE(named->records.size() == 2);
  CHECK(named->records[0].id == ids[2]);
  CHECK(named->records[1].id == ids[0]);
  CHECK(catalog.ListImages({"c.jpg"}, 0, "")->records.empty());

  std::vector<std::string> jobs;
  for (int i = 0; i < 4; ++i) {
    jobs.push_back(
        catalog
            .CreateJob("r-" + std::to_string(i), ids[i % 2], EqualizeSpec("e" + std::to_string(i)))
            ->id);
  }
  REQUIRE(catalog.CancelJob(jobs[0]).ok());
  REQUIRE(catalog.LeaseNext("c", 0)->has_value());
  const auto list = [&](std::optional<JobState> state, const std::string& image) {
    std::vector<std::string> found;
    const auto page = catalog.ListJobs({state, image}, 0, "");
    REQUIRE(page.ok());
    for (const JobRecord& job : page->records) found.push_back(job.id);
    return found;
  };
  using Ids = std::vector<std::string>;
  CHECK(list({}, "") == Ids{jobs[3], jobs[2], jobs[1], jobs[0]});
  CHECK(list(JobState::kQueued, "") == Ids{jobs[3], jobs[2]});
  CHECK(list(JobState::kRunning, "") == Ids{jobs[1]});
  CHECK(list(JobState::kCancelled, "") == Ids{jobs[0]});
  CHECK(list({}, ids[0]) == Ids{jobs[2], jobs[0]});
  CHECK(list(JobState::kQueued, ids[0]) == Ids{jobs[2]});
  CHECK(list({}, "img-none").empty());
}

TEMPLATE_TEST_CASE("pages have a default and a largest size", "", CATALOGS) {
  CatalogLimits limits;
  limits.max_page_size = 5;
  limits.default_page_size = 3;
  TestType harness(limits);
  for (int i = 0; i < 8; ++i) AddImage(harness.catalog(), "up-" + std::to_string(i));
  CHECK(harness.catalog().ListImages({}, 0, "")->records.size() == 3);
  CHECK(harness.catalog().ListImages({}, 5, "")->records.size() == 5);
  CHECK(harness.catalog().ListImages({}, UINT32_MAX, "")->records.size() == 5);
}

TEMPLATE_TEST_CASE("pages of large jobs end early, and nothing is left out", "", CATALOGS) {
  CatalogLimits limits;
  limits.max_page_bytes = 100'000;
  TestType harness(limits);
  Catalog& catalog = harness.catalog();
  const std::string image = AddImage(catalog, "up").image.id;
  std::vector<std::string> newest_first;
  for (const size_t size : {10u, 60'000u, 500'000u, 30'000u, 30'000u, 30'000u, 10u}) {
    // No two alike, which would be one job.
    const JobSpec spec =
        EqualizeSpec(std::string(size, static_cast<char>('a' + newest_first.size())));
    const auto job = catalog.CreateJob("r-" + std::to_string(newest_first.size()), image, spec);
    REQUIRE(job.ok());
    newest_first.insert(newest_first.begin(), job->id);
  }
  std::vector<std::string> seen;
  std::vector<size_t> sizes;
  std::string token;
  do {
    const auto page = catalog.ListJobs({}, 1000, token);
    REQUIRE(page.ok());
    sizes.push_back(page->records.size());
    for (const JobRecord& job : page->records) seen.push_back(job.id);
    token = page->next_page_token;
  } while (!token.empty());
  CHECK(seen == newest_first);
  CHECK(sizes == std::vector<size_t>{4, 1, 2});
}

TEMPLATE_TEST_CASE("a page token of another list, or made up, is refused", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  for (int i = 0; i < 3; ++i) AddImage(catalog, "up-" + std::to_string(i), EqualizeSpec());
  const std::string token = catalog.ListImages({}, 1, "")->next_page_token;
  const std::string job_token = catalog.ListJobs({}, 1, "")->next_page_token;
  REQUIRE_FALSE(token.empty());
  REQUIRE_FALSE(job_token.empty());
  const auto refused = [](const absl::Status& status) {
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(ReasonOf(status) == "BAD_PAGE_TOKEN");
    CHECK(base::GetErrorDetail(status).value().field == "page_token");
  };
  refused(catalog.ListImages({"photo.jpg"}, 1, token).status());
  refused(catalog.ListImages({}, 1, job_token).status());
  refused(catalog.ListJobs({}, 1, token).status());
  refused(catalog.ListJobs({JobState::kQueued, ""}, 1, job_token).status());
  for (const std::string& bad : {std::string("1"), token + "0", token.substr(1),
                                 std::string(token.size(), '0'), std::string(1 << 20, 'a')}) {
    refused(catalog.ListImages({}, 1, bad).status());
  }
  for (size_t i = 0; i < token.size(); ++i) {
    std::string changed = token;
    changed[i] = changed[i] == '1' ? '2' : '1';
    refused(catalog.ListImages({}, 1, changed).status());
  }
  TestType other;
  for (int i = 0; i < 3; ++i) AddImage(other.catalog(), "up-" + std::to_string(i));
  refused(other.catalog().ListImages({}, 1, token).status());
}

TEMPLATE_TEST_CASE("abandoned uploads are found by their last touch and removed once", "",
                   CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  for (const std::string id : {"old", "touched", "finished"}) {
    REQUIRE(catalog.BeginUpload(MakeHeader(id), "k-" + id).ok());
  }
  harness.clock.Advance(absl::Hours(2));
  const absl::Time before = harness.clock.Now() - absl::Hours(1);
  REQUIRE(catalog.BeginUpload(MakeHeader("touched"), "k").ok());
  REQUIRE(catalog.BeginUpload(MakeHeader("new"), "k").ok());
  REQUIRE(catalog.FinishUpload("finished", MakeFacts("blob:k-finished")).ok());
  const auto abandoned = catalog.AbandonedUploads(before);
  REQUIRE(abandoned.ok());
  REQUIRE(abandoned->size() == 1);
  CHECK(abandoned->front().header.upload_id == "old");
  CHECK(abandoned->front().blob_key == "k-old");
  for (const std::string id : {"touched", "finished", "new"}) {
    CHECK(ReasonOf(catalog.RemoveUpload(id, before)) == "UPLOAD_NOT_FOUND");
    CHECK(catalog.GetUpload(id).ok());
  }
  CHECK(catalog.RemoveUpload("old", before).ok());
  CHECK(ReasonOf(catalog.RemoveUpload("old", before)) == "UPLOAD_NOT_FOUND");
  CHECK(ReasonOf(catalog.GetUpload("old")) == "UPLOAD_NOT_FOUND");
  CHECK(ReasonOf(catalog.FinishUpload("old", MakeFacts("blob:k-old"))) == "UPLOAD_NOT_FOUND");
}

UploadHeader SmallHeader(const std::string& id) {
  UploadHeader header = MakeHeader(id, EqualizeSpec());
  header.size_bytes = 1000;
  return header;
}

TEMPLATE_TEST_CASE("the upload of a small file is kept once it is finished", "", CATALOGS) {
  TestType harness;
  const UploadHeader header = SmallHeader("up");
  CHECK(harness.catalog().BeginUpload(header, "key-1")->blob_key == "key-1");
  CHECK(harness.catalog().BeginUpload(header, "key-2")->blob_key == "key-1");
  CHECK(harness.catalog().GetUpload("up")->header.name == header.name);
  CHECK_FALSE(harness.catalog().GetUpload("up")->finished);
  CHECK(harness.catalog().UseOfBlob("key-1", "blob:key-1").value() == Catalog::BlobUse::kUpload);
  CHECK(harness.catalog().UseOfBlob("key-2", "blob:key-2").value() == Catalog::BlobUse::kNone);
  // Another header, of a small file or not.
  for (const uint64_t size : {uint64_t{1001}, uint64_t{1} << 40}) {
    UploadHeader other = header;
    other.size_bytes = size;
    const absl::Status status = harness.catalog().BeginUpload(other, "k").status();
    CHECK(ReasonOf(status) == "UPLOAD_ID_REUSED");
    CHECK(base::GetErrorDetail(status)->field == "size_bytes");
  }
  // Sent again after a crash.
  harness.Reopen();
  Catalog& catalog = harness.catalog();
  CHECK(ReasonOf(catalog.GetUpload("up")) == "UPLOAD_NOT_FOUND");
  CHECK(ReasonOf(catalog.FinishUpload("up", MakeFacts("blob:key-1"))) == "UPLOAD_NOT_FOUND");
  CHECK(catalog.UseOfBlob("key-1", "blob:key-1").value() == Catalog::BlobUse::kNone);
  CHECK(catalog.BeginUpload(header, "key-3")->blob_key == "key-3");
  const auto finished = catalog.FinishUpload("up", MakeFacts("blob:key-3"));
  REQUIRE(finished.ok());
  CHECK_FALSE(finished->already_finished);
  CHECK(catalog.UseOfBlob("key-3", "blob:key-3").value() == Catalog::BlobUse::kImage);
  CHECK(catalog.AbandonedUploads(absl::InfiniteFuture())->empty());
  CHECK(ReasonOf(catalog.RemoveUpload("up", absl::InfiniteFuture())) == "UPLOAD_NOT_FOUND");
  harness.Reopen();
  for (int repeat = 0; repeat < 2; ++repeat) {
    const auto known = harness.catalog().GetUpload("up");
    REQUIRE(known.ok());
    CHECK(known->finished);
    CHECK(known->blob_key == "key-3");
    CHECK(known->image->id == finished->image.id);
    CHECK(known->job->id == finished->job->id);
    const auto again = harness.catalog().BeginUpload(header, "key-4");
    REQUIRE(again.ok());
    CHECK(again->finished);
    CHECK(harness.catalog().FinishUpload("up", MakeFacts("blob:key-4"))->already_finished);
    CHECK(harness.catalog().UseOfBlob("key-4", "").value() == Catalog::BlobUse::kNone);
  }
  UploadHeader other = header;
  other.name = "other";
  CHECK(ReasonOf(harness.catalog().BeginUpload(other, "k")) == "UPLOAD_ID_REUSED");
}

TEMPLATE_TEST_CASE("abandoned uploads of small files are found and removed once", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  REQUIRE(catalog.BeginUpload(SmallHeader("old"), "k-old").ok());
  REQUIRE(catalog.BeginUpload(SmallHeader("touched"), "k-touched").ok());
  harness.clock.Advance(absl::Hours(2));
  REQUIRE(catalog.BeginUpload(SmallHeader("touched"), "k-new").ok());
  const absl::Time before = harness.clock.Now() - absl::Hours(1);
  const auto abandoned = catalog.AbandonedUploads(before);
  REQUIRE(abandoned->size() == 1);
  CHECK(abandoned->at(0).header.upload_id == "old");
  CHECK(abandoned->at(0).blob_key == "k-old");
  CHECK(ReasonOf(catalog.RemoveUpload("touched", before)) == "UPLOAD_NOT_FOUND");
  CHECK(catalog.RemoveUpload("old", before).ok());
  CHECK(ReasonOf(catalog.RemoveUpload("old", before)) == "UPLOAD_NOT_FOUND");
  CHECK(ReasonOf(catalog.FinishUpload("old", MakeFacts("blob:k-old"))) == "UPLOAD_NOT_FOUND");
  CHECK(catalog.UseOfBlob("k-old", "blob:k-old").value() == Catalog::BlobUse::kNone);
  CHECK(catalog.FinishUpload("touched", MakeFacts("blob:k-touched")).ok());
}

TEMPLATE_TEST_CASE("small uploads beyond those kept in memory are durable at once", "", CATALOGS) {
  CatalogLimits limits;
  limits.max_small_uploads = 1;
  limits.max_queued_jobs = 2;
  TestType harness(limits);
  REQUIRE(harness.catalog().BeginUpload(SmallHeader("first"), "k-1").ok());
  REQUIRE(harness.catalog().BeginUpload(SmallHeader("second"), "k-2").ok());
  CHECK(harness.catalog().AbandonedUploads(absl::InfiniteFuture())->size() == 2);
  harness.Reopen();
  Catalog& catalog = harness.catalog();
  CHECK(ReasonOf(catalog.GetUpload("first")) == "UPLOAD_NOT_FOUND");
  CHECK(catalog.GetUpload("second")->blob_key == "k-2");
  // What the database has is not kept in memory too.
  CHECK(catalog.BeginUpload(SmallHeader("second"), "k-3")->blob_key == "k-2");
  REQUIRE(catalog.BeginUpload(SmallHeader("first"), "k-4").ok());
  REQUIRE(catalog.FinishUpload("second", MakeFacts("blob:k-2")).ok());
  REQUIRE(catalog.FinishUpload("first", MakeFacts("blob:k-4", 5)).ok());
  // Refused as others are.
  AddImage(catalog, "image");
  UploadHeader lost = SmallHeader("lost");
  lost.job->reference_image_id = "img-no";
  CHECK(ReasonOf(catalog.BeginUpload(lost, "k")) == "IMAGE_NOT_FOUND");
  CHECK(ReasonOf(catalog.GetUpload("lost")) == "UPLOAD_NOT_FOUND");
  CHECK(ReasonOf(catalog.BeginUpload(SmallHeader("more"), "k")) == "QUEUE_FULL");
  CHECK(ReasonOf(catalog.GetUpload("more")) == "UPLOAD_NOT_FOUND");
}

TEMPLATE_TEST_CASE("a catalog knows what refers to a blob", "", CATALOGS) {
  TestType harness;
  Catalog& catalog = harness.catalog();
  using Use = Catalog::BlobUse;
  CHECK(catalog.UseOfBlob("key-1", "blob:key-1").value() == Use::kNone);
  REQUIRE(catalog.BeginUpload(MakeHeader("up-1"), "key-1").ok());
  CHECK(catalog.UseOfBlob("key-1", "blob:key-1").value() == Use::kUpload);
  const auto finished = catalog.FinishUpload("up-1", MakeFacts("blob:key-1"));
  CHECK(catalog.UseOfBlob("key-1", "blob:key-1").value() == Use::kImage);
  REQUIRE(catalog.DeleteImage(finished->image.id).ok());
  CHECK(catalog.UseOfBlob("key-1", "blob:key-1").value() == Use::kNone);
}

TEMPLATE_TEST_CASE("everybody may work until a coordinator is registered", "", CATALOGS) {
  TestType harness;
  CHECK(harness.catalog().CoordinatorAllowed("anybody"));
  CHECK(harness.catalog().ListCoordinators().empty());
  REQUIRE(harness.catalog().RegisterCoordinator({"north", "10.0.0.2:50052"}).ok());
  REQUIRE(harness.catalog().RegisterCoordinator({"east", "10.0.0.3:50052"}).ok());
  REQUIRE(harness.catalog().RegisterCoordinator({"north", "10.0.0.4:50052"}).ok());
  for (int i = 0; i < 2; ++i) {
    const auto list = harness.catalog().ListCoordinators();
    REQUIRE(list.size() == 2);
    CHECK(list[0].name == "east");
    CHECK(list[1].name == "north");
    CHECK(list[1].address == "10.0.0.4:50052");
    CHECK(harness.catalog().CoordinatorAllowed("north"));
    CHECK_FALSE(harness.catalog().CoordinatorAllowed("anybody"));
    harness.Reopen();
  }
  REQUIRE(harness.catalog().RemoveCoordinator("north").ok());
  CHECK_FALSE(harness.catalog().CoordinatorAllowed("north"));
  REQUIRE(harness.catalog().RemoveCoordinator("east").ok());
  harness.Reopen();
  CHECK(harness.catalog().CoordinatorAllowed("anybody"));
}

TEMPLATE_TEST_CASE("the names of results", "", CATALOGS) {
  CHECK(ResultName("photo.jpg", "EQUALIZED") == "photo_EQUALIZED.jpg");
  CHECK(ResultName("photo", "EQUALIZED") == "photo_EQUALIZED");
  CHECK(ResultName(".hidden", "T") == ".hidden_T");
  CHECK(ResultName("a.tar.gz", "T") == "a.tar_T.gz");
  CHECK(ResultName("", "T") == "_T");
  const std::string dots = "a." + std::string(30, 'x');
  CHECK(ResultName(dots, "T") == dots + "_T");
  const std::string longest = std::string(251, 'a') + ".jpg";
  CHECK(ResultName(longest, "EQUALIZED") == std::string(241, 'a') + "_EQUALIZED.jpg");
  // A character of two bytes is not cut in the middle.
  std::string umlauts;
  for (int i = 0; i < 125; ++i) umlauts += "\xc3\xa4";
  const std::string cut = ResultName(umlauts + "b.jpg", "EQUALIZED");
  CHECK(cut == umlauts.substr(0, 240) + "_EQUALIZED.jpg");
  CHECK(cut.size() <= 255);
}

}  // namespace
}  // namespace histeq::store::testing
