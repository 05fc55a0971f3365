#include "job_pruning.h"

#include <optional>
#include <string_view>
#include <utility>

#include "base/status_macros.h"
#include "catalog_rows.h"

namespace histeq::store {
namespace {

// Bounds how long the change takes.
constexpr int64_t kMaxRequestsAtOnce = 1000;

absl::StatusOr<bool> IsLatestReader(Database& db, const std::string& job_id,
                                    const std::string& image_id) {
  HISTEQ_ASSIGN_OR_RETURN(const auto image, FindImage(db, image_id));
  if (!image.has_value()) return false;
  HISTEQ_ASSIGN_OR_RETURN(const auto reader, FindInspection(db, image_id));
  return reader.has_value() && reader->id == job_id;
}

absl::StatusOr<uint64_t> RemoveUpload(Database& db, const std::string& id) {
  HISTEQ_ASSIGN_OR_RETURN(Statement statement,
                          db.Prepare("DELETE FROM uploads WHERE id = ? AND image_id IS NOT NULL"));
  HISTEQ_RETURN_IF_ERROR(statement.Bind(id).Run());
  return static_cast<uint64_t>(db.Changes());
}

// What was asked for and failed is no longer listed with the image.
absl::Status ForgetFailure(Database& db, const std::string& image_id, const std::string& job_id) {
  HISTEQ_ASSIGN_OR_RETURN(Statement statement,
                          db.Prepare("DELETE FROM derivatives WHERE source_image_id = ? AND job_id "
                                     "= ? AND image_id IS NULL"));
  return statement.Bind(image_id).Bind(job_id).Run();
}

absl::Status PruneJob(Database& db, const std::string& id, Pruned& pruned) {
  HISTEQ_ASSIGN_OR_RETURN(const auto job, FindJob(db, id));
  if (!job.has_value() || !IsFinal(job->state)) return absl::OkStatus();
  const bool failed = job->state == JobState::kFailed;
  std::vector<std::pair<std::string, std::string>> requests;
  {
    HISTEQ_ASSIGN_OR_RETURN(
        Statement row, db.Prepare("SELECT id, image_id FROM requests WHERE job_id = ? LIMIT ?"));
    row.Bind(id).Bind(kMaxRequestsAtOnce);
    while (true) {
      HISTEQ_ASSIGN_OR_RETURN(const bool more, row.Step());
      if (!more) break;
      requests.emplace_back(row.Bytes(0), row.Bytes(1));
    }
  }
  for (const auto& [request_id, image_id] : requests) {
    if (failed) HISTEQ_RETURN_IF_ERROR(ForgetFailure(db, image_id, id));
    if (const auto upload_id = UploadOfRequest(request_id); upload_id.has_value()) {
      HISTEQ_ASSIGN_OR_RETURN(const uint64_t removed, RemoveUpload(db, *upload_id));
      pruned.uploads += removed;
    }
    HISTEQ_ASSIGN_OR_RETURN(Statement statement, db.Prepare("DELETE FROM requests WHERE id = ?"));
    HISTEQ_RETURN_IF_ERROR(statement.Bind(request_id).Run());
  }
  if (requests.size() == kMaxRequestsAtOnce) return absl::OkStatus();
  if (failed) HISTEQ_RETURN_IF_ERROR(ForgetFailure(db, job->image_id, id));
  HISTEQ_ASSIGN_OR_RETURN(Statement statement, db.Prepare("DELETE FROM jobs WHERE id = ?"));
  HISTEQ_RETURN_IF_ERROR(statement.Bind(id).Run());
  ++pruned.jobs;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<JobPruning::Found> JobPruning::Look(Database& db, absl::Time before,
                                                   uint32_t max_looks) {
  struct Row {
    std::string id;
    std::string image_id;
    bool inspects = false;
  };
  std::vector<Row> ended;
  Found found;
  {
    HISTEQ_ASSIGN_OR_RETURN(
        Statement row,
        db.Prepare("SELECT seq, id, image_id, state, create_time, end_time, inspects FROM jobs "
                   "WHERE seq > ? ORDER BY seq LIMIT ?"));
    row.Bind(after_seq_).Bind(static_cast<int64_t>(max_looks));
    uint32_t looks = 0;
    while (true) {
      HISTEQ_ASSIGN_OR_RETURN(const bool more, row.Step());
      // None of those that follow has ended before it was made.
      if (!more || row.Int(4) >= ToMicros(before)) break;
      ++looks;
      after_seq_ = row.Int(0);
      if (!IsFinal(static_cast<JobState>(row.Int(3)))) continue;
      if (row.OptionalInt(5).value_or(row.Int(4)) >= ToMicros(before)) continue;
      ended.push_back({row.Bytes(1), row.Bytes(2), row.Int(6) != 0});
    }
    found.more = looks == max_looks;
    if (!found.more) after_seq_ = 0;
  }
  for (Row& row : ended) {
    if (row.inspects) {
      HISTEQ_ASSIGN_OR_RETURN(const bool keep, IsLatestReader(db, row.id, row.image_id));
      if (keep) continue;
    }
    found.job_ids.push_back(std::move(row.id));
  }
  return found;
}

absl::StatusOr<std::vector<std::string>> FindFinishedUploads(Database& db, absl::Time before,
                                                             uint32_t max) {
  HISTEQ_ASSIGN_OR_RETURN(
      Statement row,
      db.Prepare("SELECT id FROM uploads INDEXED BY uploads_done_time WHERE image_id IS NOT NULL "
                 "AND coalesce(job_id, '') = '' AND touch_time < ? ORDER BY touch_time LIMIT ?"));
  row.Bind(ToMicros(before)).Bind(static_cast<int64_t>(max));
  std::vector<std::string> ids;
  while (true) {
    HISTEQ_ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return ids;
    ids.push_back(row.Bytes(0));
  }
}

absl::StatusOr<Pruned> Prune(Database& db, const std::vector<std::string>& job_ids,
                             const std::vector<std::string>& upload_ids) {
  Pruned pruned;
  for (const std::string& id : job_ids) HISTEQ_RETURN_IF_ERROR(PruneJob(db, id, pruned));
  for (const std::string& id : upload_ids) {
    HISTEQ_ASSIGN_OR_RETURN(const uint64_t removed, RemoveUpload(db, id));
    pruned.uploads += removed;
  }
  return pruned;
}

}  // namespace histeq::store
