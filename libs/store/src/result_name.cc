#include <algorithm>

#include "store/records.h"

namespace histeq::store {
namespace {

constexpr size_t kMaxNameBytes = 255;
// A longer "extension" is part of the name rather than a format.
constexpr size_t kMaxExtensionBytes = 16;

bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// `stem`, cut between characters where the whole would be too long, and `ending`.
std::string Joined(const std::string& stem, const std::string& ending) {
  size_t size = std::min(stem.size(), kMaxNameBytes - std::min(kMaxNameBytes, ending.size()));
  while (size > 0 && size < stem.size() && IsContinuation(stem[size])) --size;
  return stem.substr(0, size) + ending;
}

std::string ExtensionOf(ImageFormat format) {
  return format == ImageFormat::kPng ? ".png" : ".jpg";
}

}  // namespace

std::string ResultName(const std::string& source_name, const std::string& tag) {
  size_t dot = source_name.rfind('.');
  if (dot == std::string::npos || dot == 0 || source_name.size() - dot > kMaxExtensionBytes) {
    dot = source_name.size();
  }
  return Joined(source_name.substr(0, dot), "_" + tag + source_name.substr(dot));
}

std::string OutputName(const std::string& source_name, const std::vector<JobOutput>& outputs,
                       size_t index, ImageFormat format) {
  const JobOutput& output = outputs[index];
  std::string base = source_name;
  if (output.made_of.has_value() && *output.made_of < index) {
    base = OutputName(source_name, outputs, *output.made_of, format);
  }
  if (output.name_suffix.empty()) return ResultName(base, output.tag);
  return Joined(base, output.name_suffix + ExtensionOf(format));
}

}  // namespace histeq::store
