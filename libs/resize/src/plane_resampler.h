#pragma once

// Planes of 16-bit samples: across as rows come, down when all are there.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "axis.h"
#include "graph.h"

namespace histeq::resize {

class PlaneResampler {
 public:
  struct Spec {
    uint32_t source_width = 0;
    uint32_t source_height = 0;
    uint32_t planes = 1;
    Region region;
    uint32_t width = 0;
    uint32_t height = 0;
  };
  // Fills source_width samples of a row in each plane; `row` counts from 0 in each call of Push().
  using Fill = std::function<void(uint32_t row, std::span<uint16_t* const> planes)>;

  static absl::StatusOr<PlaneResampler> Create(const Spec& spec);

  uint64_t work_bytes() const { return middle_bytes_ + target_bytes_; }
  void Start(std::span<uint8_t> work);

  // The next `rows` rows: calls `fill` for those that take part.
  absl::Status Push(uint32_t rows, const Fill& fill);
  absl::Status Finish(const std::function<absl::Status()>& check);
  // After Finish(): `width` samples.
  std::span<const uint16_t> Row(uint32_t plane, uint32_t row) const;

 private:
  PlaneResampler() = default;
  absl::Status Flush();
  bool FillsMiddle() const { return !across_.changes && down_.copies == 1; }
  void Place(uint32_t plane, uint32_t row, const uint16_t* samples);
  PlaneRows Strip(uint32_t plane) const;
  PlaneRows StripTarget(uint32_t plane) const;
  PlaneRows Middle(uint32_t plane) const;
  PlaneRows Target(uint32_t plane) const;

  Spec spec_;
  Axis across_;
  Axis down_;
  std::shared_ptr<const Graph> horizontal_;
  std::shared_ptr<const Graph> vertical_;
  // What both work in.
  std::shared_ptr<AlignedBytes> graph_work_;
  // Rows that the horizontal graph takes at once.
  uint32_t strip_rows_ = 1;
  std::shared_ptr<AlignedBytes> strip_;
  std::shared_ptr<AlignedBytes> strip_target_;
  uint32_t filled_rows_ = 0;
  // Rows of the source that came; rows that went into the middle.
  uint32_t pushed_rows_ = 0;
  uint32_t middle_rows_ = 0;
  uint64_t middle_bytes_ = 0;
  uint64_t target_bytes_ = 0;
  uint8_t* work_ = nullptr;
};

}  // namespace histeq::resize
