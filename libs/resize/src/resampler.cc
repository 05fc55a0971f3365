#include "resize/resampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "block_average.h"
#include "plane_resampler.h"
#include "samples.h"

namespace histeq::resize {
namespace {

// Rows of the result between two questions to `check`.
constexpr uint32_t kCheckRows = 64;

absl::Status CheckSpec(const ResampleSpec& spec) {
  const auto fits = [](uint32_t size) { return size >= 1 && size <= kMaxDimension; };
  const Region& region = spec.region;
  const bool sizes =
      fits(spec.source_width) && fits(spec.source_height) && fits(spec.width) && fits(spec.height);
  // Comparisons with NaN are false.
  const bool inside = region.left >= 0 && region.top >= 0 && region.width > 0 &&
                      region.height > 0 && region.left + region.width <= spec.source_width &&
                      region.top + region.height <= spec.source_height;
  const bool samples = spec.channels >= 1 && spec.channels <= 4 &&
                       spec.has_alpha == (spec.channels % 2 == 0) &&
                       (spec.bits_per_sample == 8 || spec.bits_per_sample == 16);
  if (sizes && inside && samples) return absl::OkStatus();
  return absl::InternalError(fmt::format(
      "cannot resample {}x{} with {} channels of {} bits, the part {}x{} at ({}, {}), to {}x{}",
      spec.source_width, spec.source_height, spec.channels, spec.bits_per_sample, region.width,
      region.height, region.left, region.top, spec.width, spec.height));
}

SampleKind KindOf(const ResampleSpec& spec) {
  return {.channels = spec.channels,
          .has_alpha = spec.has_alpha,
          .bits_per_sample = spec.bits_per_sample,
          .linear_light = spec.linear_light};
}

// Nothing changes: samples pass as they are.
class SameSize final : public Resampler {
 public:
  explicit SameSize(const ResampleSpec& spec)
      : row_bytes_(size_t{spec.width} * KindOf(spec).bytes_per_pixel()) {}

  uint64_t work_bytes() const override { return 0; }
  void Start(std::span<uint8_t>, RowSink sink) override { sink_ = std::move(sink); }
  absl::Status Push(std::span<const uint8_t> pixels, uint32_t rows) override {
    for (uint32_t r = 0; r < rows; ++r)
      HISTEQ_RETURN_IF_ERROR(sink_(next_row_++, pixels.subspan(r * row_bytes_, row_bytes_)));
    return absl::OkStatus();
  }
  absl::Status Finish(const std::function<absl::Status()>& check) override { return check(); }

 private:
  const size_t row_bytes_;
  RowSink sink_;
  uint32_t next_row_ = 0;
};

class Interleaved final : public Resampler {
 public:
  // `planes` takes the blocks of the source where there are `blocks`; `wider`, if any, takes the
  // rows that `planes` makes.
  Interleaved(const ResampleSpec& spec, std::optional<BlockAverage> blocks, PlaneResampler planes,
              std::optional<PlaneResampler> wider)
      : spec_(spec),
        blocks_(std::move(blocks)),
        planes_(std::move(planes)),
        wider_(std::move(wider)) {}

  uint64_t work_bytes() const override {
    return planes_.work_bytes() + (wider_.has_value() ? wider_->work_bytes() : 0);
  }
  void Start(std::span<uint8_t> work, RowSink sink) override {
    planes_.Start(work);
    if (wider_.has_value()) wider_->Start(work.subspan(planes_.work_bytes()));
    sink_ = std::move(sink);
  }

  absl::Status Push(std::span<const uint8_t> pixels, uint32_t rows) override {
    const SampleKind kind = KindOf(spec_);
    const size_t row_bytes = size_t{spec_.source_width} * kind.bytes_per_pixel();
    const auto fill = [&](uint32_t row, std::span<uint16_t* const> planes) {
      ToLevels(kind, pixels.data() + row * row_bytes, spec_.source_width, planes);
    };
    if (!blocks_.has_value()) return planes_.Push(rows, fill);
    for (uint32_t row = 0; row < rows; ++row) {
      if (!blocks_->Push([&](std::span<uint16_t* const> planes) { fill(row, planes); })) continue;
      HISTEQ_RETURN_IF_ERROR(planes_.Push(1, [&](uint32_t, std::span<uint16_t* const> planes) {
        for (uint32_t p = 0; p < planes.size(); ++p) {
          const std::span<const uint16_t> means = blocks_->Row(p);
          std::copy(means.begin(), means.end(), planes[p]);
        }
      }));
    }
    return absl::OkStatus();
  }

