// What is equalized in a pixel, and where tiles lie: the slow twins' shared ground.
#pragma once

#include <cstdint>

#include "histeq_image.h"

namespace histeq::reference {

// Numbers that stand for one pixel: one for luma and value, else one for each colour channel.
uint32_t Planes(const EqualizeParameters& parameters, const ImageShape& shape);

// Whether the one number is made of the three colours.
bool IsMixed(const EqualizeParameters& parameters, const ImageShape& shape);

// ITU-R BT.601-7, 2.5.1: Y = 0.299 R + 0.587 G + 0.114 B, with the weights in 1/32768 that OpenCV's
// cvtColor uses (the blue one is what the other two leave), rounded half up.
uint32_t Luma(uint32_t red, uint32_t green, uint32_t blue);

// Plane `plane` of the pixel; samples beyond `largest` count as `largest` where colours are mixed.
uint32_t PlaneOf(const EqualizeParameters& parameters, const ImageShape& shape, uint32_t plane,
                 const uint32_t* pixel);

// All three colours equal nodata.
bool IsNodataPixel(const EqualizeParameters& parameters, const uint32_t* pixel);

// OpenCV's BORDER_REFLECT_101: gfedcb|abcdefgh|gfedcba.
uint32_t Reflect101(int64_t position, uint32_t size);

// OpenCV's createCLAHE: the size of a tile along one dimension, after padding of both when the grid
// does not divide both.
uint32_t TileSize(uint32_t size, uint32_t tiles, bool padded);
bool IsPadded(const EqualizeParameters& parameters, const ImageShape& shape);

}  // namespace histeq::reference
