#include "derivation.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "catalog_rows.h"
#include "image_place.h"
#include "image_removal.h"
#include "random_id.h"
#include "store/sha256.h"

namespace histeq::store {
namespace {

std::string Digest(const std::string& bytes) {
  return ToBytes(Sha256Of({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}));
}

std::string KeyOf(const JobOutput& output, const std::string& reference_sha256) {
  return Digest(std::to_string(output.format_version) + ":" + reference_sha256 + output.operation);
}

bool Complete(const JobRecord& job) {
  return std::none_of(job.result_image_ids.begin(), job.result_image_ids.end(),
                      [](const std::string& id) { return id.empty(); });
}

void Succeed(JobRecord& job, absl::Time now) {
  job.state = JobState::kSucceeded;
  job.blocked = false;
  job.not_before.reset();
  job.error.reset();
  if (!job.start_time.has_value()) job.start_time = now;
  job.end_time = now;
  job.result_image_id = job.result_image_ids.front();
}

}  // namespace

std::string SetKey(const Sha256Digest& source_sha256, const JobSpec& spec,
                   const std::string& reference_sha256) {
  if (spec.outputs.empty()) return {};
  std::string keys = ToBytes(source_sha256);
  for (const JobOutput& output : spec.outputs) keys += KeyOf(output, reference_sha256);
  return Digest(keys);
}

std::string UnreadSetKey(const std::string& image_id, const JobSpec& spec) {
  return Digest((spec.refresh ? "unread refresh:" : "unread:") + image_id + ":" + spec.operation);
}

std::vector<uint32_t> OutputsToMake(const JobRecord& job) {
  std::vector<bool> make(job.spec.outputs.size());
  // From the end: what something is made of stands before it.
  for (size_t i = make.size(); i-- > 0;) {
    if (job.result_image_ids[i].empty()) make[i] = true;
    const auto& made_of = job.spec.outputs[i].made_of;
    if (make[i] && made_of.has_value() && *made_of < i) make[*made_of] = true;
  }
  std::vector<uint32_t> outputs;
  for (uint32_t i = 0; i < make.size(); ++i) {
    if (make[i]) outputs.push_back(i);
  }
  return outputs;
}

absl::StatusOr<std::vector<Derivation::Row>> Derivation::FindRows(const std::string& sha256,
                                                                  const std::string& key) {
  HISTEQ_ASSIGN_OR_RETURN(
      Statement statement,
      db_.Prepare("SELECT seq, source_image_id, job_id, image_id FROM derivatives INDEXED BY "
                  "derivatives_bytes WHERE source_sha256 = ? AND key = ?"));
  statement.BindBlob(sha256).BindBlob(key);
  std::vector<Row> rows;
  while (true) {
    HISTEQ_ASSIGN_OR_RETURN(const bool more, statement.Step());
    if (!more) return rows;
    rows.push_back({statement.Int(0), statement.Bytes(1), statement.Bytes(2), statement.Bytes(3)});
  }
}

absl::StatusOr<std::optional<std::string>> Derivation::FindMaker(const std::string& sha256,
                                                                 const std::string& key) {
  HISTEQ_ASSIGN_OR_RETURN(
      Statement row, db_.Prepare("SELECT job_id FROM makers WHERE source_sha256 = ? AND key = ?"));
  HISTEQ_ASSIGN_OR_RETURN(const bool found, row.BindBlob(sha256).BindBlob(key).Step());
  if (!found) return std::optional<std::string>();
  return std::optional<std::string>(row.Bytes(0));
}

absl::Status Derivation::InsertMaker(const std::string& sha256, const std::string& key,
                                     const std::string& job_id) {
  HISTEQ_ASSIGN_OR_RETURN(Statement statement,
                          db_.Prepare("INSERT INTO makers VALUES (?, ?, ?) ON CONFLICT DO UPDATE "
                                      "SET job_id = excluded.job_id"));
  return statement.BindBlob(sha256).BindBlob(key).Bind(job_id).Run();
}

absl::Status Derivation::InsertWait(const std::string& maker_id, const std::string& job_id) {
  HISTEQ_ASSIGN_OR_RETURN(Statement statement,
                          db_.Prepare("INSERT OR IGNORE INTO waits VALUES (?, ?)"));
  return statement.Bind(maker_id).Bind(job_id).Run();
}

absl::StatusOr<bool> Derivation::Waits(const std::string& job_id) {
  HISTEQ_ASSIGN_OR_RETURN(Statement row,
                          db_.Prepare("SELECT 1 FROM waits WHERE job_id = ? LIMIT 1"));
  return row.Bind(job_id).Step();
}

absl::StatusOr<bool> Derivation::WaitsFor(const std::string& job_id, const std::string& maker_id) {
  std::vector<std::string> waiting = {maker_id};
  std::set<std::string> seen;
  for (size_t next = 0; next < waiting.size(); ++next) {
    HISTEQ_ASSIGN_OR_RETURN(Statement row,
                            db_.Prepare("SELECT job_id FROM waits WHERE maker_id = ?"));
    row.Bind(waiting[next]);
    while (true) {
      HISTEQ_ASSIGN_OR_RETURN(const bool more, row.Step());
      if (!more) break;
      std::string id = row.Bytes(0);
      if (id == job_id) return true;
      if (seen.insert(id).second) waiting.push_back(std::move(id));
    }
  }
  return false;
}

absl::Status Derivation::PutRow(const std::string& source_image_id, const std::string& sha256,
                                const std::string& key, const JobOutput& output,
                                const std::string& job_id, const std::string& image_id) {
  HISTEQ_ASSIGN_OR_RETURN(
      Statement statement,
      db_.Prepare(
          "INSERT INTO derivatives (source_image_id, source_sha256, key, operation, job_id, "
          "image_id) VALUES (?, ?, ?, ?, ?, nullif(?, '')) ON CONFLICT (source_image_id, key) DO "
          "UPDATE SET job_id = excluded.job_id, image_id = excluded.image_id WHERE "
          "derivatives.image_id IS NULL OR excluded.image_id IS NOT NULL"));
  return statement.Bind(source_image_id)
      .BindBlob(sha256)
      .BindBlob(key)
      .BindBlob(output.operation)
      .Bind(job_id)
      .Bind(image_id)
      .Run();
}

absl::StatusOr<std::string> Derivation::InsertResult(const ImageRecord& source,
                                                     const std::vector<JobOutput>& outputs,
                                                     size_t index, const ImageFacts& facts,
                                                     const std::string& job_id) {
  ImageRecord image;
  image.id = "img-" + TimedHex128(now_);
  image.name = OutputName(source.name, outputs, index, facts.format);
  image.facts = facts;
  image.create_time = now_;
  image.tag = outputs[index].tag;
  image.source_image_id = source.id;
  image.source_job_id = job_id;
  if (ttl_ < absl::InfiniteDuration()) image.expire_time = now_ + ttl_;
  HISTEQ_RETURN_IF_ERROR(InsertImage(db_, image));
  if (!source.source_image_id.empty()) HISTEQ_RETURN_IF_ERROR(Refresh(source.id));
  return image.id;
}

absl::Status Derivation::Refresh(const std::string& image_id) {
  // An image goes with what it was made of, which must not go before it. Uploads have no time.
  HISTEQ_ASSIGN_OR_RETURN(
      Statement statement,
      db_.Prepare("WITH RECURSIVE up(id) AS (VALUES(?3) UNION SELECT i.source_image_id FROM up "
                  "JOIN images i ON i.id = up.id WHERE i.source_image_id <> '') UPDATE images SET "
                  "use_time = max(use_time, ?1), expire_time = CASE WHEN expire_time IS NULL THEN "
                  "NULL ELSE max(expire_time, ?2) END WHERE source_image_id <> '' AND id IN "
                  "(SELECT id FROM up)"));
  const absl::Time expire =
      ttl_ < absl::InfiniteDuration() ? now_ + ttl_ : now_ + absl::Hours(24 * 365 * 100);
  return statement.Bind(ToMicros(now_)).Bind(ToMicros(expire)).Bind(image_id).Run();
}

absl::StatusOr<std::string> Derivation::Take(const ImageRecord& image,
                                             const std::vector<JobOutput>& outputs, size_t index,
                                             const std::string& key) {
  const std::string sha256 = ToBytes(image.facts.sha256);
  HISTEQ_ASSIGN_OR_RETURN(const std::vector<Row> rows, FindRows(sha256, key));
  const Row* other = nullptr;
  for (const Row& row : rows) {
    if (row.image_id.empty()) continue;
    if (row.source_image_id == image.id) {
      HISTEQ_RETURN_IF_ERROR(Refresh(row.image_id));
      return row.image_id;
    }
    other = &row;
  }
  if (other == nullptr) return std::string();
  HISTEQ_ASSIGN_OR_RETURN(const auto shared, FindImage(db_, other->image_id));
  if (!shared.has_value()) return std::string();
  HISTEQ_ASSIGN_OR_RETURN(const std::string id,
                          InsertResult(image, outputs, index, shared->facts, other->job_id));
  HISTEQ_RETURN_IF_ERROR(PutRow(image.id, sha256, key, outputs[index], other->job_id, id));
  return id;
}

absl::Status Derivation::Resolve(JobRecord& job, const ImageRecord& image, const JobRecord* ended) {
  const std::vector<JobOutput>& outputs = job.spec.outputs;
  const std::string sha256 = ToBytes(image.facts.sha256);
  HISTEQ_ASSIGN_OR_RETURN(const std::string reference, ReferenceSha256(job.spec));
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!job.result_image_ids[i].empty()) continue;
    const std::string key = KeyOf(outputs[i], reference);
    HISTEQ_ASSIGN_OR_RETURN(auto maker, FindMaker(sha256, key));
    if (maker.has_value() && *maker == job.id) continue;
    // While it is made anew for somebody, the one that is there serves the others.
    const bool made_now = ended != nullptr && ended->state == JobState::kSucceeded;
    if (!job.spec.refresh || (made_now && !maker.has_value())) {
      HISTEQ_ASSIGN_OR_RETURN(job.result_image_ids[i], Take(image, outputs, i, key));
      if (!job.result_image_ids[i].empty()) continue;
    }
    if (maker.has_value()) {
      // One that waits for this job, and so does not run, gives up to it what both want: a
      // reference image that became another one since has made that one output.
      HISTEQ_ASSIGN_OR_RETURN(const bool circle, WaitsFor(*maker, job.id));
      if (circle) {
        HISTEQ_RETURN_IF_ERROR(InsertWait(job.id, *maker));
        maker.reset();
      }
    }
    if (maker.has_value()) {
      HISTEQ_RETURN_IF_ERROR(InsertWait(*maker, job.id));
      HISTEQ_RETURN_IF_ERROR(MoveNearer(*maker, image));
    } else {
      HISTEQ_RETURN_IF_ERROR(InsertMaker(sha256, key, job.id));
      // Requests of other images that the last maker left unmade.
      HISTEQ_ASSIGN_OR_RETURN(
          Statement statement,
          db_.Prepare("UPDATE derivatives SET job_id = ? WHERE source_sha256 = ? AND key = ? AND "
                      "image_id IS NULL"));
      HISTEQ_RETURN_IF_ERROR(statement.Bind(job.id).BindBlob(sha256).BindBlob(key).Run());
    }
    HISTEQ_RETURN_IF_ERROR(PutRow(image.id, sha256, key, outputs[i],
                                  maker.has_value() ? *maker : job.id, /*image_id=*/""));
  }
  HISTEQ_ASSIGN_OR_RETURN(job.blocked, Waits(job.id));
  if (!job.blocked && Complete(job)) Succeed(job, now_);
  return absl::OkStatus();
}

