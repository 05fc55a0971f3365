#include "coordinator_address.h"

#include <catch2/catch.hpp>

namespace histeq::worker {
namespace {

TEST_CASE("entries of --coordinators") {
  const auto ip = ParseCoordinator("10.0.0.1:7000");
  REQUIRE(ip.ok());
  CHECK(ip->address == "10.0.0.1:7000");
  CHECK(ParseCoordinator("[::1]:7000")->address == "[::1]:7000");
  CHECK(ParseCoordinator("unix:/run/c.sock")->address == "unix:/run/c.sock");
  for (const char* text : {"coordinators.example:7000", "dns:///coordinators.example:7000"}) {
    const auto name = ParseCoordinator(text);
    REQUIRE(name.ok());
    CHECK(name->text == "coordinators.example:7000");
    CHECK(name->address.empty());
    CHECK(name->host == "coordinators.example");
    CHECK(name->port == "7000");
  }
  for (const char* text : {"", "host", ":1", "host:", "host:0", "host:65536", "host:7a", "unix:",
                           "::1:7000", "[::g]:1", "a b:1", "http://host:1", "dns:///", "host:-1"}) {
    CAPTURE(text);
    CHECK(ParseCoordinator(text).status().code() == absl::StatusCode::kInvalidArgument);
  }
}

TEST_CASE("addresses behind an entry") {
  CHECK(*ResolveCoordinator(*ParseCoordinator("10.0.0.1:7000")) ==
        std::vector<std::string>{"10.0.0.1:7000"});
  const auto local = ResolveCoordinator(*ParseCoordinator("localhost:7000"));
  REQUIRE(local.ok());
  REQUIRE(local->size() == 1);
  CHECK((local->front() == "127.0.0.1:7000" || local->front() == "[::1]:7000"));
}

}  // namespace
}  // namespace histeq::worker
