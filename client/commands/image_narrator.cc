#include "commands/image_narrator.h"

#include <algorithm>
#include <utility>

#include "api/byte_text.h"
#include "base/clock.h"
#include "base/error.h"
#include "display/error_text.h"
#include "display/json.h"
#include "fmt/format.h"

namespace histeq::client {
namespace {

std::string OutputsJson(const std::vector<OutputFacts>& outputs) {
  std::string text = "[";
  for (const OutputFacts& output : outputs) {
    text +=
        fmt::format("{}{{\"path\":{},\"size_bytes\":{},\"sha256\":{}", text.size() > 1 ? "," : "",
                    JsonString(output.path), output.size_bytes, JsonString(output.sha256));
    if (!output.image_id.empty()) text += ",\"image_id\":" + JsonString(output.image_id);
    text += "}";
  }
  return text + "]";
}

}  // namespace

ImageNarrator::ImageNarrator(const Session& session, const std::vector<InputImage>& images,
                             std::string passed_to)
    : session_(session), images_(images), passed_to_(std::move(passed_to)) {}

void ImageNarrator::Begin(size_t image) {
  std::lock_guard lock(mutex_);
  Running& running = running_[image];
  if (running.item != nullptr) return;
  running.item = session_.display.Begin(images_[image].path);
  running.began = base::SystemClock().Monotonic();
}

WorkReports ImageNarrator::ReportsOf(size_t image) {
  WorkReports reports;
  Display::Item* const item = ItemOf(image);
  if (item == nullptr) return reports;
  reports.notice = [item](const std::string& text) { item->Notice(text); };
  reports.warning = [this, image](const std::string& text) {
    session_.display.Error(images_[image].path + ": " + text);
  };
  // Of many images the stages of each would be noise.
  if (images_.size() > 1 && !session_.display.redraws()) return reports;
  reports.progress = [item](const v1::JobProgress& progress) { item->Working(progress); };
  reports.job = [item](const v1::Job& job) { item->Job(job); };
  reports.uploading = [item](uint64_t done, uint64_t total) { item->Uploading(done, total); };
  reports.downloading = [item](uint64_t done, uint64_t total) { item->Downloading(done, total); };
  return reports;
}

void ImageNarrator::Waiting(size_t image) {
  std::lock_guard lock(mutex_);
  Running& running = running_[image];
  if (!std::exchange(running.waits, true)) {
    running.item->Notice("another command works on it; waiting");
  }
}

void ImageNarrator::End(size_t image, const ImageOutcome& outcome) {
  Running running;
  {
    std::lock_guard lock(mutex_);
    const auto found = running_.find(image);
    if (found != running_.end()) {
      running = std::move(found->second);
      running_.erase(found);
    }
    Count(outcome);
  }
  const double seconds = absl::ToDoubleSeconds(base::SystemClock().Monotonic() - running.began);
  if (outcome.kind == ImageOutcome::Kind::kFailed) {
    if (!session_.token.cancelled()) Tell(images_[image].path, outcome.error);
    return;
  }
  const bool there = outcome.kind == ImageOutcome::Kind::kThere;
  uint64_t bytes = 0;
  for (const OutputFacts& output : outcome.outputs) bytes += output.size_bytes;
  const std::string text =
      fmt::format("{} ({})", passed_to_.empty() ? outcome.outputs.front().path : passed_to_,
                  outcome.outputs.size() == 1
                      ? ByteText(bytes)
                      : fmt::format("{} files, {}", outcome.outputs.size(), ByteText(bytes)));
  if (running.item != nullptr) {
    running.item->Done(
        there ? "already there: " + text : fmt::format("done in {:.1f} s: {}", seconds, text),
        !there);
  }
  if (session_.json && passed_to_.empty()) {
    session_.display.OutText(
        fmt::format("{{\"input\":{},\"status\":\"{}\",\"outputs\":{},\"seconds\":{:.3f}{}}}\n",
                    JsonString(images_[image].path), there ? "already_there" : "done",
                    OutputsJson(outcome.outputs), seconds,
                    outcome.job.has_value() ? ",\"job\":" + ToJson(*outcome.job) : std::string()));
  }
}

void ImageNarrator::Refused(const std::string& input, const absl::Status& error) {
  const auto item = session_.display.Begin(input);
  ImageOutcome outcome;
  outcome.error = error;
  {
    std::lock_guard lock(mutex_);
    Count(outcome);
  }
  Tell(input, error);
}

void ImageNarrator::Tell(const std::string& input, const absl::Status& error) {
  session_.display.Error(fmt::format("{}: {}", input, ErrorText(error)));
  if (!session_.json) return;
  session_.display.OutText(fmt::format("{{\"input\":{},\"status\":\"failed\",\"error\":{}}}\n",
                                       JsonString(input), ToJson(error)));
}

ExitCode ImageNarrator::code() const {
  if (failed_ == 0) return kOk;
  return failed_ > unreachable_ ? kFailed : kUnreachable;
}

std::string ImageNarrator::Summary(absl::Duration took) const {
  std::string text = fmt::format("{} done", made_);
  if (there_ > 0) text += fmt::format(", {} already there", there_);
  if (failed_ > 0) {
    text += fmt::format(", {} failed (", failed_);
    bool first = true;
    for (const auto& [reason, count] : reasons_) {
      text += fmt::format("{}{} {}", first ? "" : ", ", count, reason);
      first = false;
    }
    text += ")";
  }
  const size_t left = images_.size() - std::min(images_.size(), made_ + there_ + failed_);
  if (left > 0) text += fmt::format(", {} left", left);
  const double seconds = absl::ToDoubleSeconds(took);
  text += fmt::format("; {:.1f} s", seconds);
  if (made_ > 0 && seconds > 0) {
    text += fmt::format(", {:.1f} images/s", static_cast<double>(made_) / seconds);
  }
  return text;
}

Display::Item* ImageNarrator::ItemOf(size_t image) {
  std::lock_guard lock(mutex_);
  const auto found = running_.find(image);
  return found == running_.end() ? nullptr : found->second.item.get();
}

void ImageNarrator::Count(const ImageOutcome& outcome) {
  switch (outcome.kind) {
    case ImageOutcome::Kind::kMade:
      ++made_;
      return;
    case ImageOutcome::Kind::kThere:
      ++there_;
      return;
    case ImageOutcome::Kind::kFailed:
      break;
  }
  // What was begun when the command was ended is left, not failed.
  if (session_.token.cancelled()) return;
  ++failed_;
  if (IsUnreachable(outcome.error)) ++unreachable_;
  const std::string reason = base::ReasonOf(outcome.error);
  ++reasons_[reason.empty() ? absl::StatusCodeToString(outcome.error.code()) : reason];
}

}  // namespace histeq::client