absl::Status Derivation::Attach(JobRecord& job, const ImageRecord& image) {
  job.result_image_ids.assign(job.spec.outputs.size(), "");
  if (job.spec.outputs.empty()) return absl::OkStatus();
  return Resolve(job, image, nullptr);
}

absl::StatusOr<std::string> Derivation::ReferenceSha256(const JobSpec& spec) {
  if (spec.reference_image_id.empty()) return std::string();
  HISTEQ_ASSIGN_OR_RETURN(const auto reference, FindImage(db_, spec.reference_image_id));
  return reference.has_value() ? ToBytes(reference->facts.sha256) : std::string();
}

absl::StatusOr<bool> Derivation::IsThere(const std::string& sha256, const std::string& key) {
  HISTEQ_ASSIGN_OR_RETURN(const std::vector<Row> rows, FindRows(sha256, key));
  return std::any_of(rows.begin(), rows.end(),
                     [](const Row& row) { return !row.image_id.empty(); });
}

absl::StatusOr<bool> Derivation::AllThere(const ImageRecord& image, const JobSpec& spec) {
  HISTEQ_ASSIGN_OR_RETURN(const std::string reference, ReferenceSha256(spec));
  for (const JobOutput& output : spec.outputs) {
    HISTEQ_ASSIGN_OR_RETURN(const bool there,
                            IsThere(ToBytes(image.facts.sha256), KeyOf(output, reference)));
    if (!there) return false;
  }
  return true;
}

