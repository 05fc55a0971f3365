#pragma once

// Rows of the catalog's tables as records, and back. Each call is one statement.

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sqlite_db.h"
#include "store/records.h"

namespace histeq::store {

// Times in the database: microseconds since 1970.
int64_t ToMicros(absl::Time time);
absl::Time FromMicros(int64_t micros);

// ---- images
absl::StatusOr<std::optional<ImageRecord>> FindImage(Database& db, const std::string& id);
absl::Status InsertImage(Database& db, const ImageRecord& image);
absl::Status DeleteImageRow(Database& db, const std::string& id);
// Newest first, older than `before`, with their sequence numbers.
struct NumberedImage {
  int64_t seq = 0;
  ImageRecord image;
};
absl::StatusOr<std::vector<NumberedImage>> ListImageRows(Database& db, const std::string& name,
                                                         int64_t before, uint32_t limit);

// ---- jobs
absl::StatusOr<std::optional<JobRecord>> FindJob(Database& db, const std::string& id);
absl::StatusOr<std::optional<JobRecord>> FindJobByRequest(Database& db,
                                                          const std::string& request_id);
// The oldest that is queued and not backing off.
absl::StatusOr<std::optional<JobRecord>> FindReadyJob(Database& db);
// `request_id` empty: none.
absl::Status InsertJob(Database& db, const JobRecord& job, const std::string& request_id);
// Writes all that can change of a job that is now in `state` under `epoch`; INTERNAL when it is
// not.
absl::Status UpdateJob(Database& db, const JobRecord& job, JobState state, uint64_t epoch);
// Newest first, at most `limit`; also ends after the row, from the second on, with which their
// JobBytes are more than `max_bytes`.
struct NumberedJob {
  int64_t seq = 0;
  JobRecord job;
};
absl::StatusOr<std::vector<NumberedJob>> ListJobRows(Database& db, std::optional<JobState> state,
                                                     const std::string& image_id, int64_t before,
                                                     uint32_t limit, uint64_t max_bytes);
// About what a job takes in memory and in a message.
uint64_t JobBytes(const JobRecord& job);
// Makes the queued jobs ready whose back-off ends after `after` and at the latest at `end`.
absl::Status EndBackoffs(Database& db, absl::Time after, absl::Time end);
// When the first back-off ends.
absl::StatusOr<std::optional<absl::Time>> FindNextWaiting(Database& db);
absl::StatusOr<uint64_t> CountJobRows(Database& db, JobState state);
// Any job that is not final and reads the image, as its source or reference.
absl::StatusOr<std::optional<std::string>> FindJobUsing(Database& db, const std::string& image_id);

// ---- uploads, as stored: `image` and `job` of the record stay empty.
struct UploadRow {
  UploadRecord upload;
  std::string image_id;
  std::string job_id;
};
absl::StatusOr<std::optional<UploadRow>> FindUpload(Database& db, const std::string& id);
absl::Status InsertUpload(Database& db, const UploadRecord& upload);

}  // namespace histeq::store
