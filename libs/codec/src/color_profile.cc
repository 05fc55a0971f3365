#include "codec/color_profile.h"

#include <zlib.h>

#include <algorithm>
#include <string_view>

#include "png_chunk.h"

namespace histeq::codec {
namespace {

using namespace std::string_view_literals;

constexpr int kProfileMarker = 0xE2;
constexpr auto kProfileName = "ICC_PROFILE\0"sv;
// The name, the piece's number, the number of pieces.
constexpr size_t kProfileHeaderBytes = 14;
constexpr size_t kMarkerPayloadBytes = 65533;
constexpr size_t kIccHeaderBytes = 128;
// Name of the profile in a PNG, and the compression's number.
constexpr auto kChunkName = "icc\0\0"sv;

bool IsProfilePiece(const Metadata::Piece& piece) {
  return piece.marker == kProfileMarker && piece.bytes.size() > kProfileHeaderBytes &&
         std::equal(kProfileName.begin(), kProfileName.end(), piece.bytes.begin());
}

std::vector<uint8_t> FromMarkers(const Metadata& metadata, uint64_t max_bytes) {
  std::vector<const Metadata::Piece*> pieces;
  uint64_t size = 0;
  for (const Metadata::Piece& piece : metadata.pieces) {
    if (!IsProfilePiece(piece)) continue;
    const uint32_t number = piece.bytes[12], count = piece.bytes[13];
    if (number == 0 || number > count) return {};
    if (pieces.empty()) pieces.resize(count);
    if (pieces.size() != count || pieces[number - 1] != nullptr) return {};
    pieces[number - 1] = &piece;
    size += piece.bytes.size() - kProfileHeaderBytes;
  }
  if (size > max_bytes || std::count(pieces.begin(), pieces.end(), nullptr) > 0) return {};
  std::vector<uint8_t> profile;
  profile.reserve(size);
  for (const Metadata::Piece* piece : pieces)
    profile.insert(profile.end(), piece->bytes.begin() + kProfileHeaderBytes, piece->bytes.end());
  return profile;
}

std::vector<uint8_t> Inflated(std::span<const uint8_t> bytes, uint64_t max_bytes) {
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) return {};
  stream.next_in = const_cast<Bytef*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::vector<uint8_t> out;
  int result = Z_OK;
  // One more than allowed, to see that it is too much.
  while (result == Z_OK && out.size() <= max_bytes) {
    const size_t have = out.size();
    out.resize(have + static_cast<size_t>(std::min<uint64_t>(64 << 10, max_bytes + 1 - have)));
    stream.next_out = out.data() + have;
    stream.avail_out = static_cast<uInt>(out.size() - have);
    result = inflate(&stream, Z_NO_FLUSH);
    out.resize(out.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  return result == Z_STREAM_END && out.size() <= max_bytes ? out : std::vector<uint8_t>();
}

uint32_t TypeOf(const Metadata::Piece& chunk) {
  return chunk.bytes.size() < kChunkHeaderBytes + kChunkCrcBytes
             ? 0
             : ReadBigEndian32(chunk.bytes.data() + 4);
}

std::vector<uint8_t> FromChunk(const Metadata& metadata, uint64_t max_bytes) {
  for (const Metadata::Piece& piece : metadata.pieces) {
    if (TypeOf(piece) != ChunkType("iCCP")) continue;
    const auto data =
        std::span(piece.bytes)
            .subspan(kChunkHeaderBytes, piece.bytes.size() - kChunkHeaderBytes - kChunkCrcBytes);
    const auto zero = std::find(data.begin(), data.end(), 0);
    const auto name_bytes = static_cast<size_t>(zero - data.begin());
    if (data.size() < name_bytes + 2 || data[name_bytes + 1] != 0) return {};
    return Inflated(data.subspan(name_bytes + 2), max_bytes);
  }
  return {};
}

// Its header names the colours that it is for.
bool IsFor(std::span<const uint8_t> profile, bool gray) {
  if (profile.size() < kIccHeaderBytes || ReadBigEndian32(profile.data()) > profile.size())
    return false;
  const auto wanted = gray ? "GRAY"sv : "RGB "sv;
  return std::equal(wanted.begin(), wanted.end(), profile.begin() + 16);
}

void AddMarkers(std::span<const uint8_t> profile, Metadata& metadata) {
  const size_t part = kMarkerPayloadBytes - kProfileHeaderBytes;
  const size_t count = (profile.size() + part - 1) / part;
  // The pieces are numbered in a byte.
  if (count > 255) return;
  for (size_t i = 0; i < count; ++i) {
    Metadata::Piece piece{.marker = kProfileMarker,
                          .bytes = {kProfileName.begin(), kProfileName.end()}};
    piece.bytes.push_back(static_cast<uint8_t>(i + 1));
    piece.bytes.push_back(static_cast<uint8_t>(count));
    const auto bytes = profile.subspan(i * part, std::min(part, profile.size() - i * part));
    piece.bytes.insert(piece.bytes.end(), bytes.begin(), bytes.end());
    metadata.pieces.push_back(std::move(piece));
  }
}

void AddChunk(std::span<const uint8_t> profile, Metadata& metadata) {
  std::vector<uint8_t> data(kChunkName.begin(), kChunkName.end());
  uLongf size = compressBound(static_cast<uLong>(profile.size()));
  data.resize(kChunkName.size() + size);
  if (compress2(data.data() + kChunkName.size(), &size, profile.data(),
                static_cast<uLong>(profile.size()), Z_BEST_COMPRESSION) != Z_OK)
    return;
  data.resize(kChunkName.size() + size);
  Metadata::Piece piece;
  AppendChunk(piece.bytes, ChunkType("iCCP"), data);
  metadata.pieces.push_back(std::move(piece));
}

bool IsAboutColors(uint32_t type) {
  return type == ChunkType("gAMA") || type == ChunkType("cHRM") || type == ChunkType("sRGB") ||
         type == ChunkType("cICP");
}

}  // namespace

std::vector<uint8_t> ColorProfileOf(const Metadata& metadata, ImageFormat format,
                                    uint64_t max_bytes) {
  return format == ImageFormat::kJpeg ? FromMarkers(metadata, max_bytes)
                                      : FromChunk(metadata, max_bytes);
}

Metadata ColorMetadata(const Metadata& metadata, ImageFormat source, ImageFormat target,
                       uint32_t channels, uint64_t max_bytes) {
  Metadata out;
  out.has_jfif = target == ImageFormat::kJpeg;
  if (source == ImageFormat::kPng && target == ImageFormat::kPng) {
    for (const Metadata::Piece& piece : metadata.pieces)
      if (IsAboutColors(TypeOf(piece))) out.pieces.push_back(piece);
  }
  const std::vector<uint8_t> profile = ColorProfileOf(metadata, source, max_bytes);
  if (!IsFor(profile, /*gray=*/channels <= 2)) return out;
  if (target == ImageFormat::kJpeg)
    AddMarkers(profile, out);
  else
    AddChunk(profile, out);
  return out;
}

}  // namespace histeq::codec
