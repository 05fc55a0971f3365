#include "disk_room.h"

#include "base/error.h"
#include "fmt/format.h"
#include "rpc/event_log.h"
#include "store/sweep.h"

namespace histeq::frontend {

bool IsDiskFull(const absl::Status& status) { return base::ReasonOf(status) == "DISK_FULL"; }

bool MakeRoom(store::Catalog& catalog, store::BlobStore& blobs, const base::Clock& clock,
              absl::Duration idle) {
  const auto report = store::SweepAbandonedUploads(catalog, blobs, clock.Now() - idle);
  if (!report.ok() || report->bytes_freed == 0) return false;
  rpc::LogEvent(rpc::LogLevel::kWarning, "uploads_given_up",
                {{"uploads", fmt::format("{}", report->uploads_forgotten)},
                 {"bytes", fmt::format("{}", report->bytes_freed)}});
  return true;
}

}  // namespace histeq::frontend
