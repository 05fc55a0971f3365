#pragma once

// Following a job to its end.

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "api/client.h"
#include "api/received_bytes.h"

namespace histeq::client {

// All may be empty; called on the calling thread.
struct WatchOptions {
  // The job at first and whenever its state changed; its progress.
  std::function<void(const v1::Job&)> job = {};
  std::function<void(const v1::JobProgress&)> progress = {};
  // Given: the result's bytes are downloaded into the sink that it returns, when the job succeeds.
  OpenSink open_result = {};
  ReceivedCallback received = {};
};

struct Watched {
  // In a final state: SUCCEEDED, FAILED or CANCELLED.
  v1::Job job;
  // Set when the result was downloaded.
  std::optional<v1::Image> result;
};

// Follows a job to its end, and then downloads its result when wanted, through broken connections
// and restarts of the server: attaches again, and goes on with the result where it stopped. A
// connection that misses three pings counts as broken.
// - NOT_FOUND: no such job.
// - FAILED_PRECONDITION NO_RESULT: a result is wanted from a job that succeeded without one.
// - As DownloadImage.
absl::StatusOr<Watched> WatchJob(Client& client, const std::string& job_id,
                                 const WatchOptions& options, const CallControl& control);

// Whether `state` is one that a job never leaves.
bool IsFinal(v1::JobState state);

// Why a job ended badly, as a status with the job's reason and facts: its error when FAILED,
// CANCELLED JOB_CANCELLED; OK otherwise.
absl::Status JobFailure(const v1::Job& job);

}  // namespace histeq::client
