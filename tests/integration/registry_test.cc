// Registered files: below the frontend's roots, and in the storage of nodes.

#include <catch2/catch.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "cluster.h"
#include "files.h"
#include "frontend_client.h"
#include "pictures.h"

namespace histeq::integration {
namespace {

namespace fs = std::filesystem;

class Registry {
 public:
  explicit Registry(FrontendClient& client) : client_(client) {}

  grpc::Status TryRegister(const std::string& id, const std::string& location,
                           v1::RegisterImageResponse& response,
                           const v1::Operation* operation = nullptr) {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::RegisterImageRequest request;
    request.set_id(id);
    request.set_location(location);
    if (operation != nullptr) *request.mutable_operation() = *operation;
    return client_.calls().RegisterImage(&context, request, &response);
  }
  v1::RegisterImageResponse Register(const std::string& id, const std::string& location,
                                     const v1::Operation* operation = nullptr) {
    v1::RegisterImageResponse response;
    const grpc::Status status = TryRegister(id, location, response, operation);
    REQUIRE(Outcome(status) == "OK");
    return response;
  }
  v1::GetImageResponse Get(const std::string& id) {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::GetImageRequest request;
    request.set_image_id(id);
    v1::GetImageResponse response;
    REQUIRE(Outcome(client_.calls().GetImage(&context, request, &response)) == "OK");
    return response;
  }
  v1::Job Equalize(const std::string& id) {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::CreateJobRequest request;
    request.set_request_id(NewId());
    request.set_image_id(id);
    *request.mutable_operation() = EqualizeOperation();
    request.set_refresh(true);
    v1::CreateJobResponse response;
    REQUIRE(Outcome(client_.calls().CreateJob(&context, request, &response)) == "OK");
    return response.job();
  }

