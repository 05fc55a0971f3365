// LeaseJob, ReadSource, CompleteJob, FailJob, and what heartbeats do to leases.

#include <catch2/catch.hpp>

#include "frontend_harness.h"
#include "rpc/chunk.h"

namespace histeq::testing {
namespace {

using Stub = v1::JobQueue::Stub;
using LeaseProto = v1::LeaseJobResponse::Lease;
using Answer = v1::HeartbeatResponse::LeaseAnswer;

grpc::Status Fail(Harness& harness, const LeaseProto& lease, v1::FailJobRequest::Outcome outcome) {
  v1::FailJobRequest request;
  request.set_job_id(lease.job_id());
  request.set_epoch(lease.epoch());
  request.set_outcome(outcome);
  request.mutable_error()->set_code(grpc::StatusCode::UNAVAILABLE);
  request.mutable_error()->set_reason("WORKER_LOST");
  request.mutable_error()->set_message("the worker is gone");
  (*request.mutable_error()->mutable_metadata())["actual"] = "7";
  v1::FailJobResponse response;
  return Call(harness.queue(), &Stub::FailJob, request, &response);
}

struct Source {
  grpc::Status status;
  std::string bytes;
};
Source ReadSource(Harness& harness, const LeaseProto& lease, uint64_t offset = 0,
                  bool reference = false) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  v1::ReadSourceRequest request;
  request.set_job_id(lease.job_id());
  request.set_epoch(lease.epoch());
  request.set_offset(offset);
  request.set_reference(reference);
  const auto reader = harness.queue().ReadSource(&context, request);
  Source source;
  v1::ReadSourceResponse message;
  while (reader->Read(&message)) {
    CHECK(message.chunk().has_crc32c());
    CHECK(rpc::CheckChunk(message.chunk(), offset + source.bytes.size()).ok());
    source.bytes += message.chunk().data();
  }
  source.status = reader->Finish();
  return source;
}

Answer::Verdict Renew(Harness& harness, const LeaseProto& lease,
                      const std::string& coordinator = "c") {
  HeartbeatCall heartbeat(harness.queue());
  v1::HeartbeatRequest beat = BeatOf(coordinator);
  AddLease(beat, lease);
  v1::HeartbeatResponse answer;
  REQUIRE(heartbeat.Beat(beat, &answer));
  REQUIRE(answer.leases_size() == 1);
  CHECK(answer.leases(0).job_id() == lease.job_id());
  CHECK(answer.leases(0).epoch() == lease.epoch());
  return answer.leases(0).verdict();
}

// A lease that runs out at once.
void ShortLeases(frontend::FrontendOptions& options) {
  options.catalog.lease_ttl = absl::Milliseconds(300);
}

TEST_CASE("a job is leased, oldest first, with all that its holder needs") {
  Harness harness;
  const v1::UploadImageResponse first = harness.UploadToEqualize();
  const v1::UploadImageResponse second = harness.UploadToEqualize();
  const LeaseProto lease = harness.Lease("one");
  CHECK(lease.job_id() == first.job().id());
  CHECK(lease.epoch() == 1);
  CHECK(lease.attempt() == 1);
  CHECK(lease.ttl().seconds() == 30);
  CHECK(lease.image().SerializeAsString() == first.image().SerializeAsString());
  CHECK(lease.operation().has_equalize());
  CHECK(!lease.has_reference());
  const v1::Job job = harness.GetJob(lease.job_id());
  CHECK(job.state() == v1::JOB_STATE_RUNNING);
  CHECK(job.coordinator() == "one");
  CHECK(job.epoch() == 1);
  CHECK(job.attempts() == 1);
  CHECK(job.has_start_time());
  CHECK(harness.Lease("two").job_id() == second.job().id());
}

TEST_CASE("without a job the answer is empty, at once or after the wait") {
  Harness harness;
  v1::LeaseJobResponse response;
  REQUIRE(Outcome(harness.TryLease(&response)) == "OK");
  CHECK(!response.has_lease());
  const auto began = std::chrono::steady_clock::now();
  REQUIRE(Outcome(harness.TryLease(&response, "c", 600)) == "OK");
  CHECK(!response.has_lease());
  CHECK(std::chrono::steady_clock::now() - began >= std::chrono::milliseconds(590));
}

TEST_CASE("who waits gets the job when it comes") {
  Harness harness;
  LeaseProto lease;
  std::thread waiter([&] {
    v1::LeaseJobResponse response;
    if (harness.TryLease(&response, "c", 30'000).ok()) lease = response.lease();
  });
  CHECK(WaitUntil([&] { return harness.frontend().core().lease_waiters.active() == 1; }));
  const std::string job = harness.UploadToEqualize().job().id();
  waiter.join();
  CHECK(lease.job_id() == job);
}

TEST_CASE("who has gone gets no job") {
  Harness harness;
  grpc::ClientContext context;
  v1::LeaseJobResponse response;
  std::thread waiter([&] {
    v1::LeaseJobRequest request;
    request.set_coordinator("c");
    request.mutable_wait()->set_seconds(60);
    harness.queue().LeaseJob(&context, request, &response);
  });
  CHECK(WaitUntil([&] { return harness.frontend().core().lease_waiters.active() == 1; }));
  context.TryCancel();
  waiter.join();
  CHECK(WaitUntil([&] { return harness.frontend().core().lease_waiters.active() == 0; }));
  const std::string job = harness.UploadToEqualize().job().id();
  CHECK(harness.GetJob(job).state() == v1::JOB_STATE_QUEUED);
}

TEST_CASE("a small source comes with its lease when that is asked for") {
  const std::string file = TestFile("camera.png");
  const v1::Operation operation = Equalize();
  uint64_t limit = 256 << 10, asked = file.size();
  bool comes = false;
  SECTION("it just fits") { comes = true; }
  SECTION("nobody asked") { asked = 0; }
  SECTION("it is larger than was asked for") { --asked; }
  SECTION("it is larger than the frontend gives") { limit = file.size() - 1; }
  Harness harness([&](auto& options) { options.max_inline_source_bytes = limit; });
  harness.Upload(file, "camera.png", &operation);
  v1::LeaseJobRequest request;
  request.set_coordinator("c");
  request.mutable_wait()->set_seconds(30);
  request.set_max_inline_source_bytes(asked);
  v1::LeaseJobResponse response;
  REQUIRE(Outcome(Call(harness.queue(), &Stub::LeaseJob, request, &response)) == "OK");
  REQUIRE(response.has_lease());
  REQUIRE(response.lease().has_source() == comes);
  if (comes) {
    CHECK(response.lease().source().has_crc32c());
    CHECK(rpc::CheckChunk(response.lease().source(), 0).ok());
    CHECK((response.lease().source().data() == file));
  }
  // It can be read in any case.
  CHECK((ReadSource(harness, response.lease()).bytes == file));
}

TEST_CASE("the source of a leased job") {
  Harness harness;
  const v1::Operation operation = Equalize();
  const std::string file = TestFile("hubble_deep_field.jpg");
  harness.Upload(file, "hubble.jpg", &operation);
  const LeaseProto lease = harness.Lease();
  for (const uint64_t offset : {uint64_t{0}, uint64_t{300'001}, uint64_t{file.size()}}) {
    const Source source = ReadSource(harness, lease, offset);
    CHECK(Outcome(source.status) == "OK");
    CHECK(source.bytes == file.substr(offset));
  }
  CHECK(Outcome(ReadSource(harness, lease, file.size() + 1).status) ==
        "OUT_OF_RANGE OFFSET_BEYOND_END");
  const grpc::Status none = ReadSource(harness, lease, 0, true).status;
  CHECK(Outcome(none) == "INVALID_ARGUMENT NO_REFERENCE");
  LeaseProto other = lease;
  other.set_epoch(2);
  CHECK(Outcome(ReadSource(harness, other).status) == "FAILED_PRECONDITION STALE_EPOCH");
  other.set_job_id("job-none");
  CHECK(Outcome(ReadSource(harness, other).status) == "NOT_FOUND JOB_NOT_FOUND");
}

TEST_CASE("a reference image comes with the lease") {
  Harness harness;
  const std::string reference = harness.Upload(TestFile("camera.png"), "camera.png").image().id();
  v1::Operation operation;
  operation.mutable_equalize()->set_method(v1::Equalize::METHOD_MATCH);
  operation.mutable_equalize()->set_reference_image_id(reference);
  harness.Upload(TestFile("moon.png"), "moon.png", &operation);
  const LeaseProto lease = harness.Lease();
  CHECK(lease.reference().id() == reference);
  CHECK(!lease.has_reference_statistics());
  CHECK(ReadSource(harness, lease, 0, true).bytes == TestFile("camera.png"));
  CHECK(ReadSource(harness, lease, 0, false).bytes == TestFile("moon.png"));
  // It is in use.
  v1::DeleteImageRequest remove;
  remove.set_image_id(reference);
  v1::DeleteImageResponse removed;
  CHECK(Outcome(Call(harness.client(), &v1::Frontend::Stub::DeleteImage, remove, &removed)) ==
        "FAILED_PRECONDITION IMAGE_IN_USE");
}

TEST_CASE("a result is registered and ends the job") {
  Harness harness;
  const v1::UploadImageResponse upload = harness.UploadToEqualize();
  const LeaseProto lease = harness.Lease();
  const std::string result = TestFile("hubble_deep_field.jpg");
  v1::CompleteJobResponse first;
  REQUIRE(Outcome(CompleteWith(harness.queue(), lease, result, &first)) == "OK");
  CHECK(first.result().name() == "moon_EQUALIZED.png");
  CHECK(first.result().tag() == "EQUALIZED");
  CHECK(first.result().source_image_id() == upload.image().id());
  CHECK(first.result().source_job_id() == upload.job().id());
  CHECK(first.result().width() == 1000);
  CHECK(first.result().height() == 872);
  CHECK(first.result().sha256() == Sha256Of(result));
  const v1::Job job = harness.GetJob(lease.job_id());
  CHECK(job.state() == v1::JOB_STATE_SUCCEEDED);
  CHECK(job.result_image_id() == first.result().id());
  CHECK(job.has_end_time());
  CHECK(job.coordinator().empty());
  CHECK(harness.Download(first.result().id()) == result);
  CHECK(harness.BlobFiles().size() == 2);

  // The answer was lost: the same again.
  v1::CompleteJobResponse again;
  REQUIRE(Outcome(CompleteWith(harness.queue(), lease, result, &again)) == "OK");
  CHECK(again.result().SerializeAsString() == first.result().SerializeAsString());
  harness.Restart();
  REQUIRE(Outcome(CompleteWith(harness.queue(), lease, result, &again)) == "OK");
  CHECK(again.result().id() == first.result().id());
  CHECK(harness.BlobFiles().size() == 2);
  // And the lease is over for everything else.
  CHECK(Renew(harness, lease) == Answer::VERDICT_LOST);
  CHECK(Outcome(Fail(harness, lease, v1::FailJobRequest::OUTCOME_RETRY)) ==
        "FAILED_PRECONDITION STALE_EPOCH");
  CHECK(Outcome(ReadSource(harness, lease).status) == "FAILED_PRECONDITION STALE_EPOCH");
}

TEST_CASE("two calls bring the result of one lease") {
  Harness harness;
  harness.UploadToEqualize();
  const LeaseProto lease = harness.Lease();
  const std::string result = TestFile("camera.png");
  CompleteCall slow(harness.queue(), lease.job_id(), lease.epoch());
  REQUIRE(slow.SendChunk(0, result));
  REQUIRE(WaitUntil([&] { return harness.BlobFiles().size() == 2; }));
  v1::CompleteJobResponse first;
  REQUIRE(CompleteWith(harness.queue(), lease, result, &first).ok());
  // Its lease has ended meanwhile: it is told so, or gets the same answer.
  const grpc::Status status = slow.Finish(result);
  INFO(Outcome(status));
  if (status.ok()) {
    CHECK(slow.response().result().id() == first.result().id());
  } else {
    CHECK(status.error_code() == grpc::StatusCode::FAILED_PRECONDITION);
  }
  CHECK(WaitUntil([&] { return harness.BlobFiles().size() == 2; }));
  CHECK(harness.Download(first.result().id()) == result);
}

TEST_CASE("results that do not count") {
  Harness harness;
  harness.UploadToEqualize();
  const LeaseProto lease = harness.Lease();
  const std::string result = TestFile("camera.png");
  v1::CompleteJobRequest::Finish finish;
  finish.set_size_bytes(result.size());
  finish.set_sha256(Sha256Of(result));
  {
    CompleteCall call(harness.queue(), lease.job_id(), lease.epoch());
    SECTION("other bytes") {
      call.SendChunk(0, result);
      finish.set_sha256(Sha256Of("other"));
      CHECK(Outcome(call.Finish(finish)) == "DATA_LOSS CHECKSUM_MISMATCH");
    }
    SECTION("another size") {
      call.SendChunk(0, result);
      finish.set_size_bytes(1);
      CHECK(Outcome(call.Finish(finish)) == "DATA_LOSS SIZE_MISMATCH");
    }
    SECTION("no image") {
      call.SendChunk(0, "words");
      CHECK(Outcome(call.Finish("words")) == "INVALID_ARGUMENT NOT_AN_IMAGE");
    }
    SECTION("nothing") { CHECK(Outcome(call.Finish("")) == "INVALID_ARGUMENT BAD_RESULT"); }
    SECTION("no checksum") {
      call.SendChunk(0, result);
      finish.clear_sha256();
      CHECK(Outcome(call.Finish(finish)) == "INVALID_ARGUMENT BAD_CHECKSUM");
    }
    SECTION("statistics in place of an image") {
      v1::ImageStatistics& statistics = *finish.mutable_statistics();
      statistics.set_bits_per_sample(8);
      statistics.add_channels()->mutable_histogram()->mutable_counts()->Resize(256, 1);
      CHECK(Outcome(call.Finish(finish)) == "INVALID_ARGUMENT BAD_RESULT");
    }
    SECTION("a chunk elsewhere") {
      call.SendChunk(5, result);
      CHECK(Outcome(call.FinishOpen()) == "OUT_OF_RANGE OFFSET_MISMATCH");
    }
    SECTION("no finish") { call.SendChunk(0, result); }
  }
  // Nothing remains of it, and the job still runs.
  const bool gone = WaitUntil([&] { return harness.BlobFiles().size() == 1; });
  for (const std::string& file : harness.BlobFiles()) UNSCOPED_INFO(file);
  CHECK(gone);
  CHECK(harness.GetJob(lease.job_id()).state() == v1::JOB_STATE_RUNNING);
  CHECK(Outcome(CompleteWith(harness.queue(), lease, result)) == "OK");
}

TEST_CASE("a call that brings a result takes its place before its first message") {
  Harness harness([](auto& options) {
    options.max_job_transfers = 1;
    options.max_waiting_job_transfers = 0;
  });
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  v1::CompleteJobResponse response;
  const auto silent = harness.queue().CompleteJob(&context, &response);
  REQUIRE(WaitUntil([&] { return harness.frontend().core().job_transfers.active() == 1; }));
  CompleteCall second(harness.queue(), "job-none", 1);
  const grpc::Status status = second.FinishOpen();
  CHECK(Outcome(status) == "RESOURCE_EXHAUSTED TOO_MANY_CALLS");
  CHECK(HasRetryDelay(status));
  context.TryCancel();
  silent->Finish();
  CHECK(WaitUntil([&] { return harness.frontend().core().job_transfers.active() == 0; }));
}

TEST_CASE("a result larger than the limit") {
  Harness harness([](auto& options) { options.max_upload_bytes = 60'000; });
  harness.UploadToEqualize();
  const LeaseProto lease = harness.Lease();
  CHECK(Outcome(CompleteWith(harness.queue(), lease, TestFile("camera.png"))) ==
        "INVALID_ARGUMENT RESULT_TOO_LARGE");
  CHECK(WaitUntil([&] { return harness.BlobFiles().size() == 1; }));
}

TEST_CASE("results under a stale epoch are refused, and leave nothing") {
  Harness harness;
  harness.UploadToEqualize();
  const LeaseProto old = harness.Lease("one");
  REQUIRE(Fail(harness, old, v1::FailJobRequest::OUTCOME_HAND_BACK).ok());
  const LeaseProto now = harness.Lease("two");
  CHECK(now.job_id() == old.job_id());
  CHECK(now.epoch() == 2);
  CHECK(now.attempt() == 1);
  CHECK(Outcome(CompleteWith(harness.queue(), old, TestFile("camera.png"))) ==
        "FAILED_PRECONDITION STALE_EPOCH");
  CHECK(Outcome(Fail(harness, old, v1::FailJobRequest::OUTCOME_PERMANENT)) ==
        "FAILED_PRECONDITION STALE_EPOCH");
  CHECK(Outcome(ReadSource(harness, old).status) == "FAILED_PRECONDITION STALE_EPOCH");
  CHECK(Renew(harness, old, "one") == Answer::VERDICT_LOST);
  CHECK(Renew(harness, now, "one") == Answer::VERDICT_LOST);
  CHECK(Renew(harness, now, "two") == Answer::VERDICT_RENEWED);
  CHECK(harness.BlobFiles().size() == 1);
  CHECK(Outcome(CompleteWith(harness.queue(), now, TestFile("camera.png"))) == "OK");
}

TEST_CASE("a lease that is lost ends the calls about it") {
  Harness harness([](auto& options) {
    ShortLeases(options);
    options.catalog.max_holder_deaths = 100;
    options.catalog.max_attempts = 100;
  });
  // More than a stream's window, so that the source cannot be sent whole.
  std::string file = TestFile("moon.png");
  file.resize(40 << 20, 'x');
  const v1::Operation operation = Equalize();
  harness.Upload(file, "moon.png", &operation);
  const LeaseProto lease = harness.Lease();
  const std::string result = TestFile("camera.png");
  CompleteCall complete(harness.queue(), lease.job_id(), lease.epoch());
  complete.SendChunk(0, result.substr(0, 1000));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  v1::ReadSourceRequest request;
  request.set_job_id(lease.job_id());
  request.set_epoch(lease.epoch());
  const auto reader = harness.queue().ReadSource(&context, request);
  v1::ReadSourceResponse message;
  reader->Read(&message);
  // No heartbeat comes.
  CHECK(complete.FinishOpen().error_code() == grpc::StatusCode::FAILED_PRECONDITION);
  CHECK(WaitUntil([&] { return harness.frontend().core().activity.transfers() == 0; }));
  while (reader->Read(&message)) {
  }
  CHECK(reader->Finish().error_code() == grpc::StatusCode::FAILED_PRECONDITION);
  CHECK(harness.BlobFiles().size() == 1);
}

TEST_CASE("leases that are not renewed go to others, and a job that kills its holders fails") {
  Harness harness([](auto& options) {
    ShortLeases(options);
    options.catalog.max_holder_deaths = 2;
  });
  const std::string job = harness.UploadToEqualize().job().id();
  // A lease that ran out before its holder could use it does not count.
  const auto take = [&](const std::string& coordinator) {
    LeaseProto lease = harness.Lease(coordinator);
    while (!ReadSource(harness, lease).status.ok()) lease = harness.Lease(coordinator);
    return lease;
  };
  const LeaseProto first = take("one");
  REQUIRE(harness.AwaitState(job, v1::JOB_STATE_QUEUED));
  CHECK(harness.GetJob(job).error().reason() == "LEASE_EXPIRED");
  const LeaseProto second = take("two");
  CHECK(second.epoch() > first.epoch());
  CHECK(second.attempt() == 2);
  REQUIRE(harness.AwaitState(job, v1::JOB_STATE_FAILED));
  CHECK(harness.GetJob(job).error().reason() == "POISON_JOB");
}

TEST_CASE("leases that are renewed stay") {
  Harness harness([](auto& options) { options.catalog.lease_ttl = absl::Seconds(1); });
  const std::string job = harness.UploadToEqualize().job().id();
  const LeaseProto lease = harness.Lease();
  HeartbeatCall heartbeat(harness.queue());
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(2500);
  while (std::chrono::steady_clock::now() < end) {
    v1::HeartbeatRequest beat = BeatOf("c");
    AddLease(beat, lease);
    v1::HeartbeatResponse answer;
    REQUIRE(heartbeat.Beat(beat, &answer));
    CHECK(answer.leases(0).verdict() == Answer::VERDICT_RENEWED);
    CHECK(answer.lease_ttl().seconds() == 1);
    CHECK(answer.has_interval());
    CHECK(!answer.draining());
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  CHECK(harness.GetJob(job).epoch() == 1);
  CHECK(harness.GetJob(job).state() == v1::JOB_STATE_RUNNING);
}

TEST_CASE("a job that is given up") {
  Harness harness([](auto& options) {
    options.catalog.max_attempts = 2;
    options.catalog.backoff = absl::Milliseconds(10);
  });
  const std::string job = harness.UploadToEqualize().job().id();
  const LeaseProto lease = harness.Lease();
  SECTION("for another attempt, until they are used up") {
    REQUIRE(Outcome(Fail(harness, lease, v1::FailJobRequest::OUTCOME_RETRY)) == "OK");
    // The answer was lost.
    REQUIRE(Outcome(Fail(harness, lease, v1::FailJobRequest::OUTCOME_RETRY)) == "OK");
    const v1::Job queued = harness.GetJob(job);
    CHECK(queued.state() == v1::JOB_STATE_QUEUED);
    CHECK(queued.attempts() == 1);
    CHECK(queued.error().reason() == "WORKER_LOST");
    CHECK(queued.error().code() == grpc::StatusCode::UNAVAILABLE);
    CHECK(queued.error().metadata().at("actual") == "7");
    REQUIRE(Outcome(Fail(harness, harness.Lease(), v1::FailJobRequest::OUTCOME_RETRY)) == "OK");
    const v1::Job failed = harness.GetJob(job);
    CHECK(failed.state() == v1::JOB_STATE_FAILED);
    CHECK(failed.attempts() == 2);
    CHECK(failed.error().message().find("the worker is gone") != std::string::npos);
  }
  SECTION("for good") {
    REQUIRE(Outcome(Fail(harness, lease, v1::FailJobRequest::OUTCOME_PERMANENT)) == "OK");
    CHECK(harness.GetJob(job).state() == v1::JOB_STATE_FAILED);
    CHECK(harness.GetJob(job).error().message() == "the worker is gone");
  }
  SECTION("without an outcome") {
    const grpc::Status status = Fail(harness, lease, v1::FailJobRequest::OUTCOME_UNSPECIFIED);
    CHECK(Outcome(status) == "INVALID_ARGUMENT BAD_PARAMETER");
    CHECK(FieldOf(status) == "outcome");
  }
}

TEST_CASE("errors of coordinators are cut to a bearable size") {
  Harness harness;
  const std::string job = harness.UploadToEqualize().job().id();
  const LeaseProto lease = harness.Lease();
  v1::FailJobRequest request;
  request.set_job_id(lease.job_id());
  request.set_epoch(lease.epoch());
  request.set_outcome(v1::FailJobRequest::OUTCOME_PERMANENT);
  request.mutable_error()->set_message(std::string(1'000'000, 'm'));
  for (int i = 0; i < 1000; ++i) {
    (*request.mutable_error()->mutable_metadata())["key" + std::to_string(i)] =
        std::string(500, 'v');
  }
  v1::FailJobResponse response;
  REQUIRE(Call(harness.queue(), &Stub::FailJob, request, &response).ok());
  CHECK(harness.GetJob(job).error().ByteSizeLong() < 10'000);
  CHECK(harness.GetJob(job).error().code() == grpc::StatusCode::UNKNOWN);
}

TEST_CASE("coordinators that are not on the list") {
  Harness harness([](auto& options) { options.coordinators = {{"known", "127.0.0.1:7071"}}; });
  const std::string job = harness.UploadToEqualize().job().id();
  v1::LeaseJobResponse response;
  CHECK(Outcome(harness.TryLease(&response, "stranger")) ==
        "PERMISSION_DENIED UNKNOWN_COORDINATOR");
  CHECK(Outcome(harness.TryLease(&response, "a b")) == "INVALID_ARGUMENT BAD_NAME");
  HeartbeatCall heartbeat(harness.queue());
  v1::HeartbeatResponse answer;
  CHECK(!heartbeat.Beat(BeatOf("stranger"), &answer));
  CHECK(Outcome(heartbeat.Finish()) == "PERMISSION_DENIED UNKNOWN_COORDINATOR");
  const LeaseProto lease = harness.Lease("known");
  // Taken off the list while it works, and another is on it.
  v1::RegisterCoordinatorRequest add;
  add.set_name("other");
  add.set_address("127.0.0.1:7072");
  v1::RegisterCoordinatorResponse added;
  REQUIRE(Call(harness.client(), &v1::Frontend::Stub::RegisterCoordinator, add, &added).ok());
  v1::RemoveCoordinatorRequest remove;
  remove.set_name("known");
  v1::RemoveCoordinatorResponse removed;
  REQUIRE(Call(harness.client(), &v1::Frontend::Stub::RemoveCoordinator, remove, &removed).ok());
  CHECK(Outcome(Call(harness.client(), &v1::Frontend::Stub::RemoveCoordinator, remove, &removed)) ==
        "NOT_FOUND COORDINATOR_NOT_FOUND");
  CHECK(Outcome(ReadSource(harness, lease).status) == "PERMISSION_DENIED UNKNOWN_COORDINATOR");
  CHECK(Outcome(CompleteWith(harness.queue(), lease, TestFile("camera.png"))) ==
        "PERMISSION_DENIED UNKNOWN_COORDINATOR");
  CHECK(Outcome(Fail(harness, lease, v1::FailJobRequest::OUTCOME_RETRY)) ==
        "PERMISSION_DENIED UNKNOWN_COORDINATOR");
  CHECK(harness.GetJob(job).state() == v1::JOB_STATE_RUNNING);
}

}  // namespace
}  // namespace histeq::testing
