#include "store/sweep.h"

#include "base/status_macros.h"

namespace histeq::store {

absl::StatusOr<SweepReport> SweepOrphans(Catalog& catalog, BlobStore& blobs,
                                         const base::CancelToken& stop) {
  SweepReport report;
  HISTEQ_RETURN_IF_ERROR(blobs.ForEach([&](const BlobEntry& entry) -> absl::Status {
    HISTEQ_RETURN_IF_ERROR(stop.Check());
    const auto check_unused = [&]() -> absl::Status {
      HISTEQ_ASSIGN_OR_RETURN(const Catalog::BlobUse use,
                              catalog.UseOfBlob(entry.key, entry.location));
      return use == Catalog::BlobUse::kNone ? absl::OkStatus() : absl::AbortedError("it is in use");
    };
    absl::Status status = check_unused();
    // Asked again while nobody can open it: it may have been registered meanwhile.
    if (status.ok()) status = blobs.DeleteEntry(entry, check_unused);
    if (absl::IsAborted(status)) return absl::OkStatus();
    HISTEQ_RETURN_IF_ERROR(status);
    ++(entry.partial ? report.partials_deleted : report.blobs_deleted);
    report.bytes_freed += entry.size_bytes;
    return absl::OkStatus();
  }));
  return report;
}

absl::StatusOr<SweepReport> SweepAbandonedUploads(Catalog& catalog, BlobStore& blobs,
                                                  absl::Time before,
                                                  const base::CancelToken& stop) {
  SweepReport report;
  HISTEQ_ASSIGN_OR_RETURN(const auto uploads, catalog.AbandonedUploads(before));
  for (const UploadRecord& upload : uploads) {
    HISTEQ_RETURN_IF_ERROR(stop.Check());
    HISTEQ_ASSIGN_OR_RETURN(const auto blob, blobs.Find(upload.blob_key));
    // A long call that ended a moment ago touched the upload when it began.
    if (blob.has_value() && blob->modify_time >= before) continue;
    const absl::Status deleted = blobs.DeleteKey(
        upload.blob_key, [&] { return catalog.RemoveUpload(upload.header.upload_id, before); });
    // Somebody sends it now, or has finished or continued it meanwhile.
    if (absl::IsAborted(deleted) || absl::IsNotFound(deleted)) continue;
    HISTEQ_RETURN_IF_ERROR(deleted);
    ++report.uploads_forgotten;
    if (!blob.has_value()) continue;
    ++report.partials_deleted;
    report.bytes_freed += blob->size_bytes;
  }
  return report;
}

}  // namespace histeq::store
