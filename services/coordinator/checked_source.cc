#include "checked_source.h"

#include <utility>

#include "base/error.h"

namespace histeq::coordinator {

CheckedSource::CheckedSource(base::ByteSource& source, std::string sha256)
    : source_(source), sha256_(std::move(sha256)) {
  if (sha256_.size() == 32) digest_.emplace();
}

CheckedSource::~CheckedSource() = default;

absl::StatusOr<size_t> CheckedSource::Read(std::span<uint8_t> buffer) {
  absl::StatusOr<size_t> got = source_.Read(buffer);
  if (!got.ok() || !digest_.has_value()) return got;
  if (*got > 0) {
    digest_->Update(buffer.first(*got));
    return got;
  }
  const std::string actual = store::ToBytes(digest_->Digest());
  digest_.reset();
  if (actual != sha256_) {
    return base::MakeError(
        absl::StatusCode::kDataLoss,
        "the image's bytes are not those that were uploaded or registered: their SHA-256 differs",
        {.reason = "SOURCE_CHANGED", .metadata = {}, .field = {}, .retry_after = {}});
  }
  return got;
}

}  // namespace histeq::coordinator
