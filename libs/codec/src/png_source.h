#pragma once

// The chunks of a PNG on their way to libpng: what the pixels need passes, what the output carries
// on is kept, and libpng never sees the rest (compressed profiles and texts, for example).

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "base/byte_stream.h"

namespace histeq::codec {

class PngSource {
 public:
  // `bytes` begins with the signature and outlives this object.
  PngSource(base::ByteSource& bytes, uint64_t max_metadata_bytes)
      : bytes_(bytes), max_metadata_bytes_(max_metadata_bytes) {}

  // Fills all of `out` with the next bytes for libpng. INVALID_ARGUMENT: IMAGE_TRUNCATED,
  // IMAGE_CORRUPT, METADATA_TOO_LARGE, UNSUPPORTED_FORMAT; or what the source answers.
  absl::Status Read(std::span<uint8_t> out);

  // Whole chunks, each with a valid CRC, in the order of the file.
  std::vector<std::vector<uint8_t>>& kept() { return kept_; }

 private:
  absl::Status Fill();
  absl::Status Take(std::span<uint8_t> out);
  absl::Status NextChunk();
  absl::Status KeepChunk(uint32_t length, uint32_t type, bool keep);
  bool Wanted(uint32_t type, uint32_t length) const;
  absl::Status Corrupt(const std::string& what) const;

  base::ByteSource& bytes_;
  const uint64_t max_metadata_bytes_;
  std::array<uint8_t, 64 * 1024> buffer_;
  size_t used_ = 0;
  size_t filled_ = 0;
  uint64_t taken_bytes_ = 0;
  uint64_t metadata_bytes_ = 0;
  // What libpng gets next: the rest of a chunk's header, then this many bytes of the file.
  std::array<uint8_t, 8> header_{};
  size_t header_left_ = 0;
  // The signature is the first thing to pass.
  uint64_t pass_ = 8;
  bool seen_header_ = false;
  bool seen_data_ = false;
  bool ended_ = false;
  uint32_t last_type_ = 0;
  // How often each kind was kept.
  std::map<uint32_t, uint32_t> counts_;
  std::vector<std::vector<uint8_t>> kept_;
};

}  // namespace histeq::codec
