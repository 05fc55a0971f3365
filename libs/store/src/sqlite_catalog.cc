#include "store/sqlite_catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <limits>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/status_macros.h"
#include "catalog_rows.h"
#include "derivation.h"
#include "hint_hub.h"
#include "image_place.h"
#include "image_removal.h"
#include "job_pruning.h"
#include "job_transitions.h"
#include "lease_book.h"
#include "log_vfs.h"
#include "page_token.h"
#include "random_id.h"
#include "read_pool.h"
#include "schema.h"
#include "small_uploads.h"
#include "sqlite_db.h"
#include "store_error.h"
#include "work_signal.h"
#include "write_queue.h"

namespace histeq::store {
namespace {

constexpr int64_t kPageBytes = 4096;
constexpr std::pair<int64_t, int64_t> kOldest{std::numeric_limits<int64_t>::min(), 0};
// In one transaction.
constexpr uint32_t kMaxExpiryLooks = 1000;
constexpr size_t kMaxDerivatives = 1000;
constexpr int64_t kNewest = std::numeric_limits<int64_t>::max();

absl::Status NotFound(const std::string& what, const std::string& reason, const std::string& id) {
  return StoreError(absl::StatusCode::kNotFound, reason, fmt::format("there is no {} {}", what, id),
                    {{"id", id}});
}

absl::Status ImageNotFound(const std::string& id) {
  return NotFound("image", "IMAGE_NOT_FOUND", id);
}

absl::Status JobNotFound(const std::string& id) { return NotFound("job", "JOB_NOT_FOUND", id); }

absl::Status UploadNotFound(const std::string& id) {
  return NotFound("upload", "UPLOAD_NOT_FOUND", id);
}

absl::Status Unread(const ImageRecord& image, const std::string& field) {
  base::ErrorDetail detail;
  detail.reason = "IMAGE_UNREAD";
  detail.field = field;
  detail.metadata["id"] = image.id;
  return base::MakeError(
      absl::StatusCode::kFailedPrecondition,
      fmt::format("the file of image {} has not been read, or not as it is now: register it again, "
                  "or wait until it is read",
                  image.id),
      detail);
}

absl::Status Reused(const std::string& reason, const std::string& id, const std::string& field) {
  base::ErrorDetail detail;
  detail.reason = reason;
  detail.field = field;
  detail.metadata["id"] = id;
  return base::MakeError(
      absl::StatusCode::kAlreadyExists,
      fmt::format("id {} was used before with another {}: take a new id", id, field), detail);
}

absl::Status StaleEpoch(const JobRecord& job, uint64_t epoch) {
  return StoreError(
      absl::StatusCode::kFailedPrecondition, "STALE_EPOCH",
      fmt::format("epoch {} of job {} is over: the job is {}, its epoch {}", epoch, job.id,
                  IsFinal(job.state)                ? "final"
                  : job.state == JobState::kRunning ? "leased again"
                                                    : "queued again",
                  job.epoch),
      {{"job", job.id}, {"limit", std::to_string(job.epoch)}, {"actual", std::to_string(epoch)}});
}

bool SameSpec(const JobSpec& a, const JobSpec& b) {
  return a.operation == b.operation && a.reference_image_id == b.reference_image_id;
}

std::string OperationDigest(const std::string& operation) {
  return ToBytes(Sha256Of({reinterpret_cast<const uint8_t*>(operation.data()), operation.size()}));
}

// The name of the part in which the headers differ; empty: none.
std::string Difference(const UploadHeader& a, const UploadHeader& b) {
  if (a.name != b.name) return "name";
  if (a.size_bytes != b.size_bytes) return "size_bytes";
  if (a.sha256 != b.sha256) return "sha256";
  if (a.job.has_value() != b.job.has_value()) return "operation";
  if (a.job.has_value() && !SameSpec(*a.job, *b.job)) return "operation";
  return {};
}

class SqliteCatalog final : public Catalog {
 public:
  SqliteCatalog(const std::string& file, SqliteCatalogOptions options, std::unique_ptr<Database> db,
                std::string page_token_key)
      : options_(std::move(options)),
        limits_(options_.limits),
        page_token_key_(std::move(page_token_key)),
        generator_(std::random_device{}()),
        leases_(*options_.clock, limits_.lease_ttl),
        work_(*options_.clock),
        small_uploads_(limits_.small_upload_bytes, limits_.max_small_uploads),
        writes_(std::move(db), [this](Database& written) { KeepCounts(written); }),
        readers_(file) {}

  // What is kept in memory beside the database. Before any other call.
  absl::Status Load();

  absl::StatusOr<UploadRecord> BeginUpload(const UploadHeader& header,
                                           const std::string& blob_key) override;
  absl::StatusOr<UploadRecord> GetUpload(const std::string& upload_id) override;
  absl::StatusOr<FinishedUpload> FinishUpload(const std::string& upload_id,
                                              const ImageFacts& facts) override;
  absl::StatusOr<std::vector<UploadRecord>> AbandonedUploads(absl::Time before) override;
  absl::Status RemoveUpload(const std::string& upload_id, absl::Time before) override;

  absl::StatusOr<ImageRecord> GetImage(const std::string& image_id) override;
  absl::StatusOr<RegisteredImage> RegisterImage(const FileRegistration& registration) override;
  absl::StatusOr<Page<ImageRecord>> ListImages(const ImageFilter& filter, uint32_t page_size,
                                               const std::string& page_token) override;
  absl::StatusOr<ImageDescription> DescribeImage(const std::string& image_id) override;
  absl::StatusOr<RemovedImages> DeleteImage(const std::string& image_id) override;
  absl::StatusOr<RemovedImages> ExpireImages(const std::function<bool(const std::string&)>& in_use,
                                             uint32_t max_images) override;
  absl::Status TouchImages(const std::vector<std::string>& image_ids) override;
  absl::StatusOr<std::optional<std::string>> GetImageStatistics(
      const std::string& image_id) override;
  absl::StatusOr<BlobUse> UseOfBlob(const std::string& key, const std::string& location) override;

  absl::StatusOr<JobRecord> CreateJob(const std::string& request_id, const std::string& image_id,
                                      const JobSpec& spec) override;
  absl::StatusOr<JobRecord> GetJob(const std::string& job_id) override;
  absl::StatusOr<Page<JobRecord>> ListJobs(const JobFilter& filter, uint32_t page_size,
                                           const std::string& page_token) override;
  absl::StatusOr<JobRecord> CancelJob(const std::string& job_id) override;
  absl::StatusOr<JobRecord> TakeBackRequest(const std::string& job_id,
                                            const std::string& request_id) override;
  absl::StatusOr<QueueCounts> CountJobs() override;
  absl::StatusOr<ForgottenWork> ForgetFinished(uint32_t max_looks) override;

  absl::StatusOr<std::optional<Lease>> LeaseNext(const std::string& coordinator,
                                                 uint32_t max_running,
                                                 const std::vector<std::string>& storages) override;
  uint64_t WorkGeneration() const override { return work_.Generation(); }
  void WaitForWork(uint64_t seen, absl::Duration timeout) override { work_.Wait(seen, timeout); }
  absl::StatusOr<Lease> GetLease(const std::string& job_id, uint64_t epoch) override;
  std::vector<LeaseVerdict> Renew(const std::string& coordinator,
                                  const std::vector<HeldLease>& leases) override;
  absl::StatusOr<CompletedJob> Complete(const std::string& job_id, uint64_t epoch,
                                        const JobResult& result) override;
  absl::StatusOr<JobRecord> Fail(const std::string& job_id, uint64_t epoch, FailOutcome outcome,
                                 const JobError& error) override;
  absl::StatusOr<std::vector<JobRecord>> ExpireLeases() override;

  absl::Status RegisterCoordinator(const CoordinatorRecord& coordinator) override;
  absl::Status RemoveCoordinator(const std::string& name) override;
  std::vector<CoordinatorRecord> ListCoordinators() const override;
  bool CoordinatorAllowed(const std::string& name) const override;

  std::shared_ptr<void> Subscribe(std::function<void(const CatalogHint&)> callback) override {
    return hints_.Subscribe(std::move(callback));
  }

 private:
  // Runs `body` as one change and returns what it returned.
  template <typename Body>
  auto Write(const Body& body) -> decltype(body(std::declval<WriteContext&>())) {
    decltype(body(std::declval<WriteContext&>())) result = absl::UnknownError("");
    const absl::Status status = writes_.Run([&](WriteContext& context) {
      result = body(context);
      return result.status();
    });
    if (!status.ok()) return status;
    return result;
  }

  // Runs `body`, a whole call, again while the catalog has no room for it and jobs that are over
  // can be forgotten.
  template <typename Body>
  auto MakingRoom(const Body& body) -> decltype(body()) {
    constexpr int kMaxTries = 8;
    for (int tries = 0;; ++tries) {
      auto result = body();
      if (options_.max_file_bytes == 0 || tries == kMaxTries ||
          base::ReasonOf(result.status()) != "DISK_FULL") {
        return result;
      }
      const absl::StatusOr<bool> made = MakeRoom();
      if (!made.ok() || !*made) return result;
    }
  }
  // False: there is nothing to forget.
  absl::StatusOr<bool> MakeRoom();
  absl::StatusOr<ForgottenWork> Forget(JobPruning& pruning, absl::Time before, uint32_t max_looks);

  // As it is read back later: an answer and its repetition are the same.
  absl::Time Now() const { return FromMicros(ToMicros(options_.clock->Now())); }
  // Only within a change.
  double Random() {
    if (options_.random) return options_.random();
    return std::uniform_real_distribution<double>(0, 1)(generator_);
  }

