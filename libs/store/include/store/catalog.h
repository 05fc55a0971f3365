#pragma once

// The naming registry and the durable job queue: one call for one decision, each a transaction.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "store/records.h"

namespace histeq::store {

struct CatalogLimits {
  // How long a lease is good for without renewal.
  absl::Duration lease_ttl = absl::Seconds(30);
  // Attempts of one job before it fails for good.
  uint32_t max_attempts = 5;
  // Leases of one job whose holder was heard of no more before the job fails as poison.
  uint32_t max_holder_deaths = 3;
  // Wait after the first failed attempt; doubles with each up to the maximum; each is moved by up
  // to +-`backoff_jitter`.
  absl::Duration backoff = absl::Seconds(1);
  absl::Duration max_backoff = absl::Seconds(60);
  double backoff_jitter = 0.2;
  // Queued jobs; one more is refused with QUEUE_FULL.
  uint64_t max_queued_jobs = 1'000'000;
  // What QUEUE_FULL advises to wait.
  absl::Duration queue_full_retry = absl::Seconds(5);
  // How long a result is kept after it was made or asked for again.
  absl::Duration result_ttl = absl::Hours(24 * 7);
  // Bytes of all results together; beyond it those go that were not used for longest. 0: no limit.
  uint64_t derivative_budget_bytes = 0;
  // A result that was made or used so short ago stays, whatever the budget: who asked for it must
  // have the time to fetch it.
  absl::Duration derivative_grace = absl::Minutes(1);
  // How long a job is remembered after it ended, and an upload after it was finished. While the
  // catalog is full the oldest go earlier, but not those of the last `full_job_retention`.
  absl::Duration job_retention = absl::Hours(24 * 7);
  absl::Duration full_job_retention = absl::Minutes(1);
  // Largest page of a list, and the size of a page when none is asked for.
  uint32_t max_page_size = 1000;
  uint32_t default_page_size = 100;
  // A page of jobs ends early once its records have so many bytes; one record is always given.
  uint64_t max_page_bytes = 1 << 20;
  // Uploads of files that are announced with at most so many bytes are kept in memory until they
  // are finished, at most so many; the database then has them.
  uint64_t small_upload_bytes = 256 << 10;
  uint64_t max_small_uploads = 4096;
  // Registered coordinators.
  uint64_t max_coordinators = 1024;
};

// The answer to FinishUpload.
struct FinishedUpload {
  ImageRecord image;
  std::optional<JobRecord> job;
  // It was finished before: `image` may have another location than the caller's blob, which is then
  // of no use.
  bool already_finished = false;
};

struct Lease {
  JobRecord job;
  ImageRecord image;
  std::optional<ImageRecord> reference;
  // Statistics kept with the reference image.
  std::optional<std::string> reference_statistics;
  absl::Duration ttl;
  // Which of the job's outputs are to be made, in order: those that are not there, and what they
  // are made of.
  std::vector<uint32_t> outputs;
};

// A lease as its holder reports it.
struct HeldLease {
  std::string job_id;
  uint64_t epoch = 0;
  JobProgress progress;
};

// Numbers as in histeq.v1.HeartbeatResponse.LeaseAnswer.Verdict.
enum class LeaseVerdict : uint8_t { kRenewed = 1, kLost = 2, kCancel = 3 };

// What an attempt brought.
struct JobResult {
  // One for each of Lease::outputs.
  std::vector<ImageFacts> images;
  // To be kept with the source image; opaque.
  std::optional<std::string> statistics;
  // Of a job that inspects: what the file is (its location is not looked at), and of a node's file
  // when it was modified.
  std::optional<ImageFacts> inspected = std::nullopt;
  std::optional<absl::Time> modify_time = std::nullopt;
};

struct CompletedJob {
  JobRecord job;
  // One for each output; absent when it was deleted since. A blob of the caller's that none of them
  // has is of no use: the job was completed before under this epoch, or the output was there.
  std::vector<std::optional<ImageRecord>> results;
  bool already_completed = false;
  // Blobs that nothing refers to any more, because results were replaced.
  std::vector<std::string> freed_locations;
};

// The answer to RegisterImage.
struct RegisteredImage {
  ImageRecord image;
  // The registration's job; without one the latest that read the file, or reads it.
  std::optional<JobRecord> job;
  // The file is to be read by this new job.
  std::optional<JobRecord> inspection;
};

struct ForgottenWork {
  uint64_t jobs = 0;
  uint64_t uploads = 0;
  // There is more to look at.
  bool more = false;
};

struct RemovedImages {
  // The image that was asked for first, then what was made of it.
  std::vector<ImageRecord> images;
  // Where bytes lie that nothing refers to any more: for the caller to delete.
  std::vector<std::string> freed_locations;
  // Of ExpireImages: there is more to look at.
  bool more = false;
};

// Numbers as in histeq.v1.FailJobRequest.Outcome.
enum class FailOutcome : uint8_t { kRetry = 1, kPermanent = 2, kHandBack = 3, kCancelled = 4 };

struct ImageFilter {
  // Only images of exactly this name; empty: all.
  std::string name;
};

struct JobFilter {
  std::optional<JobState> state;
  // Only jobs of this source image; empty: all.
  std::string image_id;
};

// What may have changed. A hint: it may come late or for nothing; after a restart there are none.
struct CatalogHint {
  enum class Kind {
    // `job_id` changed its state, or its progress moved.
    kJob,
    // A job may be ready to be leased.
    kWork,
  };
  Kind kind = Kind::kJob;
  std::string job_id;
};

// Thread-safe. Calls block until the change is durable. Errors of every call:
// - RESOURCE_EXHAUSTED DISK_FULL: the disk, or the catalog, is full; nothing was changed.
// - DATA_LOSS CATALOG_DAMAGED: the database cannot be read.
// - UNAVAILABLE: the catalog is closing.
// - INTERNAL CATALOG_IO: any other failure; nothing was changed.
class Catalog {
 public:
  virtual ~Catalog() = default;

