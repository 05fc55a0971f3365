#include "capture.h"

#include "base/status_macros.h"

namespace histeq::codec {

absl::StatusOr<size_t> PrefixedSource::Read(std::span<uint8_t> buffer) {
  if (used_ == prefix_.size()) return rest_.Read(buffer);
  const size_t n = std::min(buffer.size(), prefix_.size() - used_);
  std::memcpy(buffer.data(), prefix_.data() + used_, n);
  used_ += n;
  return n;
}

absl::StatusOr<std::vector<uint8_t>> ReadUpTo(base::ByteSource& source, size_t size) {
  std::vector<uint8_t> bytes(size);
  size_t have = 0;
  while (have < size) {
    HISTEQ_ASSIGN_OR_RETURN(const size_t n, source.Read(std::span(bytes).subspan(have)));
    if (n == 0) break;
    have += n;
  }
  bytes.resize(have);
  return bytes;
}

}  // namespace histeq::codec