  // OK while the file has room for more images and jobs, beyond what those that are there need.
  absl::Status CheckRoom(Database& db) const;
  absl::Status CheckQueue(uint64_t queued) const;
  // After a transaction, for those who read.
  void KeepCounts(Database& db);
  // An upload that stays in memory; nothing: it must be kept in the database, or is there.
  absl::StatusOr<std::optional<UploadRecord>> BeginSmallUpload(const UploadHeader& header,
                                                               const std::string& blob_key);
  absl::Status CheckReference(Database& db, const JobSpec& spec) const;
  // Whoever has the image can read the reference too.
  absl::Status CheckReferencePlace(Database& db, const JobSpec& spec,
                                   const ImageRecord& image) const;
  // The job that serves the request: a new one, with its hints, or one that is there. With
  // `after_reading` it waits until the image's file is read, if that is under way.
  absl::StatusOr<JobRecord> Queue(WriteContext& context, const ImageRecord& image,
                                  const JobSpec& spec, const std::string& request_id,
                                  bool after_reading = false);
  // The job that reads the unread image, or why none does.
  absl::StatusOr<JobRecord> FindReader(Database& db, const ImageRecord& image) const;
  // What waits until the unread image is read.
  absl::Status AddWaiting(Database& db, ImageDescription& description) const;
  // Another image of the same bytes for which the job is asked, in the surest place; `only_nearer`:
  // in a surer one than the job's.
  absl::StatusOr<std::optional<ImageRecord>> FindOtherPlace(Database& db, const JobRecord& job,
                                                            bool only_nearer) const;
  // Hints about the jobs that `derivation` moved.
  void HintMoved(WriteContext& context, const Derivation& derivation);
  // Whether a registered file must be read (again).
  absl::StatusOr<bool> WantsReading(Database& db, const ImageRecord& image,
                                    const FileRegistration& registration) const;
  // The jobs of the image that are not final read the same bytes elsewhere, or end, because its
  // file is another one; except `inspection_id`, and those that wait for it.
  absl::Status FailLiveJobs(WriteContext& context, const std::string& image_id,
                            const std::string& inspection_id = "");
  // Keeps what an inspection brought.
  absl::Status KeepInspected(WriteContext& context, const JobRecord& job, const JobResult& result,
                             std::vector<std::string>& freed);
  absl::StatusOr<JobRecord> Cancel(WriteContext& context, JobRecord job);
  // After a job became final: those that waited for it go on.
  absl::Status Release(WriteContext& context, const JobRecord& job);
  Derivation DerivationOf(Database& db) const { return {db, Now(), limits_.result_ttl}; }
  // Removes the next image after `cursor` of those that `sql` lists, unless it is needed, with what
  // was made of it. False: there is none. `sql` gives seq, id, order; parameters: the last order
  // and seq, and `until`.
  absl::StatusOr<bool> RemoveNext(Database& db, const char* sql, absl::Time until,
                                  const std::function<bool(const std::string&)>& in_use,
                                  std::pair<int64_t, int64_t>& cursor, RemovedImages& removed);
  // The job under `epoch`, running, or an error.
  absl::StatusOr<JobRecord> FindLeased(Database& db, const std::string& job_id, uint64_t epoch);
  // Writes a job that was running under its epoch and is no more, with lease and hints. One that is
  // queued again reads `place` from now on; without it, a surer one when there is any.
  absl::Status EndLease(WriteContext& context, const JobRecord& job,
                        std::optional<ImageRecord> place = std::nullopt);
  absl::StatusOr<Lease> DescribeLease(Database& db, JobRecord job) const;
  absl::Status PromoteWaiting(Database& db) const;
  absl::StatusOr<UploadRecord> DescribeUpload(Database& db, UploadRow row) const;
  absl::StatusOr<std::optional<JobRecord>> FindJobComplete(Database& db,
                                                           const std::string& id) const;

  void HintJob(const std::string& job_id) { hints_.Notify({CatalogHint::Kind::kJob, job_id}); }
  // `job` is queued, and not blocked. Only after a change, before the next one.
  void HintWork(const JobRecord& job) {
    const absl::Duration delay =
        job.not_before.has_value() ? *job.not_before - Now() : absl::ZeroDuration();
    // Only some have a storage, and some have all that they may.
    if (delay > absl::ZeroDuration() || !job.storage.empty() || !at_limit_.empty()) {
      work_.Ready(delay);
    } else {
      work_.ReadyForAny();
    }
    if (delay <= absl::ZeroDuration()) hints_.Notify({CatalogHint::Kind::kWork, {}});
  }

  uint32_t PageSize(uint32_t asked) const {
    return asked == 0 ? limits_.default_page_size : std::min(asked, limits_.max_page_size);
  }

