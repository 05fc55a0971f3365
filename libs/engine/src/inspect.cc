#include "engine/inspect.h"

#include <vector>

#include "base/status_macros.h"

namespace histeq::engine {
namespace {

constexpr size_t kBufferBytes = 256 << 10;

class SeenSource final : public base::ByteSource {
 public:
  SeenSource(base::ByteSource& source, const base::CancelToken& token,
             const std::function<void(std::span<const uint8_t>)>& seen)
      : source_(source), token_(token), seen_(seen) {}

  absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) override {
    HISTEQ_RETURN_IF_ERROR(token_.Check());
    HISTEQ_ASSIGN_OR_RETURN(const size_t got, source_.Read(buffer));
    if (got > 0 && seen_) seen_(buffer.first(got));
    size_bytes_ += got;
    return got;
  }
  uint64_t size_bytes() const { return size_bytes_; }

 private:
  base::ByteSource& source_;
  const base::CancelToken& token_;
  const std::function<void(std::span<const uint8_t>)>& seen_;
  uint64_t size_bytes_ = 0;
};

}  // namespace

absl::StatusOr<InspectedFile> Inspect(base::ByteSource& source, const codec::DecodeLimits& limits,
                                      const base::CancelToken& token,
                                      const std::function<void(std::span<const uint8_t>)>& seen) {
  SeenSource all(source, token, seen);
  InspectedFile file;
  HISTEQ_ASSIGN_OR_RETURN(file.info, codec::ProbeImage(all, limits));
  std::vector<uint8_t> buffer(kBufferBytes);
  while (true) {
    HISTEQ_ASSIGN_OR_RETURN(const size_t got, all.Read(buffer));
    if (got == 0) break;
  }
  file.size_bytes = all.size_bytes();
  return file;
}

}  // namespace histeq::engine