  // ---- Uploads

  // Makes the upload, or finds the one with the same id, which must have the same header.
  // `blob_key` is used for a new one. That of a small file (see CatalogLimits) is not durable until
  // it is finished: after a restart it is not known, and the file is sent again.
  // - ALREADY_EXISTS UPLOAD_ID_REUSED: the id has another header (`field` says which part).
  // - NOT_FOUND IMAGE_NOT_FOUND: the job's reference image does not exist, or the finished upload's
  //   image was deleted.
  // - RESOURCE_EXHAUSTED QUEUE_FULL: it has a job and the queue is full.
  virtual absl::StatusOr<UploadRecord> BeginUpload(const UploadHeader& header,
                                                   const std::string& blob_key) = 0;

  // - NOT_FOUND UPLOAD_NOT_FOUND.
  virtual absl::StatusOr<UploadRecord> GetUpload(const std::string& upload_id) = 0;

  // Registers the image, queues the header's job and closes the upload, all or nothing. Repeated:
  // the first answer. Call it only with a durable blob.
  // - NOT_FOUND UPLOAD_NOT_FOUND, IMAGE_NOT_FOUND (reference; or deleted since).
  // - RESOURCE_EXHAUSTED QUEUE_FULL: try again; the upload stays open.
  virtual absl::StatusOr<FinishedUpload> FinishUpload(const std::string& upload_id,
                                                      const ImageFacts& facts) = 0;

  // Open uploads not touched since `before`, at most 1000.
  virtual absl::StatusOr<std::vector<UploadRecord>> AbandonedUploads(absl::Time before) = 0;

  // Forgets an open upload that was not touched since `before`.
  // - NOT_FOUND UPLOAD_NOT_FOUND: there is no such one (any more).
  virtual absl::Status RemoveUpload(const std::string& upload_id, absl::Time before) = 0;

  // ---- Images

  // - NOT_FOUND IMAGE_NOT_FOUND.
  virtual absl::StatusOr<ImageRecord> GetImage(const std::string& image_id) = 0;

  // Registers a file under an id, unread, with the job that reads it; all or nothing. The same id
  // and location again: the same image. When the file is another one than before (size, time), when
  // its reading failed or a job found it changed, it is unread again and is read anew; a node's
  // file that no job works on is read anew too, and what is known of it serves until that has
  // ended; what was kept of the old file goes once the new one is known to differ, and jobs that
  // are not final fail with SOURCE_CHANGED, unless they were asked for another image of the same
  // bytes too: then they go on with that one.
  // - ALREADY_EXISTS IMAGE_ID_TAKEN: the id has another location.
  // - errors of CreateJob.
  virtual absl::StatusOr<RegisteredImage> RegisterImage(const FileRegistration& registration) = 0;

  // Newest first. `page_size` 0: the default; more than the maximum is taken as the maximum.
  // - INVALID_ARGUMENT BAD_PAGE_TOKEN: not given by this catalog for this filter.
  virtual absl::StatusOr<Page<ImageRecord>> ListImages(const ImageFilter& filter,
                                                       uint32_t page_size,
                                                       const std::string& page_token) = 0;

