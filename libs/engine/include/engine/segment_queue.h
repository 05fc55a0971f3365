#pragma once

// Which segment of a job is worked on next: what every executor pulls from.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/cancel.h"

namespace histeq::engine {

// Hands out the indices [0, count) in order, takes back those that failed, and knows when all are
// done. Every index that was taken is handed in again by exactly one Complete() or GiveBack(), also
// after an error. Thread-safe.
class SegmentQueue {
 public:
  // No index is handed out for the first time that is `window` (at least 1) or more ahead of the
  // first one that is not delivered: `delivered_prefix` is SegmentExchange's, asked under the
  // queue's lock; without it, what is complete is delivered. When `token` is cancelled the queue
  // fails with its status.
  SegmentQueue(uint32_t count, uint32_t window, const base::CancelToken& token,
               std::function<uint32_t()> delivered_prefix = nullptr);
  ~SegmentQueue();
  SegmentQueue(const SegmentQueue&) = delete;
  SegmentQueue& operator=(const SegmentQueue&) = delete;

  // The lowest index that was given back; if there is none, the next new one within the window.
  // Nothing when there is no such index now, or when over().
  std::optional<uint32_t> TryTake();

  // As TryTake(), but waits for an index up to `timeout`. Nothing after that, when over(), and as
  // soon as `stop` is true, which is asked before waiting and after each Wake(). `stop` must not
  // call the queue.
  std::optional<uint32_t> Take(absl::Duration timeout, const std::function<bool()>& stop = nullptr);

  // Hands in a taken index for somebody else; it goes to the front.
  void GiveBack(uint32_t index);

  // Hands in a taken index that is done. Call it after SegmentExchange::Deliver has returned OK.
  void Complete(uint32_t index);

  // Ends the queue with an error (not OK). The first one stays.
  void Fail(absl::Status why);

  // Makes every Take() that waits ask its `stop`, and look whether the window has moved.
  void Wake();

  // Whether nothing will be handed out any more: all are complete, or the queue failed.
  bool over() const;

  // OK until the queue failed; a job whose segments are all complete cannot fail.
  absl::Status status() const;

  // Waits until the queue is over and no index is out; false when that took longer than `timeout`.
  bool WaitFor(absl::Duration timeout);

  // As WaitFor, without end; returns status().
  absl::Status Wait();

  uint32_t completed() const;
  // Taken, and not handed in yet.
  uint32_t taken() const;

 private:
  bool Over() const;
  std::optional<uint32_t> Next();

  const uint32_t count_;
  const uint32_t window_;
  const std::function<uint32_t()> delivered_prefix_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  absl::Status status_;
  std::set<uint32_t> given_back_;
  std::vector<bool> complete_;
  // All below are complete.
  uint32_t prefix_ = 0;
  // The first index that was never handed out.
  uint32_t next_ = 0;
  uint32_t completed_ = 0;
  uint32_t taken_ = 0;
  // Last member: its callback uses the others.
  std::shared_ptr<void> cancel_link_;
};

}  // namespace histeq::engine
