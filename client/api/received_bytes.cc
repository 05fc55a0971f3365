#include "api/received_bytes.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "rpc/chunk.h"

namespace histeq::client {

absl::Status ReceivedBytes::Hopeless(absl::Status status) {
  if (!status.ok()) hopeless_ = true;
  return status;
}

absl::Status ReceivedBytes::Begin(const v1::Image& image) {
  if (begun()) {
    if (image.id() == image_->id() && image.size_bytes() == image_->size_bytes() &&
        image.sha256() == image_->sha256()) {
      return absl::OkStatus();
    }
    return Hopeless(base::MakeError(absl::StatusCode::kDataLoss,
                                    "the image changed while it was being downloaded",
                                    {.reason = "IMAGE_CHANGED"}));
  }
  if (first_ > image.size_bytes()) {
    return Hopeless(base::MakeError(
        absl::StatusCode::kOutOfRange,
        fmt::format("the image has {} bytes and the offset is {}", image.size_bytes(), first_),
        {.reason = "OFFSET_OUT_OF_RANGE",
         .metadata = {{"limit", std::to_string(image.size_bytes())},
                      {"actual", std::to_string(first_)}}}));
  }
  end_ = image.size_bytes();
  if (limit_ > 0) end_ = first_ + std::min(limit_, end_ - first_);
  if (open_) {
    absl::StatusOr<base::ByteSink*> sink = open_(image);
    if (!sink.ok()) return Hopeless(sink.status());
    sink_ = *sink;
  }
  image_ = image;
  if (received_) received_(0, size());
  return absl::OkStatus();
}

absl::Status ReceivedBytes::Write(std::span<const uint8_t> bytes) {
  if (sink_ != nullptr) HISTEQ_RETURN_IF_ERROR(sink_->Write(bytes));
  digest_.Update(bytes);
  return absl::OkStatus();
}

absl::Status ReceivedBytes::Take(v1::Chunk& chunk) {
  if (!begun()) return absl::DataLossError("bytes came before the image that they belong to");
  if (absl::Status status = rpc::CheckChunk(chunk, offset_); !status.ok()) {
    return absl::DataLossError(std::string(status.message()));
  }
  if (chunk.data().size() > left()) {
    return absl::DataLossError(fmt::format("more than {} bytes came", size()));
  }
  const size_t size = chunk.data().size();
  HISTEQ_RETURN_IF_ERROR(Hopeless(behind_.Push(*chunk.mutable_data())));
  offset_ += size;
  if (received_) received_(offset_ - first_, this->size());
  return absl::OkStatus();
}

absl::Status ReceivedBytes::Finish() {
  HISTEQ_RETURN_IF_ERROR(Hopeless(behind_.Flush()));
  if (size() != image_->size_bytes() || image_->sha256().empty()) return absl::OkStatus();
  if (store::ToBytes(digest_.Digest()) == image_->sha256()) return absl::OkStatus();
  return base::MakeError(absl::StatusCode::kDataLoss,
                         "the bytes that came are not the image: the SHA-256 differs",
                         {.reason = "CHECKSUM_MISMATCH"});
}

}  // namespace histeq::client
