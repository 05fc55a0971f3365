// RegisterImage, the reading of registered files, and who is given those of nodes.

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <set>

#include "frontend_harness.h"

namespace histeq::testing {
namespace {

namespace fs = std::filesystem;
using Stub = v1::Frontend::Stub;
using LeaseProto = v1::LeaseJobResponse::Lease;

class Roots {
 public:
  Roots() {
    std::string name = (fs::temp_directory_path() / "histeq-register-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
    fs::create_directory(path_ / "root");
  }
  ~Roots() { fs::remove_all(path_); }
  std::string folder() const { return (path_ / "root").string(); }
  std::string Uri(const std::string& name) const { return "file://" + folder() + "/" + name; }
  void Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path_ / "root" / name, std::ios::binary) << bytes;
  }
  std::function<void(frontend::FrontendOptions&)> Options() const {
    return
        [folder = folder()](frontend::FrontendOptions& options) { options.file_roots = {folder}; };
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

grpc::Status TryRegister(Harness& harness, const std::string& id, const std::string& location,
                         v1::RegisterImageResponse* response, bool equalize = false) {
  v1::RegisterImageRequest request;
  request.set_id(id);
  request.set_location(location);
  if (equalize) *request.mutable_operation() = Equalize();
  return Call(harness.client(), &Stub::RegisterImage, request, response);
}

v1::RegisterImageResponse Register(Harness& harness, const std::string& id,
                                   const std::string& location, bool equalize = false) {
  v1::RegisterImageResponse response;
  REQUIRE(Outcome(TryRegister(harness, id, location, &response, equalize)) == "OK");
  return response;
}

v1::GetImageResponse GetImage(Harness& harness, const std::string& id) {
  v1::GetImageRequest request;
  request.set_image_id(id);
  v1::GetImageResponse response;
  REQUIRE(Outcome(Call(harness.client(), &Stub::GetImage, request, &response)) == "OK");
  return response;
}

struct Source {
  grpc::Status status;
  std::string bytes;
};
Source ReadSource(Harness& harness, const LeaseProto& lease) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  v1::ReadSourceRequest request;
  request.set_job_id(lease.job_id());
  request.set_epoch(lease.epoch());
  const auto reader = harness.queue().ReadSource(&context, request);
  Source source;
  v1::ReadSourceResponse message;
  while (reader->Read(&message)) source.bytes += message.chunk().data();
  source.status = reader->Finish();
  return source;
}

v1::CompleteJobRequest::Finish InspectedMoon() {
  const std::string moon = TestFile("moon.png");
  v1::CompleteJobRequest::Finish finish;
  v1::InspectedFile& file = *finish.mutable_inspected();
  file.set_size_bytes(moon.size());
  file.set_sha256(Sha256Of(moon));
  file.set_format(v1::IMAGE_FORMAT_PNG);
  file.set_width(512);
  file.set_height(512);
  file.set_channels(1);
  file.set_bits_per_sample(8);
  return finish;
}

grpc::Status Inspect(Harness& harness, const LeaseProto& lease,
                     const v1::CompleteJobRequest::Finish& finish) {
  CompleteCall call(harness.queue(), lease.job_id(), lease.epoch());
  return call.Finish(finish);
}

// A coordinator that says that it has these storages, itself or by a worker.
v1::HeartbeatRequest BeatWith(const std::vector<std::string>& own,
                              const std::vector<std::string>& workers = {}) {
  v1::HeartbeatRequest beat = BeatOf("c");
  for (const std::string& name : own) beat.mutable_coordinator()->add_storages(name);
  for (const std::string& name : workers) {
    beat.mutable_coordinator()->add_workers()->add_storages(name);
  }
  return beat;
}

TEST_CASE("a file is registered, read by a job, and then as known as an upload") {
  const Roots roots;
  roots.Write("moon 1.png", TestFile("moon.png"));
  Harness harness(roots.Options());
  const v1::RegisterImageResponse registered =
      Register(harness, "moon.1", roots.Uri("moon%201.png"), /*equalize=*/true);
  const v1::Image& image = registered.image();
  CHECK(image.id() == "moon.1");
  CHECK(image.name() == "moon 1.png");
  CHECK(image.location() == roots.Uri("moon%201.png"));
  CHECK(image.unread());
  CHECK(image.sha256().empty());
  CHECK(image.format() == v1::IMAGE_FORMAT_UNSPECIFIED);
  CHECK(image.has_modify_time());
  CHECK(registered.job().operation().has_equalize());
  CHECK_FALSE(registered.job().waiting_for().empty());
  CHECK(GetImage(harness, "moon.1").state() == v1::GetImageResponse::STATE_QUEUED);

  const LeaseProto inspection = harness.Lease();
  CHECK(inspection.operation().has_inspect());
  CHECK(inspection.image().unread());
  CHECK(inspection.image().size_bytes() == TestFile("moon.png").size());
  CHECK(GetImage(harness, "moon.1").state() == v1::GetImageResponse::STATE_RUNNING);
  const Source source = ReadSource(harness, inspection);
  CHECK(Outcome(source.status) == "OK");
  CHECK((source.bytes == TestFile("moon.png")));
  v1::CompleteJobRequest::Finish bad = InspectedMoon();
  bad.mutable_inspected()->set_width(0);
  CHECK(Outcome(Inspect(harness, inspection, bad)) == "INVALID_ARGUMENT BAD_RESULT");
  bad = InspectedMoon();
  bad.mutable_inspected()->set_size_bytes(1);
  CHECK(Outcome(Inspect(harness, inspection, bad)) == "INVALID_ARGUMENT BAD_RESULT");
  CHECK(Outcome(Inspect(harness, inspection, InspectedMoon())) == "OK");

  const LeaseProto lease = harness.Lease();
  CHECK(lease.job_id() == registered.job().id());
  CHECK_FALSE(lease.image().unread());
  CHECK(lease.image().sha256() == Sha256Of(TestFile("moon.png")));
  CHECK((ReadSource(harness, lease).bytes == TestFile("moon.png")));
  CHECK(Outcome(CompleteWith(harness.queue(), lease, TestFile("camera.png"))) == "OK");
  const v1::GetImageResponse known = GetImage(harness, "moon.1");
  CHECK(known.state() == v1::GetImageResponse::STATE_DONE);
  CHECK_FALSE(known.image().unread());
  CHECK(known.image().width() == 512);
  CHECK((harness.Download("moon.1") == TestFile("moon.png")));

  v1::DeleteImageRequest request;
  request.set_image_id("moon.1");
  v1::DeleteImageResponse deleted;
  CHECK(Outcome(Call(harness.client(), &Stub::DeleteImage, request, &deleted)) == "OK");
  CHECK(fs::exists(roots.folder() + "/moon 1.png"));
  CHECK(harness.BlobFiles().empty());
}

TEST_CASE("what cannot be registered") {
  const Roots roots;
  roots.Write("a.png", TestFile("moon.png"));
  std::ofstream(roots.path() / "secret.png") << "secret";
  fs::create_symlink("../secret.png", roots.folder() + "/link.png");
  fs::create_directory(roots.folder() + "/folder");
  Harness harness(roots.Options());
  v1::RegisterImageResponse response;
  const auto outcome = [&](const std::string& id, const std::string& location) {
    return Outcome(TryRegister(harness, id, location, &response));
  };
  for (const std::string& id : {std::string(), std::string(65, 'a'), std::string("a b"),
                                std::string("../a"), std::string(".a"), std::string("-a")}) {
    CHECK(outcome(id, roots.Uri("a.png")) == "INVALID_ARGUMENT BAD_ID");
  }
  CHECK(outcome("a", "blob:0123") == "INVALID_ARGUMENT BAD_LOCATION");
  CHECK(outcome("a", roots.Uri("../secret.png")) == "INVALID_ARGUMENT BAD_LOCATION");
  CHECK(outcome("a", roots.Uri("%2e%2e/secret.png")) == "INVALID_ARGUMENT BAD_LOCATION");
  CHECK(outcome("a", roots.Uri("a%00.png")) == "INVALID_ARGUMENT BAD_LOCATION");
  CHECK(outcome("a", "file:///etc/passwd") == "PERMISSION_DENIED OUTSIDE_ROOTS");
  CHECK(outcome("a", roots.Uri("link.png")) == "PERMISSION_DENIED OUTSIDE_ROOTS");
  CHECK(outcome("a", roots.Uri("folder")) == "INVALID_ARGUMENT NOT_A_FILE");
  CHECK(outcome("a", roots.Uri("none.png")) == "NOT_FOUND FILE_NOT_FOUND");
  v1::RegisterImageRequest request;
  request.set_id("a");
  request.set_location(roots.Uri("a.png"));
  request.mutable_operation()->mutable_inspect();
  CHECK(Outcome(Call(harness.client(), &Stub::RegisterImage, request, &response)) ==
        "UNIMPLEMENTED NOT_OFFERED");
  Register(harness, "a", roots.Uri("a.png"));
  CHECK(outcome("a", "node://disk/a.png") == "ALREADY_EXISTS IMAGE_ID_TAKEN");
  // Without roots every file is outside.
  Harness none;
  CHECK(Outcome(TryRegister(none, "a", roots.Uri("a.png"), &response)) ==
        "PERMISSION_DENIED OUTSIDE_ROOTS");
}

TEST_CASE("a file that is too large to be registered") {
  const Roots roots;
  const std::string moon = TestFile("moon.png");
  Harness harness([&](frontend::FrontendOptions& options) {
    roots.Options()(options);
    options.max_registered_bytes = moon.size();
  });
  roots.Write("a.png", moon);
  roots.Write("b.png", moon);
  fs::resize_file(roots.path() / "root/b.png", uint64_t{8} << 40);
  v1::RegisterImageResponse response;
  CHECK(Outcome(TryRegister(harness, "a", roots.Uri("a.png"), &response)) == "OK");
  CHECK(Outcome(TryRegister(harness, "b", roots.Uri("b.png"), &response)) ==
        "INVALID_ARGUMENT FILE_TOO_LARGE");
}

TEST_CASE("a registered file that is not what it was") {
  const Roots roots;
  roots.Write("a.png", TestFile("moon.png"));
  Harness harness(roots.Options());
  Register(harness, "a", roots.Uri("a.png"), /*equalize=*/true);
  CHECK(Outcome(Inspect(harness, harness.Lease(), InspectedMoon())) == "OK");
  const LeaseProto lease = harness.Lease();
  v1::DownloadImageRequest request;
  request.set_image_id("a");
  const auto download = [&] {
    grpc::ClientContext context;
    const auto reader = harness.client().DownloadImage(&context, request);
    v1::DownloadImageResponse message;
    while (reader->Read(&message)) {
    }
    return Outcome(reader->Finish());
  };
  SECTION("larger") {
    roots.Write("a.png", TestFile("moon.png") + "x");
    CHECK(Outcome(ReadSource(harness, lease).status) == "DATA_LOSS SOURCE_CHANGED");
    CHECK(download() == "DATA_LOSS SOURCE_CHANGED");
  }
  SECTION("written later") {
    fs::last_write_time(roots.folder() + "/a.png",
                        fs::last_write_time(roots.folder() + "/a.png") + std::chrono::seconds(1));
    CHECK(Outcome(ReadSource(harness, lease).status) == "DATA_LOSS SOURCE_CHANGED");
  }
  SECTION("gone") {
    fs::remove(roots.folder() + "/a.png");
    CHECK(Outcome(ReadSource(harness, lease).status) == "NOT_FOUND FILE_NOT_FOUND");
    CHECK(download() == "NOT_FOUND FILE_NOT_FOUND");
  }
  SECTION("a link out of the root") {
    fs::remove(roots.folder() + "/a.png");
    fs::create_symlink("/etc/hostname", roots.folder() + "/a.png");
    // Not PERMISSION_DENIED, which would say that the coordinator is refused.
    CHECK(Outcome(ReadSource(harness, lease).status) == "NOT_FOUND OUTSIDE_ROOTS");
    CHECK(download() == "PERMISSION_DENIED OUTSIDE_ROOTS");
  }
}

TEST_CASE("a node's file waits for its node") {
  Harness harness;
  const v1::RegisterImageResponse registered = Register(harness, "a", "node://disk1/x/a.png");
  CHECK(registered.image().name() == "a.png");
  const std::string& id = registered.job().id();
  CHECK(registered.job().waiting_for() == "storage disk1: no live coordinator or worker has it");
  v1::LeaseJobResponse none;
  REQUIRE(Outcome(harness.TryLease(&none)) == "OK");
  CHECK_FALSE(none.has_lease());
  HeartbeatCall heartbeat(harness.queue());
  v1::HeartbeatResponse answer;
  REQUIRE(heartbeat.Beat(BeatWith({"other", "bad name"}), &answer));
  REQUIRE(Outcome(harness.TryLease(&none)) == "OK");
  CHECK_FALSE(none.has_lease());
  CHECK_FALSE(harness.GetJob(id).waiting_for().empty());
  // One that waits in the queue is given the job as soon as its heartbeat says that it has it.
  auto waiting = std::async(std::launch::async, [&] {
    v1::LeaseJobResponse response;
    harness.TryLease(&response, "c", 60'000);
    return response;
  });
  const bool own = GENERATE(false, true);
  REQUIRE(heartbeat.Beat(own ? BeatWith({"disk1"}) : BeatWith({}, {"other", "disk1"}), &answer));
  const v1::LeaseJobResponse leased = waiting.get();
  REQUIRE(leased.has_lease());
  CHECK(leased.lease().job_id() == id);
  CHECK(leased.lease().image().location() == "node://disk1/x/a.png");
  CHECK(harness.GetJob(id).waiting_for().empty());
  CHECK(Outcome(ReadSource(harness, leased.lease()).status) == "UNIMPLEMENTED NODE_STORAGE");
  v1::CompleteJobRequest::Finish finish = InspectedMoon();
  finish.mutable_inspected()->mutable_modify_time()->set_seconds(1'700'000'000);
  CHECK(Outcome(Inspect(harness, leased.lease(), finish)) == "OK");
  CHECK(GetImage(harness, "a").image().modify_time().seconds() == 1'700'000'000);
}

TEST_CASE("what is asked of a file that is not read is listed, with what it waits for") {
  Harness harness;
  // All its results with the histogram would be more than a message holds.
  v1::RegisterImageRequest request;
  request.set_id("a");
  request.set_location("node://disk1/a.png");
  v1::Derive& derive = *request.mutable_operation()->mutable_derive();
  derive.mutable_equalize()->set_method(v1::Equalize::METHOD_MATCH);
  v1::Histogram& histogram = *derive.mutable_equalize()->mutable_reference_histogram();
  for (int i = 0; i < 65536; ++i) histogram.add_counts(uint64_t{1} << 40);
  for (uint32_t size = 1; size <= 16; ++size) {
    v1::Thumbnail& thumbnail = *derive.add_thumbnails();
    thumbnail.set_width(size);
    thumbnail.set_height(size);
  }
  v1::RegisterImageResponse registered;
  REQUIRE(Outcome(Call(harness.client(), &Stub::RegisterImage, request, &registered)) == "OK");
  // Another histogram is another result.
  histogram.set_counts(7, 1);
  v1::CreateJobRequest create;
  create.set_request_id(NewId());
  create.set_image_id("a");
  *create.mutable_operation()->mutable_equalize() = derive.equalize();
  v1::CreateJobResponse other;
  REQUIRE(Outcome(Call(harness.client(), &Stub::CreateJob, create, &other)) == "OK");
  const v1::GetImageResponse image = GetImage(harness, "a");
  CHECK(image.state() == v1::GetImageResponse::STATE_QUEUED);
  CHECK(image.waiting_for() == "storage disk1: no live coordinator or worker has it");
  REQUIRE(image.derivatives_size() == 18);
  std::set<std::string> histograms;
  for (int i = 0; i < 18; ++i) {
    const v1::GetImageResponse::Derivative& derivative = image.derivatives(i);
    CHECK(derivative.state() == v1::GetImageResponse::STATE_QUEUED);
    CHECK(derivative.job_id() == (i < 17 ? registered.job().id() : other.job().id()));
    CHECK(derivative.waiting_for().find("another job") == 0);
    const v1::Operation& operation = derivative.operation();
    const v1::Equalize& equalize =
        operation.has_derive() ? operation.derive().equalize() : operation.equalize();
    CHECK_FALSE(equalize.has_reference_histogram());
    CHECK(equalize.reference_histogram_sha256().size() == 32);
    histograms.insert(equalize.reference_histogram_sha256());
  }
  CHECK(histograms.size() == 2);
  // The job itself has it.
  CHECK(
      harness.GetJob(other.job().id()).operation().equalize().reference_histogram().counts_size() ==
      65536);
}

TEST_CASE("what a job waits for is said") {
  Harness harness;
  const v1::Job job = harness.UploadToEqualize().job();
  CHECK(harness.GetJob(job.id()).waiting_for() == "a coordinator: none is attached");
  HeartbeatCall heartbeat(harness.queue());
  v1::HeartbeatResponse answer;
  REQUIRE(heartbeat.Beat(BeatOf("c"), &answer));
  CHECK(harness.GetJob(job.id()).waiting_for().empty());
  const LeaseProto lease = harness.Lease();
  v1::FailJobRequest request;
  request.set_job_id(lease.job_id());
  request.set_epoch(lease.epoch());
  request.set_outcome(v1::FailJobRequest::OUTCOME_RETRY);
  request.mutable_error()->set_code(grpc::StatusCode::UNAVAILABLE);
  v1::FailJobResponse response;
  REQUIRE(Call(harness.queue(), &v1::JobQueue::Stub::FailJob, request, &response).ok());
  CHECK(harness.GetJob(job.id()).waiting_for().find("its next attempt, not before 20") == 0);
}

}  // namespace
}  // namespace histeq::testing
