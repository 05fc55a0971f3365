#include "display/histogram_plot.h"

#include <png.h>

#include <algorithm>
#include <cmath>

#include "display/histogram_text.h"
#include "display/names.h"
#include "display/plot_font.h"
#include "fmt/format.h"

namespace histeq::client {
namespace {

constexpr size_t kPlotWidth = 512;
constexpr size_t kPlotHeight = 256;
constexpr size_t kMargin = 20;
constexpr size_t kTextScale = 2;
constexpr size_t kLineHeight = (kGlyphHeight + 2) * kTextScale;
// Title above; range and two lines of statistics below.
constexpr size_t kPanelWidth = kPlotWidth + 2 * kMargin;
constexpr size_t kPanelHeight = kPlotHeight + 4 * kLineHeight + 2 * kMargin;
constexpr size_t kPanelsInRow = 4;

struct Color {
  uint8_t red, green, blue;
};
constexpr Color kInk = {40, 40, 40};
constexpr Color kFrame = {150, 150, 150};
constexpr Color kArea = {185, 185, 185};

Color LineColor(v1::ImageStatistics::Channel channel) {
  switch (channel) {
    case v1::ImageStatistics::CHANNEL_RED:
      return {214, 39, 40};
    case v1::ImageStatistics::CHANNEL_GREEN:
      return {24, 140, 50};
    case v1::ImageStatistics::CHANNEL_BLUE:
      return {31, 90, 200};
    default:
      return kInk;
  }
}

class Canvas {
 public:
  Canvas(size_t width, size_t height)
      : picture_{width, height, std::vector<uint8_t>(width * height * 3, 255)} {}

  void Dot(size_t x, size_t y, Color color) {
    if (x >= picture_.width || y >= picture_.height) return;
    uint8_t* sample = &picture_.samples[(y * picture_.width + x) * 3];
    sample[0] = color.red;
    sample[1] = color.green;
    sample[2] = color.blue;
  }

  void Box(size_t x, size_t y, size_t width, size_t height, Color color) {
    for (size_t j = 0; j < height; ++j) {
      for (size_t i = 0; i < width; ++i) Dot(x + i, y + j, color);
    }
  }

  // As much of `text` as fits into `width`.
  void Text(size_t x, size_t y, size_t width, const std::string& text, Color color) {
    const size_t advance = (kGlyphWidth + 1) * kTextScale;
    for (size_t i = 0; i < std::min(text.size(), width / advance); ++i) {
      const auto& columns = Glyph(text[i]);
      for (size_t column = 0; column < kGlyphWidth; ++column) {
        for (size_t row = 0; row < kGlyphHeight; ++row) {
          if ((columns[column] >> row & 1) == 0) continue;
          Box(x + i * advance + column * kTextScale, y + row * kTextScale, kTextScale, kTextScale,
              color);
        }
      }
    }
  }

  PlotPicture Take() { return std::move(picture_); }

 private:
  PlotPicture picture_;
};

size_t TextWidth(const std::string& text) { return text.size() * (kGlyphWidth + 1) * kTextScale; }

// The part of its pixels that is in each column, so that images of any size compare.
std::vector<double> Shares(const v1::Histogram& histogram, bool logarithmic) {
  std::vector<double> columns = Columned(histogram, kPlotWidth, false);
  double all = 0;
  for (const double column : columns) all += column;
  for (double& column : columns) {
    column = all > 0 ? column / all : 0;
    if (logarithmic) column = std::log1p(column * 1e6);
  }
  return columns;
}

void DrawPanel(Canvas& canvas, size_t left, size_t top, const PlotPanel& panel, double highest,
               bool logarithmic) {
  const size_t x = left + kMargin;
  const size_t y = top + kMargin + kLineHeight;
  canvas.Text(x, top + kMargin, kPlotWidth, panel.title, kInk);
  const auto height = [&](double share) {
    const double scaled = share / highest * static_cast<double>(kPlotHeight);
    return share > 0 ? std::clamp<size_t>(static_cast<size_t>(std::lround(scaled)), 1, kPlotHeight)
                     : 0;
  };
  for (const auto& channel : panel.statistics.channels()) {
    const std::vector<double> shares = Shares(channel.histogram(), logarithmic);
    const bool area = channel.channel() == v1::ImageStatistics::CHANNEL_GRAY ||
                      channel.channel() == v1::ImageStatistics::CHANNEL_LUMA;
    size_t before = height(shares[0]);
    for (size_t i = 0; i < kPlotWidth; ++i) {
      const size_t now = height(shares[i]);
      if (area) {
        canvas.Box(x + i, y + kPlotHeight - now, 1, now, kArea);
      } else {
        const size_t low = std::min(before, now);
        const size_t run = std::max<size_t>(std::max(before, now) - low, 2);
        canvas.Box(x + i, y + kPlotHeight - std::min(low + run, kPlotHeight), 1, run,
                   LineColor(channel.channel()));
      }
      before = now;
    }
  }
  canvas.Box(x, y + kPlotHeight, kPlotWidth, 1, kFrame);
  canvas.Box(x, y, kPlotWidth, 1, kFrame);
  canvas.Box(x, y, 1, kPlotHeight, kFrame);
  canvas.Box(x + kPlotWidth - 1, y, 1, kPlotHeight, kFrame);
  if (panel.statistics.channels().empty()) return;
  const auto& first = panel.statistics.channels(0);
  const std::string last = std::to_string(std::max(first.histogram().counts_size(), 1) - 1);
  size_t line = y + kPlotHeight + 6;
  canvas.Text(x, line, kPlotWidth, "0", kInk);
  canvas.Text(x + kPlotWidth - TextWidth(last), line, kPlotWidth, last, kInk);
  line += kLineHeight;
  canvas.Text(x, line, kPlotWidth,
              fmt::format("{} mean {:.1f} stddev {:.1f}", ChannelName(first.channel()),
                          first.mean(), first.standard_deviation()),
              kInk);
  line += kLineHeight;
  canvas.Text(x, line, kPlotWidth,
              fmt::format("min {} max {} entropy {:.2f} bit", first.minimum(), first.maximum(),
                          first.entropy_bits()),
              kInk);
}

}  // namespace

PlotPicture DrawPlot(const std::vector<PlotPanel>& panels, bool logarithmic) {
  double highest = 0;
  for (const PlotPanel& panel : panels) {
    for (const auto& channel : panel.statistics.channels()) {
      for (const double share : Shares(channel.histogram(), logarithmic)) {
        highest = std::max(highest, share);
      }
    }
  }
  if (highest <= 0) highest = 1;
  const size_t across = std::clamp<size_t>(panels.size(), 1, kPanelsInRow);
  const size_t down = std::max<size_t>((panels.size() + across - 1) / across, 1);
  Canvas canvas(across * kPanelWidth, down * kPanelHeight);
  for (size_t i = 0; i < panels.size(); ++i) {
    DrawPanel(canvas, i % across * kPanelWidth, i / across * kPanelHeight, panels[i], highest,
              logarithmic);
  }
  return canvas.Take();
}

absl::StatusOr<std::string> EncodePng(const PlotPicture& picture) {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(picture.width);
  image.height = static_cast<png_uint_32>(picture.height);
  image.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string file(size, '\0');
  if (png_image_write_to_memory(&image, file.data(), &size, 0, picture.samples.data(), 0,
                                nullptr) == 0) {
    return absl::InternalError(std::string("the picture cannot be written: ") + image.message);
  }
  file.resize(size);
  return file;
}

}  // namespace histeq::client
