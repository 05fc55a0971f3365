#include <algorithm>

#include "store/records.h"

namespace histeq::store {
namespace {

constexpr size_t kMaxNameBytes = 255;
// A longer "extension" is part of the name rather than a format.
constexpr size_t kMaxExtensionBytes = 16;

bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

}  // namespace

std::string ResultName(const std::string& source_name, const std::string& tag) {
  size_t dot = source_name.rfind('.');
  if (dot == std::string::npos || dot == 0 || source_name.size() - dot > kMaxExtensionBytes) {
    dot = source_name.size();
  }
  const std::string ending = "_" + tag + source_name.substr(dot);
  size_t stem = std::min(dot, kMaxNameBytes - std::min(kMaxNameBytes, ending.size()));
  while (stem > 0 && stem < dot && IsContinuation(source_name[stem])) --stem;
  return source_name.substr(0, stem) + ending;
}

}  // namespace histeq::store
