#include "resuming_source.h"

#include <optional>
#include <utility>

#include "base/error.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "job_outcome.h"
#include "rpc/retry.h"

namespace histeq::coordinator {
namespace {

absl::Status EndsEarly(uint64_t offset, uint64_t size_bytes) {
  return base::MakeError(
      absl::StatusCode::kDataLoss,
      fmt::format("the stored image ends after {} of {} bytes", offset, size_bytes),
      {.reason = "SOURCE_CHANGED",
       .metadata = {{"expected", fmt::format("{}", size_bytes)},
                    {"actual", fmt::format("{}", offset)}},
       .field = {},
       .retry_after = {}});
}

}  // namespace

ResumingSource::ResumingSource(OpenAt open, std::optional<uint64_t> size_bytes,
                               base::CancelToken token, Resumed resumed)
    : open_(std::move(open)),
      size_bytes_(size_bytes),
      token_(std::move(token)),
      resumed_(std::move(resumed)) {}

ResumingSource::~ResumingSource() = default;

absl::StatusOr<size_t> ResumingSource::Read(std::span<uint8_t> buffer) {
  if (size_bytes_.has_value() && offset_ >= *size_bytes_) return 0;
  rpc::Backoff backoff;
  while (true) {
    HISTEQ_RETURN_IF_ERROR(token_.Check());
    absl::Status failure;
    if (stream_ == nullptr) {
      auto opened = open_(offset_);
      if (opened.ok()) {
        stream_ = *std::move(opened);
      } else {
        failure = opened.status();
      }
    }
    if (stream_ != nullptr) {
      const absl::StatusOr<size_t> got = stream_->Read(buffer);
      if (got.ok() && *got > 0) {
        offset_ += *got;
        failures_ = 0;
        return got;
      }
      if (got.ok() && !size_bytes_.has_value()) return 0;
      failure = got.ok() ? EndsEarly(offset_, *size_bytes_) : got.status();
    }
    stream_.reset();
    // The reason for the cancellation, rather than what the broken stream made of it.
    HISTEQ_RETURN_IF_ERROR(token_.Check());
    if (!IsWorthRepeating(failure)) return failure_ = failure;
    if (!IsPassing(failure) && ++failures_ >= kTries) return failure_ = failure;
    resumed_(offset_, failure);
    HISTEQ_RETURN_IF_ERROR(backoff.Wait(token_, AskedPause(failure)));
  }
}

}  // namespace histeq::coordinator
