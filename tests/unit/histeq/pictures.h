// Real pictures for the tests of libs/histeq.
#pragma once

#include <cstdint>
#include <string>

#include "histeq_image.h"

namespace histeq::pictures {

// A PNG or JPEG file of tests/data, as 1 (gray) or 3 (R G B) channels, 8 bit. Throws
// std::runtime_error.
reference::Image Photograph(const std::string& name, uint32_t channels);

// A PNG file of 8- or 16-bit gray, as it is.
reference::Image GrayPng(const std::string& path);

// `width` x `height` pixels from (x, y) on; the picture goes on by repeating.
reference::Image Crop(const reference::Image& image, uint32_t x, uint32_t y, uint32_t width,
                      uint32_t height);

// As 16-bit samples that use the values between: sample * 256 plus a pattern below 256.
reference::Image Deepened(const reference::Image& image);

// With one more channel, alpha: a ramp with fully transparent columns.
reference::Image WithAlpha(const reference::Image& image);

}  // namespace histeq::pictures
