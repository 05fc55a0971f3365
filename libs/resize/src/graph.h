#pragma once

// zimg's resampling of one plane of 16-bit samples, in one direction.

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "axis.h"
#include "resize/resampler.h"

struct zimg_filter_graph;

namespace histeq::resize {

// Rows of a plane: aligned to kWorkAlignment, the stride too.
struct PlaneRows {
  uint16_t* data = nullptr;
  size_t stride_bytes = 0;
};

// Bytes of a row of `samples` 16-bit samples, with what aligns the next.
constexpr size_t RowStride(uint64_t samples) {
  return static_cast<size_t>((samples * 2 + kWorkAlignment - 1) / kWorkAlignment * kWorkAlignment);
}

// Memory aligned to kWorkAlignment.
class AlignedBytes {
 public:
  explicit AlignedBytes(size_t bytes);
  uint8_t* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(uint8_t* data) const;
  };
  std::unique_ptr<uint8_t, Free> data_;
};

class Graph {
 public:
  // `rows` rows of axis.source samples to axis.target.
  static absl::StatusOr<Graph> Horizontal(const Axis& axis, uint32_t rows);
  // axis.source rows of `width` samples to axis.target rows.
  static absl::StatusOr<Graph> Vertical(const Axis& axis, uint32_t width);

  // `check`, when set, is asked now and then.
  absl::Status Run(PlaneRows source, PlaneRows target,
                   const std::function<absl::Status()>& check = nullptr) const;

 private:
  struct Free {
    void operator()(zimg_filter_graph* graph) const;
  };
  Graph() = default;
  static absl::StatusOr<Graph> Build(const void* source, const void* target);

  std::unique_ptr<zimg_filter_graph, Free> graph_;
  std::shared_ptr<AlignedBytes> work_;
};

}  // namespace histeq::resize
