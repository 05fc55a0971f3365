// What comes out is what the formula says.

#include <catch2/catch.hpp>

#include "cluster.h"
#include "files.h"
#include "frontend_client.h"
#include "pictures.h"

namespace histeq::integration {
namespace {

std::string SamplesOf(const Picture& picture) {
  return std::string(picture.samples.begin(), picture.samples.end());
}

// The samples of blocks that lie within the picture: what pads the others is not specified.
std::string WholeBlocks(const Picture& gray) {
  std::string samples;
  for (uint32_t y = 0; y < gray.height / 8 * 8; ++y) {
    const auto row = gray.samples.begin() + static_cast<ptrdiff_t>(size_t{y} * gray.width);
    samples.append(row, row + gray.width / 8 * 8);
  }
  return samples;
}

struct Services {
  Services() : client(cluster.frontend().address()) { cluster.AddCoordinator("one"); }

  v1::Image ResultOf(const std::string& file, const std::string& name) {
    const v1::Job job = client.AwaitFinal(client.UploadToEqualize(file, name).job().id());
    INFO(job.ShortDebugString());
    REQUIRE(job.state() == v1::JOB_STATE_SUCCEEDED);
    for (const v1::Image& image : client.ListImages()) {
      if (image.id() == job.result_image_id()) return image;
    }
    FAIL("the result is not registered");
    return {};
  }

  Cluster cluster;
  FrontendClient client;
};

TEST_CASE("a gray PNG equals OpenCV's equalizeHist") {
  // SHA-256 of the samples that cv::equalizeHist gives for these files.
  const std::map<std::string, std::string> expected = {
      {"moon.png", "df31cbbe32bcf6d05f5ce6e04e4fc78ac26fc38273551aaac5d5aa6761f02c49"},
      {"camera.png", "1c39f57d213bca79e947024f44cc0b490e8096eeb9d3a9f118d9b64f1fea78de"},
  };
  Services services;
  for (const auto& [name, digest] : expected) {
    INFO(name);
    const std::string file = ReadFile(TestData(name));
    const v1::Image image = services.ResultOf(file, name);
    const std::string result = services.client.DownloadImage(image.id());
    CHECK(Sha256Hex(SamplesOf(DecodePng(result, 1))) == digest);
    CHECK(DecodePng(result, 1).samples == EqualizedByFormula(DecodePng(file, 1)).samples);
  }
}

TEST_CASE("a result is registered like any image") {
  Services services;
  const v1::Image image = services.ResultOf(ReadFile(TestData("moon.png")), "moon.png");
  CHECK(image.name() == "moon_EQUALIZED.png");
  CHECK(image.tag() == "EQUALIZED");
  CHECK(image.format() == v1::IMAGE_FORMAT_PNG);
  CHECK(image.width() == 512);
  CHECK(image.height() == 512);
  CHECK(image.sha256() == Sha256(services.client.DownloadImage(image.id())));
}

TEST_CASE("a colour JPEG keeps its chroma, and its luma follows the formula") {
  Services services;
  for (const std::string name : {"retina.jpg", "rocket.jpg", "hubble_deep_field.jpg"}) {
    INFO(name);
    const std::string file = ReadFile(TestData(name));
    const v1::Image image = services.ResultOf(file, name);
    const std::string result = services.client.DownloadImage(image.id());

    const Picture before = DecodeJpegYCbCr(file);
    const Picture after = DecodeJpegYCbCr(result);
    REQUIRE(after.width == before.width);
    REQUIRE(after.height == before.height);
    int chroma_moved = 0;
    for (size_t i = 0; i < before.samples.size(); ++i) {
      if (i % 3 == 0) continue;
      chroma_moved = std::max(chroma_moved, std::abs(before.samples[i] - after.samples[i]));
    }
    CHECK(chroma_moved <= 1);

    // The luma that was encoded is exactly the formula's; what is decoded again differs by JPEG's
    // quantization alone, as the same samples do that libjpeg encodes with the same tables.
    const Picture luma = EqualizedByFormula(DecodeJpeg(file, 1));
    const Picture decoded = DecodeJpeg(result, 1);
    const Picture reference = DecodeJpeg(EncodeJpegLike(luma, file), 1);
    CHECK(WholeBlocks(decoded) == WholeBlocks(reference));
  }
}

}  // namespace
}  // namespace histeq::integration
