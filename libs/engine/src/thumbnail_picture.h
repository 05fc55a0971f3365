#pragma once

// A thumbnail's samples, from the rows that the resampling gives to what its encoder takes:
// upright, in its format's kind.

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "codec/encode_picture.h"
#include "codec/scratch.h"
#include "engine/run_job.h"

namespace histeq::engine {

class ThumbnailPicture {
 public:
  struct Kind {
    // As it is stored, before it is turned.
    uint32_t width = 0;
    uint32_t height = 0;
    uint32_t orientation = 1;
    // Of the rows that come.
    uint32_t channels = 1;
    bool has_alpha = false;
    uint32_t bits_per_sample = 8;
    codec::ImageFormat format = codec::ImageFormat::kJpeg;
    // 0xRRGGBB.
    uint32_t background = 0xffffff;
  };

  // RESOURCE_EXHAUSTED: DISK_FULL, SCRATCH_FAILED.
  static absl::StatusOr<ThumbnailPicture> Create(const Kind& kind, const JobOptions& options);

  // A row of `width` pixels.
  void PutRow(uint32_t row, std::span<const uint8_t> pixels);

  // After the last row.
  codec::Picture picture() const;

 private:
  ThumbnailPicture() = default;
  void Convert(std::span<const uint8_t> pixels, uint8_t* out) const;
  uint8_t* samples() { return kept_.empty() ? scratch_.data() : kept_.data(); }

  Kind kind_;
  // Of the result.
  uint32_t channels_ = 1;
  uint32_t bits_per_sample_ = 8;
  bool converts_ = false;
  uint64_t bytes_ = 0;
  // One or the other holds the samples.
  std::vector<uint8_t> kept_;
  codec::Scratch scratch_;
  std::vector<uint8_t> line_;
};

}  // namespace histeq::engine
