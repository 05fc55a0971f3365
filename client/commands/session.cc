#include "commands/session.h"

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>
#include <utility>

#include "display/error_text.h"
#include "display/json.h"
#include "fmt/format.h"

namespace histeq::client {

ExitCode Worse(ExitCode a, ExitCode b) {
  if (a == kFailed || b == kFailed) return kFailed;
  return std::max(a, b);
}

CallControl Session::Control(Display::Item& item) const {
  return {.token = token, .notice = [&item](const std::string& text) { item.Notice(text); }};
}

CallControl Session::Control() const {
  Display* to = &display;
  return {.token = token, .notice = [to](const std::string& text) { to->Note(text); }};
}

ExitCode Session::Report(const std::string& subject, const absl::Status& status,
                         const std::string& key) const {
  if (status.ok()) return kOk;
  display.Error(subject.empty() ? ErrorText(status) : subject + ": " + ErrorText(status));
  if (json) {
    display.OutText(subject.empty() ? fmt::format("{{\"error\":{}}}\n", ToJson(status))
                                    : fmt::format("{{{}:{},\"error\":{}}}\n", JsonString(key),
                                                  JsonString(subject), ToJson(status)));
  }
  return IsUnreachable(status) ? kUnreachable : kFailed;
}

ExitCode RunParallel(const Session& session, size_t count, size_t parallel,
                     const std::function<ExitCode(size_t)>& work) {
  std::atomic<size_t> next = 0;
  std::mutex mutex;
  ExitCode worst = kOk;
  const auto run = [&] {
    for (;;) {
      const size_t number = next++;
      if (number >= count) return;
      const ExitCode code = session.token.cancelled() ? kFailed : work(number);
      std::lock_guard lock(mutex);
      worst = Worse(worst, code);
    }
  };
  std::vector<std::thread> threads;
  for (size_t i = 1; i < std::min(parallel, count); ++i) {
    try {
      threads.emplace_back(run);
    } catch (const std::system_error&) {
      break;
    }
  }
  run();
  for (std::thread& thread : threads) thread.join();
  return worst;
}

void OrderedOutput::Set(size_t number, std::string text) {
  std::lock_guard lock(mutex_);
  texts_[number] = std::move(text);
  while (next_ < texts_.size() && texts_[next_].has_value()) {
    if (!texts_[next_]->empty()) display_.OutText(*texts_[next_]);
    texts_[next_++]->clear();
  }
}

}  // namespace histeq::client
