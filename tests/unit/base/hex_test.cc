#include "base/hex.h"

#include <catch2/catch.hpp>
#include <string>

namespace histeq::base {
namespace {

TEST_CASE("bytes as digits") {
  CHECK(ToHex("").empty());
  CHECK(ToHex(std::string("\0\x7F\x80\xFF", 4)) == "007f80ff");
}

TEST_CASE("values of digits") {
  CHECK(HexDigitValue('0') == 0);
  CHECK(HexDigitValue('9') == 9);
  CHECK(HexDigitValue('a') == 10);
  CHECK(HexDigitValue('F') == 15);
  for (const char c : {'/', ':', '@', 'G', '`', 'g', '\0', '\xFF'}) CHECK(HexDigitValue(c) == -1);
}

TEST_CASE("numbers from digits") {
  CHECK(ParseHex("0") == 0u);
  CHECK(ParseHex("00ff") == 255u);
  CHECK(ParseHex("ffffffffffffffff") == UINT64_MAX);
  for (const std::string bad : {"", "g", "-1", "0x1", "FF", " 1", "1 ", "10000000000000000"}) {
    INFO(bad);
    CHECK_FALSE(ParseHex(bad).has_value());
  }
}

}  // namespace
}  // namespace histeq::base
