// Slow twin of ApplyRows, and of the whole way from an image to its equalized copy.
#pragma once

#include <vector>

#include "histeq_image.h"
#include "histeq_tables.h"

namespace histeq::reference {

// Gonzalez & Woods 3.3: s = T(r) for every pixel; with Method::kClahe bilinear between the tables
// of the four nearest tiles' centres (Zuiderveld 1994; coordinates as in OpenCV's clahe.cpp), in
// floating point, rounded half up once.
Image Apply(const EqualizeParameters& parameters, const Image& image,
            const std::vector<Table>& tables);

// Count, Tables and Apply.
Image Equalize(const EqualizeParameters& parameters, const Image& image);

}  // namespace histeq::reference
