// OpenCV itself, where it is installed: many sizes, grids and clip limits at once.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <random>

#include "histeq/equalize.h"

namespace histeq {
namespace {

cv::Mat Equalized(const EqualizeParameters& parameters, const cv::Mat& image) {
  const ImageShape shape{.width = static_cast<uint32_t>(image.cols),
                         .height = static_cast<uint32_t>(image.rows),
                         .bits_per_sample = image.depth() == CV_8U ? 8u : 16u};
  REQUIRE_FALSE(FindProblem(parameters, shape));
  const ConstRows in{image.data, static_cast<ptrdiff_t>(image.step), shape.height};
  cv::Mat result(image.size(), image.type());
  Statistics statistics = Statistics::Create(parameters, shape);
  AccumulateRows(parameters, shape, in, 0, statistics);
  const Mapping mapping = ComputeMapping(parameters, shape, statistics);
  ApplyRows(parameters, shape, mapping, in,
            {result.data, static_cast<ptrdiff_t>(result.step), shape.height}, 0);
  return result;
}

// Blobs, noise, or few values.
cv::Mat Drawn(int width, int height, int type, std::mt19937& random) {
  cv::Mat image(height, width, type);
  const uint32_t bits = type == CV_8U ? 8 : 16;
  const uint32_t kind = random() % 3;
  const double scale = 0.01 + (random() % 100) / 300.0;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const double wave = (2 + std::sin(x * scale) + std::cos(y * scale)) / 4;
      uint32_t value = static_cast<uint32_t>(wave * ((1u << bits) - 1));
      if (kind == 1) value = random() & ((1u << bits) - 1);
      if (kind == 2) value &= ~((1u << (bits - 2)) - 1);
      if (bits == 8) {
        image.at<uint8_t>(y, x) = static_cast<uint8_t>(value);
      } else {
        image.at<uint16_t>(y, x) = static_cast<uint16_t>(value);
      }
    }
  }
  return image;
}

TEST_CASE("equalizeHist: every pixel is equal", "[histeq]") {
  std::mt19937 random(5);
  for (int i = 0; i < 200; ++i) {
    const cv::Mat image = Drawn(1 + static_cast<int>(random() % 400),
                                1 + static_cast<int>(random() % 300), CV_8U, random);
    cv::Mat theirs;
    cv::equalizeHist(image, theirs);
    INFO(image.cols << "x" << image.rows);
    REQUIRE(cv::norm(theirs, Equalized(EqualizeParameters(), image), cv::NORM_INF) == 0);
  }
}

TEST_CASE("createCLAHE: every pixel is within one", "[histeq]") {
  std::mt19937 random(6);
  for (int i = 0; i < 120; ++i) {
    const bool deep = i % 3 == 0;
    const cv::Mat image =
        Drawn(1 + static_cast<int>(random() % 300), 1 + static_cast<int>(random() % 200),
              deep ? CV_16U : CV_8U, random);
    EqualizeParameters parameters;
    parameters.method = Method::kClahe;
    parameters.grid_x = 1 + random() % (deep ? 4 : 20);
    parameters.grid_y = 1 + random() % (deep ? 4 : 20);
    parameters.clip_limit_q8 = 256 + random() % (deep ? 10000 : 3000);
    cv::Mat theirs;
    cv::createCLAHE(parameters.clip_limit_q8 / 256.0,
                    {static_cast<int>(parameters.grid_x), static_cast<int>(parameters.grid_y)})
        ->apply(image, theirs);
    INFO(image.cols << "x" << image.rows << " grid " << parameters.grid_x << "x"
                    << parameters.grid_y << " clip " << parameters.clip_limit_q8);
    REQUIRE(cv::norm(theirs, Equalized(parameters, image), cv::NORM_INF) <= 1);
  }
}

}  // namespace
}  // namespace histeq
