#include "plane_resampler.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/status_macros.h"

namespace histeq::resize {
namespace {

// zimg's horizontal filters take so many rows side by side.
constexpr uint32_t kStripRows = 16;
constexpr uint64_t kStripBytes = 32 << 20;

absl::Status OutOfMemory(uint64_t bytes) {
  return base::MakeError(
      absl::StatusCode::kResourceExhausted, "no memory for rows to resample",
      {.reason = "OUT_OF_MEMORY", .metadata = {{"needed", std::to_string(bytes)}}});
}

PlaneRows PlaneOf(uint8_t* data, size_t stride, uint64_t rows, uint32_t plane) {
  return {.data = reinterpret_cast<uint16_t*>(data + plane * rows * stride),
          .stride_bytes = stride};
}

// Rows of the middle that are there, with room for a strip that is not full.
uint64_t MiddleRows(const Axis& down, uint32_t strip_rows) {
  return (uint64_t{down.source} + strip_rows - 1) / strip_rows * strip_rows;
}

}  // namespace

absl::StatusOr<PlaneResampler> PlaneResampler::Create(const Spec& spec) {
  PlaneResampler out;
  out.spec_ = spec;
  out.across_ =
      MakeAxis(spec.source_width, spec.region.left, spec.region.width, spec.width, /*whole=*/true);
  out.down_ = MakeAxis(spec.source_height, spec.region.top, spec.region.height, spec.height,
                       /*whole=*/false);
  const uint64_t row_bytes = RowStride(out.across_.source);
  out.strip_rows_ = static_cast<uint32_t>(
      std::clamp<uint64_t>(kStripBytes / (row_bytes * spec.planes), 1, kStripRows));
  if (!out.FillsMiddle()) {
    const uint64_t rows = uint64_t{out.strip_rows_} * spec.planes;
    const uint64_t bytes = rows * (row_bytes + RowStride(out.across_.target));
    out.strip_ = std::make_shared<AlignedBytes>(rows * row_bytes);
    out.strip_target_ = std::make_shared<AlignedBytes>(rows * RowStride(out.across_.target));
    if (out.strip_->data() == nullptr || out.strip_target_->data() == nullptr)
      return OutOfMemory(bytes);
    // The last strip may be resampled with rows that nobody filled.
    std::memset(out.strip_->data(), 0, rows * row_bytes);
  }
  if (out.across_.changes) {
    HISTEQ_ASSIGN_OR_RETURN(out.horizontal_, Graph::Horizontal(out.across_, out.strip_rows_));
  }
  if (out.down_.changes) {
    HISTEQ_ASSIGN_OR_RETURN(out.vertical_, Graph::Vertical(out.down_, spec.width));
  }
  const size_t graph_bytes = std::max(out.horizontal_ ? out.horizontal_->work_bytes() : 0,
                                      out.vertical_ ? out.vertical_->work_bytes() : 0);
  out.graph_work_ = std::make_shared<AlignedBytes>(graph_bytes);
  if (out.graph_work_->data() == nullptr) return OutOfMemory(graph_bytes);
  // Without margins, which may be many times what is wanted.
  const uint64_t stride = RowStride(spec.width);
  out.middle_bytes_ = spec.planes * MiddleRows(out.down_, out.strip_rows_) * stride;
  out.target_bytes_ = out.down_.changes ? uint64_t{spec.planes} * spec.height * stride : 0;
  return out;
}

void PlaneResampler::Start(std::span<uint8_t> work) { work_ = work.data(); }

PlaneRows PlaneResampler::Strip(uint32_t plane) const {
  return PlaneOf(strip_->data(), RowStride(across_.source), strip_rows_, plane);
}
PlaneRows PlaneResampler::StripTarget(uint32_t plane) const {
  return PlaneOf(strip_target_->data(), RowStride(across_.target), strip_rows_, plane);
}
PlaneRows PlaneResampler::Middle(uint32_t plane) const {
  return PlaneOf(work_, RowStride(spec_.width), MiddleRows(down_, strip_rows_), plane);
}
PlaneRows PlaneResampler::Target(uint32_t plane) const {
  if (!down_.changes) return Middle(plane);
  return PlaneOf(work_ + middle_bytes_, RowStride(spec_.width), spec_.height, plane);
}

absl::Status PlaneResampler::Push(uint32_t rows, const Fill& fill) {
  const bool direct = FillsMiddle();
  std::array<uint16_t*, 4> planes{};
  for (uint32_t row = 0; row < rows; ++row) {
    const uint32_t at = pushed_rows_++;
    if (at < down_.first || at >= down_.first + down_.count) continue;
    for (uint32_t p = 0; p < spec_.planes; ++p)
      planes[p] = direct ? RowOf(Middle(p), middle_rows_) : RowOf(Strip(p), filled_rows_);
    fill(row, std::span(planes).first(spec_.planes));
    if (direct) {
      ++middle_rows_;
      continue;
    }
    if (across_.copies > 1) {
      // From the last copy to the first, which the samples lie in.
      for (uint32_t p = 0; p < spec_.planes; ++p) {
        uint16_t* samples = planes[p];
        std::vector<uint16_t> once(samples, samples + across_.count);
        for (uint32_t x = 0; x < across_.count; ++x)
          ForEachCopy(across_, x, [&](uint32_t place) { samples[place] = once[x]; });
      }
    }
    if (++filled_rows_ == strip_rows_) HISTEQ_RETURN_IF_ERROR(Flush());
  }
  return absl::OkStatus();
}

absl::Status PlaneResampler::Flush() {
  for (uint32_t p = 0; p < spec_.planes; ++p) {
    PlaneRows result = Strip(p);
    if (across_.changes) {
      const bool direct = down_.copies == 1 && across_.margin == 0;
      result = direct ? PlaneRows{RowOf(Middle(p), middle_rows_), Middle(p).stride_bytes}
                      : StripTarget(p);
      HISTEQ_RETURN_IF_ERROR(horizontal_->Run(Strip(p), result, *graph_work_));
      if (direct) continue;
    }
    for (uint32_t row = 0; row < filled_rows_; ++row)
      Place(p, middle_rows_ + row, RowOf(result, row));
  }
  middle_rows_ += std::exchange(filled_rows_, 0);
  return absl::OkStatus();
}

void PlaneResampler::Place(uint32_t plane, uint32_t row, const uint16_t* samples) {
  const PlaneRows middle = Middle(plane);
  ForEachCopy(down_, row, [&](uint32_t place) {
    std::memcpy(RowOf(middle, place), samples + across_.margin, size_t{spec_.width} * 2);
  });
}

absl::Status PlaneResampler::Finish(const std::function<absl::Status()>& check) {
  if (filled_rows_ > 0) HISTEQ_RETURN_IF_ERROR(Flush());
  if (!down_.changes) return absl::OkStatus();
  for (uint32_t p = 0; p < spec_.planes; ++p) {
    HISTEQ_RETURN_IF_ERROR(
        down_.margin == 0
            ? vertical_->Run(Middle(p), Target(p), *graph_work_, check)
            : vertical_->RunWithin(Middle(p), Target(p), down_, spec_.width, *graph_work_, check));
  }
  return absl::OkStatus();
}

std::span<const uint16_t> PlaneResampler::Row(uint32_t plane, uint32_t row) const {
  return {RowOf(Target(plane), row), spec_.width};
}

}  // namespace histeq::resize
