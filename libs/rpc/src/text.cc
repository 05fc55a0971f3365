#include "text.h"

namespace histeq::rpc {

Utf8Character NextCharacter(std::string_view text, size_t position) {
  const auto byte = [&](size_t i) -> uint32_t { return static_cast<unsigned char>(text[i]); };
  const uint32_t first = byte(position);
  if (first < 0x80) return {static_cast<int32_t>(first), 1};
  size_t length = 0;
  uint32_t code = 0;
  uint32_t smallest = 0;
  if ((first & 0xE0) == 0xC0) {
    length = 2, code = first & 0x1F, smallest = 0x80;
  } else if ((first & 0xF0) == 0xE0) {
    length = 3, code = first & 0x0F, smallest = 0x800;
  } else if ((first & 0xF8) == 0xF0) {
    length = 4, code = first & 0x07, smallest = 0x10000;
  } else {
    return {};
  }
  if (text.size() - position < length) return {};
  for (size_t i = 1; i < length; ++i) {
    if ((byte(position + i) & 0xC0) != 0x80) return {};
    code = code << 6 | (byte(position + i) & 0x3F);
  }
  // Overlong forms, surrogates, and what is beyond Unicode.
  if (code < smallest || (code >= 0xD800 && code <= 0xDFFF) || code > 0x10FFFF) return {};
  return {static_cast<int32_t>(code), length};
}

std::string ValidUtf8(std::string_view text, size_t max_bytes) {
  constexpr std::string_view kCut = "...";
  std::string valid;
  // Where to cut so that the mark still fits.
  size_t cut = 0;
  for (size_t i = 0; i < text.size();) {
    const Utf8Character character = NextCharacter(text, i);
    if (valid.size() + character.length > max_bytes) {
      valid.resize(cut);
      if (max_bytes >= kCut.size()) valid += kCut;
      return valid;
    }
    if (character.code < 0) {
      valid += '?';
    } else {
      valid += text.substr(i, character.length);
    }
    i += character.length;
    if (valid.size() + kCut.size() <= max_bytes) cut = valid.size();
  }
  return valid;
}

}  // namespace histeq::rpc
