#pragma once

// What is made only once: which job makes a derivative, which jobs wait for it, and what it
// becomes.

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sqlite_db.h"
#include "store/records.h"

namespace histeq::store {

// As SetKey, for an image whose file is not read yet; of its own for a refresh, since it is not
// known yet what is there.
std::string UnreadSetKey(const std::string& image_id, const JobSpec& spec);

// Names the outputs and the bytes that they are made of; empty for a job without outputs.
// `reference_sha256`: the bytes of the reference; empty: there is none.
std::string SetKey(const Sha256Digest& source_sha256, const JobSpec& spec,
                   const std::string& reference_sha256);

// Which outputs are to be made when `result_image_ids` are there: see Lease::outputs.
std::vector<uint32_t> OutputsToMake(const JobRecord& job);

// The rules, within one change. A job waits only for older ones: what a
// job leaves unmade goes to the oldest that waits for it, whatever else that one waits for. So no
// two wait for each other.
class Derivation {
 public:
  // Results last until `ttl` after `now`.
  Derivation(Database& db, absl::Time now, absl::Duration ttl) : db_(db), now_(now), ttl_(ttl) {}

  // For a job that is about to be inserted: gives it the results that are there, notes that it
  // makes what nobody makes, and that it waits for the makers of the rest. Sets result_image_ids,
  // blocked, and kSucceeded when nothing is left to make.
  absl::Status Attach(JobRecord& job, const ImageRecord& image);

  // Whether nothing of the job, with its spec, would be left to make.
  absl::StatusOr<bool> AllThere(const ImageRecord& image, const JobSpec& spec);

  // The SHA-256 of the bytes of the spec's reference; empty without one. It does not change while a
  // job with that reference lives.
  absl::StatusOr<std::string> ReferenceSha256(const JobSpec& spec);

  // For a request of `image`, a refresh or not, that shares the live job `job`, which may be
  // another image's.
  absl::Status Join(const JobRecord& job, const ImageRecord& image, bool refresh);

  // Whether what the job has already is to be had for `image` too, which has the same bytes.
  absl::StatusOr<bool> CanMove(const JobRecord& job, const ImageRecord& image);

  // Lets the queued job read `image`, which has the same bytes, if CanMove; and also the queued
  // jobs that it waits for, as by MoveNearer.
  absl::Status Move(const std::string& job_id, const ImageRecord& image);

  // As Move, when the bytes are surer to be there than where the job would read them.
  absl::Status MoveNearer(const std::string& job_id, const ImageRecord& image);

  // The jobs that were moved, by any call: they may be ready now.
  const std::vector<std::string>& moved() const { return moved_; }

  // Registers what `job` made (`made`: one for each of OutputsToMake) and sets its results. Adds to
  // `freed` the locations that nothing refers to any more.
  absl::Status Register(JobRecord& job, const std::vector<ImageFacts>& made,
                        std::vector<std::string>& freed);

  // For a job on an unread image: it waits for `inspection`, and is attached when that has
  // succeeded. Sets result_image_ids and blocked.
  absl::Status AwaitInspection(JobRecord& job, const std::string& inspection_id);

  // Removes what was made of the image from another file than it has now.
  absl::Status ForgetMade(const std::string& image_id, std::vector<std::string>& freed);

  // Forgets which jobs on the image failed because of what its file was.
  absl::Status ForgetFailuresOfPlace(const std::string& image_id);

  // After `job` became final: hands over what it leaves unmade, and returns the jobs that waited
  // for it and changed (ready or kSucceeded, when not `blocked`), already written.
  absl::StatusOr<std::vector<JobRecord>> Release(const JobRecord& job);

 private:
  struct Row {
    int64_t seq = 0;
    std::string source_image_id;
    std::string job_id;
    std::string image_id;
  };
  absl::StatusOr<std::vector<Row>> FindRows(const std::string& sha256, const std::string& key);
  absl::StatusOr<std::optional<std::string>> FindMaker(const std::string& sha256,
                                                       const std::string& key);
  absl::Status InsertMaker(const std::string& sha256, const std::string& key,
                           const std::string& job_id);
  absl::Status InsertWait(const std::string& maker_id, const std::string& job_id);
  // The row of (image, key), made when there is none; `image_id` empty: not there, and a row that
  // has an image keeps it.
  absl::Status PutRow(const std::string& source_image_id, const std::string& sha256,
                      const std::string& key, const JobOutput& output, const std::string& job_id,
                      const std::string& image_id);
  // The derivative's image when it is there, also when only another image of the same bytes has it;
  // empty: it is not.
  absl::StatusOr<std::string> Take(const ImageRecord& image, const std::vector<JobOutput>& outputs,
                                   size_t index, const std::string& key);
  // Whether any image of these bytes has the derivative.
  absl::StatusOr<bool> IsThere(const std::string& sha256, const std::string& key);
  absl::StatusOr<std::string> InsertResult(const ImageRecord& source,
                                           const std::vector<JobOutput>& outputs, size_t index,
                                           const ImageFacts& facts, const std::string& job_id);
  // Its time begins anew, and that of the results that it was made of.
  absl::Status Refresh(const std::string& image_id);
  // What `job` can take, makes and waits for; see Attach. Outputs that the ended job `ended` made
  // just now are taken by a refresh too.
  absl::Status Resolve(JobRecord& job, const ImageRecord& image, const JobRecord* ended);
  // A job that waited for an inspection.
  absl::Status ResolveInspected(JobRecord& job, const ImageRecord& image, const JobRecord& ended);
  absl::StatusOr<bool> Waits(const std::string& job_id);
  // Whether `job_id` waits for `maker_id`, or for one that does.
  absl::StatusOr<bool> WaitsFor(const std::string& job_id, const std::string& maker_id);
  // Moves one job, and adds to `makers` those that it waits for.
  absl::Status MoveOne(const std::string& job_id, const ImageRecord& image, bool only_nearer,
                       std::vector<std::string>& makers);

  Database& db_;
  const absl::Time now_;
  const absl::Duration ttl_;
  std::vector<std::string> moved_;
};

}  // namespace histeq::store
