// CreateJob, GetJob, ListJobs, CancelJob.

#include <catch2/catch.hpp>

#include "frontend_harness.h"

namespace histeq::testing {
namespace {

using Stub = v1::Frontend::Stub;

grpc::Status Create(Harness& harness, const v1::CreateJobRequest& request,
                    v1::CreateJobResponse* response) {
  return Call(harness.client(), &Stub::CreateJob, request, response);
}

v1::CreateJobRequest RequestOf(const std::string& image_id) {
  v1::CreateJobRequest request;
  request.set_request_id(NewId());
  request.set_image_id(image_id);
  *request.mutable_operation() = Equalize();
  return request;
}

grpc::Status Cancel(Harness& harness, const std::string& id, v1::CancelJobResponse* response) {
  v1::CancelJobRequest request;
  request.set_job_id(id);
  return Call(harness.client(), &Stub::CancelJob, request, response);
}

TEST_CASE("a job is created once for one request") {
  Harness harness;
  const std::string image = harness.Upload(TestFile("moon.png")).image().id();
  v1::CreateJobRequest request = RequestOf(image);
  request.mutable_operation()->mutable_equalize()->set_strength(0.5);
  v1::CreateJobResponse first, again;
  REQUIRE(Outcome(Create(harness, request, &first)) == "OK");
  CHECK(first.job().state() == v1::JOB_STATE_QUEUED);
  CHECK(first.job().operation().equalize().strength() == 0.5);
  CHECK(harness.GetJob(first.job().id()).SerializeAsString() == first.job().SerializeAsString());
  REQUIRE(Outcome(Create(harness, request, &again)) == "OK");
  CHECK(again.job().id() == first.job().id());
  request.mutable_operation()->mutable_equalize()->set_strength(0.25);
  CHECK(Outcome(Create(harness, request, &again)) == "ALREADY_EXISTS REQUEST_ID_REUSED");
  request.set_request_id(NewId());
  REQUIRE(Outcome(Create(harness, request, &again)) == "OK");
  CHECK(again.job().id() != first.job().id());
}

TEST_CASE("the same request after its image was deleted") {
  Harness harness;
  const std::string image = harness.Upload(TestFile("moon.png")).image().id();
  const v1::CreateJobRequest request = RequestOf(image);
  v1::CreateJobResponse first, again;
  REQUIRE(Create(harness, request, &first).ok());
  v1::CancelJobResponse cancelled;
  REQUIRE(Cancel(harness, first.job().id(), &cancelled).ok());
  v1::DeleteImageRequest remove;
  remove.set_image_id(image);
  v1::DeleteImageResponse removed;
  REQUIRE(Call(harness.client(), &Stub::DeleteImage, remove, &removed).ok());
  REQUIRE(Outcome(Create(harness, request, &again)) == "OK");
  CHECK(again.job().id() == first.job().id());
  CHECK(again.job().state() == v1::JOB_STATE_CANCELLED);
}

TEST_CASE("jobs that cannot be") {
  Harness harness;
  const std::string image = harness.Upload(TestFile("moon.png")).image().id();
  const std::string deep = harness.Upload(PngOfBits(16)).image().id();
  v1::CreateJobRequest request = RequestOf(image);
  v1::CreateJobResponse response;
  v1::Equalize& equalize = *request.mutable_operation()->mutable_equalize();
  const auto refused = [&](const std::string& outcome, const std::string& field) {
    const grpc::Status status = Create(harness, request, &response);
    CHECK(Outcome(status) == outcome);
    CHECK(FieldOf(status) == field);
  };
  SECTION("a nodata value that does not fit the depth") {
    equalize.set_nodata(256);
    refused("INVALID_ARGUMENT BAD_PARAMETER", "operation.equalize.nodata");
    request.set_image_id(deep);
    CHECK(Outcome(Create(harness, request, &response)) == "OK");
  }
  SECTION("a grid without tiles") {
    equalize.set_method(v1::Equalize::METHOD_CLAHE);
    equalize.set_grid_x(0);
    refused("INVALID_ARGUMENT BAD_PARAMETER", "operation.equalize.grid_x");
  }
  SECTION("a reference of another depth") {
    equalize.set_method(v1::Equalize::METHOD_MATCH);
    equalize.set_reference_image_id(deep);
    refused("INVALID_ARGUMENT BAD_PARAMETER", "operation.equalize.reference_image_id");
  }
  SECTION("no reference of that id") {
    equalize.set_method(v1::Equalize::METHOD_MATCH);
    equalize.set_reference_image_id("img-none");
    refused("NOT_FOUND IMAGE_NOT_FOUND", "operation.equalize.reference_image_id");
  }
  SECTION("no image of that id") {
    request.set_image_id("img-none");
    refused("NOT_FOUND IMAGE_NOT_FOUND", "");
  }
  SECTION("no operation") {
    request.clear_operation();
    refused("INVALID_ARGUMENT UNKNOWN_OPERATION", "operation");
  }
  SECTION("analyze") {
    request.mutable_operation()->mutable_analyze();
    refused("UNIMPLEMENTED NOT_OFFERED", "operation.analyze");
  }
  SECTION("no request id") {
    request.clear_request_id();
    refused("INVALID_ARGUMENT BAD_ID", "request_id");
  }
  SECTION("an id that is none") {
    request.set_image_id("../x");
    refused("INVALID_ARGUMENT BAD_ID", "image_id");
  }
}

TEST_CASE("a full queue") {
  Harness harness([](auto& options) { options.catalog.max_queued_jobs = 1; });
  const std::string image = harness.UploadToEqualize().image().id();
  v1::CreateJobResponse response;
  const grpc::Status status = Create(harness, RequestOf(image), &response);
  CHECK(Outcome(status) == "RESOURCE_EXHAUSTED QUEUE_FULL");
  CHECK(MetadataOf(status, "limit") == "1");
  CHECK(HasRetryDelay(status));
}

TEST_CASE("jobs in pages, by state and image") {
  Harness harness;
  const std::string image = harness.Upload(TestFile("moon.png")).image().id();
  const std::string other = harness.UploadToEqualize().image().id();
  std::vector<std::string> newest_first;
  for (int i = 0; i < 3; ++i) {
    v1::CreateJobRequest request = RequestOf(image);
    request.mutable_operation()->mutable_equalize()->set_nodata(100 + i);
    v1::CreateJobResponse response;
    REQUIRE(Create(harness, request, &response).ok());
    newest_first.insert(newest_first.begin(), response.job().id());
  }
  v1::CancelJobResponse cancelled;
  REQUIRE(Cancel(harness, newest_first[1], &cancelled).ok());
  v1::ListJobsRequest request;
  request.set_image_id(image);
  request.set_page_size(2);
  v1::ListJobsResponse page;
  REQUIRE(Call(harness.client(), &Stub::ListJobs, request, &page).ok());
  REQUIRE(page.jobs_size() == 2);
  CHECK(page.jobs(0).id() == newest_first[0]);
  CHECK(page.jobs(1).id() == newest_first[1]);
  request.set_page_token(page.next_page_token());
  REQUIRE(Call(harness.client(), &Stub::ListJobs, request, &page).ok());
  REQUIRE(page.jobs_size() == 1);
  CHECK(page.next_page_token().empty());
  request.Clear();
  request.set_state(v1::JOB_STATE_QUEUED);
  REQUIRE(Call(harness.client(), &Stub::ListJobs, request, &page).ok());
  CHECK(page.jobs_size() == 3);
  request.set_page_token("made up");
  CHECK(Outcome(Call(harness.client(), &Stub::ListJobs, request, &page)) ==
        "INVALID_ARGUMENT BAD_PAGE_TOKEN");
  request.Clear();
  request.set_state(static_cast<v1::JobState>(77));
  const grpc::Status status = Call(harness.client(), &Stub::ListJobs, request, &page);
  CHECK(Outcome(status) == "INVALID_ARGUMENT BAD_PARAMETER");
  CHECK(FieldOf(status) == "state");
}

TEST_CASE("lists of jobs with large operations fit into messages") {
  Harness harness;
  const std::string image = harness.Upload(PngOfBits(16)).image().id();
  std::vector<std::string> newest_first;
  for (int i = 0; i < 5; ++i) {
    v1::CreateJobRequest request = RequestOf(image);
    v1::Equalize& equalize = *request.mutable_operation()->mutable_equalize();
    equalize.set_method(v1::Equalize::METHOD_MATCH);
    equalize.mutable_reference_histogram()->mutable_counts()->Resize(65536, uint64_t{1} << 46);
    // No two alike, which would be one job.
    equalize.mutable_reference_histogram()->set_counts(0, i);
    v1::CreateJobResponse response;
    const grpc::Status status = Create(harness, request, &response);
    INFO(status.error_message());
    REQUIRE(Outcome(status) == "OK");
    newest_first.insert(newest_first.begin(), response.job().id());
    const v1::Job job = harness.GetJob(response.job().id());
    CHECK(job.operation().equalize().reference_histogram().counts_size() == 65536);
  }
  v1::ListJobsRequest request;
  request.set_page_size(1000);
  std::vector<std::string> seen;
  do {
    v1::ListJobsResponse page;
    REQUIRE(Outcome(Call(harness.client(), &Stub::ListJobs, request, &page)) == "OK");
    for (const v1::Job& job : page.jobs()) {
      seen.push_back(job.id());
      CHECK(job.operation().equalize().method() == v1::Equalize::METHOD_MATCH);
      CHECK_FALSE(job.operation().equalize().has_reference_histogram());
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  CHECK(seen == newest_first);
}

TEST_CASE("cancelling") {
  Harness harness;
  v1::CancelJobResponse response;
  CHECK(Outcome(Cancel(harness, "job-none", &response)) == "NOT_FOUND JOB_NOT_FOUND");
  CHECK(Outcome(Cancel(harness, "", &response)) == "INVALID_ARGUMENT BAD_ID");
  SECTION("a queued job, twice") {
    const std::string job = harness.UploadToEqualize().job().id();
    REQUIRE(Cancel(harness, job, &response).ok());
    CHECK(response.job().state() == v1::JOB_STATE_CANCELLED);
    CHECK(response.job().has_end_time());
    REQUIRE(Cancel(harness, job, &response).ok());
    CHECK(response.job().state() == v1::JOB_STATE_CANCELLED);
    v1::LeaseJobResponse lease;
    REQUIRE(harness.TryLease(&lease).ok());
    CHECK(!lease.has_lease());
  }
  SECTION("a running job") {
    harness.UploadToEqualize();
    const v1::LeaseJobResponse::Lease lease = harness.Lease();
    REQUIRE(Cancel(harness, lease.job_id(), &response).ok());
    CHECK(response.job().state() == v1::JOB_STATE_RUNNING);
    HeartbeatCall heartbeat(harness.queue());
    v1::HeartbeatRequest beat = BeatOf("c");
    AddLease(beat, lease);
    v1::HeartbeatResponse answer;
    REQUIRE(heartbeat.Beat(beat, &answer));
    CHECK(answer.leases(0).verdict() == v1::HeartbeatResponse::LeaseAnswer::VERDICT_CANCEL);
    v1::FailJobRequest fail;
    fail.set_job_id(lease.job_id());
    fail.set_epoch(lease.epoch());
    fail.set_outcome(v1::FailJobRequest::OUTCOME_CANCELLED);
    v1::FailJobResponse failed;
    REQUIRE(Call(harness.queue(), &v1::JobQueue::Stub::FailJob, fail, &failed).ok());
    CHECK(harness.GetJob(lease.job_id()).state() == v1::JOB_STATE_CANCELLED);
  }
}

TEST_CASE("jobs that do not exist") {
  Harness harness;
  v1::GetJobRequest request;
  v1::GetJobResponse response;
  request.set_job_id("job-none");
  CHECK(Outcome(Call(harness.client(), &Stub::GetJob, request, &response)) ==
        "NOT_FOUND JOB_NOT_FOUND");
  request.set_job_id("no job");
  CHECK(Outcome(Call(harness.client(), &Stub::GetJob, request, &response)) ==
        "INVALID_ARGUMENT BAD_ID");
}

}  // namespace
}  // namespace histeq::testing
