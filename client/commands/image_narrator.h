#pragma once

// What people and scripts are told about the images of one command.

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "commands/session.h"
#include "local/batch.h"

namespace histeq::client {

class ImageNarrator final : public BatchObserver {
 public:
  // `passed_to` is set when the result goes on to an output that is no file. The session and the
  // images outlive it.
  ImageNarrator(const Session& session, const std::vector<InputImage>& images,
                std::string passed_to);

  void Begin(size_t image) override;
  WorkReports ReportsOf(size_t image) override;
  void Waiting(size_t image) override;
  void End(size_t image, const ImageOutcome& outcome) override;

  // Of an input that was not even an image to work on.
  void Refused(const std::string& input, const absl::Status& error);

  size_t failed() const { return failed_; }
  // After the end.
  ExitCode code() const;
  // After the end: one line about many.
  std::string Summary(absl::Duration took) const;

 private:
  struct Running {
    std::unique_ptr<Display::Item> item;
    absl::Duration began;
    bool waits = false;
  };

  Display::Item* ItemOf(size_t image);
  void Tell(const std::string& input, const absl::Status& error);
  void Count(const ImageOutcome& outcome);

  const Session& session_;
  const std::vector<InputImage>& images_;
  const std::string passed_to_;
  std::mutex mutex_;
  std::map<size_t, Running> running_;
  size_t made_ = 0;
  size_t there_ = 0;
  size_t failed_ = 0;
  // Of those that failed: for want of a server.
  size_t unreachable_ = 0;
  std::map<std::string, size_t> reasons_;
};

}  // namespace histeq::client
