#include "graph.h"

#include <fmt/format.h>
#include <zimg.h>

#include <cstdlib>
#include <new>
#include <string>
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

}  // namespace

AlignedBytes::AlignedBytes(size_t bytes)
    : data_(static_cast<uint8_t*>(std::aligned_alloc(
          kWorkAlignment, (bytes + kWorkAlignment) / kWorkAlignment * kWorkAlignment))) {}

void AlignedBytes::Free::operator()(uint8_t* data) const { std::free(data); }

void Graph::Free::operator()(zimg_filter_graph* graph) const { zimg_filter_graph_free(graph); }

absl::StatusOr<Graph> Graph::Build(const void* source, const void* target) {
  zimg_graph_builder_params params;
  zimg_graph_builder_params_default(&params, ZIMG_API_VERSION);
  params.resample_filter = ZIMG_RESIZE_LANCZOS;
  params.filter_param_a = 3;
  params.cpu_type = ZIMG_CPU_AUTO;
  Graph graph;
  graph.graph_.reset(zimg_filter_graph_build(static_cast<const zimg_image_format*>(source),
                                             static_cast<const zimg_image_format*>(target),
                                             &params));
  if (graph.graph_ == nullptr) return Failed();
  size_t bytes = 0;
  if (zimg_filter_graph_get_tmp_size(graph.graph_.get(), &bytes) != ZIMG_ERROR_SUCCESS)
    return Failed();
  graph.work_ = std::make_shared<AlignedBytes>(bytes);
  if (graph.work_->data() == nullptr) return OutOfMemory(bytes);
  return graph;
}

absl::StatusOr<Graph> Graph::Horizontal(const Axis& axis, uint32_t rows) {
  zimg_image_format source = Format(axis.source, rows);
  source.active_region.left = axis.begin;
  source.active_region.width = axis.length;
  const zimg_image_format target = Format(axis.target, rows);
  return Build(&source, &target);
}

absl::StatusOr<Graph> Graph::Vertical(const Axis& axis, uint32_t width) {
  zimg_image_format source = Format(width, axis.source);
  source.active_region.top = axis.begin;
  source.active_region.height = axis.length;
  const zimg_image_format target = Format(width, axis.target);
  return Build(&source, &target);
}

absl::Status Graph::Run(PlaneRows source, PlaneRows target,
                        const std::function<absl::Status()>& check) const {
  zimg_image_buffer_const in{};
  in.version = ZIMG_API_VERSION;
  in.plane[0] = {source.data, static_cast<ptrdiff_t>(source.stride_bytes), ZIMG_BUFFER_MAX};
  zimg_image_buffer out{};
  out.version = ZIMG_API_VERSION;
  out.plane[0] = {target.data, static_cast<ptrdiff_t>(target.stride_bytes), ZIMG_BUFFER_MAX};
  Asked asked{.check = &check, .status = absl::OkStatus()};
  const zimg_error_code_e code =
      zimg_filter_graph_process(graph_.get(), &in, &out, work_->data(), nullptr, nullptr,
                                check == nullptr ? nullptr : Ask, &asked);
  if (!asked.status.ok()) return asked.status;
  return code == ZIMG_ERROR_SUCCESS ? absl::OkStatus() : Failed();
}

}  // namespace histeq::resize
