#include <unistd.h>

#include <catch2/catch.hpp>

#include "rpc/advertised_address.h"

namespace histeq::rpc {
namespace {

TEST_CASE("the address that a service tells others") {
  CHECK(AdvertisedAddress("host:9", "127.0.0.1", "127.0.0.1:7", 7) == "host:9");
  CHECK(AdvertisedAddress("host", "127.0.0.1", "127.0.0.1:7", 7) == "host:7");
  CHECK(AdvertisedAddress("::1", "::1", "[::1]:7", 7) == "[::1]:7");
  CHECK(AdvertisedAddress("[::1]:9", "::1", "[::1]:7", 7) == "[::1]:9");
  CHECK(AdvertisedAddress("unix:/a", "unix:/b", "unix:/b", 0) == "unix:/a");
  CHECK(AdvertisedAddress("", "127.0.0.1", "127.0.0.1:7", 7) == "127.0.0.1:7");
  CHECK(AdvertisedAddress("", "unix:/b", "unix:/b", 0) == "unix:/b");
  char name[256] = {};
  REQUIRE(gethostname(name, sizeof(name) - 1) == 0);
  CHECK(AdvertisedAddress("", "0.0.0.0", "127.0.0.1:7", 7) == std::string(name) + ":7");
}

}  // namespace
}  // namespace histeq::rpc
