#pragma once

// Jobs that ended long ago, which go with the requests and uploads that asked for them.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sqlite_db.h"

namespace histeq::store {

// A look at some of the jobs in the order in which they were made; each goes on where the last one
// ended. One thread at a time.
class JobPruning {
 public:
  struct Found {
    std::vector<std::string> job_ids;
    // There are jobs after these; otherwise the next look begins with the oldest again.
    bool more = false;
  };
  // The final jobs among the next `max_looks` that ended before `before`. Left out is the latest
  // that read the file of an image that is still there: it says what became of it.
  absl::StatusOr<Found> Look(Database& db, absl::Time before, uint32_t max_looks);

 private:
  int64_t after_seq_ = 0;
};

// Uploads without a job that were finished before `before`, at most `max`.
absl::StatusOr<std::vector<std::string>> FindFinishedUploads(Database& db, absl::Time before,
                                                             uint32_t max);

struct Pruned {
  uint64_t jobs = 0;
  uint64_t uploads = 0;
};
// Removes the jobs, those that are final, with their requests, finished uploads and what is noted
// about their failure; and the uploads, those that are finished. Within one change. Of a job with
// very many requests some go, and the rest with a later call.
absl::StatusOr<Pruned> Prune(Database& db, const std::vector<std::string>& job_ids,
                             const std::vector<std::string>& upload_ids);

}  // namespace histeq::store
