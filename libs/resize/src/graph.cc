#include "graph.h"

#include <fmt/format.h>
#include <zimg.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <list>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>

#include "base/error.h"

namespace histeq::resize {
namespace {

// Rows between two questions to `check`.
constexpr unsigned kCheckRows = 64;

absl::Status OutOfMemory(size_t bytes) {
  return base::MakeError(
      absl::StatusCode::kResourceExhausted,
      fmt::format("no memory for resampling: {} bytes", bytes),
      {.reason = "OUT_OF_MEMORY", .metadata = {{"needed", std::to_string(bytes)}}});
}

absl::Status Failed() {
  char text[256] = "";
  const zimg_error_code_e code = zimg_get_last_error(text, sizeof(text));
  if (code == ZIMG_ERROR_OUT_OF_MEMORY) return OutOfMemory(0);
  return absl::InternalError(fmt::format("zimg answers {}: {}", static_cast<int>(code), text));
}

zimg_image_format Format(uint32_t width, uint32_t height) {
  zimg_image_format format;
  zimg_image_format_default(&format, ZIMG_API_VERSION);
  format.width = width;
  format.height = height;
  // 16-bit in and out: then zimg stays in integers, and adds nothing but the resampling.
  format.pixel_type = ZIMG_PIXEL_WORD;
  format.depth = 16;
  format.pixel_range = ZIMG_RANGE_FULL;
  return format;
}

// What Take() copies out of a ring of rows that zimg writes.
struct Taken {
  const std::function<absl::Status()>* check;
  absl::Status status;
  PlaneRows ring;
  unsigned mask;
  PlaneRows target;
  uint32_t first;
  uint32_t count;
};

// zimg works in columns: [left, right) of a row.
int Take(void* user, unsigned row, unsigned left, unsigned right) {
  auto* taken = static_cast<Taken*>(user);
  if (row % kCheckRows == 0) {
    taken->status = (*taken->check)();
    if (!taken->status.ok()) return 1;
  }
  if (row < taken->first || row - taken->first >= taken->count) return 0;
  std::memcpy(RowOf(taken->target, row - taken->first) + left,
              RowOf(taken->ring, row & taken->mask) + left, size_t{right - left} * 2);
  return 0;
}

struct Asked {
  const std::function<absl::Status()>* check;
  absl::Status status;
};

int Ask(void* user, unsigned row, unsigned, unsigned) {
  auto* asked = static_cast<Asked*>(user);
  if (row % kCheckRows != 0) return 0;
  asked->status = (*asked->check)();
  return asked->status.ok() ? 0 : 1;
}

// The graphs that were asked for last. Thread-safe.
class KeptGraphs {
 public:
  using Made = absl::StatusOr<std::shared_ptr<const Graph>>;

  template <typename F>
  Made Get(const Axis& axis, uint32_t other, bool horizontal, const F& make) {
    if (axis.source > kMaxSource || axis.target > kMaxTarget) return make();
    const Key key = {axis.source, axis.target, axis.begin, axis.length, other, horizontal};
    if (std::shared_ptr<const Graph> found = Find(key)) return found;
    Made made = make();
    if (made.ok()) Add(key, *made);
    return made;
  }

 private:
  using Key = std::tuple<uint32_t, uint32_t, double, double, uint32_t, bool>;
  // Together some megabytes.
  static constexpr size_t kMost = 64;
  static constexpr uint32_t kMaxSource = 4096;
  static constexpr uint32_t kMaxTarget = 1024;

  std::shared_ptr<const Graph> Find(const Key& key) {
    const std::lock_guard lock(mutex_);
    const auto at = std::find_if(graphs_.begin(), graphs_.end(),
                                 [&](const auto& kept) { return kept.first == key; });
    if (at == graphs_.end()) return nullptr;
    graphs_.splice(graphs_.begin(), graphs_, at);
    return at->second;
  }
  void Add(const Key& key, std::shared_ptr<const Graph> graph) {
    const std::lock_guard lock(mutex_);
    graphs_.emplace_front(key, std::move(graph));
    if (graphs_.size() > kMost) graphs_.pop_back();
  }

