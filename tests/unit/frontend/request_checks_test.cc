#include "request_checks.h"

#include <catch2/catch.hpp>

#include "base/error.h"

namespace histeq::frontend {
namespace {

std::string ReasonOf(const absl::Status& status) {
  const auto detail = base::GetErrorDetail(status);
  return detail.has_value() ? detail->reason + " " + detail->field : std::string();
}

TEST_CASE("names of images") {
  for (const std::string& good :
       {std::string("a"), std::string("photo.jpg"), std::string("Größe 日本語 🖼.png"),
        std::string("..."), std::string(255, 'n'), std::string("\xC2\xA0")}) {
    INFO(good);
    CHECK(CheckImageName(good, "header.name").ok());
  }
  for (const std::string& bad :
       {std::string(), std::string(256, 'n'), std::string("."), std::string(".."),
        std::string("a/b"), std::string("a\\b"), std::string("a\nb"), std::string("a\x7F"),
        std::string("a\0b", 3), std::string("\xC2\x85"), std::string("\xFF"),
        std::string("\xC0\xAF"), std::string("\xED\xA0\x80"), std::string("\xF4\x90\x80\x80"),
        std::string("cut \xE6\x97")}) {
    INFO(bad);
    const absl::Status status = CheckImageName(bad, "header.name");
    CHECK(absl::IsInvalidArgument(status));
    CHECK(ReasonOf(status) == "BAD_NAME header.name");
  }
}

TEST_CASE("ids") {
  CHECK(CheckId("img-0123", "image_id").ok());
  CHECK(CheckId("A.b_c-9", "image_id").ok());
  CHECK(CheckId(std::string(128, 'i'), "image_id").ok());
  for (const std::string& bad :
       {std::string(), std::string(129, 'i'), std::string("a b"), std::string("a/b"),
        std::string("a:b"), std::string("ü"), std::string("a\0", 2)}) {
    INFO(bad);
    CHECK(ReasonOf(CheckId(bad, "image_id")) == "BAD_ID image_id");
  }
}

TEST_CASE("names and addresses of coordinators") {
  CHECK(CheckCoordinatorName(std::string(64, 'c'), "name").ok());
  CHECK(ReasonOf(CheckCoordinatorName(std::string(65, 'c'), "name")) == "BAD_NAME name");
  CHECK(ReasonOf(CheckCoordinatorName("a=b", "name")) == "BAD_NAME name");
  for (const char* good : {"127.0.0.1:1", "host.example:65535", "[::1]:7071", "unix:/run/x"}) {
    INFO(good);
    CHECK(CheckAddress(good, "address").ok());
  }
  for (const char* bad : {"", "host", "host:", ":1", "host:0", "host:65536", "host:1x", "ho st:1",
                          "unix:", "unix:a b", "[::1:1", "host:000001"}) {
    INFO(bad);
    CHECK(ReasonOf(CheckAddress(bad, "address")) == "BAD_ADDRESS address");
  }
}

TEST_CASE("checksums") {
  CHECK(!ReadSha256("", "sha256")->has_value());
  CHECK(ReadSha256(std::string(32, 'x'), "sha256")->has_value());
  CHECK(ReasonOf(ReadSha256(std::string(31, 'x'), "sha256").status()) == "BAD_CHECKSUM sha256");
}

TEST_CASE("texts are cut between characters") {
  CHECK(CutText("abc", 3) == "abc");
  CHECK(CutText("abcd", 3) == "abc");
  CHECK(CutText("a\xC3\xBC", 2) == "a");
  CHECK(CutText("\xE6\x97\xA5", 2).empty());
}

}  // namespace
}  // namespace histeq::frontend
