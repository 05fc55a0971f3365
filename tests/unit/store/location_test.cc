#include "store/location.h"

#include <catch2/catch.hpp>
#include <string>

#include "base/error.h"

namespace histeq::store {
namespace {

std::string ReasonFor(const std::string& uri) {
  const auto location = ParseLocation(uri);
  if (location.ok()) return "OK " + FormatLocation(*location);
  REQUIRE(location.status().code() == absl::StatusCode::kInvalidArgument);
  const auto detail = base::GetErrorDetail(location.status());
  REQUIRE(detail.has_value());
  CHECK(detail->field == "location");
  return detail->reason;
}

TEST_CASE("locations of files") {
  const auto location = ParseLocation("file:///pictures/a%20b/%C3%A9.jpg");
  REQUIRE(location.ok());
  CHECK(location->kind == Location::Kind::kFile);
  CHECK(location->path == "/pictures/a b/\xC3\xA9.jpg");
  CHECK(FileNameOf(*location) == "\xC3\xA9.jpg");
  CHECK(FormatLocation(*location) == "file:///pictures/a%20b/%C3%A9.jpg");
}

TEST_CASE("locations of storage roots") {
  const auto location = ParseLocation("node://disk-1/2024/x.png");
  REQUIRE(location.ok());
  CHECK(location->kind == Location::Kind::kNode);
  CHECK(location->node == "disk-1");
  CHECK(location->path == "2024/x.png");
  CHECK(FormatLocation(*location) == "node://disk-1/2024/x.png");
}

TEST_CASE("one file has one text") {
  const std::string text = "OK file:///a/b-c.jpg";
  CHECK(ReasonFor("file:///a/b-c.jpg") == text);
  CHECK(ReasonFor("file:///%61/b%2Dc%2ejpg") == text);
  CHECK(ReasonFor("FILE://localhost/a/b-c.jpg") == text);
  CHECK(ReasonFor("file:///a/%25.jpg") == "OK file:///a/%25.jpg");
}

TEST_CASE("an escape is decoded once") {
  const auto location = ParseLocation("file:///pictures/%252e%252e/x");
  REQUIRE(location.ok());
  CHECK(location->path == "/pictures/%2e%2e/x");
}

TEST_CASE("hostile locations are refused") {
  for (const char* uri : {"",
                          "/etc/passwd",
                          "file:",
                          "file:/etc/passwd",
                          "file://",
                          "file:///",
                          "file://host/x",
                          "file://evil@localhost/x",
                          "file://localhost:80/x",
                          "file:///a/../b",
                          "file:///..",
                          "file:///%2e%2e/b",
                          "file:///a/%2E./b",
                          "file:///a/./b",
                          "file:///a//b",
                          "file:////a",
                          "file:///a/",
                          "file:///a%00b",
                          "file:///a%2Fb",
                          "file:///a%2fb",
                          "file:///a%",
                          "file:///a%4",
                          "file:///a%zz",
                          "file:///a?b",
                          "file:///a#b",
                          "file:///a b",
                          "file:///a\\b",
                          "file:///a\tb",
                          "file:///\xC3\xA9",
                          "http://a/b",
                          "blob:0123",
                          "node:///a",
                          "node://a",
                          "node://a/",
                          "node://../a",
                          "node://.a/b",
                          "node://a b/c",
                          "node://a%20b/c",
                          "node://a:1/b",
                          "node://a/../b"}) {
    INFO(uri);
    CHECK(ReasonFor(uri) == "BAD_LOCATION");
  }
  CHECK(ReasonFor(std::string("file:///a\0b", 11)) == "BAD_LOCATION");
}

TEST_CASE("lengths of locations are limited") {
  CHECK(ReasonFor("file:///" + std::string(255, 'a')) != "BAD_LOCATION");
  CHECK(ReasonFor("file:///" + std::string(256, 'a')) == "BAD_LOCATION");
  std::string deep = "file://";
  while (deep.size() + 2 <= kMaxLocationBytes) deep += "/a";
  CHECK(ReasonFor(deep) == "OK " + deep);
  CHECK(ReasonFor(deep + "/aa") == "BAD_LOCATION");
  CHECK(ReasonFor("node://" + std::string(64, 'n') + "/a") != "BAD_LOCATION");
  CHECK(ReasonFor("node://" + std::string(65, 'n') + "/a") == "BAD_LOCATION");
}

}  // namespace
}  // namespace histeq::store