 private:
  FrontendClient& client_;
};

std::string UriOf(const fs::path& path) { return "file://" + path.string(); }

// What the services make of an upload of the same bytes; anew, since what is there of the same
// bytes is not made again.
std::string EqualizedUpload(FrontendClient& client, const std::string& file,
                            const std::string& name) {
  const std::string image = client.UploadOnly(file, name).id();
  const v1::Job job = client.AwaitFinal(Registry(client).Equalize(image).id());
  REQUIRE(job.state() == v1::JOB_STATE_SUCCEEDED);
  return client.DownloadImage(job.result_image_id());
}

// Lines of the log with `event` and `what`.
bool HasLine(const std::string& log, const std::string& event, const std::string& what) {
  for (size_t at = log.find(event); at != std::string::npos; at = log.find(event, at + 1)) {
    const size_t begin = log.rfind('\n', at) == std::string::npos ? 0 : log.rfind('\n', at);
    if (log.substr(begin, log.find('\n', at) - begin).find(what) != std::string::npos) return true;
  }
  return false;
}

TEST_CASE("a file below a root is registered, read, and equalized as an upload is") {
  const TempFolder files;
  fs::create_directories(files.path() / "root");
  const std::string picture = ReadFile(TestData("rocket.jpg"));
  WriteFile(files.File("root/rocket 1.jpg"), picture);
  WriteFile(files.File("root/text.txt"), "no picture");
  WriteFile(files.File("outside.jpg"), picture);
  fs::create_symlink("../outside.jpg", files.path() / "root/link.jpg");
  Cluster cluster({"--file-root", files.File("root")});
  FrontendClient client(cluster.frontend().address());
  Registry registry(client);
  const v1::Operation equalize = EqualizeOperation();
  // Before there is anybody to read it.
  const v1::RegisterImageResponse registered =
      registry.Register("rocket.1", UriOf(files.path() / "root/rocket%201.jpg"), &equalize);
  CHECK(registered.image().unread());
  CHECK(registered.image().name() == "rocket 1.jpg");
  CHECK_FALSE(registered.job().waiting_for().empty());
  CHECK(registry.Get("rocket.1").state() == v1::GetImageResponse::STATE_QUEUED);
  cluster.AddCoordinator("coordinator");
  const v1::Job job = client.AwaitFinal(registered.job().id());
  REQUIRE(job.state() == v1::JOB_STATE_SUCCEEDED);
  CHECK(job.waiting_for().empty());
  const v1::GetImageResponse known = registry.Get("rocket.1");
  CHECK(known.state() == v1::GetImageResponse::STATE_DONE);
  CHECK_FALSE(known.image().unread());
  CHECK(known.image().sha256() == Sha256(picture));
  CHECK(known.image().size_bytes() == picture.size());
  CHECK(known.image().format() == v1::IMAGE_FORMAT_JPEG);
  CHECK(known.image().width() > 0);
  CHECK(client.DownloadImage(job.result_image_id()) ==
        EqualizedUpload(client, picture, "rocket.jpg"));
  CHECK(client.DownloadImage("rocket.1") == picture);

  v1::RegisterImageResponse refused;
  CHECK(Outcome(registry.TryRegister("x", UriOf(files.path() / "outside.jpg"), refused)) ==
        "PERMISSION_DENIED OUTSIDE_ROOTS");
  CHECK(Outcome(registry.TryRegister("x", UriOf(files.path() / "root/link.jpg"), refused)) ==
        "PERMISSION_DENIED OUTSIDE_ROOTS");
  CHECK(Outcome(registry.TryRegister("x", UriOf(files.path() / "root/none.jpg"), refused)) ==
        "NOT_FOUND FILE_NOT_FOUND");
  CHECK(Outcome(registry.TryRegister("rocket.1", UriOf(files.path() / "root/text.txt"), refused)) ==
        "ALREADY_EXISTS IMAGE_ID_TAKEN");

  // No picture: the reading fails, and so does what was asked for.
  const v1::RegisterImageResponse text =
      registry.Register("text", UriOf(files.path() / "root/text.txt"), &equalize);
  const v1::Job failed = client.AwaitFinal(text.job().id());
  CHECK(failed.state() == v1::JOB_STATE_FAILED);
  CHECK(failed.error().reason() == "NOT_AN_IMAGE");
  CHECK(registry.Get("text").state() == v1::GetImageResponse::STATE_FAILED);

  // Deleting forgets the image, and leaves the file.
  grpc::ClientContext context;
  SetDeadline(context);
  v1::DeleteImageRequest request;
  request.set_image_id("rocket.1");
  v1::DeleteImageResponse response;
  CHECK(client.calls().DeleteImage(&context, request, &response).ok());
  CHECK(ReadFile(files.File("root/rocket 1.jpg")) == picture);
}

TEST_CASE("a registered file that changes") {
  const TempFolder files;
  const std::string old_picture = ReadFile(TestData("moon.png"));
  const std::string new_picture = ReadFile(TestData("camera.png"));
  const std::string path = files.File("a.png");
  WriteFile(path, old_picture);
  Cluster cluster({"--file-root", files.path().string()});
  FrontendClient client(cluster.frontend().address());
  cluster.AddCoordinator("coordinator");
  Registry registry(client);
  CHECK(client.AwaitFinal(registry.Register("a", UriOf(path)).job().id()).state() ==
        v1::JOB_STATE_SUCCEEDED);
  WriteFile(path, new_picture);
  const v1::Job failed = client.AwaitFinal(registry.Equalize("a").id());
  CHECK(failed.state() == v1::JOB_STATE_FAILED);
  CHECK(failed.error().reason() == "SOURCE_CHANGED");
  CHECK(registry.Get("a").image().unread());

  const v1::Operation equalize = EqualizeOperation();
  const v1::Job job = client.AwaitFinal(registry.Register("a", UriOf(path), &equalize).job().id());
  REQUIRE(job.state() == v1::JOB_STATE_SUCCEEDED);
  CHECK(registry.Get("a").image().sha256() == Sha256(new_picture));
  CHECK(client.DownloadImage(job.result_image_id()) ==
        EqualizedUpload(client, new_picture, "camera.png"));

  // As large and of the same time, with other bytes: found by the checksum, at the end.
  std::string other = new_picture;
  other[other.size() / 2] = static_cast<char>(other[other.size() / 2] ^ 1);
  const auto time = fs::last_write_time(path);
  WriteFile(path, other);
  fs::last_write_time(path, time);
  const v1::Job wrong = client.AwaitFinal(registry.Equalize("a").id());
  CHECK(wrong.state() == v1::JOB_STATE_FAILED);
  CHECK((wrong.error().reason() == "SOURCE_CHANGED" || wrong.error().reason() == "IMAGE_CORRUPT"));
}

TEST_CASE("files of a coordinator wait for it, and are read where they lie") {
  const TempFolder files;
  const std::string picture = ReadFile(TestData("retina.jpg"));
  WriteFile(files.File("r.jpg"), picture);
  Cluster cluster({"--lease-ttl-s", "2", "--coordinator-timeout-s", "2"});
  FrontendClient client(cluster.frontend().address());
  Registry registry(client);
  cluster.AddCoordinator("without");
  REQUIRE(client.AwaitNodes(1, 0));
  const v1::Operation equalize = EqualizeOperation();
  const v1::RegisterImageResponse registered =
      registry.Register("r", "node://disk1/r.jpg", &equalize);
  // Whoever does not have the storage is not given the job.
  const std::string expected = EqualizedUpload(client, picture, "retina.jpg");
  CHECK(client.GetJob(registered.job().id()).state() == v1::JOB_STATE_QUEUED);
  const auto waiting_for = [&](const std::string& id) { return client.GetJob(id).waiting_for(); };
  CHECK(WaitUntil([&] {
    for (const v1::Job& job : client.ListJobs()) {
      if (job.waiting_for().find("storage disk1") != std::string::npos) return true;
    }
    return false;
  }));
  Service& with =
      cluster.AddCoordinator("with", {"--storage-root", "disk1=" + files.path().string()});
  REQUIRE(client.AwaitFinal(registered.job().id()).state() == v1::JOB_STATE_SUCCEEDED);
  const v1::Job job = client.AwaitFinal(registry.Equalize("r").id());
  REQUIRE(job.state() == v1::JOB_STATE_SUCCEEDED);
  CHECK(client.DownloadImage(job.result_image_id()) == expected);
  CHECK(registry.Get("r").image().sha256() == Sha256(picture));
  // The frontend gave away no bytes of it: it has none.
  v1::DownloadImageRequest request;
  request.set_image_id("r");
  grpc::ClientContext context;
  SetDeadline(context);
  const auto reader = client.calls().DownloadImage(&context, request);
  v1::DownloadImageResponse message;
  while (reader->Read(&message)) {
  }
  CHECK(Outcome(reader->Finish()) == "UNIMPLEMENTED NODE_STORAGE");

  with.Kill();
  const v1::Job again = registry.Equalize("r");
  CHECK(WaitUntil(
      [&] { return waiting_for(again.id()).find("storage disk1") != std::string::npos; }));
  with.Start();
  const v1::Job done = client.AwaitFinal(again.id());
  REQUIRE(done.state() == v1::JOB_STATE_SUCCEEDED);
  CHECK(client.DownloadImage(done.result_image_id()) == expected);
}

TEST_CASE("files of a worker are done there, and large ones are read from there") {
  const TempFolder files;
  const std::string small = ReadFile(TestData("rocket.jpg"));
  // More samples than a worker does whole.
  const Picture gray = DecodePng(ReadFile(TestData("moon.png")), 1);
  const std::string large = EncodePng(Tiled(gray, 10'000, 8'000));
  WriteFile(files.File("small.jpg"), small);
  WriteFile(files.File("large.png"), large);
  Cluster cluster({"--lease-ttl-s", "2"});
  FrontendClient client(cluster.frontend().address());
  Registry registry(client);
  Service& coordinator = cluster.AddCoordinator("coordinator");
  Service& plain = cluster.AddWorker("plain");
  REQUIRE(client.AwaitNodes(1, 1));
  const std::string small_expected = EqualizedUpload(client, small, "small.jpg");
  const std::string large_expected = EqualizedUpload(client, large, "large.png");
  Service& holder =
      cluster.AddWorker("holder", {"--storage-root", "disk2=" + files.path().string()});
  REQUIRE(client.AwaitNodes(1, 2));
  for (const std::string id : {"small.jpg", "large.png"}) {
    const v1::Job read = client.AwaitFinal(registry.Register(id, "node://disk2/" + id).job().id());
    REQUIRE(read.state() == v1::JOB_STATE_SUCCEEDED);
  }
  const v1::Job small_job = client.AwaitFinal(registry.Equalize("small.jpg").id());
  REQUIRE(small_job.state() == v1::JOB_STATE_SUCCEEDED);
  CHECK(client.DownloadImage(small_job.result_image_id()) == small_expected);
  // Its bytes have not crossed the network.
  CHECK_FALSE(HasLine(holder.Log(), "file_read", small_job.id()));
  CHECK(HasLine(holder.Log(), "image_processed", small_job.id()));
  const v1::Job large_job = client.AwaitFinal(registry.Equalize("large.png").id());
  REQUIRE(large_job.state() == v1::JOB_STATE_SUCCEEDED);
  CHECK(client.DownloadImage(large_job.result_image_id()) == large_expected);
  CHECK(HasLine(holder.Log(), "file_read", large_job.id()));
  CHECK(registry.Get("large.png").image().sha256() == Sha256(large));

  holder.Kill();
  const v1::Job waits = registry.Equalize("small.jpg");
  CHECK(WaitUntil([&] {
    return client.GetJob(waits.id()).waiting_for().find("storage disk2") != std::string::npos;
  }));
  // Somebody else's work goes on.
  CHECK(EqualizedUpload(client, ReadFile(TestData("coffee.png")), "coffee.png").size() > 0);
  CHECK(client.GetJob(waits.id()).state() == v1::JOB_STATE_QUEUED);
  holder.Start();
  const v1::Job done = client.AwaitFinal(waits.id());
  REQUIRE(done.state() == v1::JOB_STATE_SUCCEEDED);
  CHECK(client.DownloadImage(done.result_image_id()) == small_expected);

  // A file that is not there, and one outside.
  const v1::Job missing =
      client.AwaitFinal(registry.Register("none", "node://disk2/none.jpg").job().id());
  CHECK(missing.state() == v1::JOB_STATE_FAILED);
  CHECK(missing.error().reason() == "FILE_NOT_FOUND");
  fs::create_symlink(TestData("moon.png"), files.path() / "out.png");
  const v1::Job outside =
      client.AwaitFinal(registry.Register("out", "node://disk2/out.png").job().id());
  CHECK(outside.state() == v1::JOB_STATE_FAILED);
  CHECK(outside.error().reason() == "OUTSIDE_ROOTS");
  // Changed since it was read.
  WriteFile(files.File("small.jpg"), ReadFile(TestData("retina.jpg")));
  const v1::Job changed = client.AwaitFinal(registry.Equalize("small.jpg").id());
  CHECK(changed.state() == v1::JOB_STATE_FAILED);
  CHECK(changed.error().reason() == "SOURCE_CHANGED");
  CHECK(coordinator.Running());
  CHECK(plain.Running());
}

TEST_CASE("the command line registers a path") {
  const TempFolder files;
  const std::string picture = ReadFile(TestData("rocket.jpg"));
  WriteFile(files.File("img 1.jpg"), picture);
  Cluster cluster({"--file-root", files.path().string()});
  FrontendClient client(cluster.frontend().address());
  cluster.AddCoordinator("coordinator");
  const auto run = [&](std::vector<std::string> arguments) {
    std::vector<std::string> command = {Program("histeq"), "--server",
                                        cluster.frontend().address()};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return RunToEnd(command);
  };
  const Finished registered =
      run({"register", "img_1", files.File("img 1.jpg"), "--process", "equalize", "--wait"});
  INFO(registered.err);
  CHECK(registered.exit_code == 0);
  const v1::Job job = client.GetJob(registered.out.substr(0, registered.out.find('\n')));
  CHECK(job.state() == v1::JOB_STATE_SUCCEEDED);
  const Finished query = run({"query", "img_1"});
  CHECK(query.out.find("done") != std::string::npos);
  CHECK(query.out.find("file://") != std::string::npos);
  CHECK(run({"register", "img_2", "/etc/hostname"}).exit_code == 1);
  CHECK(run({"register", "img_2", "node://nowhere/x.jpg", "--process", "thumbnail:0"}).exit_code ==
        2);
  CHECK(run({"register", "img_2", "node://nowhere/x.jpg"}).exit_code == 0);
  CHECK(run({"jobs"}).out.find("waits for storage nowhere") != std::string::npos);
}

}  // namespace
}  // namespace histeq::integration
