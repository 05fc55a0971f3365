#pragma once

// Pictures in another size: rows in, rows of the resampled picture out. Lanczos with three lobes,
// widened by the factor of reduction; from 512 on, after means of blocks. All arithmetic on samples
// is in integers, so that every processor gives the same bytes (docs/adr/0010).

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace histeq::resize {

// A part of a picture, in its pixels; the centre of the first pixel lies at 0.5.
struct Region {
  double left = 0;
  double top = 0;
  double width = 0;
  double height = 0;
};

struct ResampleSpec {
  // 1 to kMaxDimension each.
  uint32_t source_width = 0;
  uint32_t source_height = 0;
  // Gray, gray and alpha, RGB or RGBA: interleaved, 16-bit samples in the machine's order. Alpha is
  // straight; colours are weighted with it while they are averaged.
  uint32_t channels = 1;
  bool has_alpha = false;
  // 8 or 16.
  uint32_t bits_per_sample = 8;
  // What becomes the result; lies within the source and is not empty. Samples around it take part.
  Region region;
  // Of the result, 1 to kMaxDimension each.
  uint32_t width = 0;
  uint32_t height = 0;
  // Whether samples are taken as sRGB and averaged as light.
  bool linear_light = false;
};

inline constexpr uint32_t kMaxDimension = 1'000'000;
// Of the memory given to Start().
inline constexpr size_t kWorkAlignment = 64;

// One picture on its way through. Not thread-safe. A source of any height needs memory for some of
// its rows, and for one result's width times the source's height; where the result is wider than
// the source and lower, for the source and the result.
class Resampler {
 public:
  // A row of the result, valid during the call.
  using RowSink = std::function<absl::Status(uint32_t row, std::span<const uint8_t> pixels)>;

  // INTERNAL: the spec does not hold together. RESOURCE_EXHAUSTED (OUT_OF_MEMORY).
  static absl::StatusOr<std::unique_ptr<Resampler>> Create(const ResampleSpec& spec);
  virtual ~Resampler() = default;

  // Bytes that Start() wants; 0: none.
  virtual uint64_t work_bytes() const = 0;

  // Before the first row. `work` is work_bytes() long, aligned to kWorkAlignment, of any content,
  // and outlives this object. The rows of the result go to `sink` in order, during Push() and
  // Finish().
  virtual void Start(std::span<uint8_t> work, RowSink sink) = 0;

  // The next `rows` rows of the source, without gaps. Errors of the sink.
  virtual absl::Status Push(std::span<const uint8_t> pixels, uint32_t rows) = 0;

  // After the last row. `check` is asked every few rows; what it answers ends the work. Errors of
  // the sink.
  virtual absl::Status Finish(const std::function<absl::Status()>& check) = 0;
};

}  // namespace histeq::resize
