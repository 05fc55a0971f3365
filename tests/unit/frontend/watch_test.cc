// WatchJob.

#include <catch2/catch.hpp>

#include "frontend_harness.h"

namespace histeq::testing {
namespace {

void BeatOnce(Harness& harness, const v1::LeaseJobResponse::Lease& lease, uint32_t segments_done) {
  HeartbeatCall heartbeat(harness.queue());
  v1::HeartbeatRequest beat = BeatOf("c");
  AddLease(beat, lease, segments_done);
  v1::HeartbeatResponse answer;
  REQUIRE(heartbeat.Beat(beat, &answer));
  REQUIRE(answer.leases(0).verdict() == v1::HeartbeatResponse::LeaseAnswer::VERDICT_RENEWED);
}

bool HasState(const WatchCall::Seen& seen, v1::JobState state) {
  return !seen.states.empty() && seen.states.back() == state;
}

TEST_CASE("a watcher sees the job's way and gets the result") {
  Harness harness;
  const std::string job = harness.UploadToEqualize().job().id();
  // More than one chunk.
  const std::string result = TestFile("coffee.png");
  WatchCall watch(harness.client(), WatchOf(job, true));
  REQUIRE(watch.WaitFor([](const auto& seen) { return HasState(seen, v1::JOB_STATE_QUEUED); }));
  const v1::LeaseJobResponse::Lease lease = harness.Lease();
  REQUIRE(watch.WaitFor([](const auto& seen) { return HasState(seen, v1::JOB_STATE_RUNNING); }));
  BeatOnce(harness, lease, 7);
  REQUIRE(watch.WaitFor([](const auto& seen) {
    const v1::WatchJobResponse& last = seen.events.back();
    return last.has_progress() && last.progress().segments_done() == 7;
  }));
  REQUIRE(CompleteWith(harness.queue(), lease, result).ok());
  const WatchCall::Seen seen = watch.End();
  REQUIRE(seen.status.has_value());
  CHECK(Outcome(*seen.status) == "OK");
  CHECK(seen.states == std::vector<v1::JobState>{v1::JOB_STATE_QUEUED, v1::JOB_STATE_RUNNING,
                                                 v1::JOB_STATE_SUCCEEDED});
  REQUIRE(seen.events.size() == 5);
  CHECK(seen.events[0].has_job());
  CHECK(seen.events[2].progress().stage() == v1::JOB_STAGE_TRANSFORM);
  CHECK(seen.events[2].progress().segments_total() == 100);
  CHECK(seen.events[3].job().state() == v1::JOB_STATE_SUCCEEDED);
  REQUIRE(seen.result.has_value());
  CHECK(seen.events[4].has_result());
  CHECK(seen.result->id() == seen.events[3].job().result_image_id());
  CHECK(seen.result->name() == "moon_EQUALIZED.png");
  CHECK(seen.result->tag() == "EQUALIZED");
  CHECK(seen.result->source_job_id() == job);
  CHECK(seen.bytes == result);
  CHECK(!seen.damaged);
}

TEST_CASE("the result from where a broken watch left it") {
  Harness harness;
  const std::string job = harness.UploadToEqualize().job().id();
  const std::string result = TestFile("coffee.png");
  REQUIRE(CompleteWith(harness.queue(), harness.Lease(), result).ok());
  if (GENERATE(false, true)) harness.Restart();
  v1::WatchJobRequest request = WatchOf(job, true);
  for (const uint64_t offset : {uint64_t{1}, uint64_t{300'000}, uint64_t{result.size()}}) {
    INFO(offset);
    request.set_result_offset(offset);
    const WatchCall::Seen seen = WatchCall(harness.client(), request).End();
    CHECK(Outcome(*seen.status) == "OK");
    CHECK(seen.states == std::vector<v1::JobState>{v1::JOB_STATE_SUCCEEDED});
    CHECK(seen.result.has_value());
    CHECK(seen.bytes == result.substr(offset));
    CHECK(seen.first_offset.value_or(offset) == offset);
    CHECK(!seen.damaged);
  }
  request.set_result_offset(result.size() + 1);
  const WatchCall::Seen seen = WatchCall(harness.client(), request).End();
  CHECK(Outcome(*seen.status) == "OUT_OF_RANGE OFFSET_BEYOND_END");
}

TEST_CASE("pings while nothing else is sent") {
  Harness harness;
  const std::string job = harness.UploadToEqualize().job().id();
  v1::WatchJobRequest request = WatchOf(job);
  // Taken as 1 s.
  request.mutable_ping_interval()->set_nanos(1);
  WatchCall watch(harness.client(), request);
  REQUIRE(watch.WaitFor([](const auto& seen) { return seen.pings >= 2; }));
  watch.WaitFor([&](const auto& seen) {
    for (const v1::WatchJobResponse& event : seen.events) {
      if (event.has_ping()) CHECK(event.ping().has_time());
    }
    return true;
  });
}

TEST_CASE("without the result, and jobs that have none") {
  Harness harness;
  const std::string job = harness.UploadToEqualize().job().id();
  const v1::LeaseJobResponse::Lease lease = harness.Lease();
  SECTION("not wanted") {
    REQUIRE(CompleteWith(harness.queue(), lease, TestFile("camera.png")).ok());
    const WatchCall::Seen seen = WatchCall(harness.client(), WatchOf(job, false)).End();
    CHECK(Outcome(*seen.status) == "OK");
    CHECK(!seen.result.has_value());
    CHECK(seen.bytes.empty());
  }
  SECTION("failed: an answer, no error") {
    WatchCall watch(harness.client(), WatchOf(job, true));
    v1::FailJobRequest fail;
    fail.set_job_id(lease.job_id());
    fail.set_epoch(lease.epoch());
    fail.set_outcome(v1::FailJobRequest::OUTCOME_PERMANENT);
    fail.mutable_error()->set_code(grpc::StatusCode::INVALID_ARGUMENT);
    fail.mutable_error()->set_reason("IMAGE_CORRUPT");
    fail.mutable_error()->set_message("row 7 is broken");
    v1::FailJobResponse failed;
    REQUIRE(Call(harness.queue(), &v1::JobQueue::Stub::FailJob, fail, &failed).ok());
    const WatchCall::Seen seen = watch.End();
    CHECK(Outcome(*seen.status) == "OK");
    CHECK(HasState(seen, v1::JOB_STATE_FAILED));
    CHECK(seen.events.back().job().error().reason() == "IMAGE_CORRUPT");
    CHECK(seen.events.back().job().error().message() == "row 7 is broken");
    CHECK(!seen.result.has_value());
  }
  SECTION("deleted since") {
    v1::CompleteJobResponse completed;
    REQUIRE(CompleteWith(harness.queue(), lease, TestFile("camera.png"), &completed).ok());
    v1::DeleteImageRequest remove;
    remove.set_image_id(completed.result().id());
    v1::DeleteImageResponse removed;
    REQUIRE(Call(harness.client(), &v1::Frontend::Stub::DeleteImage, remove, &removed).ok());
    const WatchCall::Seen seen = WatchCall(harness.client(), WatchOf(job, true)).End();
    CHECK(Outcome(*seen.status) == "NOT_FOUND IMAGE_NOT_FOUND");
    CHECK(HasState(seen, v1::JOB_STATE_SUCCEEDED));
  }
}

TEST_CASE("a job that does not exist") {
  Harness harness;
  CHECK(Outcome(*WatchCall(harness.client(), WatchOf("job-none")).End().status) ==
        "NOT_FOUND JOB_NOT_FOUND");
  CHECK(Outcome(*WatchCall(harness.client(), WatchOf("")).End().status) ==
        "INVALID_ARGUMENT BAD_ID");
}

TEST_CASE("watchers that leave free their places") {
  Harness harness([](auto& options) { options.max_watchers = 1; });
  const std::string job = harness.UploadToEqualize().job().id();
  {
    WatchCall watch(harness.client(), WatchOf(job));
    REQUIRE(watch.WaitFor([](const auto& seen) { return !seen.states.empty(); }));
    const WatchCall::Seen refused = WatchCall(harness.client(), WatchOf(job)).End();
    CHECK(Outcome(*refused.status) == "RESOURCE_EXHAUSTED TOO_MANY_CALLS");
    CHECK(HasRetryDelay(*refused.status));
    watch.Cancel();
    CHECK(Outcome(*watch.End().status) == "CANCELLED");
  }
  CHECK(WaitUntil([&] { return harness.frontend().core().watchers.active() == 0; }));
  WatchCall watch(harness.client(), WatchOf(job));
  CHECK(watch.WaitFor([](const auto& seen) { return !seen.states.empty(); }));
}

}  // namespace
}  // namespace histeq::testing
