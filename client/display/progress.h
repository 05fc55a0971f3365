#pragma once

// What people see while commands work: one redrawn line on a terminal, plain lines elsewhere.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "histeq/v1/job.pb.h"

namespace histeq::client {

// Lines to the standard output and the standard error output, and the progress of items between
// them. All text is made printable. Thread-safe. One thread of its own when it redraws.
class Display {
 public:
  struct Options {
    // Both outlive the display.
    std::ostream* out = nullptr;
    std::ostream* err = nullptr;
    // `err` is a terminal: redraw one line there.
    bool redraw = false;
    // No progress, no notices.
    bool quiet = false;
    bool color = false;
    // Blocks and bars instead of ASCII.
    bool utf8 = false;
    // Of the terminal, asked at each redraw; empty: 80.
    std::function<size_t()> columns = {};
  };
  explicit Display(Options options);
  ~Display();
  Display(const Display&) = delete;
  Display& operator=(const Display&) = delete;

  // One thing that is worked on: an input, a job. Belongs to one thread. Outlived by the display.
  // Ends as failed unless Done was called.
  class Item {
   public:
    ~Item();
    Item(const Item&) = delete;
    Item& operator=(const Item&) = delete;

    void Uploading(uint64_t done, uint64_t total);
    void Downloading(uint64_t done, uint64_t total);
    void Job(const v1::Job& job);
    void Working(const v1::JobProgress& progress);
    // Something that the user should know, on a line of its own.
    void Notice(const std::string& text);
    // `worked`: it took work; else it was there, and says nothing about how fast work is.
    void Done(const std::string& text, bool worked = true);

   private:
    friend class Display;
    Item(Display& display, std::string label, bool counted)
        : display_(display), label_(label), counted_(counted) {}

    enum class Phase { kWaiting, kUpload, kQueued, kWork, kDownload };
    void Enter(Phase phase);
    // 0 to 1; below 0: not known.
    double Fraction() const;
    std::string Detail() const;

    Display& display_;
    const std::string label_;
    const bool counted_;
    Phase phase_ = Phase::kWaiting;
    uint64_t done_ = 0;
    uint64_t total_ = 0;
    // Where and when this phase began: the base of its rate.
    uint64_t base_ = 0;
    absl::Duration began_;
    v1::JobProgress progress_;
    // While it is queued.
    std::string waiting_for_;
    bool finished_ = false;
  };
  // `counted`: one of those of ExpectItems.
  [[nodiscard]] std::unique_ptr<Item> Begin(const std::string& label, bool counted = true);
  // How many items there will be; for the total of many.
  void ExpectItems(size_t count);

  // One line, with its end, to the standard output: results.
  void Out(const std::string& line);
  // Text that is printable already, as it is.
  void OutText(const std::string& text);
  // "histeq: LINE" to the standard error output, also when quiet.
  void Error(const std::string& line);
  // A line to the standard error output unless quiet.
  void Note(const std::string& line);

  bool utf8() const { return options_.utf8; }
  bool redraws() const { return options_.redraw; }
  size_t columns() const { return options_.columns ? options_.columns() : 80; }

 private:
  void Redraw();
  void Erase();
  std::string Line() const;
  void Run();

  const Options options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Item*> items_;
  size_t expected_ = 0;
  size_t done_ = 0;
  // Of those, the ones that were there.
  size_t there_ = 0;
  size_t failed_ = 0;
  uint64_t bytes_ = 0;
  absl::Duration began_;
  bool drawn_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace histeq::client
