#pragma once

// Hexadecimal digits.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace histeq::base {

// Two lower-case digits for each byte.
std::string ToHex(std::string_view bytes);

// The value of a digit, lower or upper case; -1: it is none.
int HexDigitValue(char digit);

// The number that 1 to 16 lower-case digits stand for; nothing when there is anything else.
std::optional<uint64_t> ParseHex(std::string_view digits);

}  // namespace histeq::base
