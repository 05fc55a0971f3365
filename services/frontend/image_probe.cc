#include "image_probe.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/memory_source.h"
#include "base/status_macros.h"

namespace histeq::frontend {
namespace {

constexpr size_t kMaxHeadBytes = 1 << 20;
// What no header is shorter than: fewer bytes are not worth a look.
constexpr size_t kMinTryBytes = 1 << 10;

}  // namespace

absl::Status HeadProbe::Add(std::span<const uint8_t> bytes) {
  if (done_) return absl::OkStatus();
  // The first piece often is the whole file, or has the whole header: then nothing is copied.
  if (head_.empty() && bytes.size() >= kMinTryBytes) {
    HISTEQ_RETURN_IF_ERROR(Try(bytes));
    if (done_) return absl::OkStatus();
  }
  head_.insert(head_.end(), bytes.begin(), bytes.end());
  if (head_.size() < next_try_) return absl::OkStatus();
  HISTEQ_RETURN_IF_ERROR(Try(head_));
  if (!done_) {
    next_try_ = head_.size() * 4;
    done_ = next_try_ > kMaxHeadBytes;
  }
  if (done_) head_ = std::vector<uint8_t>();
  return absl::OkStatus();
}

absl::Status HeadProbe::Try(std::span<const uint8_t> bytes) {
  base::MemorySource source(bytes);
  const absl::StatusOr<codec::ImageInfo> info = codec::ProbeImage(source, limits_);
  if (!info.ok()) {
    const auto detail = base::GetErrorDetail(info.status());
    const bool truncated = detail.has_value() && detail->reason == "IMAGE_TRUNCATED";
    return truncated ? absl::OkStatus() : info.status();
  }
  done_ = true;
  if (check_) HISTEQ_RETURN_IF_ERROR(check_(*info));
  info_ = *info;
  return absl::OkStatus();
}

absl::StatusOr<codec::ImageInfo> ProbeStored(store::BlobStore& blobs, const store::BlobInfo& blob,
                                             const codec::DecodeLimits& limits,
                                             const ImageCheck& check) {
  store::BlobRange all;
  all.expected_blob_bytes = blob.size_bytes;
  HISTEQ_ASSIGN_OR_RETURN(const store::BlobReader reader, blobs.OpenRead(blob.location, all));
  HISTEQ_ASSIGN_OR_RETURN(const codec::ImageInfo info, codec::ProbeImage(*reader.source, limits));
  if (check) HISTEQ_RETURN_IF_ERROR(check(info));
  return info;
}

store::ImageFacts FactsOf(const store::BlobInfo& blob, const codec::ImageInfo& info) {
  store::ImageFacts facts;
  facts.location = blob.location;
  facts.sha256 = blob.sha256;
  facts.size_bytes = blob.size_bytes;
  facts.format = static_cast<store::ImageFormat>(info.format);
  facts.width = info.width;
  facts.height = info.height;
  facts.channels = info.channels;
  facts.bits_per_sample = info.bits_per_sample;
  return facts;
}

codec::ImageInfo InfoOf(const store::ImageFacts& facts) {
  codec::ImageInfo info;
  info.format = static_cast<codec::ImageFormat>(facts.format);
  info.width = facts.width;
  info.height = facts.height;
  info.channels = facts.channels;
  info.bits_per_sample = facts.bits_per_sample;
  // Four channels of a JPEG are CMYK.
  info.has_alpha = facts.format == store::ImageFormat::kPng && facts.channels % 2 == 0;
  return info;
}

bool IsRefusal(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsUnimplemented(status);
}

}  // namespace histeq::frontend
