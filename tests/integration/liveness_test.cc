// Clients that wait, clients that leave, services that are asked to end.

#include <catch2/catch.hpp>

#include "cluster.h"
#include "files.h"
#include "frontend_client.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/impl/codegen/client_unary_call.h"
#include "grpcpp/support/byte_buffer.h"

namespace histeq::integration {
namespace {

struct SlowServices {
  explicit SlowServices(int delay_ms) : client(cluster.frontend().address()) {
    cluster.AddCoordinator("one");
    worker = &cluster.AddWorker(
        "worker", {"--slots", "1", "--test-segment-delay-ms", std::to_string(delay_ms)});
    REQUIRE(client.AwaitNodes(1, 1));
  }

  v1::UploadImageResponse Upload() {
    return client.UploadToEqualize(ReadFile(TestData("moon.png")), "moon.png");
  }

  Cluster cluster;
  FrontendClient client;
  Service* worker = nullptr;
};

TEST_CASE("a client that waits through a slow job receives pings and then the result") {
  SlowServices services(5000);
  const std::string job_id = services.Upload().job().id();
  v1::WatchJobRequest request;
  request.set_job_id(job_id);
  request.mutable_ping_interval()->set_seconds(1);
  request.set_send_result(true);
  Watch watch(services.client.calls(), request);
  const Watch::Seen seen = watch.End();
  CHECK(Outcome(*seen.status) == "OK");
  // Nothing else is sent for five seconds.
  CHECK(seen.pings.size() >= 3);
  for (size_t i = 1; i < seen.pings.size(); ++i) {
    CHECK(seen.pings[i] - seen.pings[i - 1] >= Milliseconds(900));
  }
  REQUIRE(seen.job.has_value());
  CHECK(seen.job->state() == v1::JOB_STATE_SUCCEEDED);
  REQUIRE(seen.result.has_value());
  CHECK(!seen.damaged);
  CHECK(Sha256(seen.bytes) == seen.result->sha256());
}

TEST_CASE("a client that goes away during the job gets its result later") {
  SlowServices services(1500);
  const std::string job_id = services.Upload().job().id();
  {
    v1::WatchJobRequest request;
    request.set_job_id(job_id);
    request.set_send_result(true);
    Watch watch(services.client.calls(), request);
    REQUIRE(watch.WaitFor([](const Watch::Seen& seen) { return !seen.states.empty(); }));
    watch.Cancel();
    CHECK(Outcome(*watch.End().status) == "CANCELLED");
  }
  const v1::Job job = services.client.AwaitFinal(job_id);
  CHECK(job.state() == v1::JOB_STATE_SUCCEEDED);
  // By the job, and under its name.
  v1::WatchJobRequest request;
  request.set_job_id(job_id);
  request.set_send_result(true);
  Watch watch(services.client.calls(), request);
  const Watch::Seen seen = watch.End();
  REQUIRE(seen.result.has_value());
  CHECK(seen.result->name() == "moon_EQUALIZED.png");
  CHECK(services.client.DownloadImage(job.result_image_id()) == seen.bytes);
}

TEST_CASE("a cancelled job stops the worker") {
  SlowServices services(60'000);
  const std::string job_id = services.Upload().job().id();
  REQUIRE(services.client.AwaitState(job_id, v1::JOB_STATE_RUNNING).state() ==
          v1::JOB_STATE_RUNNING);
  grpc::ClientContext context;
  SetDeadline(context);
  v1::CancelJobRequest request;
  request.set_job_id(job_id);
  v1::CancelJobResponse response;
  REQUIRE(services.client.calls().CancelJob(&context, request, &response).ok());
  const v1::Job job = services.client.AwaitFinal(job_id, Seconds(40));
  CHECK(job.state() == v1::JOB_STATE_CANCELLED);
  // Its slot is free again, long before the delay is over.
  CHECK(WaitUntil(
      [&] {
        const v1::ListNodesResponse nodes = services.client.ListNodes();
        for (const v1::CoordinatorInfo& coordinator : nodes.coordinators()) {
          for (const v1::WorkerInfo& worker : coordinator.workers()) {
            if (worker.free_slots() == 1) return true;
          }
        }
        return false;
      },
      Seconds(40)));
}

// grpc.health.v1's answer, a number in field 1.
enum Health { kUnknown = 0, kServing = 1, kNotServing = 2 };
Health HealthOf(const std::string& address) {
  const auto channel = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  grpc::ClientContext context;
  SetDeadline(context);
  const grpc::Slice nothing;
  const grpc::ByteBuffer request(&nothing, 1);
  grpc::ByteBuffer response;
  const grpc::internal::RpcMethod check("/grpc.health.v1.Health/Check",
                                        grpc::internal::RpcMethod::NORMAL_RPC);
  const grpc::Status status =
      grpc::internal::BlockingUnaryCall(channel.get(), check, &context, request, &response);
  std::vector<grpc::Slice> slices;
  if (!status.ok() || !response.Dump(&slices).ok()) return kUnknown;
  std::string bytes;
  for (const grpc::Slice& slice : slices) bytes.append(slice.begin(), slice.end());
  return bytes.size() == 2 && bytes[0] == 0x08 ? static_cast<Health>(bytes[1]) : kUnknown;
}

TEST_CASE("SIGTERM: health turns, the work at hand is finished, exit 0") {
  SlowServices services(3000);
  const std::string job_id = services.Upload().job().id();
  REQUIRE(services.client.AwaitState(job_id, v1::JOB_STATE_RUNNING).state() ==
          v1::JOB_STATE_RUNNING);
  CHECK(HealthOf(services.worker->address()) == kServing);
  services.worker->Terminate();
  // The segment it works on may still be finished: it answers until then.
  CHECK(WaitUntil([&] {
    return !services.worker->Running() || HealthOf(services.worker->address()) == kNotServing;
  }));
  CHECK(services.worker->Wait() == 0);
  const v1::Job job = services.client.AwaitFinal(job_id);
  CHECK(job.state() == v1::JOB_STATE_SUCCEEDED);
  CHECK(job.attempts() == 1);
  services.cluster.frontend().Terminate();
  CHECK(services.cluster.frontend().Wait() == 0);
}

TEST_CASE("a coordinator that is asked to end hands its job back") {
  Cluster cluster;
  FrontendClient client(cluster.frontend().address());
  Service& first = cluster.AddCoordinator("first", {"--drain-timeout-s", "1"});
  cluster.AddWorker("slow", {"--slots", "1", "--test-segment-delay-ms", "60000"});
  REQUIRE(client.AwaitNodes(1, 1));
  const std::string job_id =
      client.UploadToEqualize(ReadFile(TestData("moon.png")), "moon.png").job().id();
  REQUIRE(client.AwaitState(job_id, v1::JOB_STATE_RUNNING).state() == v1::JOB_STATE_RUNNING);
  first.Terminate();
  CHECK(first.Wait() == 0);
  // It is free at once, not when the lease has run out, and the attempt does not count.
  cluster.AddCoordinator("second");
  const v1::Job job = client.AwaitFinal(job_id);
  INFO(job.ShortDebugString());
  CHECK(job.state() == v1::JOB_STATE_SUCCEEDED);
  CHECK(job.attempts() == 1);
  CHECK(job.epoch() == 2);
}

TEST_CASE("a coordinator that is not on the list is refused") {
  Cluster cluster({"--coordinator", "known=127.0.0.1:1"});
  FrontendClient client(cluster.frontend().address());
  Service& stranger = cluster.AddCoordinator("stranger");
  REQUIRE(
      WaitUntil([&] { return stranger.Log().find("UNKNOWN_COORDINATOR") != std::string::npos; }));
  CHECK(stranger.Running());
  const std::string job_id =
      client.UploadToEqualize(ReadFile(TestData("moon.png")), "moon.png").job().id();
  CHECK(client.GetJob(job_id).state() == v1::JOB_STATE_QUEUED);
  cluster.AddCoordinator("known");
  const v1::Job job = client.AwaitFinal(job_id);
  CHECK(job.state() == v1::JOB_STATE_SUCCEEDED);
}

}  // namespace
}  // namespace histeq::integration
