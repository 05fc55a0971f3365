// Start, restart and drain.

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "frontend_harness.h"

namespace histeq::testing {
namespace {

using Stub = v1::Frontend::Stub;

TEST_CASE("images, jobs and leases come back after a restart") {
  Harness harness;
  const std::string file = TestFile("moon.png");
  const v1::UploadImageResponse running = harness.UploadToEqualize();
  const v1::UploadImageResponse queued = harness.UploadToEqualize();
  const v1::LeaseJobResponse::Lease lease = harness.Lease();
  harness.Restart();
  CHECK(harness.Download(running.image().id()) == file);
  CHECK(harness.GetJob(queued.job().id()).state() == v1::JOB_STATE_QUEUED);
  const v1::Job job = harness.GetJob(running.job().id());
  CHECK(job.state() == v1::JOB_STATE_RUNNING);
  CHECK(job.coordinator() == "c");
  // The holder goes on.
  HeartbeatCall heartbeat(harness.queue());
  v1::HeartbeatRequest beat = BeatOf("c");
  AddLease(beat, lease);
  v1::HeartbeatResponse answer;
  REQUIRE(heartbeat.Beat(beat, &answer));
  CHECK(answer.leases(0).verdict() == v1::HeartbeatResponse::LeaseAnswer::VERDICT_RENEWED);
  CHECK(CompleteWith(harness.queue(), lease, TestFile("camera.png")).ok());
  CHECK(harness.GetJob(running.job().id()).state() == v1::JOB_STATE_SUCCEEDED);
}

TEST_CASE("what a crash left behind is removed once calls are answered, not before") {
  Harness harness;
  const std::string file = TestFile("moon.png");
  const std::string image = harness.Upload(file).image().id();
  harness.Stop();
  const std::string orphan = harness.folder() + "/data/blobs/ab/ab" + std::string(30, '0');
  std::ofstream(orphan) << "a result of a coordinator that has gone";
  frontend::FrontendOptions options;
  options.data_dir = harness.folder() + "/data";
  {
    const auto opened = frontend::Frontend::Open(options);
    REQUIRE(opened.ok());
    CHECK(std::filesystem::exists(orphan));
    (*opened)->StartMaintenance();
    CHECK(WaitUntil([&] { return !std::filesystem::exists(orphan); }));
  }
  harness.Restart();
  CHECK(harness.Download(image) == file);
}

TEST_CASE("one frontend for a folder") {
  Harness harness;
  frontend::FrontendOptions options;
  options.data_dir = harness.folder() + "/data";
  const auto second = frontend::Frontend::Open(options);
  CHECK(absl::IsFailedPrecondition(second.status()));
}

TEST_CASE("coordinators of the command line are checked") {
  frontend::FrontendOptions options;
  options.data_dir = "/nonexistent";
  options.coordinators = {{"a", "nowhere"}};
  CHECK(absl::IsInvalidArgument(frontend::Frontend::Open(options).status()));
}

TEST_CASE("a drain: watchers go, uploads and results under way may end, nothing new begins") {
  Harness harness;
  const std::string file = TestFile("moon.png");
  const std::string result = TestFile("camera.png");
  const std::string job = harness.UploadToEqualize().job().id();
  const v1::LeaseJobResponse::Lease lease = harness.Lease();
  const v1::UploadImageRequest::Header header = HeaderOf();
  UploadCall upload(harness.client(), header);
  REQUIRE(upload.SendChunk(0, file.substr(0, 1000)));
  CompleteCall complete(harness.queue(), lease.job_id(), lease.epoch());
  REQUIRE(complete.SendChunk(0, result.substr(0, 1000)));
  WatchCall watch(harness.client(), WatchOf(job, true));
  REQUIRE(watch.WaitFor([](const auto& seen) { return !seen.states.empty(); }));
  HeartbeatCall heartbeat(harness.queue());
  v1::HeartbeatRequest beat = BeatOf("c");
  AddLease(beat, lease);
  v1::HeartbeatResponse answer;
  REQUIRE(heartbeat.Beat(beat, &answer));
  CHECK(!answer.draining());
  REQUIRE(WaitUntil([&] { return harness.frontend().core().activity.transfers() == 2; }));
  v1::LeaseJobResponse waits;
  grpc::Status waited;
  std::thread waiter([&] { waited = harness.TryLease(&waits, "c", 60'000); });
  REQUIRE(WaitUntil([&] { return harness.frontend().core().lease_waiters.active() == 1; }));

  std::thread drain([&] { harness.frontend().Drain(absl::Seconds(60)); });
  const WatchCall::Seen seen = watch.End();
  CHECK(Outcome(*seen.status) == "UNAVAILABLE SERVER_DRAINING");
  CHECK(HasRetryDelay(*seen.status));
  waiter.join();
  CHECK(Outcome(waited) == "UNAVAILABLE SERVER_DRAINING");
  REQUIRE(heartbeat.Beat(beat, &answer));
  CHECK(answer.draining());
  CHECK(answer.leases(0).verdict() == v1::HeartbeatResponse::LeaseAnswer::VERDICT_RENEWED);
  UploadCall late(harness.client(), HeaderOf());
  CHECK(Outcome(late.FinishOpen()) == "UNAVAILABLE SERVER_DRAINING");
  CHECK(Outcome(*WatchCall(harness.client(), WatchOf(job)).End().status) ==
        "UNAVAILABLE SERVER_DRAINING");
  v1::GetHistogramRequest histogram;
  histogram.set_image_id(lease.image().id());
  v1::GetHistogramResponse none;
  CHECK(Outcome(Call(harness.client(), &Stub::GetHistogram, histogram, &none)) ==
        "UNAVAILABLE SERVER_DRAINING");
  // Questions are still answered.
  CHECK(harness.GetJob(job).state() == v1::JOB_STATE_RUNNING);

  complete.SendChunk(1000, result.substr(1000));
  CHECK(Outcome(complete.Finish(result)) == "OK");
  upload.SendRest(file, 1000);
  CHECK(Outcome(upload.Finish()) == "OK");
  drain.join();
  CHECK(heartbeat.Finish().error_code() == grpc::StatusCode::UNAVAILABLE);
  harness.Restart();
  CHECK(harness.GetJob(job).state() == v1::JOB_STATE_SUCCEEDED);
  CHECK(harness.Download(upload.response().image().id()) == file);
}

TEST_CASE("a drain does not wait for ever") {
  Harness harness;
  const std::string file = TestFile("moon.png");
  const v1::UploadImageRequest::Header header = HeaderOf();
  UploadCall upload(harness.client(), header);
  REQUIRE(upload.SendChunk(0, file.substr(0, 1000)));
  REQUIRE(WaitUntil([&] { return harness.frontend().core().activity.transfers() == 1; }));
  harness.frontend().Drain(absl::Milliseconds(100));
  harness.Restart();
  upload.FinishOpen();
  // Resumed after the restart.
  v1::GetUploadRequest request;
  request.set_upload_id(header.upload_id());
  v1::GetUploadResponse state;
  const grpc::Status known = Call(harness.client(), &Stub::GetUpload, request, &state);
  const uint64_t committed = known.ok() ? state.committed_bytes() : 0;
  CHECK((committed == 0 || committed == 1000));
  UploadCall again(harness.client(), header);
  again.SendRest(file, committed);
  CHECK(Outcome(again.Finish()) == "OK");
}

}  // namespace
}  // namespace histeq::testing