absl::Status Derivation::Join(const JobRecord& job, const ImageRecord& image, bool refresh) {
  if (image.id == job.image_id) return absl::OkStatus();
  const std::string sha256 = ToBytes(image.facts.sha256);
  HISTEQ_ASSIGN_OR_RETURN(const std::string reference, ReferenceSha256(job.spec));
  for (size_t i = 0; i < job.spec.outputs.size(); ++i) {
    const std::string key = KeyOf(job.spec.outputs[i], reference);
    if (!refresh || !job.spec.refresh) {
      HISTEQ_ASSIGN_OR_RETURN(const std::string there, Take(image, job.spec.outputs, i, key));
      if (!there.empty()) continue;
    }
    HISTEQ_ASSIGN_OR_RETURN(const auto maker, FindMaker(sha256, key));
    HISTEQ_RETURN_IF_ERROR(PutRow(image.id, sha256, key, job.spec.outputs[i],
                                  maker.has_value() ? *maker : job.id, /*image_id=*/""));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> Derivation::CanMove(const JobRecord& job, const ImageRecord& image) {
  HISTEQ_ASSIGN_OR_RETURN(const std::string reference, ReferenceSha256(job.spec));
  for (size_t i = 0; i < job.spec.outputs.size(); ++i) {
    if (job.result_image_ids[i].empty()) continue;
    HISTEQ_ASSIGN_OR_RETURN(const bool there, IsThere(ToBytes(image.facts.sha256),
                                                      KeyOf(job.spec.outputs[i], reference)));
    if (!there) return false;
  }
  return true;
}

absl::Status Derivation::MoveOne(const std::string& job_id, const ImageRecord& image,
                                 bool only_nearer, std::vector<std::string>& makers) {
  HISTEQ_ASSIGN_OR_RETURN(auto job, FindJob(db_, job_id));
  if (!job.has_value() || job->state != JobState::kQueued || job->image_id == image.id ||
      job->spec.outputs.empty()) {
    return absl::OkStatus();
  }
  if (only_nearer) {
    HISTEQ_ASSIGN_OR_RETURN(const auto from, FindImage(db_, job->image_id));
    if (from.has_value() && PlaceRank(*from) <= PlaceRank(image)) return absl::OkStatus();
  }
  HISTEQ_ASSIGN_OR_RETURN(const bool can_move, CanMove(*job, image));
  if (!can_move) return absl::OkStatus();
  const std::vector<JobOutput>& outputs = job->spec.outputs;
  job->image_id = image.id;
  job->image_name = image.name;
  job->storage = StorageOf(image);
  const std::string sha256 = ToBytes(image.facts.sha256);
  HISTEQ_ASSIGN_OR_RETURN(const std::string reference, ReferenceSha256(job->spec));
  for (size_t i = 0; i < outputs.size(); ++i) {
    const std::string key = KeyOf(outputs[i], reference);
    if (!job->result_image_ids[i].empty()) {
      HISTEQ_ASSIGN_OR_RETURN(job->result_image_ids[i], Take(image, outputs, i, key));
      continue;
    }
    HISTEQ_ASSIGN_OR_RETURN(const auto maker, FindMaker(sha256, key));
    HISTEQ_RETURN_IF_ERROR(PutRow(image.id, sha256, key, outputs[i],
                                  maker.has_value() ? *maker : job->id, /*image_id=*/""));
    if (maker.has_value() && *maker != job->id) makers.push_back(*maker);
  }
  HISTEQ_RETURN_IF_ERROR(UpdateSourceOfJob(db_, *job));
  moved_.push_back(job->id);
  return absl::OkStatus();
}

absl::Status Derivation::Move(const std::string& job_id, const ImageRecord& image) {
  std::vector<std::string> makers;
  HISTEQ_RETURN_IF_ERROR(MoveOne(job_id, image, /*only_nearer=*/false, makers));
  for (const std::string& maker : makers) HISTEQ_RETURN_IF_ERROR(MoveNearer(maker, image));
  return absl::OkStatus();
}

absl::Status Derivation::MoveNearer(const std::string& job_id, const ImageRecord& image) {
  // One that was moved is not moved again, so this ends.
  std::vector<std::string> ids = {job_id};
  for (size_t next = 0; next < ids.size(); ++next) {
    const std::string id = ids[next];
    HISTEQ_RETURN_IF_ERROR(MoveOne(id, image, /*only_nearer=*/true, ids));
  }
  return absl::OkStatus();
}

absl::Status Derivation::Register(JobRecord& job, const std::vector<ImageFacts>& made,
                                  std::vector<std::string>& freed) {
  const std::vector<uint32_t> indexes = OutputsToMake(job);
  HISTEQ_ASSIGN_OR_RETURN(const auto source, FindImage(db_, job.image_id));
  if (!source.has_value()) return absl::InternalError("the source of a running job is gone");
  const std::string sha256 = ToBytes(source->facts.sha256);
  HISTEQ_ASSIGN_OR_RETURN(const std::string reference, ReferenceSha256(job.spec));
  std::vector<std::string> refreshed;
  if (job.spec.refresh) {
    HISTEQ_ASSIGN_OR_RETURN(refreshed, FindImagesRefreshed(db_, job.id));
  }
  for (size_t k = 0; k < indexes.size(); ++k) {
    const uint32_t i = indexes[k];
    // Made again only because another output is made of it.
    if (!job.result_image_ids[i].empty()) continue;
    const std::string key = KeyOf(job.spec.outputs[i], reference);
    HISTEQ_ASSIGN_OR_RETURN(const std::vector<Row> rows, FindRows(sha256, key));
    std::vector<std::string> replaced;
    for (const Row& row : rows) {
      const bool own = row.source_image_id == job.image_id;
      if (!own && row.job_id != job.id &&
          std::find(refreshed.begin(), refreshed.end(), row.source_image_id) == refreshed.end()) {
        continue;
      }
      if (!row.image_id.empty()) replaced.push_back(row.image_id);
      if (own) continue;
      // Asked for by way of another image of the same bytes.
      HISTEQ_ASSIGN_OR_RETURN(const auto other, FindImage(db_, row.source_image_id));
      if (!other.has_value()) continue;
      HISTEQ_ASSIGN_OR_RETURN(const std::string id,
                              InsertResult(*other, job.spec.outputs, i, made[k], job.id));
      HISTEQ_RETURN_IF_ERROR(PutRow(other->id, sha256, key, job.spec.outputs[i], job.id, id));
    }
    HISTEQ_ASSIGN_OR_RETURN(job.result_image_ids[i],
                            InsertResult(*source, job.spec.outputs, i, made[k], job.id));
    HISTEQ_RETURN_IF_ERROR(
        PutRow(job.image_id, sha256, key, job.spec.outputs[i], job.id, job.result_image_ids[i]));
    for (const std::string& id : replaced) {
      ImageRemoval removal(db_);
      HISTEQ_ASSIGN_OR_RETURN(const auto user, removal.Collect(id));
      // Somebody works on the old one: it stays, as an image of its own, until it expires.
      if (user.has_value()) continue;
      HISTEQ_ASSIGN_OR_RETURN(RemovedImages removed, removal.Remove());
      freed.insert(freed.end(), removed.freed_locations.begin(), removed.freed_locations.end());
    }
  }
  job.result_image_id = job.result_image_ids.empty() ? std::string() : job.result_image_ids.front();
  return absl::OkStatus();
}

absl::Status Derivation::AwaitInspection(JobRecord& job, const std::string& inspection_id) {
  job.result_image_ids.assign(job.spec.outputs.size(), "");
  job.blocked = true;
  return InsertWait(inspection_id, job.id);
}

absl::Status Derivation::ResolveInspected(JobRecord& job, const ImageRecord& image,
                                          const JobRecord& ended) {
  if (ended.state != JobState::kSucceeded) {
    job.blocked = false;
    job.not_before.reset();
    job.state = JobState::kFailed;
    job.end_time = now_;
    job.error = ended.error;
    if (ended.state == JobState::kCancelled || !job.error.has_value()) {
      JobError error;
      error.code = static_cast<int>(absl::StatusCode::kAborted);
      error.reason = "INSPECT_CANCELLED";
      error.message = "job " + ended.id + ", which was to read the image's file, was cancelled";
      job.error = std::move(error);
    }
    return absl::OkStatus();
  }
  if (job.spec.outputs.empty()) {
    HISTEQ_ASSIGN_OR_RETURN(job.blocked, Waits(job.id));
    return absl::OkStatus();
  }
  HISTEQ_RETURN_IF_ERROR(Resolve(job, image, nullptr));
  HISTEQ_ASSIGN_OR_RETURN(const std::string reference, ReferenceSha256(job.spec));
  HISTEQ_ASSIGN_OR_RETURN(Statement statement,
                          db_.Prepare("UPDATE jobs SET set_key = ? WHERE id = ?"));
  return statement.BindBlob(SetKey(image.facts.sha256, job.spec, reference)).Bind(job.id).Run();
}

absl::Status Derivation::ForgetMade(const std::string& image_id, std::vector<std::string>& freed) {
  std::vector<std::string> ids;
  {
    HISTEQ_ASSIGN_OR_RETURN(Statement row,
                            db_.Prepare("SELECT image_id FROM derivatives WHERE source_image_id = "
                                        "? AND image_id IS NOT NULL"));
    row.Bind(image_id);
    while (true) {
      HISTEQ_ASSIGN_OR_RETURN(const bool more, row.Step());
      if (!more) break;
      ids.push_back(row.Bytes(0));
    }
  }
  for (const std::string& id : ids) {
    ImageRemoval removal(db_);
    HISTEQ_ASSIGN_OR_RETURN(const auto user, removal.Collect(id));
    // Somebody works on it: it stays, as an image of its own, until it expires.
    if (user.has_value()) continue;
    HISTEQ_ASSIGN_OR_RETURN(RemovedImages removed, removal.Remove());
    freed.insert(freed.end(), removed.freed_locations.begin(), removed.freed_locations.end());
  }
  for (const char* sql : {"DELETE FROM derivatives WHERE source_image_id = ?",
                          "DELETE FROM image_statistics WHERE image_id = ?"}) {
    HISTEQ_ASSIGN_OR_RETURN(Statement statement, db_.Prepare(sql));
    HISTEQ_RETURN_IF_ERROR(statement.Bind(image_id).Run());
  }
  return absl::OkStatus();
}

absl::Status Derivation::ForgetFailuresOfPlace(const std::string& image_id) {
  std::vector<int64_t> failed;
  {
    HISTEQ_ASSIGN_OR_RETURN(
        Statement row,
        db_.Prepare("SELECT d.seq, j.error_reason FROM derivatives d INDEXED BY derivatives_source "
                    "JOIN jobs j ON j.id = d.job_id WHERE d.source_image_id = ? AND d.image_id IS "
                    "NULL AND j.state = 4"));
    row.Bind(image_id);
    while (true) {
      HISTEQ_ASSIGN_OR_RETURN(const bool more, row.Step());
      if (!more) break;
      const std::string reason = row.Bytes(1);
      if (IsFailureOfPlace(reason) || reason.rfind("INSPECT_", 0) == 0)
        failed.push_back(row.Int(0));
    }
  }
  for (const int64_t seq : failed) {
    HISTEQ_ASSIGN_OR_RETURN(Statement statement,
                            db_.Prepare("DELETE FROM derivatives WHERE seq = ?"));
    HISTEQ_RETURN_IF_ERROR(statement.Bind(seq).Run());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<JobRecord>> Derivation::Release(const JobRecord& job) {
  {
    HISTEQ_ASSIGN_OR_RETURN(Statement statement,
                            db_.Prepare("DELETE FROM makers WHERE job_id = ?"));
    HISTEQ_RETURN_IF_ERROR(statement.Bind(job.id).Run());
  }
  // The oldest first.
  std::map<int64_t, std::string> waiting;
  {
    HISTEQ_ASSIGN_OR_RETURN(Statement row,
                            db_.Prepare("SELECT j.seq, w.job_id FROM waits w JOIN jobs j ON j.id = "
                                        "w.job_id WHERE w.maker_id = ?"));
    row.Bind(job.id);
    while (true) {
      HISTEQ_ASSIGN_OR_RETURN(const bool more, row.Step());
      if (!more) break;
      waiting[row.Int(0)] = row.Bytes(1);
    }
  }
  for (const char* sql :
       {"DELETE FROM waits WHERE maker_id = ?", "DELETE FROM waits WHERE job_id = ?"}) {
    HISTEQ_ASSIGN_OR_RETURN(Statement statement, db_.Prepare(sql));
    HISTEQ_RETURN_IF_ERROR(statement.Bind(job.id).Run());
  }
  std::vector<JobRecord> changed;
  for (const auto& [seq, id] : waiting) {
    HISTEQ_ASSIGN_OR_RETURN(auto waiter, FindJob(db_, id));
    if (!waiter.has_value() || waiter->state != JobState::kQueued) continue;
    HISTEQ_ASSIGN_OR_RETURN(const auto image, FindImage(db_, waiter->image_id));
    if (!image.has_value()) continue;
    HISTEQ_RETURN_IF_ERROR(job.spec.inspects ? ResolveInspected(*waiter, *image, job)
                                             : Resolve(*waiter, *image, &job));
    HISTEQ_RETURN_IF_ERROR(UpdateJob(db_, *waiter, JobState::kQueued, waiter->epoch));
    changed.push_back(*std::move(waiter));
  }
  if (job.state != JobState::kCancelled || job.spec.outputs.empty()) return changed;
  // Nobody asks for it any more.
  HISTEQ_ASSIGN_OR_RETURN(const auto image, FindImage(db_, job.image_id));
  if (!image.has_value()) return changed;
  HISTEQ_ASSIGN_OR_RETURN(const std::string reference, ReferenceSha256(job.spec));
  for (const JobOutput& output : job.spec.outputs) {
    HISTEQ_ASSIGN_OR_RETURN(
        Statement statement,
        db_.Prepare("DELETE FROM derivatives WHERE source_sha256 = ? AND key = ? AND job_id = ? "
                    "AND image_id IS NULL"));
    HISTEQ_RETURN_IF_ERROR(statement.BindBlob(ToBytes(image->facts.sha256))
                               .BindBlob(KeyOf(output, reference))
                               .Bind(job.id)
                               .Run());
  }
  return changed;
}

}  // namespace histeq::store
