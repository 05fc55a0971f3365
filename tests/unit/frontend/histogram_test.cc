// GetHistogram, and the jobs that it queues.

#include <catch2/catch.hpp>

#include "frontend_harness.h"

namespace histeq::testing {
namespace {

using Stub = v1::Frontend::Stub;

v1::ImageStatistics Statistics() {
  v1::ImageStatistics statistics;
  statistics.set_bits_per_sample(8);
  statistics.set_counted_pixels(256 * 3);
  v1::ImageStatistics::ChannelStatistics& channel = *statistics.add_channels();
  channel.set_channel(v1::ImageStatistics::CHANNEL_GRAY);
  channel.mutable_histogram()->mutable_counts()->Resize(256, 3);
  channel.set_maximum(255);
  return statistics;
}

// A GetHistogram call on a thread.
class HistogramCall {
 public:
  HistogramCall(Harness& harness, const std::string& image_id,
                std::chrono::milliseconds patience = kPatience)
      : client_(harness.NewClient()) {
    context_.set_deadline(std::chrono::system_clock::now() + patience);
    request_.set_image_id(image_id);
    thread_ =
        std::thread([this] { status_ = client_->GetHistogram(&context_, request_, &response_); });
  }
  ~HistogramCall() {
    if (thread_.joinable()) thread_.join();
  }
  grpc::Status Join() {
    thread_.join();
    return status_;
  }
  void Cancel() { context_.TryCancel(); }
  const v1::ImageStatistics& statistics() const { return response_.statistics(); }