  absl::Status Finish(const std::function<absl::Status()>& check) override {
    HISTEQ_RETURN_IF_ERROR(check());
    HISTEQ_RETURN_IF_ERROR(planes_.Finish(check));
    if (wider_.has_value()) HISTEQ_RETURN_IF_ERROR(Widen(check));
    const PlaneResampler& result = wider_.has_value() ? *wider_ : planes_;
    const SampleKind kind = KindOf(spec_);
    std::vector<uint8_t> line(size_t{spec_.width} * kind.bytes_per_pixel());
    std::array<const uint16_t*, 4> planes{};
    for (uint32_t row = 0; row < spec_.height; ++row) {
      if (row % kCheckRows == 0) HISTEQ_RETURN_IF_ERROR(check());
      for (uint32_t p = 0; p < spec_.channels; ++p) planes[p] = result.Row(p, row).data();
      FromLevels(kind, std::span(planes).first(spec_.channels), spec_.width, line.data());
      HISTEQ_RETURN_IF_ERROR(sink_(row, line));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Widen(const std::function<absl::Status()>& check) {
    for (uint32_t row = 0; row < spec_.height; ++row) {
      if (row % kCheckRows == 0) HISTEQ_RETURN_IF_ERROR(check());
      HISTEQ_RETURN_IF_ERROR(wider_->Push(1, [&](uint32_t, std::span<uint16_t* const> planes) {
        for (uint32_t p = 0; p < planes.size(); ++p) {
          const std::span<const uint16_t> samples = planes_.Row(p, row);
          std::copy(samples.begin(), samples.end(), planes[p]);
        }
      }));
    }
    return wider_->Finish(check);
  }

  const ResampleSpec spec_;
  std::optional<BlockAverage> blocks_;
  PlaneResampler planes_;
  std::optional<PlaneResampler> wider_;
  RowSink sink_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Resampler>> Resampler::Create(const ResampleSpec& spec) {
  HISTEQ_RETURN_IF_ERROR(CheckSpec(spec));
  const Region& region = spec.region;
  if (region.left == 0 && region.top == 0 && region.width == spec.source_width &&
      region.height == spec.source_height && spec.width == spec.source_width &&
      spec.height == spec.source_height)
    return std::unique_ptr<Resampler>(std::make_unique<SameSize>(spec));
  PlaneResampler::Spec planes_spec = {.source_width = spec.source_width,
                                      .source_height = spec.source_height,
                                      .planes = spec.channels,
                                      .region = region,
                                      .width = spec.width,
                                      .height = spec.height};
  std::optional<PlaneResampler> wider;
  if (spec.width > region.width && spec.height < region.height) {
    // Down first: a source that is high and narrow would wait at the result's width.
    PlaneResampler::Spec wider_spec = planes_spec;
    wider_spec.source_height = spec.height;
    wider_spec.region.top = 0;
    wider_spec.region.height = spec.height;
    HISTEQ_ASSIGN_OR_RETURN(wider, PlaneResampler::Create(wider_spec));
    planes_spec.width = spec.source_width;
    planes_spec.region.left = 0;
    planes_spec.region.width = spec.source_width;
  }
  std::optional<BlockAverage> blocks;
  const uint32_t across = BlockSide(planes_spec.region.width, planes_spec.width);
  const uint32_t down = BlockSide(planes_spec.region.height, planes_spec.height);
  if (across > 1 || down > 1) {
    blocks.emplace(spec.source_width, spec.source_height, spec.channels, across, down);
    planes_spec.source_width = blocks->width();
    planes_spec.source_height = blocks->height();
    planes_spec.region.left /= across;
    planes_spec.region.width /= across;
    planes_spec.region.top /= down;
    planes_spec.region.height /= down;
  }
  HISTEQ_ASSIGN_OR_RETURN(PlaneResampler planes, PlaneResampler::Create(planes_spec));
  return std::unique_ptr<Resampler>(
      std::make_unique<Interleaved>(spec, std::move(blocks), std::move(planes), std::move(wider)));
}

}  // namespace histeq::resize
