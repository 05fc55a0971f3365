#include "grpc_blob_stream.h"

#include <algorithm>
#include <string>

#include "base/status_macros.h"
#include "rpc/chunk.h"

namespace histeq::frontend {

absl::StatusOr<store::BlobReader> OpenImage(store::Catalog& catalog, store::BlobStore& blobs,
                                            const store::ImageRecord& image, uint64_t offset,
                                            uint64_t limit) {
  store::BlobRange range;
  range.offset = offset;
  range.limit = limit;
  range.expected_blob_bytes = image.facts.size_bytes;
  absl::StatusOr<store::BlobReader> reader = blobs.OpenRead(image.facts.location, range);
  if (absl::IsDataLoss(reader.status()))
    HISTEQ_RETURN_IF_ERROR(catalog.GetImage(image.id).status());
  return reader;
}

absl::Status StreamChunks(store::BlobReader& reader, uint64_t offset, v1::Chunk& chunk,
                          const std::function<absl::Status()>& send) {
  uint64_t left = reader.size_bytes;
  while (left > 0) {
    std::string& data = *chunk.mutable_data();
    data.resize(std::min<uint64_t>(left, rpc::kChunkBytes));
    size_t filled = 0;
    while (filled < data.size()) {
      HISTEQ_ASSIGN_OR_RETURN(const size_t size,
                              reader.source->Read({reinterpret_cast<uint8_t*>(data.data()) + filled,
                                                   data.size() - filled}));
      if (size == 0) break;
      filled += size;
    }
    data.resize(filled);
    if (filled == 0) return absl::DataLossError("the stored bytes end early");
    rpc::SealChunk(offset, chunk);
    HISTEQ_RETURN_IF_ERROR(send());
    offset += filled;
    left -= filled;
  }
  return absl::OkStatus();
}

}  // namespace histeq::frontend
