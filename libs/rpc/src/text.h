#pragma once

// Text from outside, made fit for a place.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace histeq::rpc {

// One character of UTF-8 at `position`: its code point and length in bytes. Bytes that are no UTF-8
// are one by one code -1 and length 1.
struct Utf8Character {
  int32_t code = -1;
  size_t length = 1;
};
Utf8Character NextCharacter(std::string_view text, size_t position);

// Valid UTF-8 of at most `max_bytes`: what is no UTF-8 becomes "?", what is too long is cut at a
// character and ends with "...".
std::string ValidUtf8(std::string_view text, size_t max_bytes);

}  // namespace histeq::rpc
