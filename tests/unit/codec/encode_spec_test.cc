// Layouts and specs from outside.

#include <catch2/catch.hpp>
#include <functional>

#include "codec_run.h"
#include "jpeg_writer.h"
#include "png_writer.h"

namespace histeq::codec {
namespace {

const std::string kBadLayout = "INVALID_ARGUMENT INVALID_LAYOUT";
const std::string kBadSpec = "INVALID_ARGUMENT INVALID_ENCODE_SPEC";

struct Shape {
  EncodeSpec spec;
  RasterLayout layout;
  JpegEncodeSpec& jpeg() { return std::get<JpegEncodeSpec>(spec.format); }
  PngEncodeSpec& png() { return std::get<PngEncodeSpec>(spec.format); }
};

Shape ShapeOf(const std::vector<uint8_t>& file, SampleMode mode = SampleMode::kRawPlanes) {
  const auto decoded = DecodeAll(file, {.mode = mode});
  REQUIRE(decoded.ok());
  return {decoded->spec, decoded->layout};
}

std::string Edited(Shape shape, const std::function<void(Shape&)>& edit) {
  edit(shape);
  return Reason(ValidateEncodeSpec(shape.spec, shape.layout));
}

TEST_CASE("sizes of segments") {
  const Shape s = ShapeOf(WriteJpeg({.width = 17, .height = 33}));
  CHECK(s.layout.unit_rows == 16);
  CHECK(PlaneStride(s.layout.planes[0]) == 24);
  CHECK(PlaneStride(s.layout.planes[1]) == 16);
  CHECK(PlaneRows(s.layout, 0, 33) == 48);
  CHECK(PlaneRows(s.layout, 1, 33) == 24);
  CHECK(VisiblePlaneRows(s.layout, 0, 33) == 33);
  CHECK(VisiblePlaneRows(s.layout, 1, 33) == 17);
  CHECK(PlaneOffset(s.layout, 1, 33) == 48 * 24);
  CHECK(SegmentBytes(s.layout, 33) == 48 * 24 + 2 * 24 * 16);
  CHECK(FragmentRowMultiple(s.spec, s.layout) == 128);
  const Shape p = ShapeOf(WritePng({.color_type = 6, .bit_depth = 16}));
  CHECK(SegmentBytes(p.layout, 33) == 17 * 8 * 33);
  CHECK(FragmentRowMultiple(p.spec, p.layout) == 1);
}

TEST_CASE("layouts that make no sense") {
  const Shape s = ShapeOf(WriteJpeg({}));
  auto bad = [&](const std::function<void(RasterLayout&)>& edit) {
    return Edited(s, [&](Shape& e) { edit(e.layout); }) == kBadLayout;
  };
  CHECK(Edited(s, [](Shape&) {}) == "OK");
  CHECK(bad([](auto& l) { l.planes.clear(); }));
  CHECK(bad([](auto& l) { l.planes.resize(5, l.planes[0]); }));
  CHECK(bad([](auto& l) { l.max_vertical_sampling = 0; }));
  CHECK(bad([](auto& l) { l.max_vertical_sampling = 5; }));
  CHECK(bad([](auto& l) { l.unit_rows = 0; }));
  CHECK(bad([](auto& l) { l.unit_rows = 65; }));
  CHECK(bad([](auto& l) { l.unit_rows = 15; }));
  CHECK(bad([](auto& l) { l.planes[0].channels = 0; }));
  CHECK(bad([](auto& l) { l.planes[0].channels = 5; }));
  CHECK(bad([](auto& l) { l.planes[0].bytes_per_sample = 3; }));
  CHECK(bad([](auto& l) { l.planes[1].vertical_sampling = 0; }));
  CHECK(bad([](auto& l) { l.planes[1].vertical_sampling = 3; }));
  CHECK(bad([](auto& l) { l.planes[0].vertical_sampling = 1; }));
  CHECK(bad([](auto& l) { l.planes[0].visible_width = 0; }));
  CHECK(bad([](auto& l) { l.planes[0].visible_width = 18; }));
  CHECK(bad([](auto& l) { l.planes[0].visible_width = 16; }));
  CHECK(bad([](auto& l) { l.planes[0].stored_width = 16; }));
  CHECK(bad([](auto& l) { l.planes[0].stored_width = 4'000'000'000; }));
  CHECK(bad([](auto& l) { l.has_alpha = true; }));
  for (const auto& [width, height] : std::vector<std::pair<uint64_t, uint64_t>>{
           {0, 1}, {1, 0}, {1ull << 31, 1}, {1, 1ull << 31}, {1 << 30, 1 << 30}})
    CHECK(Reason(ValidateLayout(s.layout, width, height)) == kBadLayout);
}

TEST_CASE("the largest layout that is accepted does not overflow") {
  const uint32_t side = 1 << 25;
  RasterLayout layout;
  layout.planes.assign(4, {side, side, 4, 2, 1});
  REQUIRE(ValidateLayout(layout, side, side).ok());
  CHECK(SegmentBytes(layout, side) == 4ull * 8 * side * side);
}

TEST_CASE("specs of JPEGs that make no sense") {
  const Shape s = ShapeOf(WriteJpeg({}));
  auto bad = [&](const std::function<void(Shape&)>& edit) { return Edited(s, edit) == kBadSpec; };
  CHECK(bad([](Shape& e) { e.spec.height = 65501; }));
  CHECK(bad([](Shape& e) { e.jpeg().components.pop_back(); }));
  CHECK(bad([](Shape& e) { e.jpeg().color_transform = JpegColorTransform::kGray; }));
  CHECK(bad([](Shape& e) { e.jpeg().color_transform = JpegColorTransform::kRgbToYCbCr; }));
  CHECK(bad([](Shape& e) { e.jpeg().quant_tables.clear(); }));
  CHECK(bad([](Shape& e) { e.jpeg().quant_tables.resize(5, e.jpeg().quant_tables[0]); }));
  CHECK(bad([](Shape& e) { e.jpeg().quant_tables[0][9] = 0; }));
  CHECK(bad([](Shape& e) { e.jpeg().quant_tables[0][9] = 256; }));
  CHECK(bad([](Shape& e) { e.jpeg().components[0].quant_table = 4; }));
  CHECK(bad([](Shape& e) { e.jpeg().components[0].horizontal_sampling = 0; }));
  CHECK(bad([](Shape& e) { e.jpeg().components[0].vertical_sampling = 5; }));
  CHECK(bad([](Shape& e) {
    for (auto& c : e.jpeg().components) c.horizontal_sampling = c.vertical_sampling = 2;
  }));
  CHECK(bad([](Shape& e) { e.layout.unit_rows = 32; }));
  CHECK(bad([](Shape& e) { e.layout.planes.pop_back(); }));
  CHECK(bad([](Shape& e) { e.layout.planes[1].stored_width += 8; }));
  CHECK(bad([](Shape& e) { e.layout.planes[1].bytes_per_sample = 2; }));
  CHECK(bad([](Shape& e) { e.layout.planes[1].vertical_sampling = 2; }));
  CHECK(bad([](Shape& e) {
    e.layout.has_alpha = true;
    e.layout.planes[0].channels = 2;
  }));

  const Shape rgb = ShapeOf(WriteJpeg({}), SampleMode::kInterleaved);
  CHECK(Edited(rgb, [](Shape&) {}) == "OK");
  CHECK(Edited(rgb, [](Shape& e) { e.layout.planes[0].channels = 4; }) == kBadSpec);
  // libjpeg cannot make two samples of three.
  CHECK(Edited(rgb, [](Shape& e) {
          e.jpeg().components[0].horizontal_sampling = 3;
          e.jpeg().components[1].horizontal_sampling = 2;
        }) == kBadSpec);
}

TEST_CASE("specs of PNGs that make no sense") {
  const Shape s = ShapeOf(WritePng({}));
  auto bad = [&](const std::function<void(Shape&)>& edit) { return Edited(s, edit) == kBadSpec; };
  CHECK(Edited(s, [](Shape&) {}) == "OK");
  CHECK(bad([](Shape& e) { e.png().channels = 0; }));
  CHECK(bad([](Shape& e) { e.png().channels = 5; }));
  CHECK(bad([](Shape& e) { e.png().channels = 4; }));
  CHECK(bad([](Shape& e) { e.png().bits_per_sample = 4; }));
  CHECK(bad([](Shape& e) { e.png().bits_per_sample = 16; }));
  CHECK(bad([](Shape& e) { e.png().compression_level = 9; }));
  CHECK(bad([](Shape& e) { e.layout.planes[0].stored_width += 1; }));
  CHECK(bad([](Shape& e) { e.layout.planes.push_back(e.layout.planes[0]); }));
  CHECK(bad([](Shape& e) { e.layout.unit_rows = 2; }));
}

}  // namespace
}  // namespace histeq::codec
