// GetImage, ListImages, DeleteImage, DownloadImage, RegisterImage.

#include <catch2/catch.hpp>
#include <filesystem>
#include <set>

#include "frontend_harness.h"
#include "rpc/chunk.h"

namespace histeq::testing {
namespace {

using Stub = v1::Frontend::Stub;

struct Downloaded {
  grpc::Status status;
  std::optional<v1::Image> image;
  std::string bytes;
  bool damaged = false;
};

Downloaded DownloadRange(Harness& harness, const std::string& id, uint64_t offset,
                         uint64_t limit = 0) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  v1::DownloadImageRequest request;
  request.set_image_id(id);
  request.set_offset(offset);
  request.set_limit(limit);
  const auto reader = harness.client().DownloadImage(&context, request);
  v1::DownloadImageResponse message;
  Downloaded downloaded;
  bool first = true;
  while (reader->Read(&message)) {
    downloaded.damaged |= message.has_image() != std::exchange(first, false);
    if (message.has_image()) {
      downloaded.image = message.image();
      continue;
    }
    downloaded.damaged |= !message.chunk().has_crc32c() ||
                          !rpc::CheckChunk(message.chunk(), offset + downloaded.bytes.size()).ok();
    downloaded.bytes += message.chunk().data();
  }
  downloaded.status = reader->Finish();
  return downloaded;
}

std::string Delete(Harness& harness, const std::string& id) {
  v1::DeleteImageRequest request;
  request.set_image_id(id);
  v1::DeleteImageResponse response;
  return Outcome(Call(harness.client(), &Stub::DeleteImage, request, &response));
}

std::string Get(Harness& harness, const std::string& id) {
  v1::GetImageRequest request;
  request.set_image_id(id);
  v1::GetImageResponse response;
  return Outcome(Call(harness.client(), &Stub::GetImage, request, &response));
}

TEST_CASE("ranges of an image") {
  Harness harness;
  // More than one chunk.
  const std::string file = TestFile("hubble_deep_field.jpg");
  const v1::Image image = harness.Upload(file, "hubble.jpg").image();
  struct Range {
    uint64_t offset;
    uint64_t limit;
  };
  for (const Range range :
       {Range{0, 0}, Range{0, 1}, Range{1, 0}, Range{300'000, 10}, Range{100'000, 300'000},
        Range{file.size() - 1, 0}, Range{file.size() - 1, 100}, Range{file.size(), 0}}) {
    INFO(range.offset << "+" << range.limit);
    const Downloaded downloaded = DownloadRange(harness, image.id(), range.offset, range.limit);
    CHECK(Outcome(downloaded.status) == "OK");
    CHECK(!downloaded.damaged);
    REQUIRE(downloaded.image.has_value());
    CHECK(downloaded.image->id() == image.id());
    CHECK(downloaded.bytes ==
          file.substr(range.offset, range.limit == 0 ? std::string::npos : range.limit));
  }
  const grpc::Status status = DownloadRange(harness, image.id(), file.size() + 1).status;
  CHECK(Outcome(status) == "OUT_OF_RANGE OFFSET_BEYOND_END");
  CHECK(Outcome(DownloadRange(harness, "img-none", 0).status) == "NOT_FOUND IMAGE_NOT_FOUND");
  CHECK(Outcome(DownloadRange(harness, "a b", 0).status) == "INVALID_ARGUMENT BAD_ID");
}

TEST_CASE("stored bytes that are damaged") {
  Harness harness;
  const v1::Image image = harness.Upload(TestFile("moon.png")).image();
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(harness.folder() + "/data/blobs")) {
    if (entry.is_regular_file()) std::filesystem::resize_file(entry.path(), 100);
  }
  CHECK(Outcome(DownloadRange(harness, image.id(), 0).status) == "DATA_LOSS BLOB_DAMAGED");
}

TEST_CASE("a client that reads no more is given up") {
  Harness harness([](auto& options) { options.download_idle_timeout = absl::Milliseconds(300); });
  // More than a stream's window: the beginning of an image, and anything.
  std::string file = TestFile("moon.png");
  file.resize(40 << 20, 'x');
  const v1::Image image = harness.Upload(file).image();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  v1::DownloadImageRequest request;
  request.set_image_id(image.id());
  const auto reader = harness.client().DownloadImage(&context, request);
  v1::DownloadImageResponse message;
  REQUIRE(reader->Read(&message));
  REQUIRE(WaitUntil([&] { return harness.frontend().core().activity.transfers() == 0; }));
  while (reader->Read(&message)) {
  }
  CHECK(reader->Finish().error_code() == grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST_CASE("an image is deleted with its bytes") {
  Harness harness;
  const v1::Image image = harness.Upload(TestFile("moon.png")).image();
  CHECK(Get(harness, image.id()) == "OK");
  CHECK(Delete(harness, image.id()) == "OK");
  CHECK(Delete(harness, image.id()) == "NOT_FOUND IMAGE_NOT_FOUND");
  CHECK(Get(harness, image.id()) == "NOT_FOUND IMAGE_NOT_FOUND");
  CHECK(Get(harness, "") == "INVALID_ARGUMENT BAD_ID");
  CHECK(harness.BlobFiles().empty());
}

TEST_CASE("an image that a job needs is not deleted") {
  Harness harness;
  const v1::UploadImageResponse response = harness.UploadToEqualize();
  CHECK(Delete(harness, response.image().id()) == "FAILED_PRECONDITION IMAGE_IN_USE");
  v1::CancelJobRequest cancel;
  cancel.set_job_id(response.job().id());
  v1::CancelJobResponse cancelled;
  REQUIRE(Call(harness.client(), &Stub::CancelJob, cancel, &cancelled).ok());
  CHECK(cancelled.job().state() == v1::JOB_STATE_CANCELLED);
  CHECK(Delete(harness, response.image().id()) == "OK");
}

TEST_CASE("images in pages") {
  Harness harness;
  std::vector<std::string> newest_first;
  for (int i = 0; i < 5; ++i) {
    const std::string name = i % 2 == 0 ? "even.png" : "odd.png";
    newest_first.insert(newest_first.begin(),
                        harness.Upload(TestFile("moon.png"), name).image().id());
  }
  v1::ListImagesRequest request;
  request.set_page_size(2);
  std::vector<std::string> listed;
  std::vector<int> sizes;
  do {
    v1::ListImagesResponse response;
    REQUIRE(Call(harness.client(), &Stub::ListImages, request, &response).ok());
    for (const v1::Image& image : response.images()) listed.push_back(image.id());
    sizes.push_back(response.images_size());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  CHECK(listed == newest_first);
  CHECK(sizes == std::vector<int>{2, 2, 1});
  v1::ListImagesResponse response;
  request.set_name("odd.png");
  REQUIRE(Call(harness.client(), &Stub::ListImages, request, &response).ok());
  CHECK(response.images_size() == 2);
  request.set_page_token("made up");
  CHECK(Outcome(Call(harness.client(), &Stub::ListImages, request, &response)) ==
        "INVALID_ARGUMENT BAD_PAGE_TOKEN");
}

}  // namespace
}  // namespace histeq::testing