  // The image and what is made of it.
  // - NOT_FOUND IMAGE_NOT_FOUND.
  virtual absl::StatusOr<ImageDescription> DescribeImage(const std::string& image_id) = 0;

  // Forgets the image and all that was made of it.
  // - NOT_FOUND IMAGE_NOT_FOUND.
  // - FAILED_PRECONDITION IMAGE_IN_USE: a job that is not final reads one of them or has it among
  //   its results (metadata job).
  virtual absl::StatusOr<RemovedImages> DeleteImage(const std::string& image_id) = 0;

  // Forgets images whose time has come, and, while results take more than the budget, those not
  // used for longest; at most `max_images`, and after looking at no more than 1000; `more` in the
  // answer says that another call goes on. Left
  // alone is what a job that is not final needs, and what `in_use` says of an id; it is called on
  // another thread and must not call the catalog.
  virtual absl::StatusOr<RemovedImages> ExpireImages(
      const std::function<bool(const std::string&)>& in_use, uint32_t max_images) = 0;

  // Notes that the images, and the results that they were made of, are used now, for the order in
  // which ExpireImages takes them. Unknown ids are passed over.
  virtual absl::Status TouchImages(const std::vector<std::string>& image_ids) = 0;

  // The statistics that a job brought for the image; nothing when there are none.
  virtual absl::StatusOr<std::optional<std::string>> GetImageStatistics(
      const std::string& image_id) = 0;

  // What refers to a blob: an image, an open upload, or nothing.
  enum class BlobUse { kNone, kUpload, kImage };
  virtual absl::StatusOr<BlobUse> UseOfBlob(const std::string& key,
                                            const std::string& location) = 0;

  // ---- Jobs

  // Queues a job, or finds the one with the same request id, or the one that does the same with the
  // same bytes. One that is shared by several images reads the one whose bytes are surest to be
  // there: the frontend's own before files, these before those in storage roots. What is there
  // already is not made again: the job has it from the start, and is kSucceeded at once when
  // nothing is left to make. What another job makes is waited for
  // (`blocked`). When that job ends without it, the oldest that waits makes it. On an unread image
  // it waits for the job that reads it, and fails with that one's error.
  // - FAILED_PRECONDITION IMAGE_UNREAD: the image, or the reference, is unread, and no job reads
  // it.
  // - ALREADY_EXISTS REQUEST_ID_REUSED: the id has another image or operation.
  // - NOT_FOUND IMAGE_NOT_FOUND: source or reference.
  // - RESOURCE_EXHAUSTED QUEUE_FULL.
  virtual absl::StatusOr<JobRecord> CreateJob(const std::string& request_id,
                                              const std::string& image_id, const JobSpec& spec) = 0;

  // - NOT_FOUND JOB_NOT_FOUND.
  virtual absl::StatusOr<JobRecord> GetJob(const std::string& job_id) = 0;

  // As ListImages; a page may also end early by its bytes.
  virtual absl::StatusOr<Page<JobRecord>> ListJobs(const JobFilter& filter, uint32_t page_size,
                                                   const std::string& page_token) = 0;

  // Queued: kCancelled at once. Running: the holder is told with its next renewal; a result that
  // comes before it heard still counts. Final: as it is.
  // - NOT_FOUND JOB_NOT_FOUND.
  virtual absl::StatusOr<JobRecord> CancelJob(const std::string& job_id) = 0;

  // Takes back one request for the job, named by CreateJob's request id or by the upload's id. The
  // job is cancelled when it was the last one, as by CancelJob.
  // - NOT_FOUND JOB_NOT_FOUND, REQUEST_NOT_FOUND.
  virtual absl::StatusOr<JobRecord> TakeBackRequest(const std::string& job_id,
                                                    const std::string& request_id) = 0;

  virtual absl::StatusOr<QueueCounts> CountJobs() = 0;

  // Forgets jobs that ended longer than the retention ago, with their requests and what they left
  // noted as failed, and uploads that were finished so long ago: their ids are as if never used.
  // The latest job that read a registered file stays as long as its image. Looks at no more than
  // `max_looks` jobs and uploads, and goes on there with the next call.
  virtual absl::StatusOr<ForgottenWork> ForgetFinished(uint32_t max_looks) = 0;

  // ---- Leases. A call with an epoch that is not the job's current one changes nothing.

