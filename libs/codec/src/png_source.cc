#include "png_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/status_macros.h"
#include "png_chunk.h"

namespace histeq::codec {
namespace {

constexpr uint32_t kHeader = ChunkType("IHDR");
constexpr uint32_t kPalette = ChunkType("PLTE");
constexpr uint32_t kTransparency = ChunkType("tRNS");
constexpr uint32_t kData = ChunkType("IDAT");
constexpr uint32_t kEnd = ChunkType("IEND");

bool IsForPixels(uint32_t type) {
  return type == kHeader || type == kPalette || type == kTransparency || type == kData ||
         type == kEnd;
}

bool IsText(uint32_t type) {
  return type == ChunkType("tEXt") || type == ChunkType("zTXt") || type == ChunkType("iTXt");
}

bool IsName(uint32_t type) {
  for (int shift = 0; shift < 32; shift += 8) {
    const auto byte = static_cast<uint8_t>(type >> shift) | 0x20;
    if (byte < 'a' || byte > 'z') return false;
  }
  return true;
}

// The fifth bit of the first letter.
bool IsAncillary(uint32_t type) { return (type & 0x20000000) != 0; }

// What a kept chunk costs in memory beside its bytes: otherwise a file of empty texts would take
// many times its size.
constexpr uint64_t kPieceBytes = 64;

// A keyword of 1 to 79 bytes and its zero.
bool BeginsWithKeyword(std::span<const uint8_t> data) {
  const auto head = data.first(std::min<size_t>(data.size(), 80));
  const auto zero = std::find(head.begin(), head.end(), 0);
  return zero != head.end() && zero != head.begin();
}

}  // namespace

absl::Status PngSource::Corrupt(const std::string& what) const {
  return base::MakeError(absl::StatusCode::kInvalidArgument,
                         fmt::format("the PNG is damaged: {}", what), {.reason = "IMAGE_CORRUPT"});
}

absl::Status PngSource::Fill() {
  HISTEQ_ASSIGN_OR_RETURN(filled_, bytes_.Read(buffer_));
  used_ = 0;
  if (filled_ == 0)
    return base::MakeError(
        absl::StatusCode::kInvalidArgument,
        fmt::format("the PNG ends after {} bytes, in the middle", taken_bytes_),
        {.reason = "IMAGE_TRUNCATED", .metadata = {{"actual", std::to_string(taken_bytes_)}}});
  taken_bytes_ += filled_;
  return absl::OkStatus();
}

absl::Status PngSource::Take(std::span<uint8_t> out) {
  while (!out.empty()) {
    if (used_ == filled_) HISTEQ_RETURN_IF_ERROR(Fill());
    const size_t n = std::min(out.size(), filled_ - used_);
    std::memcpy(out.data(), buffer_.data() + used_, n);
    used_ += n;
    out = out.subspan(n);
  }
  return absl::OkStatus();
}

absl::Status PngSource::Read(std::span<uint8_t> out) {
  while (!out.empty()) {
    if (header_left_ > 0) {
      const size_t n = std::min(out.size(), header_left_);
      std::memcpy(out.data(), header_.data() + header_.size() - header_left_, n);
      header_left_ -= n;
      out = out.subspan(n);
    } else if (pass_ > 0) {
      const size_t n = static_cast<size_t>(std::min<uint64_t>(out.size(), pass_));
      HISTEQ_RETURN_IF_ERROR(Take(out.first(n)));
      pass_ -= n;
      out = out.subspan(n);
    } else {
      HISTEQ_RETURN_IF_ERROR(NextChunk());
    }
  }
  return absl::OkStatus();
}

absl::Status PngSource::NextChunk() {
  if (ended_) return Corrupt("nothing may follow IEND");
  HISTEQ_RETURN_IF_ERROR(Take(header_));
  const uint32_t length = ReadBigEndian32(header_.data());
  const uint32_t type = ReadBigEndian32(header_.data() + 4);
  const uint32_t before = last_type_;
  if (!IsName(type)) return Corrupt(fmt::format("a chunk of the type '{}'", ChunkName(type)));
  if (length > kMaxChunkBytes)
    return Corrupt(fmt::format("a chunk {} of {} bytes", ChunkName(type), length));
  if (!seen_header_ && type != kHeader)
    return Corrupt(fmt::format("it begins with {} in place of IHDR", ChunkName(type)));
  seen_header_ = true;
  last_type_ = type;
  if (!IsForPixels(type)) {
    if (!IsAncillary(type))
      return base::MakeError(
          absl::StatusCode::kInvalidArgument,
          fmt::format("a PNG with a chunk {} is not supported", ChunkName(type)),
          {.reason = "UNSUPPORTED_FORMAT", .metadata = {{"actual", ChunkName(type)}}});
    return KeepChunk(length, type, Wanted(type, length));
  }
  if (type == kData) {
    if (seen_data_ && before != kData) return Corrupt("its IDAT chunks are not in a row");
    seen_data_ = true;
  }
  ended_ = type == kEnd;
  header_left_ = header_.size();
  pass_ = uint64_t{length} + kChunkCrcBytes;
  return absl::OkStatus();
}

bool PngSource::Wanted(uint32_t type, uint32_t length) const {
  if (IsText(type)) return true;
  // The others may stand only once; a reader of the output would complain of the second.
  if (counts_.contains(type)) return false;
  if (type == ChunkType("eXIf")) return length >= 4;
  if (seen_data_) return false;
  switch (type) {
    case ChunkType("gAMA"):
    case ChunkType("cICP"):
      return length == 4;
    case ChunkType("cHRM"):
      return length == 32;
    case ChunkType("pHYs"):
      return length == 9;
    case ChunkType("sRGB"):
      // One or the other says what the colours are.
      return length == 1 && !counts_.contains(ChunkType("iCCP"));
    case ChunkType("iCCP"):
      return !counts_.contains(ChunkType("sRGB"));
    default:
      return false;
  }
}

absl::Status PngSource::KeepChunk(uint32_t length, uint32_t type, bool keep) {
  if (keep || !seen_data_) {
    metadata_bytes_ += uint64_t{length} + kChunkHeaderBytes + kChunkCrcBytes;
    if (keep) metadata_bytes_ += kPieceBytes;
    if (metadata_bytes_ > max_metadata_bytes_)
      return base::MakeError(
          absl::StatusCode::kInvalidArgument,
          fmt::format("the PNG has {} bytes beside its pixels or more; the limit is {}",
                      metadata_bytes_, max_metadata_bytes_),
          {.reason = "METADATA_TOO_LARGE",
           .metadata = {{"limit", std::to_string(max_metadata_bytes_)},
                        {"actual", std::to_string(metadata_bytes_)}}});
  }
  std::vector<uint8_t> chunk;
  if (keep) chunk.assign(header_.begin(), header_.end());
  uint32_t crc = ChunkCrc(0, std::span(header_).subspan(4));
  // In pieces, so that a length alone makes nobody allocate.
  std::array<uint8_t, 4096> piece;
  for (uint64_t left = length; left > 0;) {
    const auto part =
        std::span(piece).first(static_cast<size_t>(std::min<uint64_t>(left, piece.size())));
    HISTEQ_RETURN_IF_ERROR(Take(part));
    crc = ChunkCrc(crc, part);
    if (keep) chunk.insert(chunk.end(), part.begin(), part.end());
    left -= part.size();
  }
  std::array<uint8_t, kChunkCrcBytes> stored;
  HISTEQ_RETURN_IF_ERROR(Take(stored));
  if (ReadBigEndian32(stored.data()) != crc)
    return Corrupt(fmt::format("the checksum of its chunk {} is wrong", ChunkName(type)));
  if (!keep) return absl::OkStatus();
  if ((IsText(type) || type == ChunkType("iCCP")) &&
      !BeginsWithKeyword(std::span<const uint8_t>(chunk).subspan(kChunkHeaderBytes)))
    return absl::OkStatus();
  ++counts_[type];
  chunk.insert(chunk.end(), stored.begin(), stored.end());
  kept_.push_back(std::move(chunk));
  return absl::OkStatus();
}

}  // namespace histeq::codec
