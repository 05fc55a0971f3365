#pragma once

// Where the images of a batch are worked on.

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "base/cancel.h"
#include "histeq/v1/job.pb.h"
#include "histeq/v1/operation.pb.h"
#include "local/file_work.h"

namespace histeq::client {

// One image to be worked on.
struct ImageWork {
  // Absolute.
  std::string source_path;
  // A file that is there, and is written from its start.
  std::string result_path;
  v1::Operation operation;
  // May be empty; called on several threads, one call at a time.
  std::function<void(const v1::JobProgress&)> progress;
};

// Threads of this process, or a process of its own. Each belongs to one thread of the batch, and
// all these threads live until every image is done.
class ImageMaker {
 public:
  virtual ~ImageMaker() = default;
  // As WorkOnFile; and where images have a process of their own:
  // - INTERNAL WORKER_CRASHED, DEADLINE_EXCEEDED WORKER_TIMED_OUT, RESOURCE_EXHAUSTED
  //   WORKER_OUT_OF_MEMORY: what the image did to it, twice.
  // - UNAVAILABLE WORKER_NOT_STARTED: there is no such process, whatever the image.
  virtual absl::StatusOr<FileResult> Make(const ImageWork& work,
                                          const base::CancelToken& token) = 0;
};

}  // namespace histeq::client
