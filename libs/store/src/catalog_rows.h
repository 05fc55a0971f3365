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
// Writes what is known of a registered file.
absl::Status UpdateFileOfImage(Database& db, const ImageRecord& image);
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
// The oldest that is not final, makes this set of outputs, and was not told to end; for a refresh
// one that has none of them yet.
absl::StatusOr<std::optional<JobRecord>> FindLiveJobOfSet(Database& db, const std::string& set_key,
                                                          bool refresh);
// The oldest that is queued and not backing off, whose image is the frontend's or in `storages`.
absl::StatusOr<std::optional<JobRecord>> FindReadyJob(Database& db,
                                                      const std::vector<std::string>& storages);
// The latest that reads the image's file.
absl::StatusOr<std::optional<JobRecord>> FindInspection(Database& db, const std::string& image_id);
// Those of the image that are not final, and those that read it as their reference.
absl::StatusOr<std::vector<JobRecord>> FindLiveJobs(Database& db, const std::string& image_id);
absl::StatusOr<std::vector<JobRecord>> FindLiveJobsOfReference(Database& db,
                                                               const std::string& image_id);
// `set_key` empty: none.
absl::Status InsertJob(Database& db, const JobRecord& job, const std::string& set_key);
// Writes all that can change of a job that is now in `state` under `epoch`; INTERNAL when it is
// not.
absl::Status UpdateJob(Database& db, const JobRecord& job, JobState state, uint64_t epoch);
// Writes which image the queued job reads, and the results that it has.
absl::Status UpdateSourceOfJob(Database& db, const JobRecord& job);
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
// As CountLiveJobs keeps them, with the changes of the open transaction.
absl::StatusOr<QueueCounts> ReadLiveJobs(Database& db);
// Any job that is not final and reads the image, as its source or reference.
absl::StatusOr<std::optional<std::string>> FindJobUsing(Database& db, const std::string& image_id);

// Any job that is not final and has a derivative of its source among its results.
absl::StatusOr<std::optional<std::string>> FindJobWithResult(Database& db,
                                                             const std::string& source_image_id,
                                                             const std::string& image_id);

// ---- requests
struct RequestRow {
  std::string id;
  std::string job_id;
  std::string image_id;
  // Empty: not known.
  std::string operation_sha256;
};
absl::StatusOr<std::optional<RequestRow>> FindRequest(Database& db, const std::string& id);
absl::Status InsertRequest(Database& db, const RequestRow& request);
// The request of an upload's job, and the upload of such a request; clients' ids have no colon.
std::string UploadRequestId(const std::string& upload_id);
std::optional<std::string> UploadOfRequest(const std::string& request_id);
absl::Status TakeBack(Database& db, const std::string& request_id);
// The images for which the job was asked, and those of the jobs that wait for it.
absl::StatusOr<std::vector<std::string>> FindImagesAsking(Database& db, const std::string& job_id);
// The images for which the job was asked; and those of refreshes that wait for it.
absl::StatusOr<std::vector<std::string>> FindImagesRefreshed(Database& db,
                                                             const std::string& job_id);
// Whether a request of the job is left that was not taken back.
absl::StatusOr<bool> AnyRequest(Database& db, const std::string& job_id);

// ---- uploads, as stored: `image` and `job` of the record stay empty.
struct UploadRow {
  UploadRecord upload;
  std::string image_id;
  std::string job_id;
};
absl::StatusOr<std::optional<UploadRow>> FindUpload(Database& db, const std::string& id);
// With an image it is finished.
absl::Status InsertUpload(Database& db, const UploadRow& row);

}  // namespace histeq::store
