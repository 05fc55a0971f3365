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

}  // namespace
}  // namespace histeq::integration
