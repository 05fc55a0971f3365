#include "catalog_rows.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/status_macros.h"
#include "store_error.h"

namespace histeq::store {
namespace {

const char kImageColumns[] =
    "seq, id, name, location, sha256, size_bytes, format, width, height, channels, "
    "bits_per_sample, create_time, tag, source_image_id, source_job_id";

const char kJobColumns[] =
    "seq, id, image_id, image_name, operation, result_tag, reference_image_id, state, attempts, "
    "holder_deaths, epoch, coordinator, cancel_requested, not_before, result_image_id, error_code, "
    "error_reason, error_message, error_metadata, create_time, start_time, end_time";

// Keys and values, each with its length before it: any byte may stand in them.
std::string EncodeMap(const std::map<std::string, std::string>& map) {
  std::string bytes;
  const auto append = [&bytes](const std::string& text) {
    bytes += std::to_string(text.size()) + ":" + text;
  };
  for (const auto& [key, value] : map) {
    append(key);
    append(value);
  }
  return bytes;
}

std::map<std::string, std::string> DecodeMap(const std::string& bytes) {
  std::vector<std::string> texts;
  size_t pos = 0;
  while (pos < bytes.size()) {
    size_t size = 0;
    while (pos < bytes.size() && bytes[pos] >= '0' && bytes[pos] <= '9' && size < bytes.size()) {
      size = size * 10 + static_cast<size_t>(bytes[pos++] - '0');
    }
    if (pos >= bytes.size() || bytes[pos] != ':' || bytes.size() - pos - 1 < size) break;
    texts.push_back(bytes.substr(pos + 1, size));
    pos += 1 + size;
  }
  std::map<std::string, std::string> map;
  for (size_t i = 0; i + 1 < texts.size(); i += 2) map[texts[i]] = texts[i + 1];
  return map;
}

std::optional<absl::Time> OptionalTime(std::optional<int64_t> micros) {
  if (!micros.has_value()) return std::nullopt;
  return FromMicros(*micros);
}

std::optional<int64_t> OptionalMicros(std::optional<absl::Time> time) {
  if (!time.has_value()) return std::nullopt;
  return ToMicros(*time);
}

NumberedImage ReadImage(const Statement& row) {
  NumberedImage numbered;
  numbered.seq = row.Int(0);
  ImageRecord& image = numbered.image;
  image.id = row.Bytes(1);
  image.name = row.Bytes(2);
  image.facts.location = row.Bytes(3);
  image.facts.sha256 = DigestFromBytes(row.Bytes(4)).value_or(Sha256Digest{});
  image.facts.size_bytes = static_cast<uint64_t>(row.Int(5));
  image.facts.format = static_cast<ImageFormat>(row.Int(6));
  image.facts.width = static_cast<uint32_t>(row.Int(7));
  image.facts.height = static_cast<uint32_t>(row.Int(8));
  image.facts.channels = static_cast<uint32_t>(row.Int(9));
  image.facts.bits_per_sample = static_cast<uint32_t>(row.Int(10));
  image.create_time = FromMicros(row.Int(11));
  image.tag = row.Bytes(12);
  image.source_image_id = row.Bytes(13);
  image.source_job_id = row.Bytes(14);
  return numbered;
}

NumberedJob ReadJob(const Statement& row) {
  NumberedJob numbered;
  numbered.seq = row.Int(0);
  JobRecord& job = numbered.job;
  job.id = row.Bytes(1);
  job.image_id = row.Bytes(2);
  job.image_name = row.Bytes(3);
  job.spec.operation = row.Bytes(4);
  job.spec.result_tag = row.Bytes(5);
  job.spec.reference_image_id = row.Bytes(6);
  job.state = static_cast<JobState>(row.Int(7));
  job.attempts = static_cast<uint32_t>(row.Int(8));
  job.holder_deaths = static_cast<uint32_t>(row.Int(9));
  job.epoch = static_cast<uint64_t>(row.Int(10));
  job.coordinator = row.Bytes(11);
  job.cancel_requested = row.Int(12) != 0;
  if (row.Int(13) != 0) job.not_before = FromMicros(row.Int(13));
  job.result_image_id = row.Bytes(14);
  if (const auto code = row.OptionalInt(15); code.has_value()) {
    JobError error;
    error.code = static_cast<int>(*code);
    error.reason = row.Bytes(16);
    error.message = row.Bytes(17);
    error.metadata = DecodeMap(row.Bytes(18));
    job.error = std::move(error);
  }
  job.create_time = FromMicros(row.Int(19));
  job.start_time = OptionalTime(row.OptionalInt(20));
  job.end_time = OptionalTime(row.OptionalInt(21));
  return numbered;
}

void BindTextOrNull(Statement& statement, const std::string& text) {
  if (text.empty()) {
    statement.BindNull();
  } else {
    statement.Bind(text);
  }
}

void BindError(Statement& statement, const std::optional<JobError>& error) {
  if (!error.has_value()) {
    statement.BindNull().BindNull().BindNull().BindNull();
    return;
  }
  statement.Bind(static_cast<int64_t>(error->code))
      .Bind(error->reason)
      .Bind(error->message)
      .BindBlob(EncodeMap(error->metadata));
}

absl::StatusOr<std::optional<JobRecord>> OneJob(Statement statement) {
  HISTEQ_ASSIGN_OR_RETURN(const bool found, statement.Step());
  if (!found) return std::optional<JobRecord>();
  return std::optional<JobRecord>(ReadJob(statement).job);
}

}  // namespace

int64_t ToMicros(absl::Time time) { return absl::ToUnixMicros(time); }
absl::Time FromMicros(int64_t micros) { return absl::FromUnixMicros(micros); }

absl::StatusOr<std::optional<ImageRecord>> FindImage(Database& db, const std::string& id) {
  static const std::string sql =
      std::string("SELECT ") + kImageColumns + " FROM images WHERE id = ?";
  HISTEQ_ASSIGN_OR_RETURN(Statement statement, db.Prepare(sql));
  HISTEQ_ASSIGN_OR_RETURN(const bool found, statement.Bind(id).Step());
  if (!found) return std::optional<ImageRecord>();
  return std::optional<ImageRecord>(ReadImage(statement).image);
}

absl::Status InsertImage(Database& db, const ImageRecord& image) {
  static const std::string sql = std::string("INSERT INTO images (") + kImageColumns +
                                 ") VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
  HISTEQ_ASSIGN_OR_RETURN(Statement statement, db.Prepare(sql));
  return statement.Bind(image.id)
      .Bind(image.name)
      .Bind(image.facts.location)
      .BindBlob(ToBytes(image.facts.sha256))
      .Bind(static_cast<int64_t>(image.facts.size_bytes))
      .Bind(static_cast<int64_t>(image.facts.format))
      .Bind(static_cast<int64_t>(image.facts.width))
      .Bind(static_cast<int64_t>(image.facts.height))
      .Bind(static_cast<int64_t>(image.facts.channels))
      .Bind(static_cast<int64_t>(image.facts.bits_per_sample))
      .Bind(ToMicros(image.create_time))
      .Bind(image.tag)
      .Bind(image.source_image_id)
      .Bind(image.source_job_id)
      .Run();
}

absl::Status DeleteImageRow(Database& db, const std::string& id) {
  {
    HISTEQ_ASSIGN_OR_RETURN(Statement statement, db.Prepare("DELETE FROM images WHERE id = ?"));
    HISTEQ_RETURN_IF_ERROR(statement.Bind(id).Run());
  }
  HISTEQ_ASSIGN_OR_RETURN(Statement statement,
                          db.Prepare("DELETE FROM image_statistics WHERE image_id = ?"));
  return statement.Bind(id).Run();
}

absl::StatusOr<std::vector<NumberedImage>> ListImageRows(Database& db, const std::string& name,
                                                         int64_t before, uint32_t limit) {
  const std::string sql = std::string("SELECT ") + kImageColumns + " FROM images WHERE seq < ?" +
                          (name.empty() ? "" : " AND name = ?") + " ORDER BY seq DESC LIMIT ?";
  HISTEQ_ASSIGN_OR_RETURN(Statement statement, db.Prepare(sql));
  statement.Bind(before);
  if (!name.empty()) statement.Bind(name);
  statement.Bind(static_cast<int64_t>(limit));
  std::vector<NumberedImage> images;
  while (true) {
    HISTEQ_ASSIGN_OR_RETURN(const bool more, statement.Step());
    if (!more) return images;
    images.push_back(ReadImage(statement));
  }
}

absl::StatusOr<std::optional<JobRecord>> FindJob(Database& db, const std::string& id) {
  static const std::string sql = std::string("SELECT ") + kJobColumns + " FROM jobs WHERE id = ?";
  HISTEQ_ASSIGN_OR_RETURN(Statement statement, db.Prepare(sql));
  statement.Bind(id);
  return OneJob(std::move(statement));
}

absl::StatusOr<std::optional<JobRecord>> FindJobByRequest(Database& db,
                                                          const std::string& request_id) {
  static const std::string sql =
      std::string("SELECT ") + kJobColumns + " FROM jobs WHERE request_id = ?";
  HISTEQ_ASSIGN_OR_RETURN(Statement statement, db.Prepare(sql));
  statement.Bind(request_id);
  return OneJob(std::move(statement));
}

absl::StatusOr<std::optional<JobRecord>> FindReadyJob(Database& db) {
  static const std::string sql = std::string("SELECT ") + kJobColumns +
                                 " FROM jobs INDEXED BY jobs_ready WHERE state = 1 AND not_before "
                                 "= 0 ORDER BY seq LIMIT 1";
  HISTEQ_ASSIGN_OR_RETURN(Statement statement, db.Prepare(sql));
  return OneJob(std::move(statement));
}

absl::Status InsertJob(Database& db, const JobRecord& job, const std::string& request_id) {
  HISTEQ_ASSIGN_OR_RETURN(
      Statement statement,
      db.Prepare("INSERT INTO jobs (id, request_id, image_id, image_name, operation, result_tag, "
                 "reference_image_id, state, attempts, holder_deaths, epoch, coordinator, "
                 "cancel_requested, not_before, result_image_id, create_time) VALUES (?, ?, ?, ?, "
                 "?, ?, ?, ?, 0, 0, 0, '', 0, 0, '', ?)"));
  statement.Bind(job.id);
  BindTextOrNull(statement, request_id);
  statement.Bind(job.image_id)
      .Bind(job.image_name)
      .BindBlob(job.spec.operation)
      .Bind(job.spec.result_tag);
  BindTextOrNull(statement, job.spec.reference_image_id);
  return statement.Bind(static_cast<int64_t>(job.state)).Bind(ToMicros(job.create_time)).Run();
}

absl::Status UpdateJob(Database& db, const JobRecord& job, JobState state, uint64_t epoch) {
  HISTEQ_ASSIGN_OR_RETURN(
      Statement statement,
      db.Prepare("UPDATE jobs SET state = ?, attempts = ?, holder_deaths = ?, epoch = ?, "
                 "coordinator = ?, cancel_requested = ?, not_before = ?, result_image_id = ?, "
                 "error_code = ?, error_reason = ?, error_message = ?, error_metadata = ?, "
                 "start_time = ?, end_time = ? WHERE id = ? AND epoch = ? AND state = ?"));
  statement.Bind(static_cast<int64_t>(job.state))
      .Bind(static_cast<int64_t>(job.attempts))
      .Bind(static_cast<int64_t>(job.holder_deaths))
      .Bind(static_cast<int64_t>(job.epoch))
      .Bind(job.coordinator)
      .Bind(static_cast<int64_t>(job.cancel_requested))
      .Bind(job.not_before.has_value() ? ToMicros(*job.not_before) : 0)
      .Bind(job.result_image_id);
  BindError(statement, job.error);
  statement.Bind(OptionalMicros(job.start_time))
      .Bind(OptionalMicros(job.end_time))
      .Bind(job.id)
      .Bind(static_cast<int64_t>(epoch))
      .Bind(static_cast<int64_t>(state));
  HISTEQ_RETURN_IF_ERROR(statement.Run());
  if (db.Changes() == 1) return absl::OkStatus();
  return StoreError(absl::StatusCode::kInternal, "CATALOG_IO",
                    "job " + job.id + " changed while it was being changed");
}

absl::StatusOr<std::vector<NumberedJob>> ListJobRows(Database& db, std::optional<JobState> state,
                                                     const std::string& image_id, int64_t before,
                                                     uint32_t limit, uint64_t max_bytes) {
  const std::string sql = std::string("SELECT ") + kJobColumns + " FROM jobs WHERE seq < ?" +
                          (state.has_value() ? " AND state = ?" : "") +
                          (image_id.empty() ? "" : " AND image_id = ?") +
                          " ORDER BY seq DESC LIMIT ?";
  HISTEQ_ASSIGN_OR_RETURN(Statement statement, db.Prepare(sql));
  statement.Bind(before);
  if (state.has_value()) statement.Bind(static_cast<int64_t>(*state));
  if (!image_id.empty()) statement.Bind(image_id);
  statement.Bind(static_cast<int64_t>(limit));
  std::vector<NumberedJob> jobs;
  uint64_t bytes = 0;
  while (true) {
    HISTEQ_ASSIGN_OR_RETURN(const bool more, statement.Step());
    if (!more) return jobs;
    jobs.push_back(ReadJob(statement));
    bytes += JobBytes(jobs.back().job);
    if (bytes > max_bytes && jobs.size() > 1) return jobs;
  }
}

uint64_t JobBytes(const JobRecord& job) {
  constexpr uint64_t kFixedBytes = 512;
  uint64_t bytes = kFixedBytes + job.spec.operation.size() + job.image_name.size();
  if (!job.error.has_value()) return bytes;
  bytes += job.error->reason.size() + job.error->message.size();
  for (const auto& [key, value] : job.error->metadata) bytes += key.size() + value.size() + 8;
  return bytes;
}

absl::Status EndBackoffs(Database& db, absl::Time after, absl::Time end) {
  HISTEQ_ASSIGN_OR_RETURN(
      Statement statement,
      db.Prepare("UPDATE jobs INDEXED BY jobs_waiting SET not_before = 0 WHERE state = 1 AND "
                 "not_before > 0 AND not_before > ? AND not_before <= ?"));
  return statement.Bind(ToMicros(after)).Bind(ToMicros(end)).Run();
}

absl::StatusOr<std::optional<absl::Time>> FindNextWaiting(Database& db) {
  HISTEQ_ASSIGN_OR_RETURN(Statement statement,
                          db.Prepare("SELECT not_before FROM jobs INDEXED BY jobs_waiting WHERE "
                                     "state = 1 AND not_before > 0 ORDER BY not_before LIMIT 1"));
  HISTEQ_ASSIGN_OR_RETURN(const bool found, statement.Step());
  if (!found) return std::optional<absl::Time>();
  return std::optional<absl::Time>(FromMicros(statement.Int(0)));
}

absl::StatusOr<uint64_t> CountJobRows(Database& db, JobState state) {
  HISTEQ_ASSIGN_OR_RETURN(Statement statement,
                          db.Prepare("SELECT jobs FROM job_counts WHERE state = ?"));
  HISTEQ_RETURN_IF_ERROR(statement.Bind(static_cast<int64_t>(state)).Step().status());
  return static_cast<uint64_t>(std::max<int64_t>(statement.Int(0), 0));
}

absl::StatusOr<std::optional<std::string>> FindJobUsing(Database& db, const std::string& image_id) {
  for (const std::string column : {"image_id", "reference_image_id"}) {
    HISTEQ_ASSIGN_OR_RETURN(Statement statement, db.Prepare("SELECT id FROM jobs WHERE " + column +
                                                            " = ? AND state IN (1, 2) LIMIT 1"));
    HISTEQ_ASSIGN_OR_RETURN(const bool found, statement.Bind(image_id).Step());
    if (found) return std::optional<std::string>(statement.Bytes(0));
  }
  return std::optional<std::string>();
}

absl::StatusOr<std::optional<UploadRow>> FindUpload(Database& db, const std::string& id) {
  HISTEQ_ASSIGN_OR_RETURN(
      Statement row,
      db.Prepare("SELECT id, name, size_bytes, sha256, operation, result_tag, reference_image_id, "
                 "blob_key, image_id, job_id, touch_time FROM uploads WHERE id = ?"));
  HISTEQ_ASSIGN_OR_RETURN(const bool found, row.Bind(id).Step());
  if (!found) return std::optional<UploadRow>();
  UploadRow result;
  UploadHeader& header = result.upload.header;
  header.upload_id = row.Bytes(0);
  header.name = row.Bytes(1);
  if (const auto size = row.OptionalInt(2)) header.size_bytes = static_cast<uint64_t>(*size);
  if (const auto sha256 = row.OptionalBytes(3)) header.sha256 = DigestFromBytes(*sha256);
  if (const auto operation = row.OptionalBytes(4)) {
    header.job = JobSpec{*operation, row.Bytes(5), row.Bytes(6)};
  }
  result.upload.blob_key = row.Bytes(7);
  result.image_id = row.Bytes(8);
  result.job_id = row.Bytes(9);
  result.upload.finished = !result.image_id.empty();
  result.upload.touch_time = FromMicros(row.Int(10));
  return std::optional<UploadRow>(std::move(result));
}

absl::Status InsertUpload(Database& db, const UploadRecord& upload) {
  HISTEQ_ASSIGN_OR_RETURN(
      Statement statement,
      db.Prepare("INSERT INTO uploads (id, name, size_bytes, sha256, operation, result_tag, "
                 "reference_image_id, blob_key, touch_time) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  const UploadHeader& header = upload.header;
  statement.Bind(header.upload_id).Bind(header.name);
  statement.Bind(header.size_bytes.has_value()
                     ? std::optional<int64_t>(static_cast<int64_t>(*header.size_bytes))
                     : std::nullopt);
  if (header.sha256.has_value()) {
    statement.BindBlob(ToBytes(*header.sha256));
  } else {
    statement.BindNull();
  }
  if (header.job.has_value()) {
    statement.BindBlob(header.job->operation).Bind(header.job->result_tag);
    BindTextOrNull(statement, header.job->reference_image_id);
  } else {
    statement.BindNull().BindNull().BindNull();
  }
  return statement.Bind(upload.blob_key).Bind(ToMicros(upload.touch_time)).Run();
}

}  // namespace histeq::store
