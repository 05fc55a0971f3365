// What is wrong with an input is said clearly, and nothing of it remains.

#include <catch2/catch.hpp>

#include "cluster.h"
#include "files.h"
#include "frontend_client.h"
#include "pictures.h"

namespace histeq::integration {
namespace {

std::string WithBytes(std::string file, size_t at, const std::string& bytes) {
  return file.replace(at, bytes.size(), bytes);
}

// A small PNG whose header tells of another size.
std::string LyingPng(uint32_t width, uint32_t height) {
  std::string file = ReadFile(TestData("moon.png"));
  for (int i = 0; i < 4; ++i) {
    file[16 + i] = static_cast<char>(width >> (24 - 8 * i));
    file[20 + i] = static_cast<char>(height >> (24 - 8 * i));
  }
  uint32_t crc = 0xFFFFFFFF;
  for (size_t i = 12; i < 29; ++i) {
    crc ^= static_cast<uint8_t>(file[i]);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
  }
  for (int i = 0; i < 4; ++i) file[29 + i] = static_cast<char>(~crc >> (24 - 8 * i));
  return file;
}

struct Services {
  Services() : client(cluster.frontend().address()) {
    cluster.AddCoordinator("one");
    cluster.AddWorker("worker");
  }

  v1::UploadImageRequest::Header Header(const std::string& name) {
    v1::UploadImageRequest::Header header;
    header.set_upload_id(NewId());
    header.set_name(name);
    *header.mutable_operation() = EqualizeOperation();
    return header;
  }

  // Nothing is registered, queued or stored.
  void CheckNothingRemains() {
    CHECK(client.ListImages().empty());
    CHECK(client.ListJobs().empty());
    CHECK(cluster.BlobFiles().empty());
    CHECK(FilesBelow(cluster.scratch_folder()).empty());
  }

  // And everything still works.
  void CheckStillServing() {
    const std::string file = ReadFile(TestData("moon.png"));
    const v1::Job job =
        client.AwaitFinal(client.EqualizeAnew(client.UploadOnly(file, "moon.png").id()).id());
    CHECK(job.state() == v1::JOB_STATE_SUCCEEDED);
    CHECK(cluster.frontend().Running());
  }

