#pragma once

// A font of 5 x 8 pixels for labels in pictures, the last row for descenders.

#include <array>
#include <cstdint>

namespace histeq::client {

inline constexpr int kGlyphWidth = 5;
inline constexpr int kGlyphHeight = 8;

// The five columns of an ASCII character, the lowest bit on top; a box for anything else.
const std::array<uint8_t, 5>& Glyph(char character);

}  // namespace histeq::client
