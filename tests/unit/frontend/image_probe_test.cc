#include "image_probe.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "base/error.h"

namespace histeq::frontend {
namespace {

std::vector<uint8_t> TestFile(const std::string& name) {
  std::ifstream file(std::string(std::getenv("HISTEQ_TEST_DATA")) + "/" + name, std::ios::binary);
  REQUIRE(file.good());
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string ReasonOf(const absl::Status& status) {
  const auto detail = base::GetErrorDetail(status);
  return detail.has_value() ? detail->reason : std::string();
}

// Adds `bytes` in pieces; where the first error came, or the size of all.
struct Outcome {
  absl::Status status;
  size_t at = 0;
};
Outcome Feed(HeadProbe& probe, std::span<const uint8_t> bytes) {
  Outcome outcome;
  while (outcome.at < bytes.size() && outcome.status.ok()) {
    const size_t size = std::min<size_t>(10'000, bytes.size() - outcome.at);
    outcome.status = probe.Add(bytes.subspan(outcome.at, size));
    outcome.at += size;
  }
  return outcome;
}

TEST_CASE("what is no image shows after 64 KiB") {
  HeadProbe probe({}, nullptr);
  const std::vector<uint8_t> words(10 << 20, 'w');
  const Outcome outcome = Feed(probe, words);
  CHECK(ReasonOf(outcome.status) == "NOT_AN_IMAGE");
  CHECK(outcome.at < (64 << 10) + 10'000);
}

TEST_CASE("limits and checks show early too") {
  const std::vector<uint8_t> file = TestFile("retina.jpg");
  REQUIRE(file.size() > 80'000);
  codec::DecodeLimits limits;
  limits.max_pixels = 100;
  HeadProbe limited(limits, nullptr);
  CHECK(ReasonOf(Feed(limited, file).status) == "IMAGE_TOO_LARGE");

  uint32_t width = 0;
  HeadProbe checked({}, [&](const codec::ImageInfo& info) {
    width = info.width;
    return absl::InvalidArgumentError("does not fit");
  });
  const Outcome outcome = Feed(checked, file);
  CHECK(outcome.status.message() == "does not fit");
  CHECK(outcome.at < file.size());
  CHECK(width == 1411);

  HeadProbe good({}, nullptr);
  CHECK(Feed(good, file).status.ok());
}

TEST_CASE("a header behind long metadata is left to the end") {
  // 30 APP1 segments of 64 kB between SOI and the rest.
  const std::vector<uint8_t> file = TestFile("retina.jpg");
  std::vector<uint8_t> longer(file.begin(), file.begin() + 2);
  for (int i = 0; i < 30; ++i) {
    longer.insert(longer.end(), {0xFF, 0xE1, 0xFF, 0xFF});
    longer.insert(longer.end(), 0xFFFF - 2, 'm');
  }
  longer.insert(longer.end(), file.begin() + 2, file.end());
  HeadProbe probe({}, nullptr);
  const Outcome outcome = Feed(probe, longer);
  INFO(outcome.status);
  CHECK(outcome.status.ok());
}

TEST_CASE("facts and info say the same") {
  codec::ImageInfo info;
  info.format = codec::ImageFormat::kPng;
  info.width = 7;
  info.height = 9;
  info.channels = 4;
  info.bits_per_sample = 16;
  info.has_alpha = true;
  const codec::ImageInfo back = InfoOf(FactsOf({"blob:x", 5, {}}, info));
  CHECK(back.format == info.format);
  CHECK(back.width == 7);
  CHECK(back.height == 9);
  CHECK(back.channels == 4);
  CHECK(back.bits_per_sample == 16);
  CHECK(back.has_alpha);
  info.format = codec::ImageFormat::kJpeg;
  CHECK(!InfoOf(FactsOf({"blob:x", 5, {}}, info)).has_alpha);
}

}  // namespace
}  // namespace histeq::frontend
