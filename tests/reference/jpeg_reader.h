#pragma once

// A slow and strict reader of baseline JPEG, written from the specification (ITU-T T.81), as far as
// the quantized coefficients. No libjpeg.

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace histeq::reference {

struct JpegFile {
  struct Segment {
    int marker = 0;
    std::vector<uint8_t> data;
  };
  struct Component {
    int id = 0;
    uint32_t horizontal_sampling = 0, vertical_sampling = 0;
    // In natural order.
    std::array<uint16_t, 64> quantizers{};
    // Without those that only fill an MCU.
    uint32_t blocks_wide = 0, blocks_high = 0;
    // Row by row; each in zigzag order.
    std::vector<std::array<int16_t, 64>> blocks;
  };
  uint32_t width = 0, height = 0;
  uint32_t restart_interval = 0;
  uint32_t restarts = 0;
  std::vector<Component> components;
  // APPn and COM, in order.
  std::vector<Segment> segments;
};

// Empty, or what is wrong. Every bit and byte of the file must have its place: restart markers in
// order, ones as padding, nothing before a marker that does not belong there, nothing after the
// end.
std::string ReadJpeg(std::span<const uint8_t> file, JpegFile& jpeg);

}  // namespace histeq::reference