  std::mutex mutex_;
  // The one that was asked for last comes first.
  std::list<std::pair<Key, std::shared_ptr<const Graph>>> graphs_;
};

KeptGraphs& Kept() {
  static KeptGraphs graphs;
  return graphs;
}

}  // namespace

AlignedBytes::AlignedBytes(size_t bytes)
    : data_(static_cast<uint8_t*>(std::aligned_alloc(
          kWorkAlignment, (bytes + kWorkAlignment) / kWorkAlignment * kWorkAlignment))) {}

void AlignedBytes::Free::operator()(uint8_t* data) const { std::free(data); }

void Graph::Free::operator()(zimg_filter_graph* graph) const { zimg_filter_graph_free(graph); }

absl::StatusOr<std::shared_ptr<const Graph>> Graph::Build(const void* source, const void* target) {
  zimg_graph_builder_params params;
  zimg_graph_builder_params_default(&params, ZIMG_API_VERSION);
  params.resample_filter = ZIMG_RESIZE_LANCZOS;
  params.filter_param_a = 3;
  params.cpu_type = ZIMG_CPU_AUTO;
  const std::shared_ptr<Graph> graph(new Graph);
  graph->graph_.reset(zimg_filter_graph_build(static_cast<const zimg_image_format*>(source),
                                              static_cast<const zimg_image_format*>(target),
                                              &params));
  if (graph->graph_ == nullptr) return Failed();
  if (zimg_filter_graph_get_tmp_size(graph->graph_.get(), &graph->work_bytes_) !=
      ZIMG_ERROR_SUCCESS)
    return Failed();
  return graph;
}

absl::StatusOr<std::shared_ptr<const Graph>> Graph::Horizontal(const Axis& axis, uint32_t rows) {
  return Kept().Get(axis, rows, /*horizontal=*/true, [&] {
    zimg_image_format source = Format(axis.source, rows);
    source.active_region.left = axis.begin;
    source.active_region.width = axis.length;
    const zimg_image_format target = Format(axis.target, rows);
    return Build(&source, &target);
  });
}

absl::StatusOr<std::shared_ptr<const Graph>> Graph::Vertical(const Axis& axis, uint32_t width) {
  return Kept().Get(axis, width, /*horizontal=*/false, [&] {
    zimg_image_format source = Format(width, axis.source);
    source.active_region.top = axis.begin;
    source.active_region.height = axis.length;
    const zimg_image_format target = Format(width, axis.target);
    return Build(&source, &target);
  });
}

absl::Status Graph::Run(PlaneRows source, PlaneRows target, const AlignedBytes& work,
                        const std::function<absl::Status()>& check) const {
  zimg_image_buffer_const in{};
  in.version = ZIMG_API_VERSION;
  in.plane[0] = {source.data, static_cast<ptrdiff_t>(source.stride_bytes), ZIMG_BUFFER_MAX};
  zimg_image_buffer out{};
  out.version = ZIMG_API_VERSION;
  out.plane[0] = {target.data, static_cast<ptrdiff_t>(target.stride_bytes), ZIMG_BUFFER_MAX};
  Asked asked{.check = &check, .status = absl::OkStatus()};
  const zimg_error_code_e code =
      zimg_filter_graph_process(graph_.get(), &in, &out, work.data(), nullptr, nullptr,
                                check == nullptr ? nullptr : Ask, &asked);
  if (!asked.status.ok()) return asked.status;
  return code == ZIMG_ERROR_SUCCESS ? absl::OkStatus() : Failed();
}

absl::Status Graph::RunWithin(PlaneRows source, PlaneRows target, const Axis& axis, uint32_t width,
                              const AlignedBytes& work,
                              const std::function<absl::Status()>& check) const {
  unsigned rows = 0;
  if (zimg_filter_graph_get_output_buffering(graph_.get(), &rows) != ZIMG_ERROR_SUCCESS)
    return Failed();
  const unsigned mask = zimg_select_buffer_mask(rows);
  const size_t ring_rows = mask == ZIMG_BUFFER_MAX ? axis.target : size_t{mask} + 1;
  const size_t stride = RowStride(width);
  const AlignedBytes ring(ring_rows * stride);
  if (ring.data() == nullptr) return OutOfMemory(ring_rows * stride);
  zimg_image_buffer_const in{};
  in.version = ZIMG_API_VERSION;
  in.plane[0] = {source.data, static_cast<ptrdiff_t>(source.stride_bytes), ZIMG_BUFFER_MAX};
  zimg_image_buffer out{};
  out.version = ZIMG_API_VERSION;
  out.plane[0] = {ring.data(), static_cast<ptrdiff_t>(stride), mask};
  Taken taken = {.check = &check,
                 .status = absl::OkStatus(),
                 .ring = {.data = reinterpret_cast<uint16_t*>(ring.data()), .stride_bytes = stride},
                 .mask = mask,
                 .target = target,
                 .first = axis.margin,
                 .count = axis.target - 2 * axis.margin};
  const zimg_error_code_e code = zimg_filter_graph_process(graph_.get(), &in, &out, work.data(),
                                                           nullptr, nullptr, Take, &taken);
  if (!taken.status.ok()) return taken.status;
  return code == ZIMG_ERROR_SUCCESS ? absl::OkStatus() : Failed();
}

}  // namespace histeq::resize
