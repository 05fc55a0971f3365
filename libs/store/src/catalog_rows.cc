#include "catalog_rows.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <utility>

#include "base/status_macros.h"
#include "store_error.h"

namespace histeq::store {
namespace {

const char kUploadRequest[] = "upload:";

const char kImageColumns[] =
    "seq, id, name, location, sha256, size_bytes, format, width, height, channels, "
    "bits_per_sample, create_time, tag, source_image_id, source_job_id, expire_time, unread, "
    "modify_time";

const char kJobColumns[] =
    "seq, id, image_id, image_name, operation, result_tag, reference_image_id, state, attempts, "
    "holder_deaths, epoch, coordinator, cancel_requested, not_before, result_image_id, error_code, "
    "error_reason, error_message, error_metadata, create_time, start_time, end_time, outputs, "
    "results, refresh, blocked, inspects, storage";

// Statements that fire triggers say OR FAIL: a change that fails is undone as a whole, and SQLite
// need not be ready to undo the statement alone, for which it copies the pages.

// Texts with their lengths before them: any byte may stand in them.
std::string EncodeTexts(const std::vector<std::string>& texts) {
  std::string bytes;
  for (const std::string& text : texts) bytes += std::to_string(text.size()) + ":" + text;
  return bytes;
}

std::vector<std::string> DecodeTexts(const std::string& bytes) {
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
  return texts;
}

std::string EncodeMap(const std::map<std::string, std::string>& map) {
  std::vector<std::string> texts;
  for (const auto& [key, value] : map) {
    texts.push_back(key);
    texts.push_back(value);
  }
  return EncodeTexts(texts);
}

std::map<std::string, std::string> DecodeMap(const std::string& bytes) {
  const std::vector<std::string> texts = DecodeTexts(bytes);
  std::map<std::string, std::string> map;
  for (size_t i = 0; i + 1 < texts.size(); i += 2) map[texts[i]] = texts[i + 1];
  return map;
}

std::string EncodeOutputs(const std::vector<JobOutput>& outputs) {
  std::vector<std::string> texts;
  for (const JobOutput& output : outputs) {
    texts.push_back(output.operation);
    texts.push_back(std::to_string(output.format_version));
    texts.push_back(output.tag);
    texts.push_back(output.name_suffix);
    texts.push_back(output.made_of.has_value() ? std::to_string(*output.made_of) : "");
  }
  return EncodeTexts(texts);
}

// `operation` and `result_tag`: of version 1, where a job had at most one output.
std::vector<JobOutput> DecodeOutputs(const std::string& bytes, const std::string& operation,
                                     const std::string& result_tag) {
  std::vector<JobOutput> outputs;
  if (bytes.empty() && !result_tag.empty()) {
    JobOutput& output = outputs.emplace_back();
    output.operation = operation;
    output.tag = result_tag;
    return outputs;
  }
  const std::vector<std::string> texts = DecodeTexts(bytes);
  for (size_t i = 0; i + 5 <= texts.size(); i += 5) {
    JobOutput& output = outputs.emplace_back();
    output.operation = texts[i];
    output.format_version = static_cast<uint32_t>(std::strtoul(texts[i + 1].c_str(), nullptr, 10));
    output.tag = texts[i + 2];
    output.name_suffix = texts[i + 3];
    if (!texts[i + 4].empty()) {
      output.made_of = static_cast<uint32_t>(std::strtoul(texts[i + 4].c_str(), nullptr, 10));
    }
  }
  return outputs;
}

std::string FirstTag(const JobSpec& spec) {
  return spec.outputs.empty() ? std::string() : spec.outputs.front().tag;
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
  image.expire_time = OptionalTime(row.OptionalInt(15));
  image.unread = row.Int(16) != 0;
  if (const auto nanos = row.OptionalInt(17); nanos.has_value()) {
    image.modify_time = absl::FromUnixNanos(*nanos);
  }
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
  job.spec.outputs = DecodeOutputs(row.Bytes(22), job.spec.operation, row.Bytes(5));
  job.result_image_ids = DecodeTexts(row.Bytes(23));
  if (job.result_image_ids.empty() && !job.result_image_id.empty()) {
    job.result_image_ids.push_back(job.result_image_id);
  }
  job.result_image_ids.resize(job.spec.outputs.size());
  job.spec.refresh = row.Int(24) != 0;
  job.blocked = row.Int(25) != 0;
  job.spec.inspects = row.Int(26) != 0;
  job.storage = row.Bytes(27);
  return numbered;
}

std::optional<int64_t> OptionalNanos(std::optional<absl::Time> time) {
  if (!time.has_value()) return std::nullopt;
  return absl::ToUnixNanos(*time);
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
  static const std::string sql =
      std::string("INSERT OR FAIL INTO images (") + kImageColumns +
      ", use_time) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
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
      .Bind(OptionalMicros(image.expire_time))
      .Bind(static_cast<int64_t>(image.unread))
      .Bind(OptionalNanos(image.modify_time))
      .Bind(ToMicros(image.create_time))
      .Run();
}

absl::Status UpdateFileOfImage(Database& db, const ImageRecord& image) {
  HISTEQ_ASSIGN_OR_RETURN(
      Statement statement,
      db.Prepare("UPDATE images SET sha256 = ?, size_bytes = ?, format = ?, width = ?, height = ?, "
                 "channels = ?, bits_per_sample = ?, unread = ?, modify_time = ? WHERE id = ?"));
  return statement.BindBlob(ToBytes(image.facts.sha256))
      .Bind(static_cast<int64_t>(image.facts.size_bytes))
      .Bind(static_cast<int64_t>(image.facts.format))
      .Bind(static_cast<int64_t>(image.facts.width))
      .Bind(static_cast<int64_t>(image.facts.height))
      .Bind(static_cast<int64_t>(image.facts.channels))
      .Bind(static_cast<int64_t>(image.facts.bits_per_sample))
      .Bind(static_cast<int64_t>(image.unread))
      .Bind(OptionalNanos(image.modify_time))
      .Bind(image.id)
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

absl::StatusOr<std::optional<JobRecord>> FindLiveJobOfSet(Database& db, const std::string& set_key,
                                                          bool refresh) {
  static const std::string sql = std::string("SELECT ") + kJobColumns +
                                 " FROM jobs INDEXED BY jobs_live_set WHERE set_key = ? AND "
                                 "set_key IS NOT NULL AND live IS NOT "
                                 "NULL AND cancel_requested = 0 ORDER BY seq";
  HISTEQ_ASSIGN_OR_RETURN(Statement statement, db.Prepare(sql));
  statement.BindBlob(set_key);
  while (true) {
    HISTEQ_ASSIGN_OR_RETURN(const bool found, statement.Step());
    if (!found) return std::optional<JobRecord>();
    JobRecord job = ReadJob(statement).job;
    const bool has_some = std::any_of(job.result_image_ids.begin(), job.result_image_ids.end(),
                                      [](const std::string& id) { return !id.empty(); });
    if (!refresh || !has_some) return std::optional<JobRecord>(std::move(job));
  }
}

absl::StatusOr<std::optional<JobRecord>> FindReadyJob(Database& db,
                                                      const std::vector<std::string>& storages) {
  static const std::string sql =
      std::string("SELECT ") + kJobColumns +
      " FROM jobs INDEXED BY jobs_ready WHERE state = 1 AND not_before = 0 AND blocked = 0 AND "
      "storage = '' ORDER BY seq LIMIT 1";
  static const std::string stored_sql =
      std::string("SELECT ") + kJobColumns +
      " FROM jobs INDEXED BY jobs_ready_stored WHERE state = 1 AND not_before = 0 AND blocked = 0 "
      "AND storage <> '' AND storage = ? ORDER BY seq LIMIT 1";
  std::optional<NumberedJob> oldest;
  const auto look = [&oldest](Statement& statement) -> absl::Status {
    HISTEQ_ASSIGN_OR_RETURN(const bool found, statement.Step());
    if (!found) return absl::OkStatus();
    NumberedJob job = ReadJob(statement);
    if (!oldest.has_value() || job.seq < oldest->seq) oldest = std::move(job);
    return absl::OkStatus();
  };
  {
    HISTEQ_ASSIGN_OR_RETURN(Statement statement, db.Prepare(sql));
    HISTEQ_RETURN_IF_ERROR(look(statement));
  }
  for (const std::string& storage : storages) {
    HISTEQ_ASSIGN_OR_RETURN(Statement statement, db.Prepare(stored_sql));
    HISTEQ_RETURN_IF_ERROR(look(statement.Bind(storage)));
  }
  if (!oldest.has_value()) return std::optional<JobRecord>();
  return std::optional<JobRecord>(std::move(oldest->job));
}

absl::StatusOr<std::optional<JobRecord>> FindInspection(Database& db, const std::string& image_id) {
  static const std::string sql = std::string("SELECT ") + kJobColumns +
                                 " FROM jobs INDEXED BY jobs_inspect WHERE image_id = ? AND "
                                 "inspects = 1 ORDER BY seq DESC LIMIT 1";
  HISTEQ_ASSIGN_OR_RETURN(Statement statement, db.Prepare(sql));
  statement.Bind(image_id);
  return OneJob(std::move(statement));
}

namespace {

absl::StatusOr<std::vector<JobRecord>> AllJobs(Statement statement) {
  std::vector<JobRecord> jobs;
  while (true) {
    HISTEQ_ASSIGN_OR_RETURN(const bool more, statement.Step());
    if (!more) return jobs;
    jobs.push_back(ReadJob(statement).job);
  }
}

}  // namespace

absl::StatusOr<std::vector<JobRecord>> FindLiveJobs(Database& db, const std::string& image_id) {
  static const std::string sql = std::string("SELECT ") + kJobColumns +
                                 " FROM jobs INDEXED BY jobs_live_image WHERE image_id = ? AND "
                                 "live IS NOT NULL";
  HISTEQ_ASSIGN_OR_RETURN(Statement statement, db.Prepare(sql));
  statement.Bind(image_id);
  return AllJobs(std::move(statement));
}

absl::StatusOr<std::vector<JobRecord>> FindLiveJobsOfReference(Database& db,
                                                               const std::string& image_id) {
  static const std::string sql = std::string("SELECT ") + kJobColumns +
                                 " FROM jobs WHERE reference_image_id = ? AND state IN (1, 2)";
  HISTEQ_ASSIGN_OR_RETURN(Statement statement, db.Prepare(sql));
  statement.Bind(image_id);
  return AllJobs(std::move(statement));
}

absl::Status InsertJob(Database& db, const JobRecord& job, const std::string& set_key) {
  HISTEQ_ASSIGN_OR_RETURN(
      Statement statement,
      db.Prepare("INSERT OR FAIL INTO jobs (id, image_id, image_name, operation, result_tag, "
                 "reference_image_id, state, attempts, holder_deaths, epoch, coordinator, "
                 "cancel_requested, not_before, result_image_id, create_time, start_time, "
                 "end_time, outputs, results, refresh, blocked, inspects, storage, set_key, live) "
                 "VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, 0, '', 0, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
                 "?)"));
  statement.Bind(job.id)
      .Bind(job.image_id)
      .Bind(job.image_name)
      .BindBlob(job.spec.operation)
      .Bind(FirstTag(job.spec));
  BindTextOrNull(statement, job.spec.reference_image_id);
  statement.Bind(static_cast<int64_t>(job.state))
      .Bind(job.result_image_id)
      .Bind(ToMicros(job.create_time))
      .Bind(OptionalMicros(job.start_time))
      .Bind(OptionalMicros(job.end_time))
      .BindBlob(EncodeOutputs(job.spec.outputs))
      .BindBlob(EncodeTexts(job.result_image_ids))
      .Bind(static_cast<int64_t>(job.spec.refresh))
      .Bind(static_cast<int64_t>(job.blocked))
      .Bind(static_cast<int64_t>(job.spec.inspects))
      .Bind(job.storage);
  if (set_key.empty()) {
    statement.BindNull();
  } else {
    statement.BindBlob(set_key);
  }
  if (IsFinal(job.state)) {
    statement.BindNull();
  } else {
    statement.Bind(int64_t{1});
  }
  return statement.Run();
}

absl::Status UpdateJob(Database& db, const JobRecord& job, JobState state, uint64_t epoch) {
  // `live` is only named when it changes, see schema.cc.
  static const auto sql = [](const char* live) {
    return std::string(
               "UPDATE OR FAIL jobs SET state = ?, attempts = ?, holder_deaths = ?, epoch = ?, "
               "coordinator = ?, cancel_requested = ?, not_before = ?, result_image_id = ?, "
               "error_code = ?, error_reason = ?, error_message = ?, error_metadata = ?, "
               "start_time = ?, end_time = ?, results = ?, blocked = ?") +
           live + " WHERE id = ? AND epoch = ? AND state = ?";
  };
  static const std::string live_sql = sql("");
  static const std::string final_sql = sql(", live = NULL");
  HISTEQ_ASSIGN_OR_RETURN(Statement statement,
                          db.Prepare(IsFinal(job.state) ? final_sql : live_sql));
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
      .BindBlob(EncodeTexts(job.result_image_ids))
      .Bind(static_cast<int64_t>(job.blocked))
      .Bind(job.id)
      .Bind(static_cast<int64_t>(epoch))
      .Bind(static_cast<int64_t>(state));
  HISTEQ_RETURN_IF_ERROR(statement.Run());
  if (db.Changes() == 1) return absl::OkStatus();
  return StoreError(absl::StatusCode::kInternal, "CATALOG_IO",
                    "job " + job.id + " changed while it was being changed");
}

absl::Status UpdateSourceOfJob(Database& db, const JobRecord& job) {
  // A pause was meant for the place where it was.
  HISTEQ_ASSIGN_OR_RETURN(
      Statement statement,
      db.Prepare("UPDATE jobs SET image_id = ?, image_name = ?, storage = ?, results = ?, "
                 "not_before = 0 WHERE id = ? AND state = 1"));
  return statement.Bind(job.image_id)
      .Bind(job.image_name)
      .Bind(job.storage)
      .BindBlob(EncodeTexts(job.result_image_ids))
      .Bind(job.id)
      .Run();
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

absl::StatusOr<QueueCounts> ReadLiveJobs(Database& db) {
  QueueCounts counts;
  HISTEQ_ASSIGN_OR_RETURN(Statement statement,
                          db.Prepare("SELECT jobs FROM live_jobs ORDER BY state"));
  for (uint64_t* count : {&counts.queued, &counts.running}) {
    HISTEQ_RETURN_IF_ERROR(statement.Step().status());
    *count = static_cast<uint64_t>(std::max<int64_t>(statement.Int(0), 0));
  }
  return counts;
}

absl::StatusOr<std::optional<std::string>> FindJobUsing(Database& db, const std::string& image_id) {
  for (const std::string sql :
       {"SELECT id FROM jobs INDEXED BY jobs_live_image WHERE image_id = ? AND live IS NOT NULL "
        "LIMIT 1",
        "SELECT id FROM jobs WHERE reference_image_id = ? AND state IN (1, 2) LIMIT 1"}) {
    HISTEQ_ASSIGN_OR_RETURN(Statement statement, db.Prepare(sql));
    HISTEQ_ASSIGN_OR_RETURN(const bool found, statement.Bind(image_id).Step());
    if (found) return std::optional<std::string>(statement.Bytes(0));
  }
  return std::optional<std::string>();
}

absl::StatusOr<std::optional<std::string>> FindJobWithResult(Database& db,
                                                             const std::string& source_image_id,
                                                             const std::string& image_id) {
  HISTEQ_ASSIGN_OR_RETURN(
      Statement statement,
      db.Prepare("SELECT id, results FROM jobs INDEXED BY jobs_live_image WHERE image_id = ? AND "
                 "live IS NOT NULL"));
  statement.Bind(source_image_id);
  while (true) {
    HISTEQ_ASSIGN_OR_RETURN(const bool more, statement.Step());
    if (!more) return std::optional<std::string>();
    for (const std::string& id : DecodeTexts(statement.Bytes(1))) {
      if (id == image_id) return std::optional<std::string>(statement.Bytes(0));
    }
  }
}

absl::StatusOr<std::optional<RequestRow>> FindRequest(Database& db, const std::string& id) {
  HISTEQ_ASSIGN_OR_RETURN(
      Statement row,
      db.Prepare("SELECT job_id, image_id, operation_sha256 FROM requests WHERE id = ?"));
  HISTEQ_ASSIGN_OR_RETURN(const bool found, row.Bind(id).Step());
  if (!found) return std::optional<RequestRow>();
  return std::optional<RequestRow>({id, row.Bytes(0), row.Bytes(1), row.Bytes(2)});
}

absl::Status InsertRequest(Database& db, const RequestRow& request) {
  HISTEQ_ASSIGN_OR_RETURN(Statement statement,
                          db.Prepare("INSERT INTO requests (id, job_id, image_id, "
                                     "operation_sha256) VALUES (?, ?, ?, ?)"));
  return statement.Bind(request.id)
      .Bind(request.job_id)
      .Bind(request.image_id)
      .BindBlob(request.operation_sha256)
      .Run();
}

std::string UploadRequestId(const std::string& upload_id) { return kUploadRequest + upload_id; }

std::optional<std::string> UploadOfRequest(const std::string& request_id) {
  const size_t size = std::char_traits<char>::length(kUploadRequest);
  if (request_id.compare(0, size, kUploadRequest) != 0) return std::nullopt;
  return request_id.substr(size);
}

absl::Status TakeBack(Database& db, const std::string& request_id) {
  HISTEQ_ASSIGN_OR_RETURN(Statement statement,
                          db.Prepare("UPDATE requests SET taken_back = 1 WHERE id = ?"));
  return statement.Bind(request_id).Run();
}

namespace {

absl::StatusOr<std::vector<std::string>> ListIds(Database& db, const char* sql,
                                                 const std::string& parameter) {
  HISTEQ_ASSIGN_OR_RETURN(Statement row, db.Prepare(sql));
  row.Bind(parameter);
  std::vector<std::string> ids;
  while (true) {
    HISTEQ_ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return ids;
    ids.push_back(row.Bytes(0));
  }
}

}  // namespace

absl::StatusOr<std::vector<std::string>> FindImagesAsking(Database& db, const std::string& job_id) {
  return ListIds(
      db,
      "SELECT image_id FROM requests WHERE job_id = ?1 AND taken_back = 0 UNION ALL SELECT "
      "j.image_id FROM waits w JOIN jobs j ON j.id = w.job_id WHERE w.maker_id = ?1",
      job_id);
}

absl::StatusOr<std::vector<std::string>> FindImagesRefreshed(Database& db,
                                                             const std::string& job_id) {
  return ListIds(
      db,
      "SELECT image_id FROM requests WHERE job_id = ?1 AND taken_back = 0 UNION ALL SELECT "
      "r.image_id FROM waits w JOIN jobs j ON j.id = w.job_id JOIN requests r ON r.job_id "
      "= j.id WHERE w.maker_id = ?1 AND j.refresh = 1 AND r.taken_back = 0",
      job_id);
}

absl::StatusOr<bool> AnyRequest(Database& db, const std::string& job_id) {
  HISTEQ_ASSIGN_OR_RETURN(
      Statement row,
      db.Prepare("SELECT 1 FROM requests WHERE job_id = ? AND taken_back = 0 LIMIT 1"));
  return row.Bind(job_id).Step();
}

absl::StatusOr<std::optional<UploadRow>> FindUpload(Database& db, const std::string& id) {
  HISTEQ_ASSIGN_OR_RETURN(
      Statement row,
      db.Prepare("SELECT id, name, size_bytes, sha256, operation, result_tag, reference_image_id, "
                 "blob_key, image_id, job_id, touch_time, outputs FROM uploads WHERE id = ?"));
  HISTEQ_ASSIGN_OR_RETURN(const bool found, row.Bind(id).Step());
  if (!found) return std::optional<UploadRow>();
  UploadRow result;
  UploadHeader& header = result.upload.header;
  header.upload_id = row.Bytes(0);
  header.name = row.Bytes(1);
  if (const auto size = row.OptionalInt(2)) header.size_bytes = static_cast<uint64_t>(*size);
  if (const auto sha256 = row.OptionalBytes(3)) header.sha256 = DigestFromBytes(*sha256);
  if (const auto operation = row.OptionalBytes(4)) {
    JobSpec& job = header.job.emplace();
    job.operation = *operation;
    job.outputs = DecodeOutputs(row.Bytes(11), *operation, row.Bytes(5));
    job.reference_image_id = row.Bytes(6);
  }
  result.upload.blob_key = row.Bytes(7);
  result.image_id = row.Bytes(8);
  result.job_id = row.Bytes(9);
  result.upload.finished = !result.image_id.empty();
  result.upload.touch_time = FromMicros(row.Int(10));
  return std::optional<UploadRow>(std::move(result));
}

absl::Status InsertUpload(Database& db, const UploadRow& row) {
  const UploadRecord& upload = row.upload;
  HISTEQ_ASSIGN_OR_RETURN(
      Statement statement,
      db.Prepare("INSERT INTO uploads (id, name, size_bytes, sha256, operation, result_tag, "
                 "reference_image_id, outputs, blob_key, touch_time, image_id, job_id) VALUES (?, "
                 "?, ?, ?, "
                 "?, ?, ?, ?, ?, ?, ?, ?)"));
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
    statement.BindBlob(header.job->operation).Bind(FirstTag(*header.job));
    BindTextOrNull(statement, header.job->reference_image_id);
    statement.BindBlob(EncodeOutputs(header.job->outputs));
  } else {
    statement.BindNull().BindNull().BindNull().BindBlob("");
  }
  statement.Bind(upload.blob_key).Bind(ToMicros(upload.touch_time));
  BindTextOrNull(statement, row.image_id);
  BindTextOrNull(statement, row.job_id);
  return statement.Run();
}

}  // namespace histeq::store