  // Leases the oldest ready job to `coordinator`, or nothing when there is none, or when it already
  // holds `max_running` (0: any number). Jobs on images in a storage root only when that is among
  // `storages`. Never waits.
  virtual absl::StatusOr<std::optional<Lease>> LeaseNext(
      const std::string& coordinator, uint32_t max_running,
      const std::vector<std::string>& storages = {}) = 0;

  // Changes whenever a job may have become ready. Read it before LeaseNext and give it to
  // WaitForWork, and no job is missed.
  virtual uint64_t WorkGeneration() const = 0;

  // Waits until the generation is no longer `seen`, a back-off ends, or `timeout` has passed. Of
  // those who wait when a job becomes ready that each of them may have, one wakes, and should call
  // LeaseNext: the others may go on waiting until their timeout.
  virtual void WaitForWork(uint64_t seen, absl::Duration timeout) = 0;

  // The leased job with its image and reference, for reading the source.
  // - FAILED_PRECONDITION STALE_EPOCH. NOT_FOUND JOB_NOT_FOUND.
  virtual absl::StatusOr<Lease> GetLease(const std::string& job_id, uint64_t epoch) = 0;

  // Extends the leases by the TTL from now and keeps their progress. One verdict for each, in
  // order. Writes nothing to the disk. `leases` are all that the coordinator holds: one that was
  // given to it a quarter of the TTL ago, and about which no call ever came, was lost on its way
  // and ends with the next ExpireLeases.
  virtual std::vector<LeaseVerdict> Renew(const std::string& coordinator,
                                          const std::vector<HeldLease>& leases) = 0;

  // Registers the results, also for the other images of the same bytes that they were asked for,
  // keeps the statistics, and the job is kSucceeded, all or nothing. Jobs that waited for it go on.
  // Repeated under the same epoch: the first answer.
  // - FAILED_PRECONDITION STALE_EPOCH. NOT_FOUND JOB_NOT_FOUND.
  // - INVALID_ARGUMENT BAD_RESULT: not as many images as the lease has outputs; `inspected` without
  // or
  //   for a job that does not inspect, or of another size than the file that was registered.
  virtual absl::StatusOr<CompletedJob> Complete(const std::string& job_id, uint64_t epoch,
                                                const JobResult& result) = 0;

  // Gives the lease up. A job that failed because of the place of its source (its file has gone, or
  // is another one) goes on with another image of the same bytes that it was asked for.
  // SOURCE_CHANGED makes the source unread, or the reference when the error's metadata names it as
  // `image`. A job with cancel_requested becomes kCancelled whatever the outcome, except that
  // kPermanent is kFailed. kCancelled without a request counts as kRetry. Repeated under the same
  // epoch: no effect.
  // - FAILED_PRECONDITION STALE_EPOCH. NOT_FOUND JOB_NOT_FOUND.
  virtual absl::StatusOr<JobRecord> Fail(const std::string& job_id, uint64_t epoch,
                                         FailOutcome outcome, const JobError& error) = 0;

  // Ends the leases that were not renewed in time: back to the queue, or kFailed with POISON_JOB or
  // ATTEMPTS_EXHAUSTED. One about which no Renew or GetLease ever came counts as handed back.
  // Returns the jobs as they are then. Call it every few seconds. The leases of before the catalog
  // was opened are good for one whole TTL from the first call on.
  virtual absl::StatusOr<std::vector<JobRecord>> ExpireLeases() = 0;

  // ---- Coordinators

  // Adds the coordinator, or changes its address.
  // - RESOURCE_EXHAUSTED TOO_MANY_COORDINATORS: the list is full.
  virtual absl::Status RegisterCoordinator(const CoordinatorRecord& coordinator) = 0;
  // - NOT_FOUND COORDINATOR_NOT_FOUND.
  virtual absl::Status RemoveCoordinator(const std::string& name) = 0;
  // By name.
  virtual std::vector<CoordinatorRecord> ListCoordinators() const = 0;
  // On the list, or the list is empty. Reads memory.
  virtual bool CoordinatorAllowed(const std::string& name) const = 0;

  // ---- Hints

  // Calls `callback` after changes, on a thread of the catalog or of the caller that made the
  // change, outside its locks. It must return at once and must not call the catalog. Ends when the
  // handle is destroyed, which waits for a call in progress; not from within the callback.
  [[nodiscard]] virtual std::shared_ptr<void> Subscribe(
      std::function<void(const CatalogHint&)> callback) = 0;
};

}  // namespace histeq::store
