#include "sections.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <span>

#include "base/crc32c.h"
#include "base/status_macros.h"

namespace histeq::store {
namespace {

constexpr size_t kReadBytes = 1 << 20;

void PutLittle(std::vector<uint8_t>& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

uint64_t GetLittle(std::span<const uint8_t> in) {
  uint64_t value = 0;
  for (size_t i = 0; i < in.size(); ++i) value |= static_cast<uint64_t>(in[i]) << (8 * i);
  return value;
}

}  // namespace

std::vector<uint8_t> EncodeSection(const Section& section) {
  std::vector<uint8_t> bytes;
  PutLittle(bytes, section.end, 8);
  PutLittle(bytes, section.crc32c, 4);
  for (const uint32_t word : section.chain) PutLittle(bytes, word, 4);
  PutLittle(bytes, base::Crc32c(bytes), 4);
  return bytes;
}

absl::StatusOr<std::vector<Section>> ReadSections(const std::string& path) {
  std::vector<Section> sections;
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.open()) return sections;
  uint64_t before = 0;
  std::array<uint8_t, kSectionBytes> bytes{};
  while (true) {
    HISTEQ_ASSIGN_OR_RETURN(
        const size_t size,
        FileCalls::ReadAt(fd, sections.size() * kSectionBytes, std::span(bytes), path));
    if (size < kSectionBytes) break;
    const std::span<const uint8_t> all(bytes);
    Section section;
    section.end = GetLittle(all.subspan(0, 8));
    section.crc32c = static_cast<uint32_t>(GetLittle(all.subspan(8, 4)));
    for (size_t i = 0; i < section.chain.size(); ++i) {
      section.chain[i] = static_cast<uint32_t>(GetLittle(all.subspan(12 + 4 * i, 4)));
    }
    const std::span<const uint8_t> checked = all.first(kSectionBytes - 4);
    if (GetLittle(all.last(4)) != base::Crc32c(checked) || section.end <= before) break;
    before = section.end;
    sections.push_back(section);
  }
  return sections;
}

absl::Status DropBadSections(const Fd& data, const std::string& path,
                             std::vector<Section>& sections) {
  std::vector<uint8_t> buffer(kReadBytes);
  for (; !sections.empty(); sections.pop_back()) {
    const Section& last = sections.back();
    uint64_t offset = sections.size() > 1 ? sections[sections.size() - 2].end : 0;
    uint32_t crc = 0;
    bool whole = true;
    while (whole && offset < last.end) {
      const uint64_t left = last.end - offset;
      const std::span<uint8_t> wanted(buffer.data(), std::min<uint64_t>(left, buffer.size()));
      HISTEQ_ASSIGN_OR_RETURN(const size_t size, FileCalls::ReadAt(data, offset, wanted, path));
      whole = size == wanted.size();
      crc = base::Crc32c(crc, wanted);
      offset += size;
    }
    if (whole && crc == last.crc32c) break;
  }
  return absl::OkStatus();
}

}  // namespace histeq::store
