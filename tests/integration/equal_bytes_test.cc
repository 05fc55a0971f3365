// The result is the same with any number of workers, also when services die on the way.

#include <catch2/catch.hpp>

#include "cluster.h"
#include "files.h"
#include "frontend_client.h"
#include "pictures.h"

namespace histeq::integration {
namespace {

// About a dozen segments of the plan each.
std::string LargeJpeg() {
  static const std::string file =
      EncodeJpeg(Tiled(DecodeJpeg(ReadFile(TestData("retina.jpg")), 3), 4096, 8192));
  return file;
}
std::string LargePng() {
  static const std::string file =
      EncodePng(Tiled(DecodePng(ReadFile(TestData("camera.png")), 1), 4096, 10240));
  return file;
}

std::string ResultOf(FrontendClient& client, const std::string& file, const std::string& name) {
  // Anew, since the result of the same bytes may be there.
  const v1::Job job =
      client.AwaitFinal(client.EqualizeAnew(client.UploadOnly(file, name).id()).id());
  INFO(job.ShortDebugString());
  REQUIRE(job.state() == v1::JOB_STATE_SUCCEEDED);
  return client.DownloadImage(job.result_image_id());
}

// What one coordinator alone makes of a file.
std::string ExpectedOf(const std::string& file, const std::string& name) {
  Cluster cluster;
  cluster.AddCoordinator("alone");
  FrontendClient client(cluster.frontend().address());
  return ResultOf(client, file, name);
}
const std::string& ExpectedJpeg() {
  static const std::string bytes = ExpectedOf(LargeJpeg(), "large.jpg");
  return bytes;
}

// A large job that takes a while: the workers think over each segment.
struct SlowJob {
  static constexpr const char* kDelay = "400";

  explicit SlowJob(Cluster& cluster, int workers) : client(cluster.frontend().address()) {
    for (int i = 0; i < workers; ++i) {
      this->workers.push_back(&cluster.AddWorker(
          "worker-" + std::to_string(i), {"--slots", "1", "--test-segment-delay-ms", kDelay}));
    }
    REQUIRE(client.AwaitNodes(1, workers));
    job = client.UploadToEqualize(LargeJpeg(), "large.jpg").job();
  }

  // Until segments have come back from workers, and some are still out.
  void AwaitTheMiddle() {
    v1::Job now;
    REQUIRE(WaitUntil([&] {
      now = client.GetJob(job.id());
      return now.progress().stage() == v1::JOB_STAGE_TRANSFORM &&
             now.progress().segments_done() > 0;
    }));
    INFO(now.ShortDebugString());
    REQUIRE(now.state() == v1::JOB_STATE_RUNNING);
    REQUIRE(now.progress().segments_done() < now.progress().segments_total());
  }

  // The job's end: one result, of the right bytes.
  void CheckResult() {
    job = client.AwaitFinal(job.id());
    INFO(job.ShortDebugString());
    REQUIRE(job.state() == v1::JOB_STATE_SUCCEEDED);
    CHECK(client.DownloadImage(job.result_image_id()) == ExpectedJpeg());
    int results = 0;
    for (const v1::Image& image : client.ListImages()) results += image.source_job_id() == job.id();
    CHECK(results == 1);
    CHECK(client.ListJobs().size() == 1);
  }

