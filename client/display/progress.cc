#include "display/progress.h"

#include <algorithm>
#include <chrono>

#include "api/byte_text.h"
#include "base/clock.h"
#include "display/names.h"
#include "display/printable.h"
#include "fmt/format.h"

namespace histeq::client {
namespace {

constexpr std::chrono::milliseconds kRedrawInterval(100);
constexpr size_t kBarColumns = 20;
constexpr size_t kLabelColumns = 32;

absl::Duration Now() { return base::SystemClock().Monotonic(); }

std::string Clock(double seconds) {
  const auto whole = static_cast<uint64_t>(std::clamp(seconds, 0.0, 359999.0) + 0.5);
  return whole < 3600 ? fmt::format("{}:{:02}", whole / 60, whole % 60)
                      : fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string Bar(double fraction, bool utf8) {
  constexpr const char* kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  fraction = std::clamp(fraction, 0.0, 1.0);
  if (!utf8) {
    const auto full = static_cast<size_t>(fraction * kBarColumns);
    std::string bar = "[";
    bar.append(full, '#');
    bar.append(kBarColumns - full, '-');
    return bar + ']';
  }
  const auto eighths = static_cast<size_t>(fraction * kBarColumns * 8);
  std::string bar = "▕";
  for (size_t i = 0; i < eighths / 8; ++i) bar += "█";
  size_t used = eighths / 8;
  if (eighths % 8 != 0) {
    bar += kEighths[eighths % 8];
    ++used;
  }
  return bar + std::string(kBarColumns - used, ' ') + "▏";
}

// Time left at the speed so far; empty while that says nothing.
std::string TimeLeft(double done, double left, double seconds) {
  if (done <= 0 || left <= 0 || seconds < 0.5) return "";
  return ", " + Clock(seconds * left / done) + " left";
}

}  // namespace

Display::Item::~Item() {
  std::lock_guard lock(display_.mutex_);
  std::erase(display_.items_, this);
  if (!finished_ && counted_) ++display_.failed_;
}

void Display::Item::Enter(Phase phase) {
  if (phase == phase_) return;
  phase_ = phase;
  done_ = total_ = base_ = 0;
  began_ = Now();
}

void Display::Item::Uploading(uint64_t done, uint64_t total) {
  std::unique_lock lock(display_.mutex_);
  const bool first = phase_ != Phase::kUpload;
  Enter(Phase::kUpload);
  if (first || done < done_) {
    base_ = done;
    began_ = Now();
  } else {
    display_.bytes_ += done - done_;
  }
  done_ = done;
  total_ = total;
  lock.unlock();
  if (first && !display_.options_.redraw) {
    display_.Note(fmt::format("{}: uploading {}", label_, ByteText(total)));
  }
}

void Display::Item::Downloading(uint64_t done, uint64_t total) {
  std::unique_lock lock(display_.mutex_);
  const bool first = phase_ != Phase::kDownload;
  Enter(Phase::kDownload);
  if (first) base_ = done;
  if (done > done_) display_.bytes_ += done - done_;
  done_ = done;
  total_ = total;
  lock.unlock();
  if (first && !display_.options_.redraw) {
    display_.Note(fmt::format("{}: downloading {}", label_, ByteText(total)));
  }
}

void Display::Item::Job(const v1::Job& job) {
  {
    std::lock_guard lock(display_.mutex_);
    if (job.state() == v1::JOB_STATE_QUEUED) Enter(Phase::kQueued);
    if (job.state() == v1::JOB_STATE_RUNNING) Enter(Phase::kWork);
    progress_.Clear();
    waiting_for_ = job.waiting_for();
  }
  if (display_.options_.redraw) return;
  std::string line = fmt::format("{}: job {} {}", label_, job.id(), StateName(job.state()));
  if (job.state() == v1::JOB_STATE_RUNNING) line += " on " + job.coordinator();
  if (job.state() == v1::JOB_STATE_QUEUED && job.has_error()) {
    line += fmt::format(" again after {} of {} attempts: {}", job.attempts(), job.max_attempts(),
                        job.error().message());
  }
  if (job.state() == v1::JOB_STATE_QUEUED && !job.waiting_for().empty()) {
    line += ", waits for " + job.waiting_for();
  }
  display_.Note(line);
}

void Display::Item::Working(const v1::JobProgress& progress) {
  std::unique_lock lock(display_.mutex_);
  const bool stage_changed = progress.stage() != progress_.stage();
  Enter(Phase::kWork);
  if (stage_changed) {
    began_ = Now();
    base_ = progress.segments_done();
  }
  progress_ = progress;
  lock.unlock();
  if (!stage_changed || display_.options_.redraw || StageName(progress.stage()).empty()) return;
  std::string line = fmt::format("{}: {}", label_, StageName(progress.stage()));
  if (progress.segments_total() > 0) {
    line += fmt::format(", {} segment{}", progress.segments_total(),
                        progress.segments_total() == 1 ? "" : "s");
  }
  display_.Note(line);
}

void Display::Item::Notice(const std::string& text) { display_.Note(label_ + ": " + text); }

void Display::Item::Done(const std::string& text, bool worked) {
  {
    std::lock_guard lock(display_.mutex_);
    finished_ = true;
    if (counted_) ++display_.done_;
    if (counted_ && !worked) ++display_.there_;
  }
  if (!text.empty()) display_.Note(label_ + ": " + text);
}

double Display::Item::Fraction() const {
  if (phase_ == Phase::kWork) {
    if (progress_.segments_total() == 0) return -1;
    return static_cast<double>(progress_.segments_done()) / progress_.segments_total();
  }
  if (total_ == 0) return -1;
  return static_cast<double>(done_) / static_cast<double>(total_);
}

std::string Display::Item::Detail() const {
  const double seconds = absl::ToDoubleSeconds(Now() - began_);
  switch (phase_) {
    case Phase::kWaiting:
      return "waiting";
    case Phase::kQueued:
      return fmt::format("queued {}{}", Clock(seconds),
                         waiting_for_.empty() ? "" : ", waits for " + Printable(waiting_for_));
    case Phase::kUpload:
    case Phase::kDownload: {
      const auto moved = static_cast<double>(done_ - base_);
      std::string text = fmt::format("{} {} of {}", phase_ == Phase::kUpload ? "up" : "down",
                                     ByteText(done_), ByteText(total_));
      if (seconds >= 0.5) {
        text += fmt::format(", {}/s", ByteText(static_cast<uint64_t>(moved / seconds)));
      }
      return text + TimeLeft(moved, static_cast<double>(total_ - std::min(total_, done_)), seconds);
    }
    case Phase::kWork: {
      std::string text = StageName(progress_.stage());
      if (text.empty()) return fmt::format("running {}", Clock(seconds));
      if (progress_.segments_total() == 0) return text;
      text += fmt::format(" {}/{} segments", progress_.segments_done(), progress_.segments_total());
      if (progress_.workers() > 0) {
        text += fmt::format(" on {} worker{}", progress_.workers(),
                            progress_.workers() == 1 ? "" : "s");
      }
      return text +
             TimeLeft(static_cast<double>(progress_.segments_done()) - static_cast<double>(base_),
                      static_cast<double>(progress_.segments_total()) - progress_.segments_done(),
                      seconds);
    }
  }
  return "";
}

Display::Display(Options options) : options_(std::move(options)), began_(Now()) {
  if (options_.redraw && !options_.quiet) thread_ = std::thread([this] { Run(); });
}

Display::~Display() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    Erase();
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  options_.out->flush();
  options_.err->flush();
}

std::unique_ptr<Display::Item> Display::Begin(const std::string& label, bool counted) {
  std::unique_ptr<Item> item(new Item(*this, label, counted));
  std::lock_guard lock(mutex_);
  item->began_ = Now();
  items_.push_back(item.get());
  return item;
}

void Display::ExpectItems(size_t count) {
  std::lock_guard lock(mutex_);
  expected_ += count;
}

void Display::Out(const std::string& line) { OutText(Printable(line) + "\n"); }

void Display::OutText(const std::string& text) {
  std::lock_guard lock(mutex_);
  Erase();
  *options_.out << text;
  options_.out->flush();
}

void Display::Error(const std::string& line) {
  std::lock_guard lock(mutex_);
  Erase();
  *options_.err << (options_.color ? "\x1b[31mhisteq:\x1b[0m " : "histeq: ") << Printable(line)
                << "\n";
  options_.err->flush();
}

void Display::Note(const std::string& line) {
  if (options_.quiet) return;
  std::lock_guard lock(mutex_);
  Erase();
  *options_.err << Printable(line) << "\n";
  options_.err->flush();
}

std::string Display::Line() const {
  if (expected_ <= 1) {
    const Item& item = *items_.front();
    const double fraction = item.Fraction();
    return fmt::format("{}  {}{}", CutToColumns(Printable(item.label_), kLabelColumns),
                       fraction < 0 ? "" : Bar(fraction, options_.utf8) + " ", item.Detail());
  }
  // Items that run count by how far they are.
  double units = static_cast<double>(done_ + failed_);
  size_t phases[5] = {};
  for (const Item* item : items_) {
    if (item->finished_) continue;
    ++phases[static_cast<size_t>(item->phase_)];
    const double fraction = std::max(0.0, item->Fraction());
    constexpr double kBefore[] = {0.0, 0.0, 0.3, 0.35, 0.8};
    constexpr double kShare[] = {0.0, 0.3, 0.0, 0.45, 0.2};
    const auto phase = static_cast<size_t>(item->phase_);
    units += kBefore[phase] + kShare[phase] * fraction;
  }
  const double seconds = absl::ToDoubleSeconds(Now() - began_);
  std::string text =
      fmt::format("{} {}/{} done", Bar(units / static_cast<double>(expected_), options_.utf8),
                  done_, expected_);
  if (failed_ > 0) text += fmt::format(", {} failed", failed_);
  constexpr const char* kPhases[] = {"waiting", "up", "queued", "working", "down"};
  for (size_t i = 1; i < 5; ++i) {
    if (phases[i] > 0) text += fmt::format(", {} {}", phases[i], kPhases[i]);
  }
  if (seconds >= 0.5 && bytes_ > 0) {
    text += fmt::format(", {}/s",
                        ByteText(static_cast<uint64_t>(static_cast<double>(bytes_) / seconds)));
  } else if (seconds >= 0.5 && done_ > there_) {
    // Nothing is moved: work in this command.
    text += fmt::format(", {:.1f} images/s", static_cast<double>(done_ - there_) / seconds);
  }
  return text + TimeLeft(units - static_cast<double>(there_),
                         static_cast<double>(expected_) - units, seconds);
}

void Display::Redraw() {
  // One column free: a full line makes some terminals go on to the next.
  const size_t columns = std::max<size_t>(options_.columns ? options_.columns() : 80, 20) - 1;
  *options_.err << "\r" << CutToColumns(Line(), columns) << "\x1b[K";
  options_.err->flush();
  drawn_ = true;
}

void Display::Erase() {
  if (!drawn_) return;
  *options_.err << "\r\x1b[K";
  options_.err->flush();
  drawn_ = false;
}

void Display::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (!items_.empty()) {
      Redraw();
    } else {
      Erase();
    }
    changed_.wait_for(lock, kRedrawInterval, [this] { return stopping_; });
  }
}

}  // namespace histeq::client
