#pragma once

// Where the images of a batch are worked on.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/cancel.h"
#include "histeq/v1/job.pb.h"
#include "histeq/v1/operation.pb.h"
#include "local/file_work.h"

namespace histeq::client {

// How the work on an image goes on. Each may be empty; called on several threads, one call at a
// time.
struct WorkReports {
  std::function<void(const v1::JobProgress&)> progress;
  // By services: bytes sent and received, of all; the job at first and whenever its state changed.
  std::function<void(uint64_t done, uint64_t total)> uploading;
  std::function<void(uint64_t done, uint64_t total)> downloading;
  std::function<void(const v1::Job&)> job;
  // A sentence: something is tried again.
  std::function<void(const std::string&)> notice;
  // A sentence: what is to be known since the work ends here without its end.
  std::function<void(const std::string&)> warning;
};

// One image to be worked on.
struct ImageWork {
  // What the image is called.
  std::string name;
  // Absolute.
  std::string source_path;
  // An empty file, open for reading and writing, which takes the results one after the other.
  int result = -1;
  v1::Operation operation;
  // For each of the operation's results whether it is wanted: another may be left out, as one of 0
  // bytes. Empty: all are.
  std::vector<bool> wanted;
  // What the first one that is wanted is to be; for messages.
  std::string output_path;
  WorkReports reports;
};

// Threads of this process, a process of its own, or services. Each belongs to one thread of the
// batch, and all these threads live until every image is done.
class ImageMaker {
 public:
  virtual ~ImageMaker() = default;
  // As WorkOnFile; and where images have a process of their own:
  // - INTERNAL WORKER_CRASHED, DEADLINE_EXCEEDED WORKER_TIMED_OUT, RESOURCE_EXHAUSTED
  //   WORKER_OUT_OF_MEMORY: what the image did to it, twice.
  // - UNAVAILABLE WORKER_NOT_STARTED: there is no such process, whatever the image.
  // By services: errors of UploadFile, WatchJob and DownloadImage, and those of the job.
  // - UNAVAILABLE SERVER_UNREACHABLE, whatever the image.
  virtual absl::StatusOr<FileResult> Make(const ImageWork& work,
                                          const base::CancelToken& token) = 0;
};

}  // namespace histeq::client
