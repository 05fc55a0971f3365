#include "upload_session.h"

#include <utility>

#include "base/error.h"
#include "base/status_macros.h"
#include "disk_room.h"
#include "fmt/format.h"

namespace histeq::frontend {
namespace {

absl::Status TooLarge(uint64_t limit, uint64_t actual) {
  return base::MakeError(
      absl::StatusCode::kInvalidArgument,
      fmt::format("the file has {} bytes or more; this server takes at most {}", actual, limit),
      {.reason = "UPLOAD_TOO_LARGE",
       .metadata = {{"limit", std::to_string(limit)}, {"actual", std::to_string(actual)}},
       .field = "header.size_bytes"});
}

absl::Status SizeMismatch(uint64_t expected, uint64_t actual) {
  return base::MakeError(
      absl::StatusCode::kDataLoss,
      fmt::format("{} bytes were announced, {} arrived{}", expected, actual,
                  actual < expected ? ": send the rest" : " or more: send it from the start"),
      {.reason = "SIZE_MISMATCH",
       .metadata = {{"expected", std::to_string(expected)}, {"actual", std::to_string(actual)}}});
}

// However late an upload was touched: whoever holds its writer may forget it. For clocks that were
// set back.
absl::Time AnyTouch(const base::Clock& clock) { return clock.Now() + absl::Hours(24); }

// Times of a sweep that came between two steps of Begin.
constexpr int kMaxTries = 5;

}  // namespace

UploadSession::UploadSession(store::Catalog& catalog, store::BlobStore& blobs,
                             const base::Clock& clock, store::UploadHeader header,
                             const UploadLimits& limits, ImageCheck check)
    : catalog_(catalog),
      blobs_(blobs),
      clock_(clock),
      header_(std::move(header)),
      limits_(limits),
      check_(std::move(check)) {}

absl::StatusOr<std::unique_ptr<UploadSession>> UploadSession::Begin(
    store::Catalog& catalog, store::BlobStore& blobs, const base::Clock& clock,
    const store::UploadHeader& header, const UploadLimits& limits, ImageCheck check) {
  if (header.size_bytes.value_or(0) > limits.max_bytes) {
    return TooLarge(limits.max_bytes, *header.size_bytes);
  }
  std::unique_ptr<UploadSession> session(
      new UploadSession(catalog, blobs, clock, header, limits, std::move(check)));
  const auto finish = [&](store::UploadRecord& record) {
    session->writer_.reset();
    session->finished_ = store::FinishedUpload{*std::move(record.image), std::move(record.job),
                                               /*already_finished=*/true};
  };
  for (int i = 0; i < kMaxTries; ++i) {
    HISTEQ_ASSIGN_OR_RETURN(store::UploadRecord record,
                            catalog.BeginUpload(header, blobs.NewKey()));
    if (record.finished) {
      finish(record);
      return session;
    }
    auto writer = blobs.OpenPartial(record.blob_key, header.size_bytes);
    if (IsDiskFull(writer.status()) && MakeRoom(catalog, blobs, clock, limits.idle_retention)) {
      writer = blobs.OpenPartial(record.blob_key, header.size_bytes);
    }
    if (IsDiskFull(writer.status())) {
      blobs
          .DeleteKey(record.blob_key,
                     [&] { return catalog.RemoveUpload(header.upload_id, AnyTouch(clock)); })
          .IgnoreError();
    }
    if (!writer.ok()) return writer.status();
    session->writer_ = *std::move(writer);
    // Only now nobody else can change it: it may have been finished, or refused and forgotten, by
    // a call that held the writer until a moment ago.
    absl::StatusOr<store::UploadRecord> now = catalog.GetUpload(header.upload_id);
    if (!now.ok() && !absl::IsNotFound(now.status())) return now.status();
    if (now.ok() && now->finished && now->image.has_value()) {
      finish(*now);
      return session;
    }
    if (now.ok() && !now->finished && now->blob_key == record.blob_key) {
      if (session->writer_->size_bytes() == 0) {
        session->head_.emplace(limits.decode, session->check_);
      }
      return session;
    }
    HISTEQ_RETURN_IF_ERROR(session->writer_->Discard());
    session->writer_.reset();
  }
  return base::MakeError(absl::StatusCode::kAborted,
                         "this upload is being ended by other calls; try again",
                         {.reason = "UPLOAD_BUSY", .retry_after = absl::Seconds(1)});
}

absl::Status UploadSession::Discard(absl::Status status) {
  writer_->Discard().IgnoreError();
  if (!absl::IsDataLoss(status)) {
    catalog_.RemoveUpload(header_.upload_id, AnyTouch(clock_)).IgnoreError();
  }
  return status;
}

absl::Status UploadSession::Write(std::span<const uint8_t> bytes) {
  if (bytes.empty()) return absl::OkStatus();
  const uint64_t size = writer_->size_bytes() + bytes.size();
  if (size > limits_.max_bytes) return Discard(TooLarge(limits_.max_bytes, size));
  if (size > header_.size_bytes.value_or(size)) {
    return Discard(SizeMismatch(*header_.size_bytes, size));
  }
  if (head_.has_value()) {
    if (absl::Status status = head_->Add(bytes); !status.ok()) return Discard(std::move(status));
  }
  absl::Status status = writer_->Write(bytes);
  return IsDiskFull(status) ? Discard(std::move(status)) : status;
}

absl::Status UploadSession::Sync() {
  absl::Status status = writer_->Sync();
  return IsDiskFull(status) ? Discard(std::move(status)) : status;
}

absl::StatusOr<store::FinishedUpload> UploadSession::Finish(
    const std::optional<store::Sha256Digest>& sha256) {
  if (sha256.has_value() && header_.sha256.has_value() && *sha256 != *header_.sha256) {
    return base::MakeError(absl::StatusCode::kInvalidArgument,
                           fmt::format("the end of the upload says SHA-256 {}, its header {}",
                                       store::ToHex(*sha256), store::ToHex(*header_.sha256)),
                           {.reason = "CHECKSUM_CONFLICT",
                            .metadata = {{"expected", store::ToHex(*header_.sha256)},
                                         {"actual", store::ToHex(*sha256)}},
                            .field = "finish.sha256"});
  }
  if (writer_->size_bytes() < header_.size_bytes.value_or(0)) {
    return SizeMismatch(*header_.size_bytes, writer_->size_bytes());
  }
  store::BlobExpectation expectation;
  expectation.size_bytes = header_.size_bytes;
  expectation.sha256 = header_.sha256.has_value() ? header_.sha256 : sha256;
  absl::StatusOr<store::BlobInfo> blob = writer_->Finish(expectation);
  if (!blob.ok()) {
    // Also a blob that an earlier call had completed and not registered.
    return absl::IsDataLoss(blob.status()) || IsDiskFull(blob.status()) ? Discard(blob.status())
                                                                        : blob.status();
  }
  return Register(*blob);
}

absl::StatusOr<store::FinishedUpload> UploadSession::Register(const store::BlobInfo& blob) {
  // The bytes that passed are those that the blob's checksum is of: what they said need not be read
  // again.
  const absl::StatusOr<codec::ImageInfo> info =
      head_.has_value() && head_->info().has_value()
          ? *head_->info()
          : ProbeStored(blobs_, blob, limits_.decode, check_);
  if (!info.ok()) {
    return IsRefusal(info.status()) || absl::IsNotFound(info.status()) ? Discard(info.status())
                                                                       : info.status();
  }
  absl::StatusOr<store::FinishedUpload> finished =
      catalog_.FinishUpload(header_.upload_id, FactsOf(blob, *info));
  if (!finished.ok()) {
    // The reference image was deleted meanwhile, or the image that an earlier call registered; or
    // the catalog has no room.
    return absl::IsNotFound(finished.status()) || IsDiskFull(finished.status())
               ? Discard(finished.status())
               : finished.status();
  }
  if (finished->already_finished && finished->image.facts.location != blob.location) {
    writer_->Discard().IgnoreError();
  } else {
    writer_->Registered();
  }
  return finished;
}

}  // namespace histeq::frontend
