#include "codec/orientation.h"

#include <algorithm>
#include <string_view>

#include "png_chunk.h"

namespace histeq::codec {
namespace {

constexpr uint16_t kOrientationTag = 0x0112;
constexpr uint16_t kShort = 3, kLong = 4;
constexpr int kExifMarker = 0xE1;

// Bytes in the order that the TIFF header gives; the caller checks bounds.
class Reader {
 public:
  Reader(std::span<const uint8_t> bytes, bool big_endian)
      : bytes_(bytes), big_endian_(big_endian) {}

  bool Has(uint64_t offset, uint64_t size) const {
    return offset <= bytes_.size() && size <= bytes_.size() - offset;
  }
  uint32_t Read(uint64_t offset, uint32_t size) const {
    uint32_t value = 0;
    for (uint32_t i = 0; i < size; ++i)
      value = value << 8 | bytes_[offset + (big_endian_ ? i : size - 1 - i)];
    return value;
  }

 private:
  const std::span<const uint8_t> bytes_;
  const bool big_endian_;
};

bool BeginsWith(std::span<const uint8_t> bytes, std::string_view prefix) {
  return bytes.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), bytes.begin());
}

}  // namespace

uint32_t ExifOrientation(std::span<const uint8_t> exif) {
  using namespace std::string_view_literals;
  const bool big_endian = BeginsWith(exif, "MM\0*"sv);
  if (!big_endian && !BeginsWith(exif, "II*\0"sv)) return kUpright;
  const Reader reader(exif, big_endian);
  if (!reader.Has(4, 4)) return kUpright;
  const uint64_t directory = reader.Read(4, 4);
  if (!reader.Has(directory, 2)) return kUpright;
  const uint32_t entries = reader.Read(directory, 2);
  for (uint64_t i = 0; i < entries; ++i) {
    const uint64_t entry = directory + 2 + i * 12;
    if (!reader.Has(entry, 12)) return kUpright;
    if (reader.Read(entry, 2) != kOrientationTag) continue;
    const uint32_t type = reader.Read(entry + 2, 2);
    if ((type != kShort && type != kLong) || reader.Read(entry + 4, 4) != 1) return kUpright;
    const uint32_t value = reader.Read(entry + 8, type == kShort ? 2 : 4);
    return value >= 1 && value <= 8 ? value : kUpright;
  }
  return kUpright;
}

uint32_t OrientationOf(const Metadata& metadata, ImageFormat format) {
  using namespace std::string_view_literals;
  constexpr auto kName = "Exif\0\0"sv;
  for (const Metadata::Piece& piece : metadata.pieces) {
    const std::span<const uint8_t> bytes = piece.bytes;
    if (format == ImageFormat::kJpeg) {
      if (piece.marker == kExifMarker && BeginsWith(bytes, kName))
        return ExifOrientation(bytes.subspan(kName.size()));
    } else if (bytes.size() >= kChunkHeaderBytes + kChunkCrcBytes &&
               ReadBigEndian32(bytes.data() + 4) == ChunkType("eXIf")) {
      return ExifOrientation(
          bytes.subspan(kChunkHeaderBytes, bytes.size() - kChunkHeaderBytes - kChunkCrcBytes));
    }
  }
  return kUpright;
}

}  // namespace histeq::codec
