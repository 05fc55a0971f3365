#pragma once

// A job's segments between its spool and its stitcher.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "codec/fragment.h"
#include "engine/executor.h"
#include "engine/plan.h"
#include "spool.h"

namespace histeq::engine {

class JobExchange final : public SegmentExchange {
 public:
  // Called with the number of segments written, one call at a time, on a delivering thread.
  using Progress = std::function<void(uint32_t written)>;

  // `spool` and `stitcher` outlive it.
  JobExchange(const Plan& plan, Spool& spool, codec::Stitcher& stitcher, Progress progress);

  uint32_t count() const override { return plan_.count(); }
  Segment at(uint32_t index) const override { return plan_.at(index); }
  absl::Status Read(uint32_t index, uint64_t offset, std::span<uint8_t> out) override;
  std::span<uint8_t> InPlace(uint32_t index) override;
  absl::Status Deliver(uint32_t index, codec::Fragment fragment) override;
  uint32_t delivered_prefix() const override;
  void WatchPrefix(std::function<void()> grown) override { prefix_grown_ = std::move(grown); }

 private:
  const Plan plan_;
  Spool& spool_;
  codec::Stitcher& stitcher_;
  const Progress progress_;
  std::function<void()> prefix_grown_;
  mutable std::mutex mutex_;
  // Fragments that wait for one before them, or for the thread that writes.
  std::map<uint32_t, codec::Fragment> waiting_;
  std::vector<bool> delivered_;
  uint32_t written_ = 0;
  bool writing_ = false;
  absl::Status status_;
};

}  // namespace histeq::engine
