#pragma once

// zimg's resampling of one plane of 16-bit samples, in one direction. Immutable: any number of
// threads may run one at once.

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

inline uint16_t* RowOf(PlaneRows plane, uint64_t row) {
  return reinterpret_cast<uint16_t*>(reinterpret_cast<uint8_t*>(plane.data) +
                                     row * plane.stride_bytes);
}

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
  // Graphs take longer to make than to run for a small picture, and many pictures have the same
  // size: those that were asked for last are kept for the whole process. `rows` rows of axis.source
  // samples to axis.target.
  static absl::StatusOr<std::shared_ptr<const Graph>> Horizontal(const Axis& axis, uint32_t rows);
  // axis.source rows of `width` samples to axis.target rows.
  static absl::StatusOr<std::shared_ptr<const Graph>> Vertical(const Axis& axis, uint32_t width);

  // Of the memory that Run() works in.
  size_t work_bytes() const { return work_bytes_; }

  // `check`, when set, is asked now and then.
  absl::Status Run(PlaneRows source, PlaneRows target, const AlignedBytes& work,
                   const std::function<absl::Status()>& check = nullptr) const;
  // Vertical: `target` gets only the rows within the axis' margins, `width` samples each.
  absl::Status RunWithin(PlaneRows source, PlaneRows target, const Axis& axis, uint32_t width,
                         const AlignedBytes& work,
                         const std::function<absl::Status()>& check) const;

 private:
  struct Free {
    void operator()(zimg_filter_graph* graph) const;
  };
  Graph() = default;
  static absl::StatusOr<std::shared_ptr<const Graph>> Build(const void* source, const void* target);

  std::unique_ptr<zimg_filter_graph, Free> graph_;
  size_t work_bytes_ = 0;
};

}  // namespace histeq::resize
