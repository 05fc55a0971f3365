#pragma once

// Jobs that count an image's samples, one for each image at a time.

#include <mutex>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "store/catalog.h"

namespace histeq::frontend {

// Thread-safe.
class AnalyzeJobs {
 public:
  // `operation`: the serialized Analyze operation.
  AnalyzeJobs(store::Catalog& catalog, std::string operation)
      : catalog_(catalog), operation_(std::move(operation)) {}

  // The Analyze job of the image that is not final, or a new one. Errors of Catalog::CreateJob.
  absl::StatusOr<store::JobRecord> JobFor(const std::string& image_id);

 private:
  absl::StatusOr<std::optional<store::JobRecord>> Find(const std::string& image_id,
                                                       store::JobState state);

  store::Catalog& catalog_;
  const std::string operation_;
  // Between the look and the creation.
  std::mutex mutex_;
};

}  // namespace histeq::frontend