  // Files are counted here.
  Cluster cluster{{"--max-packed-size", "0"}};
  FrontendClient client;
};

TEST_CASE("files that are no image, or too large a one, are refused at the door") {
  Services services;
  struct Case {
    const char* what;
    std::string file;
    const char* outcome;
  };
  const std::string moon = ReadFile(TestData("moon.png"));
  std::string tiff("II*\0\x08\0\0\0", 8);
  tiff.append(100, 'x');
  const Case cases[] = {
      {"0 bytes", "", "INVALID_ARGUMENT NOT_AN_IMAGE"},
      {"words", "these are words, and no image at all", "INVALID_ARGUMENT NOT_AN_IMAGE"},
      {"a TIFF", tiff, "INVALID_ARGUMENT UNSUPPORTED_FORMAT"},
      {"cut off in the header", moon.substr(0, 20), "INVALID_ARGUMENT IMAGE_TRUNCATED"},
      {"40000 x 40000", LyingPng(40000, 40000), "INVALID_ARGUMENT IMAGE_TOO_LARGE"},
      {"a bomb of 2^31 - 1 squared", LyingPng(0x7FFFFFFF, 0x7FFFFFFF),
       "INVALID_ARGUMENT IMAGE_TOO_LARGE"},
  };
  for (const Case& bad : cases) {
    INFO(bad.what);
    const grpc::Status status =
        services.client.Send(UploadMessages(services.Header("bad.png"), bad.file));
    INFO(status.error_message());
    CHECK(Outcome(status) == bad.outcome);
    services.CheckNothingRemains();
  }
  const grpc::Status status =
      services.client.Send(UploadMessages(services.Header("bad.png"), LyingPng(40000, 40000)));
  const ErrorFacts facts = FactsOf(status);
  CHECK(facts.info.metadata().at("limit") == "1000000000");
  CHECK(facts.info.metadata().at("actual") == "1600000000");
  services.CheckStillServing();
}

TEST_CASE("names that could be paths or could draw on a terminal are refused") {
  Services services;
  const std::string file = ReadFile(TestData("moon.png"));
  std::vector<std::string> names = {"a/b.png", "../moon.png", "", ".", "..", "a\nb.png"};
  names.emplace_back("\x1b[2J.png");
  names.emplace_back("a\0b.png", 7);
  names.emplace_back(256, 'n');
  for (const std::string& name : names) {
    INFO(name);
    const grpc::Status status = services.client.Send(UploadMessages(services.Header(name), file));
    INFO(status.error_message());
    CHECK(status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
    REQUIRE(FactsOf(status).bad_request.has_value());
    CHECK(FactsOf(status).bad_request->field_violations(0).field() == "header.name");
    services.CheckNothingRemains();
  }
  services.CheckStillServing();
}

TEST_CASE("checksums, sizes and offsets that do not fit") {
  Services services;
  const std::string file = ReadFile(TestData("camera.png"));

  v1::UploadImageRequest::Header header = services.Header("camera.png");
  header.set_sha256(Sha256("another file"));
  CHECK(Outcome(services.client.Send(UploadMessages(header, file))) ==
        "DATA_LOSS CHECKSUM_MISMATCH");
  services.CheckNothingRemains();

  header = services.Header("camera.png");
  header.set_size_bytes(file.size() + 1);
  CHECK(Outcome(services.client.Send(UploadMessages(header, file))) == "DATA_LOSS SIZE_MISMATCH");

  // A damaged chunk is not stored, and what came before it is: the upload goes on from there.
  header = services.Header("camera.png");
  std::vector<v1::UploadImageRequest> messages = UploadMessages(header, file, 0, 32 * 1024);
  messages[3].mutable_chunk()->set_crc32c(~messages[3].chunk().crc32c());
  CHECK(Outcome(services.client.Send(messages)) == "DATA_LOSS CHECKSUM_MISMATCH");
  grpc::ClientContext context;
  SetDeadline(context);
  v1::GetUploadRequest get;
  get.set_upload_id(header.upload_id());
  v1::GetUploadResponse upload;
  REQUIRE(services.client.calls().GetUpload(&context, get, &upload).ok());
  CHECK(upload.committed_bytes() == 2 * 32 * 1024);
  CHECK(!upload.finished());

  messages = UploadMessages(header, file, upload.committed_bytes() + 1);
  const grpc::Status status = services.client.Send(messages);
  CHECK(Outcome(status) == "OUT_OF_RANGE OFFSET_MISMATCH");
  CHECK(FactsOf(status).info.metadata().at("committed") ==
        std::to_string(upload.committed_bytes()));

  v1::UploadImageResponse response;
  const grpc::Status resumed =
      services.client.Send(UploadMessages(header, file, upload.committed_bytes()), &response);
  INFO(resumed.error_message());
  REQUIRE(Outcome(resumed) == "OK");
  CHECK(services.client.DownloadImage(response.image().id()) == file);
  services.CheckStillServing();
}

TEST_CASE("images that break off or break in the middle fail their job, with the reason") {
  Services services;
  const std::string png = ReadFile(TestData("camera.png"));
  const std::string jpeg = ReadFile(TestData("retina.jpg"));
  struct Case {
    const char* what;
    std::string file;
    const char* name;
    std::vector<std::string> reasons;
  };
  const Case cases[] = {
      {"a truncated PNG", png.substr(0, png.size() / 2), "cut.png", {"IMAGE_TRUNCATED"}},
      {"a truncated JPEG", jpeg.substr(0, jpeg.size() / 2), "cut.jpg", {"IMAGE_TRUNCATED"}},
      {"a PNG with other bytes in the middle",
       WithBytes(png, png.size() / 2, "0123456789abcdef"),
       "broken.png",
       {"IMAGE_CORRUPT"}},
      {"a JPEG with a stray marker in the middle",
       WithBytes(jpeg, jpeg.size() / 2, std::string("\xFF\xC4\x00\x03\x7F", 5)),
       "broken.jpg",
       {"IMAGE_CORRUPT", "IMAGE_TRUNCATED"}},
  };
  for (const Case& bad : cases) {
    INFO(bad.what);
    v1::UploadImageResponse response = services.client.UploadToEqualize(bad.file, bad.name);
    const v1::Job job = services.client.AwaitFinal(response.job().id());
    INFO(job.ShortDebugString());
    CHECK(job.state() == v1::JOB_STATE_FAILED);
    // Another attempt would fail the same way.
    CHECK(job.attempts() == 1);
    CHECK(job.error().code() == grpc::StatusCode::INVALID_ARGUMENT);
    CHECK(std::count(bad.reasons.begin(), bad.reasons.end(), job.error().reason()) == 1);
    CHECK(!job.error().message().empty());
    CHECK(job.result_image_id().empty());
  }
  CHECK(services.client.ListImages().size() == std::size(cases));
  CHECK(services.cluster.BlobFiles().size() == std::size(cases));
  CHECK(FilesBelow(services.cluster.scratch_folder()).empty());
  services.CheckStillServing();
}

TEST_CASE("what does not exist, and what cannot be done") {
  Services services;
  v1::Frontend::Stub& calls = services.client.calls();
  const auto call = [](auto&& method, const auto& request, auto response) {
    grpc::ClientContext context;
    SetDeadline(context);
    return Outcome(method(&context, request, &response));
  };
#define CALL(METHOD, REQUEST)                                                    \
  call([&](auto* context, const auto& request,                                   \
           auto* response) { return calls.METHOD(context, request, response); }, \
       REQUEST, v1::METHOD##Response())
  v1::GetJobRequest get_job;
  get_job.set_job_id("no-such-job");
  CHECK(CALL(GetJob, get_job) == "NOT_FOUND JOB_NOT_FOUND");
  v1::CancelJobRequest cancel;
  cancel.set_job_id("no-such-job");
  CHECK(CALL(CancelJob, cancel) == "NOT_FOUND JOB_NOT_FOUND");
  v1::GetImageRequest get_image;
  get_image.set_image_id("no-such-image");
  CHECK(CALL(GetImage, get_image) == "NOT_FOUND IMAGE_NOT_FOUND");
  v1::DeleteImageRequest remove;
  remove.set_image_id("no-such-image");
  CHECK(CALL(DeleteImage, remove) == "NOT_FOUND IMAGE_NOT_FOUND");
  v1::GetUploadRequest get_upload;
  get_upload.set_upload_id("no-such-upload");
  CHECK(CALL(GetUpload, get_upload) == "NOT_FOUND UPLOAD_NOT_FOUND");
  v1::CreateJobRequest create;
  create.set_request_id(NewId());
  create.set_image_id("no-such-image");
  *create.mutable_operation() = EqualizeOperation();
  CHECK(CALL(CreateJob, create) == "NOT_FOUND IMAGE_NOT_FOUND");
  v1::ListImagesRequest list;
  list.set_page_token("made up");
  CHECK(CALL(ListImages, list) == "INVALID_ARGUMENT BAD_PAGE_TOKEN");

  const v1::Image image = services.client.UploadOnly(ReadFile(TestData("moon.png")), "moon.png");
  create.set_image_id(image.id());
  create.set_request_id(NewId());
  create.mutable_operation()->Clear();
  CHECK(CALL(CreateJob, create) == "INVALID_ARGUMENT UNKNOWN_OPERATION");
  create.mutable_operation()->mutable_thumbnail()->set_width(100);
  CHECK(CALL(CreateJob, create) == "INVALID_ARGUMENT BAD_PARAMETER");
  create.mutable_operation()->mutable_equalize()->set_nodata(256);
  CHECK(CALL(CreateJob, create) == "INVALID_ARGUMENT BAD_PARAMETER");
#undef CALL
}

}  // namespace
}  // namespace histeq::integration
