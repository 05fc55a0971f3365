#pragma once

// One call that sends (the rest of) an image.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "codec/limits.h"
#include "image_probe.h"
#include "store/blob_store.h"
#include "store/catalog.h"

namespace histeq::frontend {

struct UploadLimits {
  uint64_t max_bytes = 64ull << 30;
  codec::DecodeLimits decode;
  // On a full disk an upload that nobody continues for so long is given up.
  absl::Duration idle_retention = absl::Minutes(10);
};

// From the header to the registration. One thread at a time. Destroyed unfinished, what was stored
// stays and can be continued, unless a refusal was final or the disk is full: then neither the
// bytes nor the open upload remain.
class UploadSession {
 public:
  // `check` is asked once the image's header is known. Errors of Catalog::BeginUpload and
  // BlobStore::OpenPartial, and
  // - INVALID_ARGUMENT UPLOAD_TOO_LARGE.
  // - ABORTED UPLOAD_BUSY: another call sends this upload now.
  static absl::StatusOr<std::unique_ptr<UploadSession>> Begin(
      store::Catalog& catalog, store::BlobStore& blobs, const base::Clock& clock,
      const store::UploadHeader& header, const UploadLimits& limits, ImageCheck check);

  // Set when the upload was finished by an earlier call: nothing more is to be done.
  const std::optional<store::FinishedUpload>& finished() const { return finished_; }

  // Where the next bytes go.
  uint64_t size_bytes() const { return writer_->size_bytes(); }

  // Appends.
  // - INVALID_ARGUMENT UPLOAD_TOO_LARGE, and what is wrong with the image where that shows early.
  // - DATA_LOSS SIZE_MISMATCH: more than was announced; the upload begins at 0 again.
  // - BlobStore's errors of the disk: what was stored stays, except when the disk is full.
  absl::Status Write(std::span<const uint8_t> bytes);

  // Makes what was written durable.
  absl::Status Sync();

  // All bytes are there. `sha256`: what the end of the stream says. Registers the image and queues
  // its job; what was acknowledged survives everything.
  // - DATA_LOSS SIZE_MISMATCH: fewer than announced; what there is stays. Also CHECKSUM_MISMATCH:
  //   the upload begins at 0 again.
  // - INVALID_ARGUMENT CHECKSUM_CONFLICT: not the checksum of the header. And what is wrong with
  //   the image.
  // - errors of Catalog::FinishUpload.
  absl::StatusOr<store::FinishedUpload> Finish(const std::optional<store::Sha256Digest>& sha256);

 private:
  UploadSession(store::Catalog& catalog, store::BlobStore& blobs, const base::Clock& clock,
                store::UploadHeader header, const UploadLimits& limits, ImageCheck check);
  // Deletes the bytes and, when no retry mends `status`, forgets the upload.
  absl::Status Discard(absl::Status status);
  absl::StatusOr<store::FinishedUpload> Register(const store::BlobInfo& blob);

  store::Catalog& catalog_;
  store::BlobStore& blobs_;
  const base::Clock& clock_;
  const store::UploadHeader header_;
  const UploadLimits limits_;
  const ImageCheck check_;
  // Absent when the beginning of the bytes came with an earlier call, which has looked at it.
  std::optional<HeadProbe> head_;
  std::unique_ptr<store::BlobWriter> writer_;
  std::optional<store::FinishedUpload> finished_;
};

}  // namespace histeq::frontend
