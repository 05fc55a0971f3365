#include <zlib.h>

#include <vector>

#include "codec_round_trip.h"

namespace {

// Right checksums, so that changed chunks get past the first look at them.
std::vector<uint8_t> Mended(const uint8_t* data, size_t size) {
  std::vector<uint8_t> file(data, data + size);
  for (size_t at = 8; at + 12 <= size;) {
    const size_t length = size_t{file[at]} << 24 | size_t{file[at + 1]} << 16 |
                          size_t{file[at + 2]} << 8 | file[at + 3];
    if (length > size - at - 12) break;
    const auto crc = static_cast<uint32_t>(crc32(0, &file[at + 4], static_cast<uInt>(length + 4)));
    for (size_t i = 0; i < 4; ++i)
      file[at + 8 + length + i] = static_cast<uint8_t>(crc >> (24 - 8 * i));
    at += 12 + length;
  }
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using histeq::codec::SampleMode;
  histeq::codec::RoundTrip({data, size}, SampleMode::kRawPlanes);
  histeq::codec::RoundTrip(Mended(data, size), SampleMode::kRawPlanes);
  return 0;
}