  const SqliteCatalogOptions options_;
  const CatalogLimits& limits_;
  const std::string page_token_key_;
  std::mt19937_64 generator_;
  LeaseBook leases_;
  WorkSignal work_;
  HintHub hints_;
  SmallUploads small_uploads_;
  // As of the last transaction.
  std::atomic<uint64_t> queued_{0};
  std::atomic<uint64_t> running_{0};
  mutable std::mutex coordinators_mutex_;
  std::map<std::string, std::string> coordinators_;
  // How far ExpireImages has looked, (time, seq). Only within a change.
  std::pair<int64_t, int64_t> expire_cursor_ = kOldest;
  std::pair<int64_t, int64_t> use_cursor_ = kOldest;
  std::mutex pruning_mutex_;
  JobPruning pruning_;
  // The same for a catalog that is full, where more may go.
  JobPruning full_pruning_;
  // Coordinators that were refused a lease because of what they hold. Only within a change.
  std::set<std::string> at_limit_;
  // After all that changes use.
  WriteQueue writes_;
  // Last: the writing connection must be the last to close, only it can fold the log into the file.
  ReadPool readers_;
};

absl::Status SqliteCatalog::Load() {
  HISTEQ_ASSIGN_OR_RETURN(auto snapshot, readers_.Take());
  Database& db = snapshot.db();
  {
    HISTEQ_ASSIGN_OR_RETURN(Statement row, db.Prepare("SELECT name, address FROM coordinators"));
    while (true) {
      HISTEQ_ASSIGN_OR_RETURN(const bool more, row.Step());
      if (!more) break;
      coordinators_[row.Bytes(0)] = row.Bytes(1);
    }
  }
  int64_t before = kNewest;
  while (true) {
    HISTEQ_ASSIGN_OR_RETURN(const auto running, ListJobRows(db, JobState::kRunning, "", before,
                                                            1000, limits_.max_page_bytes));
    if (running.empty()) break;
    for (const NumberedJob& numbered : running) leases_.AddLoaded(numbered.job);
    before = running.back().seq;
  }
  HISTEQ_ASSIGN_OR_RETURN(const auto waiting, FindNextWaiting(db));
  if (waiting.has_value()) work_.Ready(*waiting - Now());
  // For the counts.
  return writes_.Run([](WriteContext&) { return absl::OkStatus(); });
}

void SqliteCatalog::KeepCounts(Database& db) {
  const absl::StatusOr<QueueCounts> counts = ReadLiveJobs(db);
  // It reads memory: nothing else can be wrong with it than a want of that.
  if (!counts.ok()) return;
  queued_ = counts->queued;
  running_ = counts->running;
}

// ---- Uploads

absl::Status SqliteCatalog::CheckRoom(Database& db) const {
  if (options_.max_file_bytes == 0) return absl::OkStatus();
  const auto limit = static_cast<int64_t>(options_.max_file_bytes - options_.max_file_bytes / 8);
  int64_t pages = 0;
  {
    HISTEQ_ASSIGN_OR_RETURN(Statement row, db.Prepare("PRAGMA page_count"));
    HISTEQ_RETURN_IF_ERROR(row.Step().status());
    pages = row.Int(0);
  }
  HISTEQ_ASSIGN_OR_RETURN(Statement row, db.Prepare("PRAGMA freelist_count"));
  HISTEQ_RETURN_IF_ERROR(row.Step().status());
  const int64_t bytes = (pages - row.Int(0)) * kPageBytes;
  if (bytes < limit) return absl::OkStatus();
  return StoreError(absl::StatusCode::kResourceExhausted, "DISK_FULL",
                    fmt::format("the catalog is full: {} of {} bytes are used, the rest is for the "
                                "jobs that are there; what ended a while ago is forgotten already: "
                                "delete images that are not needed, or start with a larger limit",
                                bytes, options_.max_file_bytes),
                    {{"limit", std::to_string(limit)}, {"actual", std::to_string(bytes)}});
}

absl::Status SqliteCatalog::CheckQueue(uint64_t queued) const {
  if (queued < limits_.max_queued_jobs) return absl::OkStatus();
  base::ErrorDetail detail;
  detail.reason = "QUEUE_FULL";
  detail.metadata = {{"limit", std::to_string(limits_.max_queued_jobs)},
                     {"actual", std::to_string(queued)}};
  detail.retry_after = limits_.queue_full_retry;
  return base::MakeError(
      absl::StatusCode::kResourceExhausted,
      fmt::format("the queue is full: {} jobs wait, {} may", queued, limits_.max_queued_jobs),
      detail);
}

absl::Status SqliteCatalog::CheckReference(Database& db, const JobSpec& spec) const {
  if (spec.reference_image_id.empty()) return absl::OkStatus();
  HISTEQ_ASSIGN_OR_RETURN(const auto reference, FindImage(db, spec.reference_image_id));
  if (reference.has_value() && reference->unread) {
    return Unread(*reference, "operation.equalize.reference_image_id");
  }
  if (reference.has_value()) return absl::OkStatus();
  base::ErrorDetail detail;
  detail.reason = "IMAGE_NOT_FOUND";
  detail.field = "operation.equalize.reference_image_id";
  detail.metadata["id"] = spec.reference_image_id;
  return base::MakeError(absl::StatusCode::kNotFound,
                         fmt::format("there is no reference image {}", spec.reference_image_id),
                         detail);
}

absl::Status SqliteCatalog::CheckReferencePlace(Database& db, const JobSpec& spec,
                                                const ImageRecord& image) const {
  if (spec.reference_image_id.empty()) return absl::OkStatus();
  HISTEQ_ASSIGN_OR_RETURN(const auto reference, FindImage(db, spec.reference_image_id));
  if (!reference.has_value()) return absl::OkStatus();
  const std::string storage = StorageOf(*reference);
  if (storage.empty() || storage == StorageOf(image)) return absl::OkStatus();
  HISTEQ_ASSIGN_OR_RETURN(Statement row,
                          db.Prepare("SELECT 1 FROM image_statistics WHERE image_id = ?"));
  HISTEQ_ASSIGN_OR_RETURN(const bool kept, row.Bind(reference->id).Step());
  if (kept) return absl::OkStatus();
  base::ErrorDetail detail;
  detail.reason = "REFERENCE_ELSEWHERE";
  detail.field = "operation.equalize.reference_image_id";
  detail.metadata = {{"id", reference->id}, {"storage", storage}};
  return base::MakeError(
      absl::StatusCode::kFailedPrecondition,
      fmt::format("reference image {} lies in storage {}, the image elsewhere: ask for the "
                  "reference's histogram first, which is kept",
                  reference->id, storage),
      detail);
}

absl::StatusOr<std::optional<JobRecord>> SqliteCatalog::FindJobComplete(
    Database& db, const std::string& id) const {
  HISTEQ_ASSIGN_OR_RETURN(auto job, FindJob(db, id));
  if (job.has_value()) {
    job->max_attempts = limits_.max_attempts;
    leases_.FillProgress(*job);
  }
  return job;
}

absl::StatusOr<UploadRecord> SqliteCatalog::DescribeUpload(Database& db, UploadRow row) const {
  if (row.upload.finished) {
    HISTEQ_ASSIGN_OR_RETURN(row.upload.image, FindImage(db, row.image_id));
  }
  if (!row.job_id.empty()) {
    HISTEQ_ASSIGN_OR_RETURN(row.upload.job, FindJobComplete(db, row.job_id));
  }
  return std::move(row.upload);
}

absl::StatusOr<std::optional<UploadRecord>> SqliteCatalog::BeginSmallUpload(
    const UploadHeader& header, const std::string& blob_key) {
  if (!small_uploads_.IsSmall(header)) return std::optional<UploadRecord>();
  UploadRecord fresh;
  fresh.header = header;
  fresh.blob_key = blob_key;
  fresh.touch_time = Now();
  auto begun = small_uploads_.Begin(fresh);
  if (!begun.has_value()) return std::optional<UploadRecord>();
  UploadRecord& upload = begun->upload;
  const bool is_new = upload.blob_key == blob_key;
  const auto check = [&]() -> absl::StatusOr<bool> {
    HISTEQ_ASSIGN_OR_RETURN(auto snapshot, readers_.Take());
    Database& db = snapshot.db();
    // Looked for after it was put into memory: whoever finishes an upload does it the other way
    // round, so that it is seen here or there.
    if (!begun->verified) {
      HISTEQ_ASSIGN_OR_RETURN(const auto row, FindUpload(db, header.upload_id));
      if (row.has_value()) return false;
    }
    const std::string field = Difference(upload.header, header);
    if (!field.empty()) return Reused("UPLOAD_ID_REUSED", header.upload_id, field);
    if (header.job.has_value()) {
      HISTEQ_RETURN_IF_ERROR(CheckReference(db, *header.job));
      HISTEQ_RETURN_IF_ERROR(CheckQueue(queued_));
    }
    if (is_new) HISTEQ_RETURN_IF_ERROR(CheckRoom(db));
    return true;
  };
  const absl::StatusOr<bool> here = check();
  if (!here.ok() || !*here) {
    if (is_new || here.ok()) small_uploads_.RemoveUnverified(header.upload_id);
    if (!here.ok()) return here.status();
    return std::optional<UploadRecord>();
  }
  small_uploads_.Verify(header.upload_id);
  upload.touch_time = fresh.touch_time;
  small_uploads_.Touch(header.upload_id, upload.touch_time);
  return std::optional<UploadRecord>(std::move(upload));
}

absl::StatusOr<UploadRecord> SqliteCatalog::BeginUpload(const UploadHeader& header,
                                                        const std::string& blob_key) {
  HISTEQ_ASSIGN_OR_RETURN(auto small,
                          MakingRoom([&] { return BeginSmallUpload(header, blob_key); }));
  if (small.has_value()) return *std::move(small);
  const auto change = [&](WriteContext& context) -> absl::StatusOr<UploadRecord> {
    Database& db = context.db;
    HISTEQ_ASSIGN_OR_RETURN(auto row, FindUpload(db, header.upload_id));
    if (row.has_value()) {
      const std::string field = Difference(row->upload.header, header);
      if (!field.empty()) return Reused("UPLOAD_ID_REUSED", header.upload_id, field);
      if (row->upload.finished) {
        const std::string image_id = row->image_id;
        HISTEQ_ASSIGN_OR_RETURN(UploadRecord upload, DescribeUpload(db, *std::move(row)));
        if (!upload.image.has_value()) return ImageNotFound(image_id);
        return upload;
      }
    } else if (const auto other = small_uploads_.Find(header.upload_id); other.has_value()) {
      const std::string field = Difference(other->header, header);
      return Reused("UPLOAD_ID_REUSED", header.upload_id, field);
    }
    if (header.job.has_value()) {
      HISTEQ_RETURN_IF_ERROR(CheckReference(db, *header.job));
      HISTEQ_ASSIGN_OR_RETURN(const QueueCounts counts, ReadLiveJobs(db));
      HISTEQ_RETURN_IF_ERROR(CheckQueue(counts.queued));
    }
    if (row.has_value()) {
      row->upload.touch_time = Now();
      HISTEQ_ASSIGN_OR_RETURN(Statement statement,
                              db.Prepare("UPDATE uploads SET touch_time = ? WHERE id = ?"));
      HISTEQ_RETURN_IF_ERROR(
          statement.Bind(ToMicros(row->upload.touch_time)).Bind(header.upload_id).Run());
      return std::move(row->upload);
    }
    HISTEQ_RETURN_IF_ERROR(CheckRoom(db));
    UploadRow fresh;
    fresh.upload.header = header;
    fresh.upload.blob_key = blob_key;
    fresh.upload.touch_time = Now();
    HISTEQ_RETURN_IF_ERROR(InsertUpload(db, fresh));
    return std::move(fresh.upload);
  };
  return MakingRoom([&] { return Write(change); });
}

absl::StatusOr<UploadRecord> SqliteCatalog::GetUpload(const std::string& upload_id) {
  if (auto small = small_uploads_.Find(upload_id); small.has_value()) return *std::move(small);
  HISTEQ_ASSIGN_OR_RETURN(auto snapshot, readers_.Take());
  HISTEQ_ASSIGN_OR_RETURN(auto row, FindUpload(snapshot.db(), upload_id));
  if (!row.has_value()) return UploadNotFound(upload_id);
  return DescribeUpload(snapshot.db(), *std::move(row));
}

absl::StatusOr<JobRecord> SqliteCatalog::Queue(WriteContext& context, const ImageRecord& image,
                                               const JobSpec& spec, const std::string& request_id,
                                               bool after_reading) {
  Database& db = context.db;
  HISTEQ_RETURN_IF_ERROR(CheckReference(db, spec));
  HISTEQ_RETURN_IF_ERROR(CheckReferencePlace(db, spec, image));
  const RequestRow request{request_id, "", image.id, OperationDigest(spec.operation)};
  const auto requested = [&](JobRecord job) -> absl::StatusOr<JobRecord> {
    RequestRow row = request;
    row.job_id = job.id;
    HISTEQ_RETURN_IF_ERROR(InsertRequest(db, row));
    return job;
  };
  Derivation derivation = DerivationOf(db);
  std::string reader_id;
  if (image.unread && !spec.inspects) {
    HISTEQ_ASSIGN_OR_RETURN(const JobRecord reader, FindReader(db, image));
    reader_id = reader.id;
  } else if (!spec.inspects && !StorageOf(image).empty()) {
    // What is there serves while a node's file is read again; what must be made waits for that.
    HISTEQ_ASSIGN_OR_RETURN(const auto reader, FindInspection(db, image.id));
    if (reader.has_value() && !IsFinal(reader->state)) {
      bool wanted = after_reading || spec.refresh || spec.outputs.empty();
      if (!wanted) {
        HISTEQ_ASSIGN_OR_RETURN(const bool there, derivation.AllThere(image, spec));
        wanted = !there;
      }
      if (wanted) reader_id = reader->id;
    }
  }
  const bool awaits = !reader_id.empty();
  HISTEQ_ASSIGN_OR_RETURN(const std::string reference, derivation.ReferenceSha256(spec));
  const std::string set_key =
      awaits ? UnreadSetKey(image.id, spec) : SetKey(image.facts.sha256, spec, reference);
  if (!set_key.empty()) {
    HISTEQ_ASSIGN_OR_RETURN(auto same, FindLiveJobOfSet(db, set_key, spec.refresh));
    bool join = same.has_value();
    if (join && same->spec.refresh && !spec.refresh) {
      // While it is made anew, what is there serves the others.
      HISTEQ_ASSIGN_OR_RETURN(const bool there, derivation.AllThere(image, spec));
      join = !there;
    }
    if (join) {
      HISTEQ_RETURN_IF_ERROR(derivation.Join(*same, image, spec.refresh));
      if (same->image_id != image.id) {
        HISTEQ_RETURN_IF_ERROR(derivation.MoveNearer(same->id, image));
        HintMoved(context, derivation);
        HISTEQ_ASSIGN_OR_RETURN(same, FindJob(db, same->id));
      }
      same->max_attempts = limits_.max_attempts;
      leases_.FillProgress(*same);
      return requested(*std::move(same));
    }
  }
  JobRecord job;
  job.id = "job-" + TimedHex128(Now());
  job.image_id = image.id;
  job.image_name = image.name;
  job.spec = spec;
  job.max_attempts = limits_.max_attempts;
  job.create_time = Now();
  job.storage = StorageOf(image);
  HISTEQ_RETURN_IF_ERROR(awaits ? derivation.AwaitInspection(job, reader_id)
                                : derivation.Attach(job, image));
  HintMoved(context, derivation);
  if (!IsFinal(job.state)) {
    HISTEQ_ASSIGN_OR_RETURN(const QueueCounts counts, ReadLiveJobs(db));
    HISTEQ_RETURN_IF_ERROR(CheckQueue(counts.queued));
  }
  HISTEQ_RETURN_IF_ERROR(InsertJob(db, job, set_key));
  context.on_commit.push_back([this, job] {
    HintJob(job.id);
    if (!job.blocked && !IsFinal(job.state)) HintWork(job);
  });
  return requested(std::move(job));
}

absl::StatusOr<FinishedUpload> SqliteCatalog::FinishUpload(const std::string& upload_id,
                                                           const ImageFacts& facts) {
  return Write([&](WriteContext& context) -> absl::StatusOr<FinishedUpload> {
    Database& db = context.db;
    HISTEQ_ASSIGN_OR_RETURN(auto row, FindUpload(db, upload_id));
    const bool stored = row.has_value();
    if (!stored) {
      auto small = small_uploads_.Find(upload_id);
      if (!small.has_value()) return UploadNotFound(upload_id);
      row.emplace().upload = *std::move(small);
    }
    FinishedUpload finished;
    if (row->upload.finished) {
      const std::string image_id = row->image_id;
      HISTEQ_ASSIGN_OR_RETURN(UploadRecord upload, DescribeUpload(db, *std::move(row)));
      if (!upload.image.has_value()) return ImageNotFound(image_id);
      finished.image = *std::move(upload.image);
      finished.job = std::move(upload.job);
      finished.already_finished = true;
      return finished;
    }
    // Begun twice at the same moment, under two headers.
    if (stored && small_uploads_.Has(upload_id)) {
      return Reused("UPLOAD_ID_REUSED", upload_id, "size_bytes");
    }
    finished.image.id = "img-" + TimedHex128(Now());
    finished.image.name = row->upload.header.name;
    finished.image.facts = facts;
    finished.image.create_time = Now();
    HISTEQ_RETURN_IF_ERROR(InsertImage(db, finished.image));
    if (row->upload.header.job.has_value()) {
      HISTEQ_ASSIGN_OR_RETURN(finished.job, Queue(context, finished.image, *row->upload.header.job,
                                                  UploadRequestId(upload_id)));
    }
    row->image_id = finished.image.id;
    if (finished.job.has_value()) row->job_id = finished.job->id;
    if (!stored) {
      HISTEQ_RETURN_IF_ERROR(InsertUpload(db, *row));
      context.on_commit.push_back(
          [this, upload_id] { small_uploads_.Take(upload_id, absl::InfiniteFuture()); });
      return finished;
    }
    HISTEQ_ASSIGN_OR_RETURN(
        Statement statement,
        db.Prepare("UPDATE uploads SET image_id = ?, job_id = ?, touch_time = ? WHERE id = ?"));
    HISTEQ_RETURN_IF_ERROR(statement.Bind(row->image_id)
                               .Bind(row->job_id)
                               .Bind(ToMicros(Now()))
                               .Bind(upload_id)
                               .Run());
    return finished;
  });
}

absl::StatusOr<std::vector<UploadRecord>> SqliteCatalog::AbandonedUploads(absl::Time before) {
  HISTEQ_ASSIGN_OR_RETURN(auto snapshot, readers_.Take());
  constexpr size_t kMaxAbandoned = 1000;
  std::vector<std::string> ids;
  {
    HISTEQ_ASSIGN_OR_RETURN(
        Statement row, snapshot.db().Prepare("SELECT id FROM uploads WHERE image_id IS NULL AND "
                                             "touch_time < ? ORDER BY touch_time LIMIT 1000"));
    row.Bind(ToMicros(before));
    while (true) {
      HISTEQ_ASSIGN_OR_RETURN(const bool more, row.Step());
      if (!more) break;
      ids.push_back(row.Bytes(0));
    }
  }
  std::vector<UploadRecord> uploads =
      small_uploads_.TouchedBefore(before, kMaxAbandoned - ids.size());
  for (const std::string& id : ids) {
    HISTEQ_ASSIGN_OR_RETURN(auto row, FindUpload(snapshot.db(), id));
    if (row.has_value()) uploads.push_back(std::move(row->upload));
  }
  return uploads;
}

absl::Status SqliteCatalog::RemoveUpload(const std::string& upload_id, absl::Time before) {
  return writes_.Run([&](WriteContext& context) -> absl::Status {
    // A change too, so that it is before or after the one that finishes the upload; that one leaves
    // it in memory until it is durable.
    HISTEQ_ASSIGN_OR_RETURN(const auto row, FindUpload(context.db, upload_id));
    if (!row.has_value()) {
      const auto taken = small_uploads_.Take(upload_id, before);
      if (!taken.has_value()) return UploadNotFound(upload_id);
      context.on_rollback.push_back([this, taken] { small_uploads_.PutBack(*taken); });
      return absl::OkStatus();
    }
    HISTEQ_ASSIGN_OR_RETURN(
        Statement statement,
        context.db.Prepare(
            "DELETE FROM uploads WHERE id = ? AND image_id IS NULL AND touch_time < ?"));
    HISTEQ_RETURN_IF_ERROR(statement.Bind(upload_id).Bind(ToMicros(before)).Run());
    return context.db.Changes() == 1 ? absl::OkStatus() : UploadNotFound(upload_id);
  });
}

// ---- Images

absl::StatusOr<ImageRecord> SqliteCatalog::GetImage(const std::string& image_id) {
  HISTEQ_ASSIGN_OR_RETURN(auto snapshot, readers_.Take());
  HISTEQ_ASSIGN_OR_RETURN(auto image, FindImage(snapshot.db(), image_id));
  if (!image.has_value()) return ImageNotFound(image_id);
  return *std::move(image);
}

absl::StatusOr<JobRecord> SqliteCatalog::FindReader(Database& db, const ImageRecord& image) const {
  HISTEQ_ASSIGN_OR_RETURN(auto reader, FindInspection(db, image.id));
  if (!reader.has_value() || IsFinal(reader->state)) return Unread(image, "image_id");
  return *std::move(reader);
}

absl::StatusOr<bool> SqliteCatalog::WantsReading(Database& db, const ImageRecord& image,
                                                 const FileRegistration& registration) const {
  HISTEQ_ASSIGN_OR_RETURN(const auto live, FindLiveJobs(db, image.id));
  if (!registration.storage.empty()) return live.empty();
  if (registration.size_bytes.value_or(0) != image.facts.size_bytes ||
      registration.modify_time != image.modify_time) {
    return true;
  }
  return image.unread && std::none_of(live.begin(), live.end(),
                                      [](const JobRecord& job) { return job.spec.inspects; });
}

absl::StatusOr<std::optional<ImageRecord>> SqliteCatalog::FindOtherPlace(Database& db,
                                                                         const JobRecord& job,
                                                                         bool only_nearer) const {
  std::optional<ImageRecord> best;
  if (job.spec.inspects || job.spec.outputs.empty()) return best;
  HISTEQ_ASSIGN_OR_RETURN(const auto from, FindImage(db, job.image_id));
  if (!from.has_value() || from->unread) return best;
  HISTEQ_ASSIGN_OR_RETURN(const bool can_move, DerivationOf(db).CanMove(job, *from));
  if (!can_move) return best;
  // Of places that are alike one after the other, beginning after the job's.
  const auto order = [&from](const ImageRecord& image) {
    return std::make_tuple(PlaceRank(image), image.id < from->id, image.id);
  };
  HISTEQ_ASSIGN_OR_RETURN(const std::vector<std::string> ids, FindImagesAsking(db, job.id));
  for (const std::string& id : ids) {
    if (id == from->id) continue;
    HISTEQ_ASSIGN_OR_RETURN(auto image, FindImage(db, id));
    if (!image.has_value() || image->unread || image->facts.sha256 != from->facts.sha256) continue;
    if (only_nearer && PlaceRank(*image) >= PlaceRank(*from)) continue;
    if (best.has_value() && order(*best) < order(*image)) continue;
    const absl::Status reference = CheckReferencePlace(db, job.spec, *image);
    if (absl::IsFailedPrecondition(reference)) continue;
    HISTEQ_RETURN_IF_ERROR(reference);
    best = std::move(image);
  }
  return best;
}

void SqliteCatalog::HintMoved(WriteContext& context, const Derivation& derivation) {
  if (derivation.moved().empty()) return;
  context.on_commit.push_back([this, moved = derivation.moved()] {
    for (const std::string& id : moved) HintJob(id);
    work_.Ready(absl::ZeroDuration());
    hints_.Notify({CatalogHint::Kind::kWork, {}});
  });
}

absl::Status SqliteCatalog::FailLiveJobs(WriteContext& context, const std::string& image_id,
                                         const std::string& inspection_id) {
  HISTEQ_ASSIGN_OR_RETURN(auto live, FindLiveJobs(context.db, image_id));
  HISTEQ_ASSIGN_OR_RETURN(const auto with_reference, FindLiveJobsOfReference(context.db, image_id));
  live.insert(live.end(), with_reference.begin(), with_reference.end());
  for (const JobRecord& listed : live) {
    // One that waited for another of them has ended with it.
    HISTEQ_ASSIGN_OR_RETURN(auto job, FindJob(context.db, listed.id));
    if (!job.has_value() || IsFinal(job->state) || job->id == inspection_id) continue;
    if (job->blocked && !inspection_id.empty()) {
      HISTEQ_ASSIGN_OR_RETURN(
          Statement row,
          context.db.Prepare("SELECT 1 FROM waits WHERE maker_id = ? AND job_id = ?"));
      HISTEQ_ASSIGN_OR_RETURN(const bool waits, row.Bind(inspection_id).Bind(job->id).Step());
      if (waits) continue;
    }
    const JobState before = job->state;
    JobError error;
    error.code = static_cast<int>(absl::StatusCode::kDataLoss);
    error.reason = "SOURCE_CHANGED";
    error.message =
        fmt::format("the file of image {} has changed, and was registered again", image_id);
    error.metadata["image"] = image_id;
    std::optional<ImageRecord> place;
    if (job->spec.reference_image_id != image_id && !job->cancel_requested) {
      HISTEQ_ASSIGN_OR_RETURN(place, FindOtherPlace(context.db, *job, /*only_nearer=*/false));
    }
    if (place.has_value()) {
      if (before == JobState::kRunning) {
        HISTEQ_RETURN_IF_ERROR(
            EndLease(context, AfterFailureOfPlace(*std::move(job), error), std::move(place)));
      } else {
        Derivation derivation = DerivationOf(context.db);
        HISTEQ_RETURN_IF_ERROR(derivation.Move(job->id, *place));
        HintMoved(context, derivation);
      }
      continue;
    }
    job->error = std::move(error);
    job->state = JobState::kFailed;
    job->coordinator.clear();
    job->cancel_requested = false;
    job->blocked = false;
    job->not_before.reset();
    job->end_time = Now();
    job->progress = JobProgress();
    if (before == JobState::kRunning) {
      HISTEQ_RETURN_IF_ERROR(EndLease(context, *job));
      continue;
    }
    HISTEQ_RETURN_IF_ERROR(UpdateJob(context.db, *job, before, job->epoch));
    context.on_commit.push_back([this, id = job->id] { HintJob(id); });
    HISTEQ_RETURN_IF_ERROR(Release(context, *job));
  }
  return absl::OkStatus();
}

absl::StatusOr<RegisteredImage> SqliteCatalog::RegisterImage(const FileRegistration& registration) {
  const auto change = [&](WriteContext& context) -> absl::StatusOr<RegisteredImage> {
    Database& db = context.db;
    const std::string& id = registration.image_id;
    RegisteredImage registered;
    HISTEQ_ASSIGN_OR_RETURN(auto image, FindImage(db, id));
    bool read = true;
    if (!image.has_value() || registration.job.has_value()) HISTEQ_RETURN_IF_ERROR(CheckRoom(db));
    if (image.has_value()) {
      if (image->facts.location != registration.location) {
        base::ErrorDetail detail;
        detail.reason = "IMAGE_ID_TAKEN";
        detail.field = "id";
        detail.metadata["id"] = id;
        return base::MakeError(
            absl::StatusCode::kAlreadyExists,
            fmt::format("image {} has another location: take another id, or delete it first", id),
            detail);
      }
      HISTEQ_ASSIGN_OR_RETURN(read, WantsReading(db, *image, registration));
      // What is known of a node's file serves until its reading says otherwise.
      const bool known = !registration.storage.empty() && !image->unread;
      if (read && !known) {
        HISTEQ_RETURN_IF_ERROR(FailLiveJobs(context, id));
        image->unread = true;
        image->modify_time = registration.modify_time;
        if (registration.size_bytes.has_value()) {
          image->facts.size_bytes = *registration.size_bytes;
        }
        HISTEQ_RETURN_IF_ERROR(UpdateFileOfImage(db, *image));
      }
      registered.image = *std::move(image);
    } else {
      registered.image.id = id;
      registered.image.name = registration.name;
      registered.image.facts.location = registration.location;
      registered.image.facts.size_bytes = registration.size_bytes.value_or(0);
      registered.image.create_time = Now();
      registered.image.unread = true;
      registered.image.modify_time = registration.modify_time;
      HISTEQ_RETURN_IF_ERROR(InsertImage(db, registered.image));
    }
    // Clients' ids have no colon.
    const auto request_id = [&id] { return fmt::format("register:{}:{}", id, RandomHex128()); };
    if (read) {
      HISTEQ_ASSIGN_OR_RETURN(registered.inspection,
                              Queue(context, registered.image, registration.inspect, request_id()));
    }
    if (registration.job.has_value()) {
      HISTEQ_ASSIGN_OR_RETURN(registered.job,
                              Queue(context, registered.image, *registration.job, request_id(),
                                    /*after_reading=*/true));
    } else {
      HISTEQ_ASSIGN_OR_RETURN(registered.job, FindInspection(db, id));
      if (registered.job.has_value()) {
        registered.job->max_attempts = limits_.max_attempts;
        leases_.FillProgress(*registered.job);
      }
    }
    return registered;
  };
  return MakingRoom([&] { return Write(change); });
}

absl::Status SqliteCatalog::KeepInspected(WriteContext& context, const JobRecord& job,
                                          const JobResult& result,
                                          std::vector<std::string>& freed) {
  Database& db = context.db;
  HISTEQ_ASSIGN_OR_RETURN(auto image, FindImage(db, job.image_id));
  if (!image.has_value()) return absl::InternalError("the source of a running job is gone");
  // Of a node's file only its reader knows the time.
  const bool stored = !job.storage.empty();
  if (!stored && result.inspected->size_bytes != image->facts.size_bytes) {
    return StoreError(absl::StatusCode::kInvalidArgument, "BAD_RESULT",
                      fmt::format("{} bytes were read of a file that has {}",
                                  result.inspected->size_bytes, image->facts.size_bytes),
                      {{"limit", std::to_string(image->facts.size_bytes)},
                       {"actual", std::to_string(result.inspected->size_bytes)}});
  }
  if (image->facts.sha256 != result.inspected->sha256) {
    // What they make would be kept under the wrong checksum.
    if (!image->unread) HISTEQ_RETURN_IF_ERROR(FailLiveJobs(context, image->id, job.id));
    HISTEQ_RETURN_IF_ERROR(DerivationOf(db).ForgetMade(image->id, freed));
  }
  HISTEQ_RETURN_IF_ERROR(DerivationOf(db).ForgetFailuresOfPlace(image->id));
  const std::string location = std::move(image->facts.location);
  image->facts = *result.inspected;
  image->facts.location = location;
  image->unread = false;
  if (stored) image->modify_time = result.modify_time;
  return UpdateFileOfImage(db, *image);
}

absl::StatusOr<Page<ImageRecord>> SqliteCatalog::ListImages(const ImageFilter& filter,
                                                            uint32_t page_size,
                                                            const std::string& page_token) {
  const std::string list = "images:" + filter.name;
  int64_t before = kNewest;
  if (!page_token.empty()) {
    HISTEQ_ASSIGN_OR_RETURN(before, ReadPageToken(page_token_key_, list, page_token));
  }
  const uint32_t size = PageSize(page_size);
  HISTEQ_ASSIGN_OR_RETURN(auto snapshot, readers_.Take());
  // One more, to know whether there is a next page.
  HISTEQ_ASSIGN_OR_RETURN(auto rows, ListImageRows(snapshot.db(), filter.name, before, size + 1));
  Page<ImageRecord> page;
  if (rows.size() > size) {
    rows.resize(size);
    page.next_page_token = MakePageToken(page_token_key_, list, rows.back().seq);
  }
  for (NumberedImage& row : rows) page.records.push_back(std::move(row.image));
  return page;
}

absl::StatusOr<ImageDescription> SqliteCatalog::DescribeImage(const std::string& image_id) {
  HISTEQ_ASSIGN_OR_RETURN(auto snapshot, readers_.Take());
  Database& db = snapshot.db();
  ImageDescription description;
  HISTEQ_ASSIGN_OR_RETURN(auto image, FindImage(db, image_id));
  if (!image.has_value()) return ImageNotFound(image_id);
  description.image = *std::move(image);
  const bool registered = description.image.unread || description.image.modify_time.has_value() ||
                          !StorageOf(description.image).empty();
  if (registered) {
    HISTEQ_ASSIGN_OR_RETURN(description.inspection, FindInspection(db, image_id));
    if (description.inspection.has_value() && IsFinal(description.inspection->state) &&
        !description.image.unread) {
      description.inspection.reset();
    }
    if (description.inspection.has_value()) {
      description.inspection->max_attempts = limits_.max_attempts;
      leases_.FillProgress(*description.inspection);
    }
  }
  HISTEQ_ASSIGN_OR_RETURN(Statement row,
                          db.Prepare("SELECT operation, job_id, image_id FROM derivatives WHERE "
                                     "source_image_id = ? ORDER BY seq LIMIT ?"));
  row.Bind(image_id).Bind(static_cast<int64_t>(kMaxDerivatives + 1));
  while (true) {
    HISTEQ_ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) break;
    if (description.derivatives.size() == kMaxDerivatives) {
      description.more_derivatives = true;
      break;
    }
    DerivativeRecord derivative;
    derivative.operation = row.Bytes(0);
    derivative.job_id = row.Bytes(1);
    if (const std::string id = row.Bytes(2); !id.empty()) {
      derivative.state = JobState::kSucceeded;
      HISTEQ_ASSIGN_OR_RETURN(derivative.image, FindImage(db, id));
      // Between the two statements it was removed.
      if (!derivative.image.has_value()) continue;
      derivative.end_time = derivative.image->create_time;
    } else {
      HISTEQ_ASSIGN_OR_RETURN(auto job, FindJob(db, derivative.job_id));
      if (!job.has_value() || job->state == JobState::kCancelled) continue;
      // Likewise: it is there with the next look.
      derivative.state = job->state == JobState::kSucceeded ? JobState::kRunning : job->state;
      if (job->state == JobState::kFailed) {
        derivative.error = job->error;
        derivative.end_time = job->end_time;
      }
      if (job->state == JobState::kQueued) {
        job->spec = JobSpec();
        derivative.job = std::move(job);
      }
    }
    description.derivatives.push_back(std::move(derivative));
  }
  if (!description.image.unread) return description;
  HISTEQ_RETURN_IF_ERROR(AddWaiting(db, description));
  return description;
}

absl::Status SqliteCatalog::AddWaiting(Database& db, ImageDescription& description) const {
  std::set<std::string> listed;
  for (const DerivativeRecord& derivative : description.derivatives) {
    listed.insert(derivative.operation);
  }
  HISTEQ_ASSIGN_OR_RETURN(auto waiting,
                          ListJobRows(db, JobState::kQueued, description.image.id, kNewest,
                                      kMaxDerivatives, limits_.max_page_bytes));
  std::reverse(waiting.begin(), waiting.end());
  for (NumberedJob& numbered : waiting) {
    JobRecord& job = numbered.job;
    if (!job.blocked || job.spec.inspects) continue;
    const std::vector<JobOutput> outputs = std::exchange(job.spec, JobSpec()).outputs;
    for (const JobOutput& output : outputs) {
      if (!listed.insert(output.operation).second) continue;
      if (description.derivatives.size() == kMaxDerivatives) {
        description.more_derivatives = true;
        return absl::OkStatus();
      }
      DerivativeRecord& derivative = description.derivatives.emplace_back();
      derivative.operation = output.operation;
      derivative.job_id = job.id;
      derivative.job = job;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<RemovedImages> SqliteCatalog::DeleteImage(const std::string& image_id) {
  return Write([&](WriteContext& context) -> absl::StatusOr<RemovedImages> {
    ImageRemoval removal(context.db);
    HISTEQ_ASSIGN_OR_RETURN(const auto job, removal.Collect(image_id));
    if (job.has_value()) {
      return StoreError(absl::StatusCode::kFailedPrecondition, "IMAGE_IN_USE",
                        fmt::format("job {} still needs image {}, or something made of it: cancel "
                                    "it or wait for it",
                                    *job, image_id),
                        {{"job", *job}});
    }
    if (!removal.found()) return ImageNotFound(image_id);
    return removal.Remove();
  });
}

absl::StatusOr<bool> SqliteCatalog::RemoveNext(
    Database& db, const char* sql, absl::Time until,
    const std::function<bool(const std::string&)>& in_use, std::pair<int64_t, int64_t>& cursor,
    RemovedImages& removed) {
  std::string id;
  {
    HISTEQ_ASSIGN_OR_RETURN(Statement row, db.Prepare(sql));
    row.Bind(cursor.first).Bind(cursor.second).Bind(ToMicros(until));
    HISTEQ_ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return false;
    cursor = {row.Int(2), row.Int(0)};
    id = row.Bytes(1);
  }
  ImageRemoval removal(db);
  HISTEQ_ASSIGN_OR_RETURN(const auto job, removal.Collect(id));
  if (job.has_value() ||
      std::any_of(removal.images().begin(), removal.images().end(),
                  [&in_use](const ImageRecord& image) { return in_use(image.id); })) {
    return true;
  }
  HISTEQ_ASSIGN_OR_RETURN(RemovedImages more, removal.Remove());
  for (ImageRecord& image : more.images) removed.images.push_back(std::move(image));
  for (std::string& location : more.freed_locations) {
    removed.freed_locations.push_back(std::move(location));
  }
  return true;
}

absl::StatusOr<RemovedImages> SqliteCatalog::ExpireImages(
    const std::function<bool(const std::string&)>& in_use, uint32_t max_images) {
  // Most looks find nothing, and cost no transaction.
  {
    HISTEQ_ASSIGN_OR_RETURN(auto snapshot, readers_.Take());
    HISTEQ_ASSIGN_OR_RETURN(
        Statement row,
        snapshot.db().Prepare(
            "SELECT 1 FROM images WHERE expire_time IS NOT NULL AND expire_time <= ? LIMIT 1"));
    HISTEQ_ASSIGN_OR_RETURN(bool work, row.Bind(ToMicros(Now())).Step());
    if (!work && limits_.derivative_budget_bytes > 0) {
      HISTEQ_ASSIGN_OR_RETURN(const uint64_t bytes, DerivedBytes(snapshot.db()));
      work = bytes > limits_.derivative_budget_bytes;
    }
    if (!work) return RemovedImages();
  }
  return Write([&](WriteContext& context) -> absl::StatusOr<RemovedImages> {
    Database& db = context.db;
    RemovedImages removed;
    const absl::Time now = Now();
    uint32_t looks = 0;
    const auto goes_on = [&] {
      if (removed.images.size() < max_images && looks++ < kMaxExpiryLooks) return true;
      removed.more = true;
      return false;
    };
    // One pass that began elsewhere than at the oldest ends there.
    bool whole = expire_cursor_ == kOldest;
    while (goes_on()) {
      HISTEQ_ASSIGN_OR_RETURN(
          const bool more,
          RemoveNext(db,
                     "SELECT seq, id, expire_time FROM images WHERE expire_time IS NOT NULL AND "
                     "(expire_time, seq) > (?, ?) AND expire_time <= ? ORDER BY expire_time, seq "
                     "LIMIT 1",
                     now, in_use, expire_cursor_, removed));
      if (more) continue;
      expire_cursor_ = kOldest;
      if (std::exchange(whole, true)) break;
    }
    if (limits_.derivative_budget_bytes == 0 || removed.more) return removed;
    whole = use_cursor_ == kOldest;
    while (goes_on()) {
      HISTEQ_ASSIGN_OR_RETURN(const uint64_t bytes, DerivedBytes(db));
      if (bytes <= limits_.derivative_budget_bytes) {
        use_cursor_ = kOldest;
        break;
      }
      HISTEQ_ASSIGN_OR_RETURN(
          const bool more,
          RemoveNext(db,
                     "SELECT seq, id, use_time FROM images WHERE tag <> '' AND (use_time, seq) > "
                     "(?, ?) AND use_time <= ? ORDER BY use_time, seq LIMIT 1",
                     now - limits_.derivative_grace, in_use, use_cursor_, removed));
      if (more) continue;
      use_cursor_ = kOldest;
      if (std::exchange(whole, true)) break;
    }
    return removed;
  });
}

absl::Status SqliteCatalog::TouchImages(const std::vector<std::string>& image_ids) {
  if (image_ids.empty()) return absl::OkStatus();
  return writes_.Run([&](WriteContext& context) -> absl::Status {
    for (const std::string& id : image_ids) {
      HISTEQ_ASSIGN_OR_RETURN(
          Statement statement,
          context.db.Prepare("WITH RECURSIVE up(id) AS (VALUES(?2) UNION SELECT i.source_image_id "
                             "FROM up JOIN images i ON i.id = up.id WHERE i.source_image_id <> '') "
                             "UPDATE images SET use_time = ?1 WHERE use_time < ?1 AND id IN "
                             "(SELECT id FROM up)"));
      HISTEQ_RETURN_IF_ERROR(statement.Bind(ToMicros(Now())).Bind(id).Run());
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<std::optional<std::string>> SqliteCatalog::GetImageStatistics(
    const std::string& image_id) {
  HISTEQ_ASSIGN_OR_RETURN(auto snapshot, readers_.Take());
  HISTEQ_ASSIGN_OR_RETURN(
      Statement row,
      snapshot.db().Prepare("SELECT bytes FROM image_statistics WHERE image_id = ?"));
  HISTEQ_ASSIGN_OR_RETURN(const bool found, row.Bind(image_id).Step());
  if (!found) return std::optional<std::string>();
  return row.OptionalBytes(0);
}

absl::StatusOr<Catalog::BlobUse> SqliteCatalog::UseOfBlob(const std::string& key,
                                                          const std::string& location) {
  // Before the database, into which a finished upload comes before it goes from here.
  if (small_uploads_.HasKey(key)) return BlobUse::kUpload;
  HISTEQ_ASSIGN_OR_RETURN(auto snapshot, readers_.Take());
  {
    HISTEQ_ASSIGN_OR_RETURN(
        Statement row, snapshot.db().Prepare("SELECT 1 FROM images WHERE location = ? LIMIT 1"));
    HISTEQ_ASSIGN_OR_RETURN(const bool found, row.Bind(location).Step());
    if (found) return BlobUse::kImage;
  }
  HISTEQ_ASSIGN_OR_RETURN(
      Statement row, snapshot.db().Prepare("SELECT 1 FROM uploads WHERE blob_key = ? AND image_id "
                                           "IS NULL LIMIT 1"));
  HISTEQ_ASSIGN_OR_RETURN(const bool found, row.Bind(key).Step());
  return found ? BlobUse::kUpload : BlobUse::kNone;
}

// ---- Jobs

absl::StatusOr<JobRecord> SqliteCatalog::CreateJob(const std::string& request_id,
                                                   const std::string& image_id,
                                                   const JobSpec& spec) {
  const auto change = [&](WriteContext& context) -> absl::StatusOr<JobRecord> {
    HISTEQ_ASSIGN_OR_RETURN(const auto request, FindRequest(context.db, request_id));
    if (request.has_value()) {
      HISTEQ_ASSIGN_OR_RETURN(auto job, FindJobComplete(context.db, request->job_id));
      if (!job.has_value()) return JobNotFound(request->job_id);
      if (request->image_id != image_id) return Reused("REQUEST_ID_REUSED", request_id, "image_id");
      const std::string& known = request->operation_sha256;
      if (known.empty() ? !SameSpec(job->spec, spec) : known != OperationDigest(spec.operation)) {
        return Reused("REQUEST_ID_REUSED", request_id, "operation");
      }
      return *std::move(job);
    }
    HISTEQ_ASSIGN_OR_RETURN(const auto image, FindImage(context.db, image_id));
    if (!image.has_value()) return ImageNotFound(image_id);
    HISTEQ_RETURN_IF_ERROR(CheckRoom(context.db));
    return Queue(context, *image, spec, request_id);
  };
  return MakingRoom([&] { return Write(change); });
}

absl::StatusOr<JobRecord> SqliteCatalog::GetJob(const std::string& job_id) {
  HISTEQ_ASSIGN_OR_RETURN(auto snapshot, readers_.Take());
  HISTEQ_ASSIGN_OR_RETURN(auto job, FindJobComplete(snapshot.db(), job_id));
  if (!job.has_value()) return JobNotFound(job_id);
  return *std::move(job);
}

absl::StatusOr<Page<JobRecord>> SqliteCatalog::ListJobs(const JobFilter& filter, uint32_t page_size,
                                                        const std::string& page_token) {
  const std::string list =
      fmt::format("jobs:{}:{}", filter.state.has_value() ? static_cast<int>(*filter.state) : 0,
                  filter.image_id);
  int64_t before = kNewest;
  if (!page_token.empty()) {
    HISTEQ_ASSIGN_OR_RETURN(before, ReadPageToken(page_token_key_, list, page_token));
  }
  const uint32_t size = PageSize(page_size);
  HISTEQ_ASSIGN_OR_RETURN(auto snapshot, readers_.Take());
  HISTEQ_ASSIGN_OR_RETURN(auto rows, ListJobRows(snapshot.db(), filter.state, filter.image_id,
                                                 before, size + 1, limits_.max_page_bytes));
  Page<JobRecord> page;
  size_t fitting = 0;
  for (uint64_t bytes = 0; fitting < std::min<size_t>(rows.size(), size); ++fitting) {
    bytes += JobBytes(rows[fitting].job);
    if (bytes > limits_.max_page_bytes && fitting > 0) break;
  }
  if (fitting < rows.size()) {
    rows.resize(fitting);
    page.next_page_token = MakePageToken(page_token_key_, list, rows.back().seq);
  }
  for (NumberedJob& row : rows) {
    row.job.max_attempts = limits_.max_attempts;
    leases_.FillProgress(row.job);
    page.records.push_back(std::move(row.job));
  }
  return page;
}

absl::StatusOr<JobRecord> SqliteCatalog::Cancel(WriteContext& context, JobRecord job) {
  if (IsFinal(job.state) || job.cancel_requested) return job;
  const JobState before = job.state;
  if (before == JobState::kQueued) {
    job.state = JobState::kCancelled;
    job.end_time = Now();
    job.not_before.reset();
    job.blocked = false;
  } else {
    job.cancel_requested = true;
  }
  HISTEQ_RETURN_IF_ERROR(UpdateJob(context.db, job, before, job.epoch));
  context.on_commit.push_back([this, id = job.id, epoch = job.epoch] {
    leases_.RequestCancel(id, epoch);
    HintJob(id);
  });
  HISTEQ_RETURN_IF_ERROR(Release(context, job));
  return job;
}

absl::StatusOr<JobRecord> SqliteCatalog::CancelJob(const std::string& job_id) {
  return Write([&](WriteContext& context) -> absl::StatusOr<JobRecord> {
    HISTEQ_ASSIGN_OR_RETURN(auto job, FindJobComplete(context.db, job_id));
    if (!job.has_value()) return JobNotFound(job_id);
    return Cancel(context, *std::move(job));
  });
}

absl::StatusOr<JobRecord> SqliteCatalog::TakeBackRequest(const std::string& job_id,
                                                         const std::string& request_id) {
  return Write([&](WriteContext& context) -> absl::StatusOr<JobRecord> {
    Database& db = context.db;
    HISTEQ_ASSIGN_OR_RETURN(auto job, FindJobComplete(db, job_id));
    if (!job.has_value()) return JobNotFound(job_id);
    HISTEQ_ASSIGN_OR_RETURN(auto request, FindRequest(db, request_id));
    if (!request.has_value() || request->job_id != job_id) {
      HISTEQ_ASSIGN_OR_RETURN(request, FindRequest(db, UploadRequestId(request_id)));
    }
    if (!request.has_value() || request->job_id != job_id) {
      return NotFound(fmt::format("request for job {} with the id", job_id), "REQUEST_NOT_FOUND",
                      request_id);
    }
    HISTEQ_RETURN_IF_ERROR(TakeBack(db, request->id));
    HISTEQ_ASSIGN_OR_RETURN(const bool others, AnyRequest(db, job_id));
    if (others) return *std::move(job);
    return Cancel(context, *std::move(job));
  });
}

absl::Status SqliteCatalog::Release(WriteContext& context, const JobRecord& job) {
  if (!IsFinal(job.state)) return absl::OkStatus();
  Derivation derivation = DerivationOf(context.db);
  HISTEQ_ASSIGN_OR_RETURN(const std::vector<JobRecord> changed, derivation.Release(job));
  HintMoved(context, derivation);
  for (const JobRecord& waiter : changed) {
    context.on_commit.push_back([this, waiter] {
      HintJob(waiter.id);
      if (waiter.state == JobState::kQueued && !waiter.blocked) HintWork(waiter);
    });
  }
  return absl::OkStatus();
}

absl::StatusOr<ForgottenWork> SqliteCatalog::Forget(JobPruning& pruning, absl::Time before,
                                                    uint32_t max_looks) {
  ForgottenWork forgotten;
  // Most looks find nothing, and cost no transaction. What is final stays so.
  JobPruning::Found jobs;
  std::vector<std::string> uploads;
  {
    HISTEQ_ASSIGN_OR_RETURN(auto snapshot, readers_.Take());
    HISTEQ_ASSIGN_OR_RETURN(jobs, pruning.Look(snapshot.db(), before, max_looks));
    HISTEQ_ASSIGN_OR_RETURN(uploads, FindFinishedUploads(snapshot.db(), before, max_looks));
  }
  forgotten.more = jobs.more || uploads.size() == max_looks;
  if (jobs.job_ids.empty() && uploads.empty()) return forgotten;
  HISTEQ_ASSIGN_OR_RETURN(const Pruned pruned, Write([&](WriteContext& context) {
                            return Prune(context.db, jobs.job_ids, uploads);
                          }));
  forgotten.jobs = pruned.jobs;
  forgotten.uploads = pruned.uploads;
  return forgotten;
}

absl::StatusOr<ForgottenWork> SqliteCatalog::ForgetFinished(uint32_t max_looks) {
  if (limits_.job_retention == absl::InfiniteDuration()) return ForgottenWork();
  const std::lock_guard lock(pruning_mutex_);
  return Forget(pruning_, Now() - limits_.job_retention, max_looks);
}

absl::StatusOr<bool> SqliteCatalog::MakeRoom() {
  constexpr uint32_t kLooksAtOnce = 256;
  constexpr int kMaxLooks = 64;
  const std::lock_guard lock(pruning_mutex_);
  // Jobs that wait for long may stand before those that are over.
  for (int i = 0; i < kMaxLooks; ++i) {
    HISTEQ_ASSIGN_OR_RETURN(
        const ForgottenWork forgotten,
        Forget(full_pruning_, Now() - limits_.full_job_retention, kLooksAtOnce));
    if (forgotten.jobs + forgotten.uploads > 0) return true;
    if (!forgotten.more) break;
  }
  return false;
}

absl::StatusOr<QueueCounts> SqliteCatalog::CountJobs() { return QueueCounts{queued_, running_}; }

// ---- Leases

absl::Status SqliteCatalog::PromoteWaiting(Database& db) const {
  HISTEQ_ASSIGN_OR_RETURN(const auto waiting, FindNextWaiting(db));
  if (!waiting.has_value()) return absl::OkStatus();
  // A time further away than any back-off means that the clock was set back.
  const absl::Time now = Now();
  const absl::Time farthest = now + limits_.max_backoff * (1 + limits_.backoff_jitter);
  HISTEQ_RETURN_IF_ERROR(EndBackoffs(db, FromMicros(0), now));
  return EndBackoffs(db, farthest, absl::InfiniteFuture());
}

absl::StatusOr<Lease> SqliteCatalog::DescribeLease(Database& db, JobRecord job) const {
  Lease lease;
  lease.ttl = limits_.lease_ttl;
  HISTEQ_ASSIGN_OR_RETURN(auto image, FindImage(db, job.image_id));
  if (!image.has_value()) return ImageNotFound(job.image_id);
  lease.image = *std::move(image);
  const std::string& reference_id = job.spec.reference_image_id;
  if (!reference_id.empty()) {
    HISTEQ_ASSIGN_OR_RETURN(lease.reference, FindImage(db, reference_id));
    if (!lease.reference.has_value()) return ImageNotFound(reference_id);
    HISTEQ_ASSIGN_OR_RETURN(Statement row,
                            db.Prepare("SELECT bytes FROM image_statistics WHERE image_id = ?"));
    HISTEQ_ASSIGN_OR_RETURN(const bool found, row.Bind(reference_id).Step());
    if (found) lease.reference_statistics = row.OptionalBytes(0);
  }
  job.max_attempts = limits_.max_attempts;
  leases_.FillProgress(job);
  lease.outputs = OutputsToMake(job);
  lease.job = std::move(job);
  return lease;
}

absl::StatusOr<std::optional<Lease>> SqliteCatalog::LeaseNext(
    const std::string& coordinator, uint32_t max_running,
    const std::vector<std::string>& storages) {
  return Write([&](WriteContext& context) -> absl::StatusOr<std::optional<Lease>> {
    Database& db = context.db;
    if (max_running > 0) {
      HISTEQ_ASSIGN_OR_RETURN(
          Statement row,
          db.Prepare("SELECT count(*) FROM jobs WHERE state = 2 AND coordinator = ?"));
      HISTEQ_RETURN_IF_ERROR(row.Bind(coordinator).Step().status());
      if (row.Int(0) >= static_cast<int64_t>(max_running)) {
        // One of its threads may have been woken for a job that another coordinator can have.
        if (at_limit_.insert(coordinator).second) work_.PassOn();
        return std::optional<Lease>();
      }
    }
    HISTEQ_RETURN_IF_ERROR(PromoteWaiting(db));
    HISTEQ_ASSIGN_OR_RETURN(auto job, FindReadyJob(db, storages));
    if (!job.has_value()) {
      HISTEQ_ASSIGN_OR_RETURN(const auto waiting, FindNextWaiting(db));
      if (waiting.has_value()) work_.Ready(*waiting - Now());
      return std::optional<Lease>();
    }
    const uint64_t epoch_before = job->epoch;
    ++job->epoch;
    ++job->attempts;
    job->state = JobState::kRunning;
    job->coordinator = coordinator;
    job->not_before.reset();
    if (!job->start_time.has_value()) job->start_time = Now();
    HISTEQ_RETURN_IF_ERROR(UpdateJob(db, *job, JobState::kQueued, epoch_before));
    HISTEQ_ASSIGN_OR_RETURN(Lease lease, DescribeLease(db, *std::move(job)));
    context.on_commit.push_back([this, leased = lease.job] {
      leases_.Add(leased);
      HintJob(leased.id);
    });
    return std::optional<Lease>(std::move(lease));
  });
}

absl::StatusOr<JobRecord> SqliteCatalog::FindLeased(Database& db, const std::string& job_id,
                                                    uint64_t epoch) {
  HISTEQ_ASSIGN_OR_RETURN(auto job, FindJobComplete(db, job_id));
  if (!job.has_value()) return JobNotFound(job_id);
  if (job->state != JobState::kRunning || job->epoch != epoch) return StaleEpoch(*job, epoch);
  return *std::move(job);
}

absl::StatusOr<Lease> SqliteCatalog::GetLease(const std::string& job_id, uint64_t epoch) {
  HISTEQ_ASSIGN_OR_RETURN(auto snapshot, readers_.Take());
  HISTEQ_ASSIGN_OR_RETURN(JobRecord job, FindLeased(snapshot.db(), job_id, epoch));
  leases_.MarkUsed(job_id, epoch);
  return DescribeLease(snapshot.db(), std::move(job));
}

std::vector<LeaseVerdict> SqliteCatalog::Renew(const std::string& coordinator,
                                               const std::vector<HeldLease>& leases) {
  std::vector<LeaseVerdict> verdicts;
  for (const HeldLease& held : leases) {
    const LeaseBook::Renewal renewal = leases_.Renew(coordinator, held);
    verdicts.push_back(renewal.verdict);
    if (renewal.progress_moved) HintJob(held.job_id);
  }
  leases_.EndUnheard(coordinator);
  return verdicts;
}

absl::Status SqliteCatalog::EndLease(WriteContext& context, const JobRecord& job,
                                     std::optional<ImageRecord> place) {
  HISTEQ_RETURN_IF_ERROR(UpdateJob(context.db, job, JobState::kRunning, job.epoch));
  context.on_commit.push_back([this, job] {
    const std::string holder = leases_.Remove(job.id, job.epoch);
    HintJob(job.id);
    if (at_limit_.erase(holder) > 0) {
      // To those who wait it looks as if a job had become ready.
      work_.Ready(absl::ZeroDuration());
      hints_.Notify({CatalogHint::Kind::kWork, {}});
    }
    if (job.state == JobState::kQueued) HintWork(job);
  });
  if (job.state == JobState::kQueued) {
    if (!place.has_value()) {
      HISTEQ_ASSIGN_OR_RETURN(place, FindOtherPlace(context.db, job, /*only_nearer=*/true));
    }
    if (!place.has_value()) return absl::OkStatus();
    Derivation derivation = DerivationOf(context.db);
    HISTEQ_RETURN_IF_ERROR(derivation.Move(job.id, *place));
    HintMoved(context, derivation);
  }
  return Release(context, job);
}

absl::StatusOr<std::vector<std::optional<ImageRecord>>> FindResults(Database& db,
                                                                    const JobRecord& job) {
  std::vector<std::optional<ImageRecord>> results;
  for (const std::string& id : job.result_image_ids) {
    HISTEQ_ASSIGN_OR_RETURN(results.emplace_back(), FindImage(db, id));
  }
  return results;
}

absl::StatusOr<CompletedJob> SqliteCatalog::Complete(const std::string& job_id, uint64_t epoch,
                                                     const JobResult& result) {
  return Write([&](WriteContext& context) -> absl::StatusOr<CompletedJob> {
    Database& db = context.db;
    CompletedJob completed;
    HISTEQ_ASSIGN_OR_RETURN(auto job, FindJobComplete(db, job_id));
    if (!job.has_value()) return JobNotFound(job_id);
    if (job->state == JobState::kSucceeded && job->epoch == epoch) {
      completed.already_completed = true;
      HISTEQ_ASSIGN_OR_RETURN(completed.results, FindResults(db, *job));
      completed.job = *std::move(job);
      return completed;
    }
    if (job->state != JobState::kRunning || job->epoch != epoch) return StaleEpoch(*job, epoch);
    if (job->spec.inspects != result.inspected.has_value()) {
      return StoreError(absl::StatusCode::kInvalidArgument, "BAD_RESULT",
                        fmt::format("job {} {} what a file is", job_id,
                                    job->spec.inspects ? "says" : "does not say"));
    }
    if (job->spec.inspects) {
      HISTEQ_RETURN_IF_ERROR(KeepInspected(context, *job, result, completed.freed_locations));
    }
    const size_t wanted = OutputsToMake(*job).size();
    if (result.images.size() != wanted) {
      return StoreError(
          absl::StatusCode::kInvalidArgument, "BAD_RESULT",
          fmt::format("job {} makes {} images under this lease, {} came", job_id, wanted,
                      result.images.size()),
          {{"limit", std::to_string(wanted)}, {"actual", std::to_string(result.images.size())}});
    }
    HISTEQ_RETURN_IF_ERROR(
        DerivationOf(db).Register(*job, result.images, completed.freed_locations));
    HISTEQ_ASSIGN_OR_RETURN(completed.results, FindResults(db, *job));
    if (result.statistics.has_value()) {
      HISTEQ_ASSIGN_OR_RETURN(
          Statement statement,
          db.Prepare("INSERT INTO image_statistics VALUES (?, ?) ON CONFLICT DO UPDATE SET bytes = "
                     "excluded.bytes"));
      HISTEQ_RETURN_IF_ERROR(statement.Bind(job->image_id).BindBlob(*result.statistics).Run());
    }
    job->state = JobState::kSucceeded;
    job->coordinator.clear();
    job->cancel_requested = false;
    job->error.reset();
    job->end_time = Now();
    job->progress = JobProgress();
    HISTEQ_RETURN_IF_ERROR(EndLease(context, *job));
    completed.job = *std::move(job);
    return completed;
  });
}

absl::StatusOr<JobRecord> SqliteCatalog::Fail(const std::string& job_id, uint64_t epoch,
                                              FailOutcome outcome, const JobError& error) {
  return Write([&](WriteContext& context) -> absl::StatusOr<JobRecord> {
    HISTEQ_ASSIGN_OR_RETURN(auto job, FindJobComplete(context.db, job_id));
    if (!job.has_value()) return JobNotFound(job_id);
    if (job->epoch != epoch || job->state == JobState::kSucceeded) return StaleEpoch(*job, epoch);
    // Given up before under this epoch.
    if (job->state != JobState::kRunning) return *std::move(job);
    // Which file it was, the source's or the reference's.
    const std::string& reference_id = job->spec.reference_image_id;
    const auto named = error.metadata.find("image");
    const bool of_reference = named != error.metadata.end() && !reference_id.empty() &&
                              named->second == reference_id && reference_id != job->image_id;
    const std::string image_id = of_reference ? reference_id : job->image_id;
    const bool inspects = job->spec.inspects;
    std::optional<ImageRecord> place;
    if (outcome == FailOutcome::kPermanent && IsFailureOfPlace(error.reason) && !of_reference &&
        !job->cancel_requested && job->attempts < limits_.max_attempts) {
      HISTEQ_ASSIGN_OR_RETURN(place, FindOtherPlace(context.db, *job, /*only_nearer=*/false));
    }
    JobRecord after = place.has_value()
                          ? AfterFailureOfPlace(*std::move(job), error)
                          : AfterFailure(*std::move(job), outcome, error, limits_, Now(), Random());
    after.progress = JobProgress();
    HISTEQ_RETURN_IF_ERROR(EndLease(context, after, place));
    const bool changed = outcome == FailOutcome::kPermanent && error.reason == "SOURCE_CHANGED";
    if (changed || (inspects && after.state == JobState::kFailed)) {
      // Registering it again is then known to be worth a reading, also where the file cannot be
      // seen from here.
      HISTEQ_ASSIGN_OR_RETURN(auto image, FindImage(context.db, image_id));
      if (image.has_value() && !image->unread &&
          (image->modify_time.has_value() || !StorageOf(*image).empty())) {
        image->unread = true;
        HISTEQ_RETURN_IF_ERROR(UpdateFileOfImage(context.db, *image));
      }
    }
    return after;
  });
}

absl::StatusOr<std::vector<JobRecord>> SqliteCatalog::ExpireLeases() {
  leases_.StartTerms();
  if (!leases_.AnyExpired()) return std::vector<JobRecord>();
  return Write([&](WriteContext& context) -> absl::StatusOr<std::vector<JobRecord>> {
    const std::vector<LeaseBook::Expired> expired = leases_.TakeExpired();
    context.on_rollback.push_back([this, expired] { leases_.KeepAfterAll(expired); });
    std::vector<JobRecord> jobs;
    for (const LeaseBook::Expired& lease : expired) {
      HISTEQ_ASSIGN_OR_RETURN(auto job, FindJobComplete(context.db, lease.job_id));
      // Ended by an earlier change of this batch.
      if (!job.has_value() || job->state != JobState::kRunning || job->epoch != lease.epoch)
        continue;
      // The answer to LeaseNext was lost: nobody's attempt, and nobody's death.
      JobRecord after = lease.used ? AfterExpiry(*std::move(job), limits_, Now())
                                   : AfterFailure(*std::move(job), FailOutcome::kHandBack,
                                                  JobError(), limits_, Now(), Random());
      after.progress = JobProgress();
      HISTEQ_RETURN_IF_ERROR(EndLease(context, after));
      jobs.push_back(std::move(after));
    }
    return jobs;
  });
}

// ---- Coordinators

absl::Status SqliteCatalog::RegisterCoordinator(const CoordinatorRecord& coordinator) {
  return writes_.Run([&](WriteContext& context) -> absl::Status {
    {
      const std::lock_guard lock(coordinators_mutex_);
      if (coordinators_.size() >= limits_.max_coordinators &&
          coordinators_.count(coordinator.name) == 0) {
        return StoreError(
            absl::StatusCode::kResourceExhausted, "TOO_MANY_COORDINATORS",
            fmt::format("{} coordinators are on the list, {} may be: remove those that are gone",
                        coordinators_.size(), limits_.max_coordinators),
            {{"limit", std::to_string(limits_.max_coordinators)},
             {"actual", std::to_string(coordinators_.size())}});
      }
    }
    HISTEQ_ASSIGN_OR_RETURN(Statement statement,
                            context.db.Prepare("INSERT INTO coordinators VALUES (?, ?) ON CONFLICT "
                                               "DO UPDATE SET address = excluded.address"));
    HISTEQ_RETURN_IF_ERROR(statement.Bind(coordinator.name).Bind(coordinator.address).Run());
    context.on_commit.push_back([this, coordinator] {
      const std::lock_guard lock(coordinators_mutex_);
      coordinators_[coordinator.name] = coordinator.address;
    });
    return absl::OkStatus();
  });
}

absl::Status SqliteCatalog::RemoveCoordinator(const std::string& name) {
  return writes_.Run([&](WriteContext& context) -> absl::Status {
    HISTEQ_ASSIGN_OR_RETURN(Statement statement,
                            context.db.Prepare("DELETE FROM coordinators WHERE name = ?"));
    HISTEQ_RETURN_IF_ERROR(statement.Bind(name).Run());
    if (context.db.Changes() == 0) return NotFound("coordinator", "COORDINATOR_NOT_FOUND", name);
    context.on_commit.push_back([this, name] {
      const std::lock_guard lock(coordinators_mutex_);
      coordinators_.erase(name);
    });
    return absl::OkStatus();
  });
}

std::vector<CoordinatorRecord> SqliteCatalog::ListCoordinators() const {
  const std::lock_guard lock(coordinators_mutex_);
  std::vector<CoordinatorRecord> records;
  for (const auto& [name, address] : coordinators_) records.push_back({name, address});
  return records;
}

bool SqliteCatalog::CoordinatorAllowed(const std::string& name) const {
  const std::lock_guard lock(coordinators_mutex_);
  return coordinators_.empty() || coordinators_.count(name) > 0;
}

absl::Status Damaged(const std::string& file, const std::string& what) {
  return StoreError(absl::StatusCode::kDataLoss, "CATALOG_DAMAGED",
                    fmt::format("the catalog {} is damaged ({}): restore it from a backup, or move "
                                "the data folder away to begin with an empty one",
                                file, what),
                    {{"path", file}});
}

absl::Status CheckForDamage(Database& db, const std::string& file) {
  HISTEQ_ASSIGN_OR_RETURN(Statement row, db.Prepare("PRAGMA quick_check(1)"));
  HISTEQ_RETURN_IF_ERROR(row.Step().status());
  const std::string answer = row.Bytes(0);
  return answer == "ok" ? absl::OkStatus() : Damaged(file, answer);
}

absl::Status Unusable(const std::string& file, const std::string& what) {
  return StoreError(absl::StatusCode::kInvalidArgument, "DATA_DIR_UNUSABLE",
                    fmt::format("catalog {} cannot be opened: {}", file, what), {{"path", file}});
}

// `file` with links in its folder followed: the database itself is opened without following any.
absl::StatusOr<std::string> ResolveFolder(const std::string& file) {
  const std::filesystem::path path(file);
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  std::error_code error;
  const std::filesystem::path resolved = std::filesystem::canonical(folder, error);
  if (error) return Unusable(file, error.message());
  return (resolved / path.filename()).string();
}

absl::Status UseWriteAheadLog(Database& db, const std::string& file) {
  HISTEQ_ASSIGN_OR_RETURN(Statement row, db.Prepare("PRAGMA journal_mode = WAL"));
  HISTEQ_RETURN_IF_ERROR(row.Step().status());
  const std::string mode = row.Bytes(0);
  if (mode == "wal") return absl::OkStatus();
  // Network file systems without shared memory.
  return Unusable(file, fmt::format("its file system allows the journal mode {} only, WAL is "
                                    "needed: give a folder on a local disk",
                                    mode));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Catalog>> OpenSqliteCatalog(const std::string& path,
                                                           const SqliteCatalogOptions& options) {
  HISTEQ_ASSIGN_OR_RETURN(const std::string file, ResolveFolder(path));
  HISTEQ_ASSIGN_OR_RETURN(auto db, Database::Open(file, false, LogVfsName()));
  const auto annotated = [&file](const absl::Status& status) {
    return base::Annotate(status, "catalog " + file);
  };
  // trusted_schema: a crafted file must not be able to run functions through its schema.
  if (absl::Status status = db->Execute(
          "PRAGMA trusted_schema = 0; PRAGMA cell_size_check = 1; PRAGMA "
          "synchronous = FULL; PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = "
          "67108864; PRAGMA cache_size = -16000; PRAGMA temp_store = MEMORY");
      !status.ok()) {
    return annotated(status);
  }
  if (absl::Status status = UseWriteAheadLog(*db, file); !status.ok()) return annotated(status);
  if (options.check_when_opening) {
    if (absl::Status status = CheckForDamage(*db, file); !status.ok()) return annotated(status);
  }
  if (absl::Status status = MigrateSchema(*db, file); !status.ok()) return annotated(status);
  if (absl::Status status = CountLiveJobs(*db); !status.ok()) return annotated(status);
  if (options.max_file_bytes > 0) {
    HISTEQ_RETURN_IF_ERROR(db->Execute(fmt::format(
        "PRAGMA max_page_count = {}",
        std::max<int64_t>(static_cast<int64_t>(options.max_file_bytes) / kPageBytes, 1))));
  }
  std::string page_token_key;
  {
    HISTEQ_ASSIGN_OR_RETURN(Statement row,
                            db->Prepare("SELECT value FROM meta WHERE key = 'page_token_key'"));
    HISTEQ_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) return annotated(Damaged(file, "its key is missing"));
    page_token_key = row.Bytes(0);
  }
  auto catalog =
      std::make_unique<SqliteCatalog>(file, options, std::move(db), std::move(page_token_key));
  HISTEQ_RETURN_IF_ERROR(catalog->Load());
  return std::unique_ptr<Catalog>(std::move(catalog));
}

}  // namespace histeq::store
