#pragma once

// Many images, each made once, whatever else runs on the same folder.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/cancel.h"
#include "histeq/v1/job.pb.h"
#include "local/image_list.h"
#include "local/image_maker.h"
#include "local/made_file.h"
#include "local/output_plan.h"

namespace histeq::client {

struct BatchOptions {
  Recipe recipe;
  OutputPlace place;
  // Make again what is there, and replace files that are not ours.
  bool anew = false;
  // Stands for the id of the reference image, where the recipe has one, in what tells outputs
  // apart: an id is another one at each upload. Empty: the id itself does.
  std::string reference_key;
  // Claims are kept in registries beside the outputs; without, for a single image, nothing is.
  bool registry = true;
  // Without a registry: takes the only output in place of a name, which it is not given then.
  std::function<absl::Status(const MadeFile&)> take;
  // Claims of a run that says nothing for so long are taken over.
  absl::Duration lease = absl::Seconds(60);
  // How often an image that another run works on is looked at again.
  absl::Duration busy_interval = absl::Milliseconds(200);
};

// A file that an image has now.
struct OutputFacts {
  std::string path;
  uint64_t size_bytes = 0;
  // 64 hexadecimal digits; empty when it is not known.
  std::string sha256;
  // The services' name of it; empty when others made it, or another time.
  std::string image_id;
};

// What became of an image.
struct ImageOutcome {
  enum class Kind { kMade, kThere, kFailed };
  Kind kind = Kind::kFailed;
  // All its outputs; of a failed one none.
  std::vector<OutputFacts> outputs;
  // What made them just now, by services.
  std::optional<v1::Job> job;
  absl::Status error;
};

// Called on the threads of the batch; for one image one call at a time.
class BatchObserver {
 public:
  virtual ~BatchObserver() = default;
  // Work on an image begins, or it is waited for (again).
  virtual void Begin(size_t image) = 0;
  // What is told about the work on an image that was begun, until its end.
  virtual WorkReports ReportsOf(size_t image) = 0;
  // Another run has it.
  virtual void Waiting(size_t image) = 0;
  // Once for each image that was begun.
  virtual void End(size_t image, const ImageOutcome& outcome) = 0;
};

// Works on all images, one for each maker at once, and waits for those that other runs work on.
// Every image is begun unless `token` is cancelled, or a maker says that nothing can be
// made. OK whatever becomes of the images; else
// - the token's status; UNAVAILABLE WORKER_NOT_STARTED or SERVER_UNREACHABLE; RESOURCE_EXHAUSTED
//   NO_THREADS.
absl::Status RunBatch(const std::vector<InputImage>& images,
                      const std::vector<std::unique_ptr<ImageMaker>>& makers,
                      const BatchOptions& options, BatchObserver& observer,
                      const base::CancelToken& token);

}  // namespace histeq::client
