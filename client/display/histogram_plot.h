#pragma once

// Histograms as a picture.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "histeq/v1/image.pb.h"

namespace histeq::client {

struct PlotPanel {
  // Above the plot; cut to its width.
  std::string title;
  v1::ImageStatistics statistics;
};

// RGB, 8 bit, rows from the top without gaps.
struct PlotPicture {
  size_t width = 0;
  size_t height = 0;
  std::vector<uint8_t> samples;
};

// Panels side by side (at most four in a row), all at one vertical scale so that a result can be
// compared with its source: gray or luma as an area, red, green and blue as lines over it.
PlotPicture DrawPlot(const std::vector<PlotPanel>& panels, bool logarithmic);

// The picture as a PNG file.
absl::StatusOr<std::string> EncodePng(const PlotPicture& picture);

}  // namespace histeq::client
