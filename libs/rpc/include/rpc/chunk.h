#pragma once

// Pieces of byte streams in messages.

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "histeq/v1/chunk.pb.h"

namespace histeq::rpc {

// Largest `data` of a chunk, and largest message of any kind.
inline constexpr size_t kMaxChunkBytes = 1 << 20;
inline constexpr size_t kMaxMessageBytes = 2 << 20;
// What we send.
inline constexpr size_t kChunkBytes = 256 << 10;

inline std::span<const uint8_t> BytesOf(const v1::Chunk& chunk) {
  return {reinterpret_cast<const uint8_t*>(chunk.data().data()), chunk.data().size()};
}

// Sets offset and CRC-32C of a chunk whose data is in place.
void SealChunk(uint64_t offset, v1::Chunk& chunk);

// Whether a chunk that came is the one expected at `offset`.
// - INVALID_ARGUMENT CHUNK_TOO_LARGE. OUT_OF_RANGE OFFSET_MISMATCH (metadata "committed" = offset
//   expected, "actual"). DATA_LOSS CHECKSUM_MISMATCH.
absl::Status CheckChunk(const v1::Chunk& chunk, uint64_t offset);

}  // namespace histeq::rpc