 private:
  std::unique_ptr<Stub> client_;
  grpc::ClientContext context_;
  v1::GetHistogramRequest request_;
  v1::GetHistogramResponse response_;
  grpc::Status status_;
  std::thread thread_;
};

grpc::Status Bring(Harness& harness, const v1::LeaseJobResponse::Lease& lease,
                   const v1::ImageStatistics& statistics) {
  CompleteCall call(harness.queue(), lease.job_id(), lease.epoch());
  v1::CompleteJobRequest::Finish finish;
  *finish.mutable_statistics() = statistics;
  return call.Finish(finish);
}

TEST_CASE("statistics are counted once and kept") {
  Harness harness;
  const std::string image = harness.Upload(TestFile("moon.png")).image().id();
  HistogramCall one(harness, image);
  HistogramCall two(harness, image);
  const v1::LeaseJobResponse::Lease lease = harness.Lease();
  CHECK(lease.operation().has_analyze());
  CHECK(lease.image().id() == image);
  CHECK(WaitUntil([&] { return harness.frontend().core().histogram_waiters.active() == 2; }));
  // One job for both.
  v1::LeaseJobResponse none;
  REQUIRE(harness.TryLease(&none).ok());
  CHECK(!none.has_lease());
  REQUIRE(Outcome(Bring(harness, lease, Statistics())) == "OK");
  // The answer was lost.
  REQUIRE(Outcome(Bring(harness, lease, Statistics())) == "OK");
  CHECK(Outcome(one.Join()) == "OK");
  CHECK(Outcome(two.Join()) == "OK");
  CHECK(one.statistics().SerializeAsString() == Statistics().SerializeAsString());
  CHECK(two.statistics().SerializeAsString() == Statistics().SerializeAsString());
  const v1::Job job = harness.GetJob(lease.job_id());
  CHECK(job.state() == v1::JOB_STATE_SUCCEEDED);
  CHECK(job.result_image_id().empty());

  harness.Restart();
  HistogramCall kept(harness, image);
  CHECK(Outcome(kept.Join()) == "OK");
  CHECK(kept.statistics().channels(0).histogram().counts(7) == 3);

  // They come with the lease of a job that matches to this image.
  v1::Operation operation;
  operation.mutable_equalize()->set_method(v1::Equalize::METHOD_MATCH);
  operation.mutable_equalize()->set_reference_image_id(image);
  harness.Upload(TestFile("camera.png"), "camera.png", &operation);
  const v1::LeaseJobResponse::Lease match = harness.Lease();
  REQUIRE(match.has_reference_statistics());
  CHECK(match.reference_statistics().SerializeAsString() == Statistics().SerializeAsString());
}

TEST_CASE("a job that waits is found again after a restart") {
  Harness harness;
  const std::string image = harness.Upload(TestFile("moon.png")).image().id();
  HistogramCall(harness, image, std::chrono::milliseconds(800)).Join();
  harness.Restart();
  HistogramCall call(harness, image);
  CHECK(WaitUntil([&] { return harness.frontend().core().histogram_waiters.active() == 1; }));
  const v1::LeaseJobResponse::Lease lease = harness.Lease();
  REQUIRE(Bring(harness, lease, Statistics()).ok());
  CHECK(Outcome(call.Join()) == "OK");
  v1::ListJobsResponse jobs;
  REQUIRE(Call(harness.client(), &Stub::ListJobs, {}, &jobs).ok());
  CHECK(jobs.jobs_size() == 1);
}

TEST_CASE("histograms that do not come") {
  Harness harness([](auto& options) {
    options.histogram_wait = absl::Milliseconds(300);
    options.max_histogram_waiters = 1;
  });
  const std::string image = harness.Upload(TestFile("moon.png")).image().id();
  SECTION("no such image") {
    CHECK(Outcome(HistogramCall(harness, "img-none").Join()) == "NOT_FOUND IMAGE_NOT_FOUND");
    CHECK(Outcome(HistogramCall(harness, "").Join()) == "INVALID_ARGUMENT BAD_ID");
  }
  SECTION("not counted in time") {
    const grpc::Status status = HistogramCall(harness, image).Join();
    CHECK(Outcome(status) == "DEADLINE_EXCEEDED STATISTICS_NOT_READY");
    CHECK(HasRetryDelay(status));
    CHECK(harness.GetJob(MetadataOf(status, "job")).state() == v1::JOB_STATE_QUEUED);
  }
}

TEST_CASE("jobs for histograms that fail or are cancelled") {
  Harness harness;
  const std::string image = harness.Upload(TestFile("moon.png")).image().id();
  HistogramCall call(harness, image);
  const v1::LeaseJobResponse::Lease lease = harness.Lease();
  SECTION("failed") {
    v1::FailJobRequest fail;
    fail.set_job_id(lease.job_id());
    fail.set_epoch(lease.epoch());
    fail.set_outcome(v1::FailJobRequest::OUTCOME_PERMANENT);
    fail.mutable_error()->set_code(grpc::StatusCode::INVALID_ARGUMENT);
    fail.mutable_error()->set_reason("IMAGE_CORRUPT");
    fail.mutable_error()->set_message("row 7 is broken");
    v1::FailJobResponse failed;
    REQUIRE(Call(harness.queue(), &v1::JobQueue::Stub::FailJob, fail, &failed).ok());
    const grpc::Status status = call.Join();
    CHECK(Outcome(status) == "INVALID_ARGUMENT IMAGE_CORRUPT");
    CHECK(MetadataOf(status, "job") == lease.job_id());
  }
  SECTION("cancelled") {
    v1::CancelJobRequest cancel;
    cancel.set_job_id(lease.job_id());
    v1::CancelJobResponse cancelled;
    REQUIRE(Call(harness.client(), &Stub::CancelJob, cancel, &cancelled).ok());
    v1::FailJobRequest fail;
    fail.set_job_id(lease.job_id());
    fail.set_epoch(lease.epoch());
    fail.set_outcome(v1::FailJobRequest::OUTCOME_CANCELLED);
    v1::FailJobResponse failed;
    REQUIRE(Call(harness.queue(), &v1::JobQueue::Stub::FailJob, fail, &failed).ok());
    CHECK(Outcome(call.Join()) == "ABORTED JOB_CANCELLED");
  }
  SECTION("the client leaves, the job stays") {
    call.Cancel();
    CHECK(Outcome(call.Join()) == "CANCELLED");
    CHECK(WaitUntil([&] { return harness.frontend().core().histogram_waiters.active() == 0; }));
    CHECK(harness.GetJob(lease.job_id()).state() == v1::JOB_STATE_RUNNING);
  }
}

TEST_CASE("statistics that have no form") {
  Harness harness;
  const std::string image = harness.Upload(TestFile("moon.png")).image().id();
  HistogramCall call(harness, image);
  const v1::LeaseJobResponse::Lease lease = harness.Lease();
  v1::ImageStatistics statistics = Statistics();
  statistics.set_bits_per_sample(12);
  CHECK(Outcome(Bring(harness, lease, statistics)) == "INVALID_ARGUMENT BAD_RESULT");
  statistics.set_bits_per_sample(16);
  CHECK(Outcome(Bring(harness, lease, statistics)) == "INVALID_ARGUMENT BAD_RESULT");
  statistics = Statistics();
  statistics.clear_channels();
  CHECK(Outcome(Bring(harness, lease, statistics)) == "INVALID_ARGUMENT BAD_RESULT");
  // And an image in their place.
  CHECK(Outcome(CompleteWith(harness.queue(), lease, TestFile("moon.png"))) ==
        "INVALID_ARGUMENT BAD_RESULT");
  CHECK(harness.BlobFiles().size() == 1);
  call.Cancel();
}

}  // namespace
}  // namespace histeq::testing
