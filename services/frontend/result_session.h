#pragma once

// One call that brings the results of a leased job.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "image_probe.h"
#include "store/blob_store.h"
#include "store/catalog.h"
#include "upload_session.h"

namespace histeq::frontend {

// The bytes arrive while the job still runs; they count only once they are all there, under the
// lease's epoch. One thread at a time. Destroyed uncommitted, nothing remains, except when nobody
// knows whether the catalog has the result: then its bytes are the sweep's.
class ResultSession {
 public:
  // Under which epoch the call comes. Errors of Catalog::GetLease; when the job was completed under
  // this epoch before, `completed` has its result and nothing more is to be done.
  struct Opening;
  static absl::StatusOr<Opening> Begin(store::Catalog& catalog, store::BlobStore& blobs,
                                       const base::Clock& clock, const std::string& job_id,
                                       uint64_t epoch, const UploadLimits& limits);

  ~ResultSession();
  ResultSession(const ResultSession&) = delete;
  ResultSession& operator=(const ResultSession&) = delete;

  // Bytes of the result that is being written.
  uint64_t size_bytes() const { return writer_ == nullptr ? 0 : writer_->size_bytes(); }

  // Appends.
  // - INVALID_ARGUMENT BAD_RESULT: the job makes no image. RESULT_TOO_LARGE. What is wrong with the
  //   image where that shows early.
  // - BlobStore's errors of the disk.
  absl::Status Write(std::span<const uint8_t> bytes);

  // Ends one result, an image of this size and checksum; the next Write begins the next one.
  // - DATA_LOSS SIZE_MISMATCH, CHECKSUM_MISMATCH. INVALID_ARGUMENT: no readable image, or
  //   BAD_RESULT.
  absl::Status EndResult(uint64_t size_bytes, const store::Sha256Digest& sha256);

  // Registers the results that have ended.
  // - INVALID_ARGUMENT BAD_RESULT: not as many as the lease has outputs. FAILED_PRECONDITION
  //   STALE_EPOCH. Errors of Catalog::Complete.
  absl::StatusOr<store::CompletedJob> Commit();

  // The result is these statistics, to be kept with the source image. Errors of Catalog::Complete.
  absl::StatusOr<store::CompletedJob> CommitStatistics(const std::string& statistics);

  // The result is what the source image's file is. Errors of Catalog::Complete.
  absl::StatusOr<store::CompletedJob> CommitInspected(const store::ImageFacts& facts,
                                                      std::optional<absl::Time> modify_time);

  const store::Lease& lease() const { return lease_; }

 private:
  ResultSession(store::Catalog& catalog, store::BlobStore& blobs, const base::Clock& clock,
                store::Lease lease, const UploadLimits& limits);
  absl::Status BadResult(const std::string& message) const;

  store::Catalog& catalog_;
  store::BlobStore& blobs_;
  const base::Clock& clock_;
  const store::Lease lease_;
  const UploadLimits limits_;
  // Made with the first bytes of each result.
  std::unique_ptr<store::BlobWriter> writer_;
  std::optional<HeadProbe> head_;
  struct Ended {
    std::unique_ptr<store::BlobWriter> writer;
    store::ImageFacts facts;
    bool kept = false;
  };
  std::vector<Ended> ended_;
};

struct ResultSession::Opening {
  std::unique_ptr<ResultSession> session;
  std::optional<store::CompletedJob> completed;
};

}  // namespace histeq::frontend
