#include "rpc/segment_convert.h"

#include <catch2/catch.hpp>
#include <functional>

#include "base/error.h"
#include "engine/operation.h"

namespace histeq::rpc {
namespace {

using Header = v1::TransformSegmentRequest::Header;

engine::TransformSpec PngSpec(uint32_t width, uint32_t height) {
  engine::TransformSpec spec;
  spec.layout.planes = {{.stored_width = width, .visible_width = width, .channels = 4}};
  spec.layout.has_alpha = true;
  spec.encode.width = width;
  spec.encode.height = height;
  spec.encode.format = codec::PngEncodeSpec{.channels = 4};
  return spec;
}

// 4:2:0 of 100 x 200 pixels.
engine::TransformSpec JpegSpec() {
  engine::TransformSpec spec;
  spec.layout.planes = {{.stored_width = 104, .visible_width = 100, .vertical_sampling = 2},
                        {.stored_width = 56, .visible_width = 50, .vertical_sampling = 1},
                        {.stored_width = 56, .visible_width = 50, .vertical_sampling = 1}};
  spec.layout.max_vertical_sampling = 2;
  spec.layout.unit_rows = 16;
  spec.encode.width = 100;
  spec.encode.height = 200;
  codec::JpegEncodeSpec jpeg;
  jpeg.color_transform = codec::JpegColorTransform::kYCbCr;
  jpeg.components = {{2, 2, 0}, {1, 1, 1}, {1, 1, 1}};
  jpeg.quant_tables.resize(2);
  for (size_t i = 0; i < 64; ++i) {
    jpeg.quant_tables[0][i] = static_cast<uint16_t>(i + 1);
    jpeg.quant_tables[1][i] = static_cast<uint16_t>(255 - i);
  }
  spec.encode.format = jpeg;
  return spec;
}

Header HeaderOf(const engine::TransformSpec& spec, const engine::Segment& segment) {
  Header header;
  ToProto(spec, segment, header);
  header.mutable_segment()->mutable_context()->set_segment(segment.index);
  return header;
}

TEST_CASE("what is sent is what arrives") {
  SECTION("PNG") {
    engine::TransformSpec spec = PngSpec(30, 50);
    spec.parameters.method = Method::kClahe;
    spec.parameters.grid_x = 3;
    spec.parameters.clip_limit_q8 = 700;
    spec.parameters.has_nodata = true;
    spec.parameters.nodata = 9;
    const auto received = FromProto(HeaderOf(spec, {.index = 2, .first_row = 20, .rows = 10}));
    INFO(received.status());
    REQUIRE(received.ok());
    CHECK(received->segment.index == 2);
    CHECK(received->segment.first_row == 20);
    CHECK(received->segment.rows == 10);
    CHECK(received->sample_bytes == 30 * 10 * 4);
    CHECK(received->spec.layout.has_alpha);
    CHECK(received->spec.parameters.method == Method::kClahe);
    CHECK(received->spec.parameters.grid_x == 3);
    CHECK(received->spec.parameters.clip_limit_q8 == 700);
    CHECK(received->spec.parameters.nodata == 9);
    CHECK(std::get<codec::PngEncodeSpec>(received->spec.encode.format).channels == 4);
  }
  SECTION("JPEG") {
    const engine::TransformSpec spec = JpegSpec();
    const auto received = FromProto(HeaderOf(spec, {.index = 1, .first_row = 128, .rows = 72}));
    INFO(received.status());
    REQUIRE(received.ok());
    CHECK(received->sample_bytes == codec::SegmentBytes(spec.layout, 72));
    const auto& jpeg = std::get<codec::JpegEncodeSpec>(received->spec.encode.format);
    CHECK(jpeg.quant_tables == std::get<codec::JpegEncodeSpec>(spec.encode.format).quant_tables);
    CHECK(jpeg.components[0].horizontal_sampling == 2);
    CHECK(jpeg.components[2].quant_table == 1);
    CHECK(received->spec.layout.planes[1].stored_width == 56);
  }
}

TEST_CASE("a reference histogram stays at home: the mapping holds it") {
  engine::TransformSpec spec = PngSpec(30, 50);
  spec.parameters.method = Method::kMatch;
  spec.parameters.reference.assign(256, 1'000'000'000'000);
  const Header header = HeaderOf(spec, {.rows = 50});
  CHECK(header.ByteSizeLong() < 1000);
  const auto received = FromProto(header);
  INFO(received.status());
  REQUIRE(received.ok());
  CHECK(Mapping::BytesFor(received->spec.parameters, engine::ShapeOf(spec.layout, 50)) ==
        Mapping::BytesFor(spec.parameters, engine::ShapeOf(spec.layout, 50)));
}

TEST_CASE("headers that lie are refused, each with its reason") {
  struct Case {
    const char* reason;
    std::function<void(Header&)> spoil;
  };
  const auto segment = [](Header& h) { return h.mutable_segment(); };
  const auto plane = [](Header& h) {
    return h.mutable_segment()->mutable_layout()->mutable_planes(0);
  };
  const std::vector<Case> cases = {
      {"INVALID_LAYOUT", [&](Header& h) { segment(h)->clear_layout(); }},
      {"INVALID_LAYOUT", [&](Header& h) { segment(h)->set_width(0); }},
      {"INVALID_LAYOUT", [&](Header& h) { segment(h)->set_height(0xffffffff); }},
      {"INVALID_LAYOUT", [&](Header& h) { plane(h)->set_stored_width(0xffffffff); }},
      {"INVALID_LAYOUT", [&](Header& h) { plane(h)->set_channels(0); }},
      {"INVALID_LAYOUT", [&](Header& h) { plane(h)->set_channels(5); }},
      {"INVALID_LAYOUT", [&](Header& h) { plane(h)->set_bytes_per_sample(3); }},
      {"INVALID_LAYOUT", [&](Header& h) { plane(h)->set_vertical_sampling(0); }},
      {"INVALID_LAYOUT", [&](Header& h) { segment(h)->mutable_layout()->set_unit_rows(0); }},
      {"INVALID_LAYOUT",
       [&](Header& h) { segment(h)->mutable_layout()->set_max_vertical_sampling(0); }},
      {"INVALID_LAYOUT",
       [&](Header& h) {
         for (int i = 0; i < 100'000; ++i) segment(h)->mutable_layout()->add_planes();
       }},
      {"INVALID_SEGMENT", [&](Header& h) { segment(h)->set_rows(0); }},
      {"INVALID_SEGMENT", [&](Header& h) { segment(h)->set_rows(0xffffffff); }},
      {"INVALID_SEGMENT", [&](Header& h) { segment(h)->set_first_row(0xffffffff); }},
      {"INVALID_SEGMENT", [&](Header& h) { segment(h)->set_first_row(200); }},
      {"INVALID_SEGMENT", [&](Header& h) { segment(h)->set_first_row(8); }},
      // A whole row of MCUs, and not of eight.
      {"INVALID_SEGMENT", [&](Header& h) { segment(h)->set_first_row(16); }},
      {"INVALID_SEGMENT",
       [&](Header& h) {
         segment(h)->set_first_row(16);
         segment(h)->set_rows(184);
         segment(h)->set_pixel_bytes(codec::SegmentBytes(JpegSpec().layout, 184));
       }},
      {"INVALID_SEGMENT", [&](Header& h) { segment(h)->set_pixel_bytes(1); }},
      {"INVALID_SEGMENT", [&](Header& h) { segment(h)->set_pixel_bytes(~uint64_t{0}); }},
      {"INVALID_ENCODE_SPEC", [&](Header& h) { h.clear_encode(); }},
      {"INVALID_ENCODE_SPEC", [&](Header& h) { h.mutable_encode()->set_width(101); }},
      {"INVALID_ENCODE_SPEC", [&](Header& h) { h.mutable_encode()->set_height(1); }},
      {"INVALID_ENCODE_SPEC", [&](Header& h) { h.mutable_encode()->mutable_png(); }},
      {"INVALID_ENCODE_SPEC",
       [&](Header& h) {
         h.mutable_encode()->mutable_jpeg()->set_color_transform(
             static_cast<v1::EncodeSpec::Jpeg::ColorTransform>(99));
       }},
      {"INVALID_ENCODE_SPEC",
       [&](Header& h) { h.mutable_encode()->mutable_jpeg()->mutable_components()->RemoveLast(); }},
      {"INVALID_ENCODE_SPEC",
       [&](Header& h) {
         h.mutable_encode()->mutable_jpeg()->mutable_components(0)->set_quant_table(2);
       }},
      {"INVALID_ENCODE_SPEC",
       [&](Header& h) {
         h.mutable_encode()->mutable_jpeg()->mutable_components(0)->set_horizontal_sampling(
             0xffffffff);
       }},
      {"INVALID_ENCODE_SPEC",
       [&](Header& h) {
         h.mutable_encode()->mutable_jpeg()->mutable_quant_tables(0)->add_values(1);
       }},
      // 65537 is 1 in 16 bits.
      {"INVALID_ENCODE_SPEC",
       [&](Header& h) {
         h.mutable_encode()->mutable_jpeg()->mutable_quant_tables(0)->set_values(5, 65537);
       }},
      {"INVALID_ENCODE_SPEC",
       [&](Header& h) {
         h.mutable_encode()->mutable_jpeg()->mutable_quant_tables(0)->set_values(5, 0);
       }},
      {"BAD_PARAMETER",
       [&](Header& h) {
         segment(h)->mutable_equalize()->set_method(v1::Equalize::METHOD_CLAHE);
         segment(h)->mutable_equalize()->set_grid_x(0);
       }},
      {"BAD_PARAMETER",
       [&](Header& h) {
         segment(h)->mutable_equalize()->set_method(v1::Equalize::METHOD_MATCH);
         segment(h)->mutable_equalize()->clear_reference();
       }},
      {"BAD_PARAMETER",
       [&](Header& h) {
         segment(h)->mutable_equalize()->set_method(v1::Equalize::METHOD_MATCH);
         segment(h)->mutable_equalize()->set_reference_image_id("somewhere");
       }},
      {"BAD_PARAMETER", [&](Header& h) { segment(h)->mutable_equalize()->set_nodata(256); }},
  };
  const Header good = HeaderOf(JpegSpec(), {.rows = 128});
  REQUIRE(FromProto(good).ok());
  for (size_t i = 0; i < cases.size(); ++i) {
    Header header = good;
    cases[i].spoil(header);
    const auto received = FromProto(header);
    CAPTURE(i, cases[i].reason, received.status());
    REQUIRE_FALSE(received.ok());
    CHECK(received.status().code() == absl::StatusCode::kInvalidArgument);
    const auto detail = base::GetErrorDetail(received.status());
    REQUIRE(detail.has_value());
    CHECK(detail->reason == cases[i].reason);
  }
}

TEST_CASE("rows to be counted need no encode spec, and whole units only") {
  Header header = HeaderOf(JpegSpec(), {.index = 3, .first_row = 16, .rows = 32});
  const auto rows = FromProto(header.segment());
  INFO(rows.status());
  REQUIRE(rows.ok());
  CHECK(rows->shape.width == 100);
  CHECK(rows->shape.height == 200);
  CHECK(rows->shape.channels == 1);
  header.mutable_segment()->set_first_row(8);
  CHECK(FromProto(header.segment()).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("a grid that would not fit into memory is refused") {
  engine::TransformSpec spec = PngSpec(3000, 3000);
  spec.layout.planes[0].bytes_per_sample = 2;
  std::get<codec::PngEncodeSpec>(spec.encode.format).bits_per_sample = 16;
  spec.parameters.method = Method::kClahe;
  spec.parameters.grid_x = spec.parameters.grid_y = 256;
  const auto received = FromProto(HeaderOf(spec, {.rows = 1}));
  CHECK(received.status().code() == absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace histeq::rpc