  FrontendClient client;
  std::vector<Service*> workers;
  v1::Job job;
};

TEST_CASE("equal bytes with 0, 1, 2 and 5 workers") {
  Cluster cluster;
  cluster.AddCoordinator("one");
  FrontendClient client(cluster.frontend().address());
  REQUIRE(client.AwaitNodes(1, 0));
  const std::string small = ReadFile(TestData("chelsea.png"));
  const std::string jpeg = ResultOf(client, LargeJpeg(), "large.jpg");
  const std::string png = ResultOf(client, LargePng(), "large.png");
  const std::string small_png = ResultOf(client, small, "small.png");
  CHECK(jpeg == ExpectedJpeg());
  CHECK(DecodePng(png, 1).samples == EqualizedByFormula(DecodePng(LargePng(), 1)).samples);

  int workers = 0;
  for (const int wanted : {1, 2, 5}) {
    for (; workers < wanted; ++workers) cluster.AddWorker("worker-" + std::to_string(workers));
    REQUIRE(client.AwaitNodes(1, wanted));
    INFO(wanted << " workers");
    CHECK(ResultOf(client, LargeJpeg(), "large.jpg") == jpeg);
    CHECK(ResultOf(client, LargePng(), "large.png") == png);
    CHECK(ResultOf(client, small, "small.png") == small_png);
  }
  uint64_t by_workers = 0;
  REQUIRE(WaitUntil([&] {
    by_workers = 0;
    const v1::ListNodesResponse nodes = client.ListNodes();
    for (const v1::CoordinatorInfo& coordinator : nodes.coordinators()) {
      for (const v1::WorkerInfo& worker : coordinator.workers())
        by_workers += worker.segments_done();
    }
    return by_workers > 0;
  }));
  CHECK(FilesBelow(cluster.scratch_folder()).empty());
}

TEST_CASE("a worker killed during the job") {
  Cluster cluster;
  cluster.AddCoordinator("one");
  SlowJob slow(cluster, 2);
  slow.AwaitTheMiddle();
  slow.workers[0]->Kill();
  slow.CheckResult();
  CHECK(slow.job.attempts() == 1);
}

TEST_CASE("all workers killed during the job") {
  Cluster cluster;
  cluster.AddCoordinator("one");
  SlowJob slow(cluster, 2);
  slow.AwaitTheMiddle();
  for (Service* worker : slow.workers) worker->Kill();
  slow.CheckResult();
  CHECK(slow.job.attempts() == 1);
}

TEST_CASE("a worker that stops answering during the job") {
  Cluster cluster;
  cluster.AddCoordinator("one");
  SlowJob slow(cluster, 2);
  slow.AwaitTheMiddle();
  slow.workers[0]->Pause();
  slow.CheckResult();
  CHECK(slow.job.attempts() == 1);
}

TEST_CASE("a worker that comes during the job takes part") {
  Cluster cluster;
  cluster.AddCoordinator("one");
  SlowJob slow(cluster, 1);
  slow.AwaitTheMiddle();
  cluster.AddWorker("late");
  slow.CheckResult();
  REQUIRE(WaitUntil([&] {
    const v1::ListNodesResponse nodes = slow.client.ListNodes();
    for (const v1::CoordinatorInfo& coordinator : nodes.coordinators()) {
      for (const v1::WorkerInfo& worker : coordinator.workers()) {
        if (worker.name() == "late" && worker.segments_done() > 0) return true;
      }
    }
    return false;
  }));
}

TEST_CASE("the coordinator killed during the job: a second one takes over") {
  Cluster cluster;
  Service& first = cluster.AddCoordinator("first");
  SlowJob slow(cluster, 2);
  slow.AwaitTheMiddle();
  CHECK(slow.client.GetJob(slow.job.id()).coordinator() == "first");
  cluster.AddCoordinator("second");
  first.Kill();
  slow.CheckResult();
  CHECK(slow.job.epoch() == 2);
}

TEST_CASE("the frontend killed and started again during the job") {
  Cluster cluster;
  cluster.AddCoordinator("one");
  SlowJob slow(cluster, 2);
  slow.AwaitTheMiddle();
  cluster.frontend().Kill();
  cluster.frontend().Start();
  REQUIRE(slow.client.AwaitReachable());
  slow.CheckResult();
}

TEST_CASE("the frontend killed while a result is sent to it") {
  Cluster cluster;
  cluster.AddCoordinator("one");
  FrontendClient client(cluster.frontend().address());
  const std::string job_id = client.UploadToEqualize(LargeJpeg(), "large.jpg").job().id();
  WaitUntil([&] {
    const v1::Job job = client.GetJob(job_id);
    return job.progress().stage() == v1::JOB_STAGE_UPLOAD || job.state() != v1::JOB_STATE_RUNNING;
  });
  cluster.frontend().Kill();
  cluster.frontend().Start();
  REQUIRE(client.AwaitReachable());
  const v1::Job job = client.AwaitFinal(job_id);
  INFO(job.ShortDebugString());
  REQUIRE(job.state() == v1::JOB_STATE_SUCCEEDED);
  CHECK(client.DownloadImage(job.result_image_id()) == ExpectedJpeg());
}

TEST_CASE("the frontend killed and started again during an upload") {
  Cluster cluster;
  cluster.AddCoordinator("one");
  FrontendClient client(cluster.frontend().address());
  const std::string& file = LargeJpeg();
  v1::UploadImageRequest::Header header;
  header.set_upload_id(NewId());
  header.set_name("large.jpg");
  header.set_size_bytes(file.size());
  header.set_sha256(Sha256(file));
  *header.mutable_operation() = EqualizeOperation();
  const auto committed = [&] {
    grpc::ClientContext context;
    SetDeadline(context);
    context.set_wait_for_ready(true);
    v1::GetUploadRequest request;
    request.set_upload_id(header.upload_id());
    v1::GetUploadResponse response;
    client.calls().GetUpload(&context, request, &response);
    return response.committed_bytes();
  };
  {
    Upload upload(client.calls());
    const std::vector<v1::UploadImageRequest> messages = UploadMessages(header, file);
    for (size_t i = 0; i < messages.size() / 2; ++i) REQUIRE(upload.Send(messages[i]));
    REQUIRE(WaitUntil([&] { return !cluster.BlobFiles().empty(); }));
    cluster.frontend().Kill();
    CHECK(upload.Finish().error_code() == grpc::StatusCode::UNAVAILABLE);
  }
  cluster.frontend().Start();
  REQUIRE(client.AwaitReachable());
  const uint64_t offset = committed();
  CHECK(offset < file.size());
  v1::UploadImageResponse response;
  const grpc::Status status = client.Send(UploadMessages(header, file, offset), &response);
  INFO(status.error_message());
  REQUIRE(Outcome(status) == "OK");
  CHECK(response.image().sha256() == Sha256(file));
  CHECK(client.DownloadImage(response.image().id()) == file);

  // Acknowledged: the same upload again, by a client that missed the answer, is the same image and
  // job.
  v1::UploadImageResponse again;
  CHECK(Outcome(client.Send(UploadMessages(header, file), &again)) == "OK");
  CHECK(again.image().id() == response.image().id());
  CHECK(again.job().id() == response.job().id());
  // And it survives another kill.
  cluster.frontend().Kill();
  cluster.frontend().Start();
  REQUIRE(client.AwaitReachable());
  const v1::Job job = client.AwaitFinal(response.job().id());
  INFO(job.ShortDebugString());
  REQUIRE(job.state() == v1::JOB_STATE_SUCCEEDED);
  CHECK(client.DownloadImage(job.result_image_id()) == ExpectedJpeg());
}

TEST_CASE("several jobs at once, several coordinators: each has one result of the right bytes") {
  Cluster cluster;
  cluster.AddCoordinator("first");
  cluster.AddCoordinator("second");
  cluster.AddWorker("worker");
  FrontendClient client(cluster.frontend().address());
  REQUIRE(client.AwaitNodes(2, 1));
  const std::vector<std::string> names = {
      "moon.png",   "camera.png", "chelsea.png",          "coffee.png",
      "retina.jpg", "rocket.jpg", "hubble_deep_field.jpg"};
  std::map<std::string, std::vector<std::string>> jobs;
  for (int round = 0; round < 3; ++round) {
    for (const std::string& name : names) {
      jobs[name].push_back(client.UploadToEqualize(ReadFile(TestData(name)), name).job().id());
    }
  }
  for (const auto& [name, ids] : jobs) {
    std::set<std::string> results;
    for (const std::string& id : ids) {
      const v1::Job job = client.AwaitFinal(id);
      INFO(name << ": " << job.ShortDebugString());
      REQUIRE(job.state() == v1::JOB_STATE_SUCCEEDED);
      results.insert(client.DownloadImage(job.result_image_id()));
    }
    INFO(name);
    CHECK(results.size() == 1);
  }
}

}  // namespace
}  // namespace histeq::integration
