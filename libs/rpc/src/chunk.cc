#include "rpc/chunk.h"

#include "base/crc32c.h"
#include "base/error.h"
#include "fmt/format.h"

namespace histeq::rpc {

void SealChunk(uint64_t offset, v1::Chunk& chunk) {
  chunk.set_offset(offset);
  chunk.set_crc32c(base::Crc32c(BytesOf(chunk)));
}

absl::Status CheckChunk(const v1::Chunk& chunk, uint64_t offset) {
  if (chunk.data().size() > kMaxChunkBytes) {
    return base::MakeError(absl::StatusCode::kInvalidArgument,
                           fmt::format("a chunk of {} bytes; at most {} are allowed",
                                       chunk.data().size(), kMaxChunkBytes),
                           {.reason = "CHUNK_TOO_LARGE",
                            .metadata = {{"limit", fmt::format("{}", kMaxChunkBytes)},
                                         {"actual", fmt::format("{}", chunk.data().size())}},
                            .field = "chunk.data"});
  }
  if (chunk.offset() != offset) {
    return base::MakeError(absl::StatusCode::kOutOfRange,
                           fmt::format("a chunk at offset {}, but {} bytes are there: go on at {}",
                                       chunk.offset(), offset, offset),
                           {.reason = "OFFSET_MISMATCH",
                            .metadata = {{"committed", fmt::format("{}", offset)},
                                         {"actual", fmt::format("{}", chunk.offset())}},
                            .field = "chunk.offset"});
  }
  if (chunk.has_crc32c()) {
    const uint32_t actual = base::Crc32c(BytesOf(chunk));
    if (actual != chunk.crc32c()) {
      return base::MakeError(
          absl::StatusCode::kDataLoss,
          fmt::format("the {} bytes at offset {} have CRC-32C {:08x}, but {:08x} was sent with "
                      "them: they were damaged on the way",
                      chunk.data().size(), offset, actual, chunk.crc32c()),
          {.reason = "CHECKSUM_MISMATCH",
           .metadata = {{"offset", fmt::format("{}", offset)},
                        {"expected", fmt::format("{:08x}", chunk.crc32c())},
                        {"actual", fmt::format("{:08x}", actual)}},
           .field = "chunk.crc32c"});
    }
  }
  return absl::OkStatus();
}

}  // namespace histeq::rpc
