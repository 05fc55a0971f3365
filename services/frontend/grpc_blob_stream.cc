#include "grpc_blob_stream.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "rpc/chunk.h"
#include "store/location.h"

namespace histeq::frontend {

absl::StatusOr<store::BlobReader> OpenImage(FrontendCore& core, const store::ImageRecord& image,
                                            uint64_t offset, uint64_t limit) {
  store::BlobRange range;
  range.offset = offset;
  range.limit = limit;
  range.expected_blob_bytes = image.facts.size_bytes;
  if (image.facts.location.rfind("blob:", 0) == 0) {
    absl::StatusOr<store::BlobReader> reader = core.blobs.OpenRead(image.facts.location, range);
    if (absl::IsDataLoss(reader.status())) {
      HISTEQ_RETURN_IF_ERROR(core.catalog.GetImage(image.id).status());
    }
    return reader;
  }
  HISTEQ_ASSIGN_OR_RETURN(const store::Location location,
                          store::ParseLocation(image.facts.location));
  if (location.kind == store::Location::Kind::kNode) {
    return base::MakeError(
        absl::StatusCode::kUnimplemented,
        fmt::format(
            "image {} lies in storage {} of a node, which alone has its bytes; what is made "
            "of it can be downloaded",
            image.id, location.node),
        {.reason = "NODE_STORAGE",
         .metadata = {{"storage", location.node}, {"location", image.facts.location}}});
  }
  HISTEQ_ASSIGN_OR_RETURN(store::RootedFile file, core.file_roots.OpenFile(location.path));
  store::FileStamp known = file.stamp();
  known.size_bytes = image.facts.size_bytes;
  if (image.modify_time.has_value()) known.modify_time = *image.modify_time;
  HISTEQ_RETURN_IF_ERROR(store::CheckSameFile(known, file.stamp()));
  return store::ReadRange(std::move(file), range);
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
