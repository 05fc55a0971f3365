#include "rpc/segment_convert.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/status_macros.h"
#include "engine/operation.h"
#include "fmt/format.h"
#include "histeq/mapping.h"
#include "histeq/statistics.h"
#include "rpc/operation_convert.h"

namespace histeq::rpc {
namespace {

absl::Status BadSegment(const std::string& what) {
  return base::MakeError(absl::StatusCode::kInvalidArgument, "the segment is wrong: " + what,
                         {.reason = "INVALID_SEGMENT", .field = "segment"});
}

absl::Status BadEncodeSpec(const std::string& what) {
  return base::MakeError(absl::StatusCode::kInvalidArgument, "the encode spec is wrong: " + what,
                         {.reason = "INVALID_ENCODE_SPEC", .field = "encode"});
}

codec::RasterLayout LayoutFromProto(const v1::SegmentHeader& header) {
  codec::RasterLayout layout;
  for (const v1::PlaneLayout& from : header.layout().planes()) {
    layout.planes.push_back({.stored_width = from.stored_width(),
                             .visible_width = from.visible_width(),
                             .channels = from.channels(),
                             .bytes_per_sample = from.bytes_per_sample(),
                             .vertical_sampling = from.vertical_sampling()});
  }
  layout.max_vertical_sampling = header.layout().max_vertical_sampling();
  layout.unit_rows = header.layout().unit_rows();
  layout.has_alpha = header.has_alpha();
  return layout;
}

absl::StatusOr<codec::EncodeSpec> EncodeSpecFromProto(const v1::EncodeSpec& from) {
  codec::EncodeSpec spec;
  spec.width = from.width();
  spec.height = from.height();
  switch (from.format_case()) {
    case v1::EncodeSpec::kJpeg: {
      codec::JpegEncodeSpec jpeg;
      switch (from.jpeg().color_transform()) {
        case v1::EncodeSpec::Jpeg::COLOR_TRANSFORM_GRAY:
        case v1::EncodeSpec::Jpeg::COLOR_TRANSFORM_YCBCR:
        case v1::EncodeSpec::Jpeg::COLOR_TRANSFORM_RGB_TO_YCBCR:
          jpeg.color_transform =
              static_cast<codec::JpegColorTransform>(from.jpeg().color_transform());
          break;
        default:
          return BadEncodeSpec("an unknown colour transform");
      }
      for (const auto& component : from.jpeg().components()) {
        jpeg.components.push_back({.horizontal_sampling = component.horizontal_sampling(),
                                   .vertical_sampling = component.vertical_sampling(),
                                   .quant_table = component.quant_table()});
      }
      for (const auto& table : from.jpeg().quant_tables()) {
        if (table.values_size() != 64) {
          return BadEncodeSpec(
              fmt::format("a quantization table of {} values, not 64", table.values_size()));
        }
        std::array<uint16_t, 64>& to = jpeg.quant_tables.emplace_back();
        for (int i = 0; i < 64; ++i) {
          // Before it is cut to 16 bits.
          if (table.values(i) > 255) {
            return BadEncodeSpec(fmt::format("a quantizer of {}", table.values(i)));
          }
          to[static_cast<size_t>(i)] = static_cast<uint16_t>(table.values(i));
        }
      }
      spec.format = std::move(jpeg);
      return spec;
    }
    case v1::EncodeSpec::kPng:
      spec.format = codec::PngEncodeSpec{.channels = from.png().channels(),
                                         .bits_per_sample = from.png().bits_per_sample(),
                                         .compression_level = from.png().compression_level()};
      return spec;
    case v1::EncodeSpec::FORMAT_NOT_SET:
      break;
  }
  return BadEncodeSpec("no format is set");
}

void ToProto(const codec::EncodeSpec& from, v1::EncodeSpec& to) {
  to.set_width(from.width);
  to.set_height(from.height);
  if (const auto* png = std::get_if<codec::PngEncodeSpec>(&from.format)) {
    to.mutable_png()->set_channels(png->channels);
    to.mutable_png()->set_bits_per_sample(png->bits_per_sample);
    to.mutable_png()->set_compression_level(png->compression_level);
    return;
  }
  const auto& jpeg = std::get<codec::JpegEncodeSpec>(from.format);
  to.mutable_jpeg()->set_color_transform(
      static_cast<v1::EncodeSpec::Jpeg::ColorTransform>(jpeg.color_transform));
  for (const auto& component : jpeg.components) {
    v1::EncodeSpec::Jpeg::Component& added = *to.mutable_jpeg()->add_components();
    added.set_horizontal_sampling(component.horizontal_sampling);
    added.set_vertical_sampling(component.vertical_sampling);
    added.set_quant_table(component.quant_table);
  }
  for (const auto& table : jpeg.quant_tables) {
    v1::EncodeSpec::Jpeg::QuantTable& added = *to.mutable_jpeg()->add_quant_tables();
    for (const uint16_t value : table) added.add_values(value);
  }
}

// Whether the parameters go with the image, and their statistics and mapping fit into memory.
absl::Status CheckParameters(const EqualizeParameters& parameters, const ImageShape& shape) {
  if (const auto problem = FindProblem(parameters, shape)) {
    return base::MakeError(
        absl::StatusCode::kInvalidArgument,
        fmt::format("{} is out of range; allowed: {}", problem->field, problem->allowed),
        {.reason = "BAD_PARAMETER",
         .metadata = {{"limit", problem->allowed}},
         .field = fmt::format("equalize.{}", problem->field)});
  }
  const uint64_t bytes =
      std::max(Statistics::BytesFor(parameters, shape), Mapping::BytesFor(parameters, shape));
  if (bytes > engine::kMaxStatisticsBytes) {
    return base::MakeError(absl::StatusCode::kInvalidArgument,
                           fmt::format("this grid needs {} bytes of tables; allowed are {}", bytes,
                                       engine::kMaxStatisticsBytes),
                           {.reason = "BAD_PARAMETER",
                            .metadata = {{"limit", fmt::format("{}", engine::kMaxStatisticsBytes)},
                                         {"actual", fmt::format("{}", bytes)}},
                            .field = "equalize.grid"});
  }
  return absl::OkStatus();
}

}  // namespace

void ToProto(const engine::TransformSpec& spec, const engine::Segment& segment,
             v1::TransformSegmentRequest::Header& header) {
  v1::SegmentHeader& to = *header.mutable_segment();
  to.set_first_row(segment.first_row);
  to.set_rows(segment.rows);
  to.clear_layout();
  for (const codec::PlaneLayout& plane : spec.layout.planes) {
    v1::PlaneLayout& added = *to.mutable_layout()->add_planes();
    added.set_stored_width(plane.stored_width);
    added.set_visible_width(plane.visible_width);
    added.set_channels(plane.channels);
    added.set_bytes_per_sample(plane.bytes_per_sample);
    added.set_vertical_sampling(plane.vertical_sampling);
  }
  to.mutable_layout()->set_max_vertical_sampling(spec.layout.max_vertical_sampling);
  to.mutable_layout()->set_unit_rows(spec.layout.unit_rows);
  to.set_width(spec.encode.width);
  to.set_height(spec.encode.height);
  to.set_has_alpha(spec.layout.has_alpha);
  to.set_pixel_bytes(codec::SegmentBytes(spec.layout, segment.rows));
  if (spec.parameters.reference.empty()) {
    *to.mutable_equalize() = ToProto(spec.parameters);
  } else {
    EqualizeParameters small = spec.parameters;
    small.reference.clear();
    small.distribution = Distribution::kUniform;
    *to.mutable_equalize() = ToProto(small);
  }
  header.clear_encode();
  ToProto(spec.encode, *header.mutable_encode());
}

absl::StatusOr<ReceivedRows> FromProto(const v1::SegmentHeader& header) {
  ReceivedRows received;
  if (header.layout().planes_size() > 4) {
    return base::MakeError(absl::StatusCode::kInvalidArgument,
                           fmt::format("the raster layout is wrong: {} planes; allowed are 1 to 4",
                                       header.layout().planes_size()),
                           {.reason = "INVALID_LAYOUT", .field = "layout"});
  }
  received.layout = LayoutFromProto(header);
  HISTEQ_RETURN_IF_ERROR(codec::ValidateLayout(received.layout, header.width(), header.height()));
  const codec::RasterLayout& layout = received.layout;

  if (header.rows() == 0 || uint64_t{header.first_row()} + header.rows() > header.height()) {
    return BadSegment(fmt::format("{} rows from row {} of an image of {}", header.rows(),
                                  header.first_row(), header.height()));
  }
  const bool last = header.first_row() + header.rows() == header.height();
  if (header.first_row() % layout.unit_rows != 0 ||
      (!last && header.rows() % layout.unit_rows != 0)) {
    return BadSegment(fmt::format("rows {} to {} are not whole units of {} rows",
                                  header.first_row(), header.first_row() + header.rows(),
                                  layout.unit_rows));
  }
  received.segment = {
      .index = header.context().segment(), .first_row = header.first_row(), .rows = header.rows()};
  received.sample_bytes = codec::SegmentBytes(layout, header.rows());
  if (header.pixel_bytes() != received.sample_bytes) {
    return BadSegment(fmt::format("{} bytes of samples; its {} rows have {}", header.pixel_bytes(),
                                  header.rows(), received.sample_bytes));
  }

  v1::Operation operation;
  *operation.mutable_equalize() = header.equalize();
  HISTEQ_ASSIGN_OR_RETURN(engine::Operation parsed, OperationFromProto(operation));
  if (parsed.reads_reference) {
    return base::MakeError(absl::StatusCode::kInvalidArgument,
                           "a segment's reference is a histogram, not an image",
                           {.reason = "BAD_PARAMETER", .field = "equalize.reference_image_id"});
  }
  received.parameters = std::move(parsed.equalize);
  received.shape = engine::ShapeOf(layout, header.height());
  HISTEQ_RETURN_IF_ERROR(CheckParameters(received.parameters, received.shape));
  return received;
}

absl::StatusOr<ReceivedSegment> FromProto(const v1::TransformSegmentRequest::Header& header) {
  HISTEQ_ASSIGN_OR_RETURN(ReceivedRows rows, FromProto(header.segment()));
  HISTEQ_ASSIGN_OR_RETURN(codec::EncodeSpec encode, EncodeSpecFromProto(header.encode()));
  if (encode.width != header.segment().width() || encode.height != header.segment().height()) {
    return BadEncodeSpec(fmt::format("it is for an image of {}x{}, the segment is of one of {}x{}",
                                     encode.width, encode.height, header.segment().width(),
                                     header.segment().height()));
  }
  HISTEQ_RETURN_IF_ERROR(codec::ValidateEncodeSpec(encode, rows.layout));
  const uint32_t multiple = codec::FragmentRowMultiple(encode, rows.layout);
  const bool last = rows.segment.first_row + rows.segment.rows == encode.height;
  if (rows.segment.first_row % multiple != 0 || (!last && rows.segment.rows % multiple != 0)) {
    return BadSegment(fmt::format("rows {} to {} are not whole fragments of {} rows",
                                  rows.segment.first_row,
                                  rows.segment.first_row + rows.segment.rows, multiple));
  }
  ReceivedSegment received;
  received.spec.layout = std::move(rows.layout);
  received.spec.encode = std::move(encode);
  received.spec.parameters = std::move(rows.parameters);
  received.segment = rows.segment;
  received.sample_bytes = rows.sample_bytes;
  return received;
}

void FillLimits(const codec::DecodeLimits& limits, v1::ProcessImageRequest::Header& header) {
  header.set_max_pixels(limits.max_pixels);
  header.set_max_dimension(limits.max_dimension);
  header.set_max_jpeg_scans(limits.max_jpeg_scans);
  header.set_max_metadata_bytes(limits.max_metadata_bytes);
}

codec::DecodeLimits LimitsOf(const v1::ProcessImageRequest::Header& header) {
  codec::DecodeLimits limits;
  if (header.max_pixels() > 0) limits.max_pixels = header.max_pixels();
  if (header.max_dimension() > 0) limits.max_dimension = header.max_dimension();
  if (header.max_jpeg_scans() > 0) limits.max_jpeg_scans = header.max_jpeg_scans();
  if (header.max_metadata_bytes() > 0) limits.max_metadata_bytes = header.max_metadata_bytes();
  return limits;
}

}  // namespace histeq::rpc
