// A full disk is said clearly, nothing is lost, and everything goes on when there is room again.

#include <sys/mount.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "cluster.h"
#include "files.h"
#include "frontend_client.h"
#include "pictures.h"

namespace histeq::integration {
namespace {

// Files of blobs below a data folder, whole or partial, with what belongs to them.
size_t CountBlobFiles(const std::string& data_folder) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(data_folder + "/blobs")) {
    if (entry.is_regular_file()) ++count;
  }
  return count;
}

v1::UploadImageRequest::Header Header() {
  v1::UploadImageRequest::Header header;
  header.set_upload_id(NewId());
  header.set_name("large.png");
  *header.mutable_operation() = EqualizeOperation();
  return header;
}

TEST_CASE("an upload that would eat the reserve is refused before its bytes come") {
  // No disk has so much.
  Cluster cluster({"--disk-reserve", "1000000GiB"});
  FrontendClient client(cluster.frontend().address());
  v1::UploadImageRequest::Header header = Header();
  const std::string file = ReadFile(TestData("moon.png"));
  header.set_size_bytes(file.size());
  const grpc::Status status = client.Send(UploadMessages(header, file));
  INFO(status.error_message());
  CHECK(Outcome(status) == "RESOURCE_EXHAUSTED DISK_FULL");
  CHECK(FactsOf(status).info.metadata().count("limit") == 1);
  CHECK(FactsOf(status).info.metadata().count("actual") == 1);
  CHECK(client.ListImages().empty());
  CHECK(cluster.BlobFiles().empty());
}

// A folder on a small disk of its own.
class SmallDisk {
 public:
  SmallDisk(const std::string& folder, const std::string& size) : folder_(folder) {
    std::filesystem::create_directories(folder);
    mounted_ = mount("tmpfs", folder.c_str(), "tmpfs", 0, ("size=" + size).c_str()) == 0;
  }
  ~SmallDisk() {
    if (mounted_) umount2(folder_.c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }

 private:
  std::string folder_;
  bool mounted_ = false;
};

TEST_CASE("a disk that fills up in the middle of an upload") {
  TempFolder folder;
  const SmallDisk disk(folder.File("disk"), "16m");
  if (!disk.mounted()) {
    WARN("not tried: mounting a small disk takes the right to mount");
    return;
  }
  Service frontend("histeq-frontend", "frontend",
                   {"--data-dir", folder.File("disk/data"), "--disk-reserve", "0"}, folder);
  frontend.Start();
  FrontendClient client(frontend.address());
  const std::string small = ReadFile(TestData("moon.png"));
  const v1::Image kept = client.UploadOnly(small, "moon.png");

  const std::string large =
      EncodePng(Tiled(DecodePng(ReadFile(TestData("coffee.png")), 3), 6000, 4000));
  REQUIRE(large.size() > 20'000'000);
  const v1::UploadImageRequest::Header header = Header();
  const grpc::Status status = client.Send(UploadMessages(header, large));
  INFO(status.error_message());
  CHECK(Outcome(status) == "RESOURCE_EXHAUSTED DISK_FULL");
  CHECK(frontend.Running());
  // Nothing is left of it, and its room is free again.
  CHECK(CountBlobFiles(folder.File("disk/data")) == 1);
  v1::GetUploadRequest request;
  request.set_upload_id(header.upload_id());
  v1::GetUploadResponse response;
  grpc::ClientContext context;
  SetDeadline(context);
  CHECK(Outcome(client.calls().GetUpload(&context, request, &response)) ==
        "NOT_FOUND UPLOAD_NOT_FOUND");
  CHECK(client.DownloadImage(client.UploadOnly(small, "again.png").id()) == small);

  // What was acknowledged is there, and with room again uploads work without a restart.
  CHECK(client.DownloadImage(kept.id()) == small);
  REQUIRE(mount("tmpfs", folder.File("disk").c_str(), "tmpfs", MS_REMOUNT, "size=512m") == 0);
  const v1::Image image = client.UploadOnly(large, "large.png");
  CHECK(client.DownloadImage(image.id()) == large);
}

TEST_CASE("a frontend's disk that has no room for a result fails the job, not the service") {
  TempFolder folder;
  const SmallDisk disk(folder.File("disk"), "16m");
  if (!disk.mounted()) {
    WARN("not tried: mounting a small disk takes the right to mount");
    return;
  }
  Service frontend(
      "histeq-frontend", "frontend",
      {"--data-dir", folder.File("disk/data"), "--disk-reserve", "0", "--max-attempts", "2"},
      folder);
  frontend.Start();
  std::filesystem::create_directories(folder.File("scratch"));
  Service coordinator("histeq-coordinator", "coordinator",
                      {"--frontend", frontend.address(), "--scratch-dir", folder.File("scratch")},
                      folder);
  coordinator.Start();
  FrontendClient client(frontend.address());
  // The image fits, and its result beside it does not.
  const std::string large =
      EncodePng(Tiled(DecodePng(ReadFile(TestData("coffee.png")), 3), 2100, 2000));
  REQUIRE(large.size() > 8'000'000);
  REQUIRE(large.size() < 13'000'000);
  const v1::UploadImageResponse uploaded = client.UploadToEqualize(large, "large.png");
  const v1::Job job = client.AwaitFinal(uploaded.job().id());
  INFO(job.ShortDebugString());
  CHECK(job.state() == v1::JOB_STATE_FAILED);
  CHECK(job.attempts() == 2);
  CHECK(job.error().message().find("space") != std::string::npos);
  CHECK(frontend.Running());
  CHECK(coordinator.Running());
  CHECK(client.DownloadImage(uploaded.image().id()) == large);

  // With room again jobs succeed without a restart.
  REQUIRE(mount("tmpfs", folder.File("disk").c_str(), "tmpfs", MS_REMOUNT, "size=512m") == 0);
  const v1::Job again = client.AwaitFinal(client.UploadToEqualize(large, "large.png").job().id());
  INFO(again.ShortDebugString());
  CHECK(again.state() == v1::JOB_STATE_SUCCEEDED);
}

TEST_CASE("a coordinator's scratch disk that is full fails the attempt, not the service") {
  TempFolder folder;
  const SmallDisk disk(folder.File("disk"), "1m");
  if (!disk.mounted()) {
    WARN("not tried: mounting a small disk takes the right to mount");
    return;
  }
  Cluster cluster({"--max-attempts", "2"});
  Service coordinator("histeq-coordinator", "small",
                      {"--frontend", cluster.frontend().address(), "--scratch-dir",
                       folder.File("disk"), "--image-budget", "1MiB", "--threads", "1"},
                      folder);
  coordinator.Start();
  FrontendClient client(cluster.frontend().address());
  const std::string large =
      EncodeJpeg(Tiled(DecodeJpeg(ReadFile(TestData("retina.jpg")), 3), 4096, 4096));
  const v1::Job job = client.AwaitFinal(client.UploadToEqualize(large, "large.jpg").job().id());
  INFO(job.ShortDebugString());
  CHECK(job.state() == v1::JOB_STATE_FAILED);
  CHECK(job.attempts() == 2);
  CHECK(job.error().message().find("space") != std::string::npos);
  CHECK(coordinator.Running());
  const v1::Job small = client.AwaitFinal(
      client.UploadToEqualize(ReadFile(TestData("moon.png")), "moon.png").job().id());
  CHECK(small.state() == v1::JOB_STATE_SUCCEEDED);
}

}  // namespace
}  // namespace histeq::integration
