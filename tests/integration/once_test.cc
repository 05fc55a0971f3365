// A derivative is made once, whoever asks for it how often, and whoever dies meanwhile.

#include <atomic>
#include <catch2/catch.hpp>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "cluster.h"
#include "files.h"
#include "frontend_client.h"

namespace histeq::integration {
namespace {

constexpr int kThreads = 20;
constexpr int kEach = 50;

v1::CreateJobRequest RequestOf(const std::string& image_id) {
  v1::CreateJobRequest request;
  request.set_request_id(NewId());
  request.set_image_id(image_id);
  *request.mutable_operation() = EqualizeOperation();
  return request;
}

// The ids of all jobs that a thousand requests, many at a time, were answered with.
std::set<std::string> RequestThousandTimes(const std::string& address,
                                           const std::string& image_id) {
  std::mutex mutex;
  std::set<std::string> jobs;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      FrontendClient client(address);
      for (int i = 0; i < kEach; ++i) {
        grpc::ClientContext context;
        SetDeadline(context);
        v1::CreateJobResponse response;
        const grpc::Status status =
            client.calls().CreateJob(&context, RequestOf(image_id), &response);
        const std::lock_guard lock(mutex);
        jobs.insert(status.ok() ? response.job().id() : Outcome(status));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return jobs;
}

v1::GetImageResponse Describe(FrontendClient& client, const std::string& image_id) {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::GetImageRequest request;
  request.set_image_id(image_id);
  v1::GetImageResponse response;
  REQUIRE(client.calls().GetImage(&context, request, &response).ok());
  return response;
}

// Lines of the log with this event.
size_t CountEvents(const std::string& log, const std::string& event) {
  size_t count = 0;
  for (size_t at = log.find(event); at != std::string::npos; at = log.find(event, at + 1)) ++count;
  return count;
}

TEST_CASE("a thousand requests make one computation, also when the coordinator dies") {
  Cluster cluster({"--lease-ttl-s", "3"});
  FrontendClient client(cluster.frontend().address());
  Service& first = cluster.AddCoordinator("first");
  Service& worker =
      cluster.AddWorker("worker", {"--slots", "1", "--test-segment-delay-ms", "60000"});
  REQUIRE(client.AwaitNodes(1, 1));
  const std::string image = client.UploadOnly(ReadFile(TestData("moon.png")), "moon.png").id();
  const std::set<std::string> jobs = RequestThousandTimes(cluster.frontend().address(), image);
  REQUIRE(jobs.size() == 1);
  const std::string job_id = *jobs.begin();
  REQUIRE(client.AwaitState(job_id, v1::JOB_STATE_RUNNING).state() == v1::JOB_STATE_RUNNING);

  // Two watch it; both see that it is given to another coordinator, and its result.
  v1::WatchJobRequest request;
  request.set_job_id(job_id);
  request.set_send_result(true);
  FrontendClient another(cluster.frontend().address());
  Watch one(client.calls(), request);
  Watch two(another.calls(), request);
  const auto sees_running = [](const Watch::Seen& seen) { return !seen.states.empty(); };
  REQUIRE(one.WaitFor(sees_running));
  REQUIRE(two.WaitFor(sees_running));
  first.Kill();
  worker.Kill();
  // Asked for in between, it is still the same.
  CHECK(RequestThousandTimes(cluster.frontend().address(), image) == jobs);
  cluster.AddCoordinator("second");
  const Watch::Seen seen_by_one = one.End(Seconds(120));
  const Watch::Seen seen_by_two = two.End(Seconds(120));
  REQUIRE(seen_by_one.result.has_value());
  REQUIRE(seen_by_two.result.has_value());
  CHECK(seen_by_one.bytes == seen_by_two.bytes);
  CHECK(seen_by_one.result->id() == seen_by_two.result->id());

  // One computation counted: one result, one line that says so, and whoever asks now has it.
  CHECK(client.GetJob(job_id).attempts() == 2);
  CHECK(CountEvents(cluster.frontend().Log(), "job_succeeded") == 1);
  CHECK(client.ListImages().size() == 2);
  CHECK(cluster.BlobFiles().size() == 2);
  grpc::ClientContext context;
  SetDeadline(context);
  v1::CreateJobResponse later;
  REQUIRE(client.calls().CreateJob(&context, RequestOf(image), &later).ok());
  CHECK(later.job().state() == v1::JOB_STATE_SUCCEEDED);
  CHECK(later.job().result_image_id() == seen_by_one.result->id());
  const v1::GetImageResponse described = Describe(client, image);
  CHECK(described.state() == v1::GetImageResponse::STATE_DONE);
  REQUIRE(described.derivatives_size() == 1);
  CHECK(described.derivatives(0).image().sha256() == Sha256(seen_by_one.bytes));
}

TEST_CASE("a frontend that dies in the middle remembers who makes what") {
  Cluster cluster({"--lease-ttl-s", "3"});
  FrontendClient client(cluster.frontend().address());
  const std::string image = client.UploadOnly(ReadFile(TestData("moon.png")), "moon.png").id();
  const std::set<std::string> jobs = RequestThousandTimes(cluster.frontend().address(), image);
  REQUIRE(jobs.size() == 1);
  cluster.frontend().Kill();
  cluster.frontend().Start();
  REQUIRE(client.AwaitReachable());
  CHECK(RequestThousandTimes(cluster.frontend().address(), image) == jobs);
  cluster.AddCoordinator("one");
  CHECK(client.AwaitFinal(*jobs.begin()).state() == v1::JOB_STATE_SUCCEEDED);
  CHECK(client.ListImages().size() == 2);
  CHECK(Describe(client, image).state() == v1::GetImageResponse::STATE_DONE);
}

v1::Job RequestThumbnail(FrontendClient& client, const std::string& image_id, uint32_t size) {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::CreateJobRequest request = RequestOf(image_id);
  request.mutable_operation()->mutable_thumbnail()->set_width(size);
  request.mutable_operation()->mutable_thumbnail()->set_height(size);
  v1::CreateJobResponse response;
  REQUIRE(Outcome(client.calls().CreateJob(&context, request, &response)) == "OK");
  return response.job();
}

std::string GetJobOutcome(FrontendClient& client, const std::string& job_id) {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::GetJobRequest request;
  request.set_job_id(job_id);
  v1::GetJobResponse response;
  return Outcome(client.calls().GetJob(&context, request, &response));
}

TEST_CASE("results go when their time has come, and are made again when they are asked for") {
  Cluster cluster({"--result-ttl-s", "1", "--expiry-interval-s", "0.1", "--max-packed-size", "0"});
  FrontendClient client(cluster.frontend().address());
  cluster.AddCoordinator("coordinator");
  const std::string moon = ReadFile(TestData("moon.png"));
  const std::string image = client.UploadOnly(moon, "moon.png").id();
  std::set<std::string> jobs;
  for (size_t round = 1; round <= 2; ++round) {
    // Made and gone, however long that takes: the log remembers.
    jobs.insert(RequestThumbnail(client, image, 64).id());
    REQUIRE(WaitUntil(
        [&] { return CountEvents(cluster.frontend().Log(), "images_expired") >= round; }));
    CHECK(Describe(client, image).derivatives().empty());
    CHECK(Describe(client, image).state() == v1::GetImageResponse::STATE_REGISTERED);
    // With its bytes; the upload stays.
    CHECK(WaitUntil([&] { return cluster.BlobFiles().size() == 1; }));
    CHECK(client.DownloadImage(image) == moon);
  }
  CHECK(jobs.size() == 2);
}

TEST_CASE("jobs that ended are forgotten after a while, what they made is not") {
  Cluster cluster({"--expiry-interval-s", "0.1", "--job-retention-s", "1"});
  FrontendClient client(cluster.frontend().address());
  cluster.AddCoordinator("coordinator");
  const std::string image = client.UploadOnly(ReadFile(TestData("moon.png")), "moon.png").id();
  const v1::Job job = RequestThumbnail(client, image, 64);
  REQUIRE(WaitUntil([&] { return GetJobOutcome(client, job.id()) == "NOT_FOUND JOB_NOT_FOUND"; }));
  CHECK(WaitUntil([&] { return CountEvents(cluster.frontend().Log(), "finished_forgotten") > 0; }));
  cluster.frontend().Kill();
  cluster.frontend().Start();
  // Once the client has connected again.
  REQUIRE(WaitUntil([&] { return GetJobOutcome(client, job.id()) == "NOT_FOUND JOB_NOT_FOUND"; }));
  const v1::GetImageResponse described = Describe(client, image);
  REQUIRE(described.derivatives_size() == 1);
  REQUIRE(described.derivatives(0).state() == v1::GetImageResponse::STATE_DONE);
  // It serves who asks.
  const v1::Job again = RequestThumbnail(client, image, 64);
  CHECK(again.state() == v1::JOB_STATE_SUCCEEDED);
  CHECK(again.result_image_id() == described.derivatives(0).image().id());
}

TEST_CASE("beyond the budget results go that were not used for longest") {
  Cluster cluster({"--derivative-budget", "6000", "--derivative-grace-s", "0",
                   "--expiry-interval-s", "0.1", "--result-ttl-s", "0"});
  FrontendClient client(cluster.frontend().address());
  cluster.AddCoordinator("coordinator");
  const std::string image = client.UploadOnly(ReadFile(TestData("moon.png")), "moon.png").id();
  std::vector<std::string> results;
  uint64_t made = 0;
  for (uint32_t size = 40; size < 48; ++size) {
    const v1::Job job = client.AwaitFinal(RequestThumbnail(client, image, size).id());
    REQUIRE(job.state() == v1::JOB_STATE_SUCCEEDED);
    results.push_back(job.result_image_id());
    ++made;
  }
  // The oldest go one after the other until the rest is no more than the budget.
  const auto kept = [&] {
    uint64_t bytes = 0;
    const v1::GetImageResponse now = Describe(client, image);
    for (const auto& derivative : now.derivatives()) {
      bytes += derivative.image().size_bytes();
    }
    return bytes;
  };
  REQUIRE(WaitUntil([&] { return kept() <= 6000; }));
  const v1::GetImageResponse described = Describe(client, image);
  REQUIRE(described.derivatives_size() > 0);
  REQUIRE(described.derivatives_size() < static_cast<int>(made));
  for (int i = 0; i < described.derivatives_size(); ++i) {
    CHECK(described.derivatives(i).image().id() ==
          results[results.size() - static_cast<size_t>(described.derivatives_size() - i)]);
  }
}

}  // namespace
}  // namespace histeq::integration
