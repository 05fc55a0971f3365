// What is made once, joined, described, made anew, deleted, and what expires.

#include <catch2/catch.hpp>

#include "frontend_harness.h"
#include "image_uses.h"
#include "manual_clock.h"

namespace histeq::testing {
namespace {

using Stub = v1::Frontend::Stub;
using ImageState = v1::GetImageResponse;

v1::Job MustCreate(Harness& harness, const std::string& image_id, const v1::Operation& operation,
                   bool refresh = false, const std::string& request_id = NewId()) {
  v1::CreateJobRequest request;
  request.set_request_id(request_id);
  request.set_image_id(image_id);
  request.set_refresh(refresh);
  *request.mutable_operation() = operation;
  v1::CreateJobResponse response;
  const grpc::Status status = Call(harness.client(), &Stub::CreateJob, request, &response);
  INFO(Outcome(status) << ": " << status.error_message());
  REQUIRE(status.ok());
  return response.job();
}

v1::GetImageResponse Describe(Harness& harness, const std::string& image_id) {
  v1::GetImageRequest request;
  request.set_image_id(image_id);
  v1::GetImageResponse response;
  REQUIRE(Call(harness.client(), &Stub::GetImage, request, &response).ok());
  return response;
}

std::string Delete(Harness& harness, const std::string& image_id) {
  v1::DeleteImageRequest request;
  request.set_image_id(image_id);
  v1::DeleteImageResponse response;
  return Outcome(Call(harness.client(), &Stub::DeleteImage, request, &response));
}

v1::Operation ThumbnailOf(uint32_t size) {
  v1::Operation operation;
  operation.mutable_thumbnail()->set_width(size);
  operation.mutable_thumbnail()->set_height(size);
  return operation;
}

// The equalized image and thumbnails of it, or thumbnails alone.
v1::Operation DeriveOf(bool equalize, const std::vector<uint32_t>& sizes) {
  v1::Operation operation;
  v1::Derive& derive = *operation.mutable_derive();
  if (equalize) derive.mutable_equalize();
  for (const uint32_t size : sizes) *derive.add_thumbnails() = ThumbnailOf(size).thumbnail();
  return operation;
}

// One file after the other.
grpc::Status CompleteAll(Harness& harness, const v1::LeaseJobResponse::Lease& lease,
                         const std::vector<std::string>& files,
                         v1::CompleteJobResponse* response = nullptr) {
  CompleteCall call(harness.queue(), lease.job_id(), lease.epoch());
  for (const std::string& file : files) {
    for (size_t at = 0; at < file.size(); at += 64 << 10) {
      if (!call.SendChunk(at, file.substr(at, 64 << 10))) break;
    }
    call.EndResult(file);
  }
  const grpc::Status status = call.Finish(v1::CompleteJobRequest::Finish());
  if (response != nullptr) *response = call.response();
  return status;
}

TEST_CASE("an omitted parameter and its default are the same derivative") {
  Harness harness;
  const std::string image = harness.Upload(TestFile("moon.png")).image().id();
  v1::Operation operation = Equalize();
  const std::string job = MustCreate(harness, image, operation).id();
  v1::Equalize& equalize = *operation.mutable_equalize();
  equalize.set_method(v1::Equalize::METHOD_GLOBAL);
  equalize.set_color(v1::Equalize::COLOR_LUMA);
  equalize.set_strength(1);
  // Looked at by other methods alone.
  equalize.set_grid_x(8);
  equalize.set_clip_limit(3);
  CHECK(MustCreate(harness, image, operation).id() == job);
  // Rounded to the same.
  equalize.set_strength(0.5);
  const std::string half = MustCreate(harness, image, operation).id();
  CHECK(half != job);
  equalize.set_strength(0.5000001);
  CHECK(MustCreate(harness, image, operation).id() == half);
  v1::Operation thumbnail = ThumbnailOf(64);
  const std::string small = MustCreate(harness, image, thumbnail).id();
  thumbnail.mutable_thumbnail()->set_fit(v1::Thumbnail::FIT_INSIDE);
  thumbnail.mutable_thumbnail()->set_quality(85);
  thumbnail.mutable_thumbnail()->set_background(0xffffff);
  CHECK(MustCreate(harness, image, thumbnail).id() == small);
  CHECK(MustCreate(harness, image, DeriveOf(false, {64})).id() == small);
  thumbnail.mutable_thumbnail()->set_quality(84);
  CHECK(MustCreate(harness, image, thumbnail).id() != small);
}

TEST_CASE("fields that this version does not know are refused in every operation") {
  Harness harness;
  const std::string image = harness.Upload(TestFile("moon.png")).image().id();
  const auto refused = [&](const v1::Operation& operation) {
    v1::CreateJobRequest request;
    request.set_request_id(NewId());
    request.set_image_id(image);
    *request.mutable_operation() = operation;
    v1::CreateJobResponse response;
    return Outcome(Call(harness.client(), &Stub::CreateJob, request, &response));
  };
  const auto add_unknown = [](google::protobuf::Message& message) {
    message.GetReflection()->MutableUnknownFields(&message)->AddVarint(99, 1);
  };
  v1::Operation operation = ThumbnailOf(64);
  add_unknown(*operation.mutable_thumbnail());
  CHECK(refused(operation) == "UNIMPLEMENTED UNKNOWN_PARAMETER");
  operation = DeriveOf(true, {64, 32});
  add_unknown(*operation.mutable_derive()->mutable_thumbnails(1));
  CHECK(refused(operation) == "UNIMPLEMENTED UNKNOWN_PARAMETER");
  operation = DeriveOf(true, {64});
  add_unknown(*operation.mutable_derive()->mutable_equalize());
  CHECK(refused(operation) == "UNIMPLEMENTED UNKNOWN_PARAMETER");
  operation = DeriveOf(true, {64});
  add_unknown(*operation.mutable_derive());
  CHECK(refused(operation) == "UNIMPLEMENTED UNKNOWN_PARAMETER");
  operation.Clear();
  operation.mutable_inspect();
  CHECK(refused(operation) == "UNIMPLEMENTED NOT_OFFERED");
}

TEST_CASE("two requests are one job, and both watchers see it") {
  Harness harness;
  const v1::UploadImageResponse upload = harness.UploadToEqualize();
  const v1::Operation operation = upload.job().operation();
  const v1::Job joined = MustCreate(harness, upload.image().id(), operation, false, "second");
  REQUIRE(joined.id() == upload.job().id());
  const auto other = harness.NewClient();
  WatchCall first(harness.client(), WatchOf(joined.id(), true));
  WatchCall second(*other, WatchOf(joined.id(), true));
  const v1::LeaseJobResponse::Lease lease = harness.Lease();
  HeartbeatCall heartbeat(harness.queue());
  v1::HeartbeatRequest beat = BeatOf("c");
  AddLease(beat, lease, 3);
  v1::HeartbeatResponse answer;
  REQUIRE(heartbeat.Beat(beat, &answer));
  const auto sees_progress = [](const WatchCall::Seen& seen) {
    return !seen.events.empty() && std::any_of(seen.events.begin(), seen.events.end(),
                                               [](const v1::WatchJobResponse& event) {
                                                 return event.progress().segments_done() == 3 ||
                                                        event.job().progress().segments_done() == 3;
                                               });
  };
  CHECK(first.WaitFor(sees_progress));
  CHECK(second.WaitFor(sees_progress));
  const std::string result = TestFile("camera.png");
  REQUIRE(CompleteWith(harness.queue(), lease, result).ok());
  CHECK(first.End().bytes == result);
  CHECK(second.End().bytes == result);
  // One of them is taken back without harm to the other; here it comes too late for that.
  v1::CancelJobRequest cancel;
  cancel.set_job_id(joined.id());
  cancel.set_request_id("second");
  v1::CancelJobResponse cancelled;
  REQUIRE(Call(harness.client(), &Stub::CancelJob, cancel, &cancelled).ok());
  CHECK(cancelled.job().state() == v1::JOB_STATE_SUCCEEDED);
}

TEST_CASE("one request is taken back, the other one stays") {
  Harness harness;
  const std::string image = harness.Upload(TestFile("moon.png")).image().id();
  const std::string job = MustCreate(harness, image, Equalize(), false, "one").id();
  REQUIRE(MustCreate(harness, image, Equalize(), false, "two").id() == job);
  const auto take_back = [&](const std::string& request_id, v1::CancelJobResponse* response) {
    v1::CancelJobRequest cancel;
    cancel.set_job_id(job);
    cancel.set_request_id(request_id);
    return Outcome(Call(harness.client(), &Stub::CancelJob, cancel, response));
  };
  v1::CancelJobResponse response;
  CHECK(take_back("none", &response) == "NOT_FOUND REQUEST_NOT_FOUND");
  CHECK(take_back("one", &response) == "OK");
  CHECK(response.job().state() == v1::JOB_STATE_QUEUED);
  CHECK(take_back("two", &response) == "OK");
  CHECK(response.job().state() == v1::JOB_STATE_CANCELLED);
}

TEST_CASE("several results of a job come one after the other and are registered together") {
  Harness harness;
  const v1::Operation operation = DeriveOf(true, {64, 32});
  const v1::UploadImageResponse upload =
      harness.Upload(TestFile("moon.png"), "moon.png", &operation);
  const v1::LeaseJobResponse::Lease lease = harness.Lease();
  CHECK(lease.operation().derive().thumbnails_size() == 2);
  CHECK(Describe(harness, upload.image().id()).state() == ImageState::STATE_RUNNING);
  CHECK(Describe(harness, upload.image().id()).derivatives_size() == 3);
  const std::vector<std::string> files = {TestFile("camera.png"), TestFile("rocket.jpg"),
                                          TestFile("chelsea.png")};
  CHECK(Outcome(CompleteAll(harness, lease, {files[0], files[1]})) ==
        "INVALID_ARGUMENT BAD_RESULT");
  CHECK(Outcome(CompleteAll(harness, lease, {files[0], "no image", files[1]})).substr(0, 16) ==
        "INVALID_ARGUMENT");
  CHECK(Outcome(CompleteWith(harness.queue(), lease, files[0])) == "INVALID_ARGUMENT BAD_RESULT");
  CHECK(WaitUntil([&] { return harness.BlobFiles().size() == 1; }));
  v1::CompleteJobResponse completed;
  REQUIRE(Outcome(CompleteAll(harness, lease, files, &completed)) == "OK");
  REQUIRE(completed.results_size() == 3);
  CHECK(completed.result().id() == completed.results(0).id());
  CHECK(completed.results(0).name() == "moon_EQUALIZED.png");
  CHECK(completed.results(1).name() == "moon_EQUALIZED.png_thumb_64x64.jpg");
  CHECK(completed.results(2).name() == "moon_EQUALIZED.png_thumb_32x32.png");
  const v1::Job job = harness.GetJob(upload.job().id());
  REQUIRE(job.result_image_ids_size() == 3);
  CHECK(job.result_image_id() == job.result_image_ids(0));
  for (int i = 0; i < 3; ++i) CHECK(harness.Download(job.result_image_ids(i)) == files[i]);
  v1::CompleteJobResponse again;
  REQUIRE(Outcome(CompleteAll(harness, lease, files, &again)) == "OK");
  CHECK(again.SerializeAsString() == completed.SerializeAsString());
  CHECK(WaitUntil([&] { return harness.BlobFiles().size() == 4; }));

  const v1::GetImageResponse done = Describe(harness, upload.image().id());
  CHECK(done.state() == ImageState::STATE_DONE);
  REQUIRE(done.derivatives_size() == 3);
  CHECK(done.derivatives(0).operation().has_equalize());
  CHECK(done.derivatives(2).state() == ImageState::STATE_DONE);
  CHECK(done.derivatives(2).image().sha256() == Sha256Of(files[2]));
  CHECK(done.derivatives(2).job_id() == job.id());
  CHECK(done.derivatives(2).image().has_expire_time());
  CHECK(!done.image().has_expire_time());
  // What was made of it goes with it.
  CHECK(Delete(harness, upload.image().id()) == "OK");
  CHECK(harness.BlobFiles().empty());
}

TEST_CASE("a lease asks only for what is not there") {
  Harness harness;
  const std::string image = harness.Upload(TestFile("moon.png"), "moon.png").image().id();
  MustCreate(harness, image, DeriveOf(false, {64, 32}));
  REQUIRE(
      CompleteAll(harness, harness.Lease(), {TestFile("camera.png"), TestFile("moon.png")}).ok());
  const v1::Job more = MustCreate(harness, image, DeriveOf(false, {32, 16, 64, 8}));
  const v1::LeaseJobResponse::Lease lease = harness.Lease();
  REQUIRE(lease.operation().derive().thumbnails_size() == 2);
  CHECK(lease.operation().derive().thumbnails(0).width() == 16);
  CHECK(lease.operation().derive().thumbnails(1).width() == 8);
  CHECK(harness.GetJob(more.id()).operation().derive().thumbnails_size() == 4);
  v1::CompleteJobResponse completed;
  REQUIRE(CompleteAll(harness, lease, {TestFile("rocket.jpg"), TestFile("chelsea.png")}, &completed)
              .ok());
  REQUIRE(completed.results_size() == 4);
  CHECK(completed.results(0).sha256() == Sha256Of(TestFile("moon.png")));
  CHECK(completed.results(1).sha256() == Sha256Of(TestFile("rocket.jpg")));
  // All are there: done at once. A thumbnail alone is named without its size.
  const v1::Job there = MustCreate(harness, image, ThumbnailOf(8));
  CHECK(there.state() == v1::JOB_STATE_SUCCEEDED);
  CHECK(there.result_image_id() == completed.results(3).id());
  MustCreate(harness, image, ThumbnailOf(4));
  REQUIRE(CompleteWith(harness.queue(), harness.Lease(), TestFile("camera.png"), &completed).ok());
  CHECK(completed.result().name() == "moon.png_thumb.png");
  // The equalized image is there, and made again for the thumbnail of it: the old one stays.
  MustCreate(harness, image, Equalize());
  REQUIRE(CompleteWith(harness.queue(), harness.Lease(), TestFile("camera.png"), &completed).ok());
  const std::string equalized = completed.result().id();
  const size_t blobs = harness.BlobFiles().size();
  MustCreate(harness, image, DeriveOf(true, {64}));
  const v1::LeaseJobResponse::Lease both = harness.Lease();
  CHECK(both.operation().derive().has_equalize());
  REQUIRE(CompleteAll(harness, both, {TestFile("camera.png"), TestFile("rocket.jpg")}, &completed)
              .ok());
  CHECK(completed.results(0).id() == equalized);
  CHECK(WaitUntil([&] { return harness.BlobFiles().size() == blobs + 1; }));
}

TEST_CASE("a failed derivative says why") {
  Harness harness;
  const std::string image = harness.Upload(TestFile("moon.png")).image().id();
  CHECK(Describe(harness, image).state() == ImageState::STATE_REGISTERED);
  const v1::Job job = MustCreate(harness, image, ThumbnailOf(8));
  CHECK(Describe(harness, image).state() == ImageState::STATE_QUEUED);
  const v1::LeaseJobResponse::Lease lease = harness.Lease();
  v1::FailJobRequest fail;
  fail.set_job_id(lease.job_id());
  fail.set_epoch(lease.epoch());
  fail.set_outcome(v1::FailJobRequest::OUTCOME_PERMANENT);
  fail.mutable_error()->set_code(3);
  fail.mutable_error()->set_reason("IMAGE_CORRUPT");
  v1::FailJobResponse failed;
  REQUIRE(Call(harness.queue(), &v1::JobQueue::Stub::FailJob, fail, &failed).ok());
  const v1::GetImageResponse described = Describe(harness, image);
  CHECK(described.state() == ImageState::STATE_FAILED);
  CHECK(described.error().reason() == "IMAGE_CORRUPT");
  REQUIRE(described.derivatives_size() == 1);
  CHECK(described.derivatives(0).error().reason() == "IMAGE_CORRUPT");
  CHECK(described.derivatives(0).job_id() == job.id());
  // What is under way counts before what ended, and then what ended last.
  const v1::Job next = MustCreate(harness, image, ThumbnailOf(16));
  CHECK(Describe(harness, image).state() == ImageState::STATE_QUEUED);
  CHECK_FALSE(Describe(harness, image).has_error());
  REQUIRE(Outcome(CompleteAll(harness, harness.Lease(), {TestFile("camera.png")})) == "OK");
  const v1::GetImageResponse done = Describe(harness, image);
  CHECK(done.state() == ImageState::STATE_DONE);
  CHECK_FALSE(done.has_error());
  CHECK(done.derivatives_size() == 2);
}

TEST_CASE("a refresh replaces the bytes") {
  Harness harness;
  const std::string image = harness.Upload(TestFile("moon.png")).image().id();
  MustCreate(harness, image, Equalize());
  v1::CompleteJobResponse old;
  REQUIRE(CompleteWith(harness.queue(), harness.Lease(), TestFile("camera.png"), &old).ok());
  const v1::Job anew = MustCreate(harness, image, Equalize(), /*refresh=*/true);
  CHECK(anew.state() == v1::JOB_STATE_QUEUED);
  CHECK(harness.Download(old.result().id()) == TestFile("camera.png"));
  v1::CompleteJobResponse made;
  REQUIRE(CompleteWith(harness.queue(), harness.Lease(), TestFile("rocket.jpg"), &made).ok());
  const v1::GetImageResponse described = Describe(harness, image);
  REQUIRE(described.derivatives_size() == 1);
  CHECK(described.derivatives(0).image().id() == made.result().id());
  CHECK(harness.BlobFiles().size() == 2);
}

TEST_CASE("results expire by the clock, with their bytes, unless somebody reads them") {
  ManualClock clock;
  Harness harness([&](frontend::FrontendOptions& options) {
    options.clock = &clock;
    options.catalog.result_ttl = absl::Hours(2);
    options.expiry_interval = absl::Milliseconds(1);
    options.heartbeat_interval = absl::Milliseconds(1);
    options.catalog.lease_ttl = absl::Hours(100);
    options.coordinator_gone_after = absl::Hours(100);
    options.download_idle_timeout = absl::Hours(100);
    options.upload_idle_timeout = absl::Hours(100);
  });
  const std::string image = harness.Upload(TestFile("moon.png")).image().id();
  MustCreate(harness, image, Equalize());
  v1::CompleteJobResponse made;
  REQUIRE(CompleteWith(harness.queue(), harness.Lease(), TestFile("camera.png"), &made).ok());
  const std::string result = made.result().id();
  auto use = harness.frontend().core().uses.Read(result);
  clock.Advance(absl::Hours(3));
  MustCreate(harness, image, ThumbnailOf(8));
  v1::CompleteJobResponse other;
  REQUIRE(CompleteWith(harness.queue(), harness.Lease(), TestFile("rocket.jpg"), &other).ok());
  const std::string unread = other.result().id();
  clock.Advance(absl::Hours(3));
  // The younger one goes, the one that is read stays.
  REQUIRE(WaitUntil([&] { return Describe(harness, image).derivatives_size() == 1; }));
  CHECK(Describe(harness, image).derivatives(0).image().id() == result);
  use.reset();
  clock.Advance(absl::Seconds(1));
  REQUIRE(WaitUntil([&] { return Describe(harness, image).derivatives_size() == 0; }));
  CHECK(WaitUntil([&] { return harness.BlobFiles().size() == 1; }));
  CHECK(Describe(harness, image).state() == ImageState::STATE_REGISTERED);
  CHECK(harness.Download(image) == TestFile("moon.png"));
}

TEST_CASE("what was downloaded lately stays when there is too much") {
  ManualClock clock;
  const size_t size = TestFile("camera.png").size();
  Harness harness([&](frontend::FrontendOptions& options) {
    options.clock = &clock;
    options.catalog.derivative_budget_bytes = 2 * size + size / 2;
    options.catalog.derivative_grace = absl::ZeroDuration();
    options.expiry_interval = absl::Milliseconds(1);
    options.catalog.lease_ttl = absl::Hours(100);
    options.download_idle_timeout = absl::Hours(100);
    options.upload_idle_timeout = absl::Hours(100);
  });
  const std::string image = harness.Upload(TestFile("moon.png")).image().id();
  std::vector<std::string> results;
  const auto make = [&](uint32_t thumbnail) {
    MustCreate(harness, image, ThumbnailOf(thumbnail));
    v1::CompleteJobResponse made;
    REQUIRE(CompleteWith(harness.queue(), harness.Lease(), TestFile("camera.png"), &made).ok());
    results.push_back(made.result().id());
    clock.Advance(absl::Seconds(10));
  };
  make(1);
  make(2);
  harness.Download(results[0]);
  clock.Advance(absl::Seconds(10));
  make(3);
  REQUIRE(WaitUntil([&] { return Describe(harness, image).derivatives_size() == 2; }));
  const v1::GetImageResponse described = Describe(harness, image);
  CHECK(described.derivatives(0).image().id() == results[0]);
  CHECK(described.derivatives(1).image().id() == results[2]);
}

TEST_CASE("images are in use while somebody reads them") {
  frontend::ImageUses uses(2);
  CHECK(!uses.InUse("a"));
  {
    const auto first = uses.Read("a");
    auto second = uses.Read("a");
    second.reset();
    CHECK(uses.InUse("a"));
    CHECK(!uses.InUse("b"));
  }
  CHECK(!uses.InUse("a"));
  { const auto b = uses.Read("b"); }
  { const auto beyond = uses.Read("c"); }
  CHECK(uses.TakeTouched() == std::vector<std::string>{"a", "b"});
  CHECK(uses.TakeTouched().empty());
}

}  // namespace
}  // namespace histeq::testing
