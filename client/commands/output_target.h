#pragma once

// Where the bytes of one download go: a file, or the standard output.

#include <functional>
#include <memory>
#include <string>

#include "api/received_bytes.h"
#include "commands/output_file.h"
#include "commands/stream_sink.h"

namespace histeq::client {

// One download. The stream outlives it.
class OutputTarget {
 public:
  // `path` of the image, "-" for `out`.
  OutputTarget(std::function<std::string(const v1::Image&)> path, bool overwrite, std::ostream& out)
      : path_(std::move(path)), overwrite_(overwrite), stream_(out) {}

  // For the download; refers to this object.
  OpenSink Opener();
  // After its end: the file gets its name.
  absl::Status Commit();

  // Once opened: the path, "-" for the standard output.
  const std::string& path() const { return chosen_; }

 private:
  const std::function<std::string(const v1::Image&)> path_;
  const bool overwrite_;
  StreamSink stream_;
  std::string chosen_;
  std::unique_ptr<OutputFile> file_;
};

}  // namespace histeq::client
