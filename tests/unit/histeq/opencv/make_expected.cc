// Makes the PNG files of this folder with OpenCV, and raw files whose SHA-256 opencv_test.cc holds.
// Built by hand, where libopencv-dev is installed, when an expectation is added:
//   g++ -std=c++20 -I/usr/include/opencv4 make_expected.cc -lopencv_core -lopencv_imgproc
//   -lopencv_imgcodecs -o make_expected
//   ./make_expected ../../../data .
#include <cstdint>
#include <cstdio>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <string>

namespace {

struct Clahe {
  const char* name;
  const char* source;
  cv::Rect crop;
  bool deep;
  double clip_limit;
  int grid_x;
  int grid_y;
};

// opencv_test.cc lists the same.
const Clahe kClahes[] = {
    {"moon_8x8", "moon.png", {0, 0, 512, 512}, false, 2, 8, 8},
    {"camera_7x5", "camera.png", {3, 5, 301, 203}, false, 4, 7, 5},
    {"camera_8x3", "camera.png", {100, 100, 160, 100}, false, 1.5, 8, 3},
    {"moon_thin", "moon.png", {10, 10, 5, 200}, false, 40, 8, 8},
    {"moon16_4x4", "moon.png", {64, 64, 160, 120}, true, 2, 4, 4},
    {"camera16_3x2", "camera.png", {150, 50, 121, 97}, true, 30, 3, 2},
};

// As Deepened() of the tests.
cv::Mat Deepened(const cv::Mat& bytes) {
  cv::Mat deep(bytes.size(), CV_16U);
  size_t i = 0;
  for (int y = 0; y < bytes.rows; ++y) {
    for (int x = 0; x < bytes.cols; ++x, ++i) {
      deep.at<uint16_t>(y, x) =
          static_cast<uint16_t>(bytes.at<uint8_t>(y, x) * 256 + ((i * 2654435761u) >> 8 & 255));
    }
  }
  return deep;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s TEST_DATA OUT\n", argv[0]);
    return 2;
  }
  const std::string data = std::string(argv[1]) + "/";
  const std::string out = std::string(argv[2]) + "/";
  for (const Clahe& c : kClahes) {
    cv::Mat image = cv::imread(data + c.source, cv::IMREAD_GRAYSCALE)(c.crop).clone();
    if (c.deep) image = Deepened(image);
    cv::Mat result;
    cv::createCLAHE(c.clip_limit, {c.grid_x, c.grid_y})->apply(image, result);
    cv::imwrite(out + c.name + ".png", result, {cv::IMWRITE_PNG_COMPRESSION, 9});
  }
  for (const char* name : {"moon", "camera"}) {
    cv::Mat result;
    cv::equalizeHist(cv::imread(data + name + ".png", cv::IMREAD_GRAYSCALE), result);
    std::FILE* file = std::fopen((out + name + ".raw").c_str(), "wb");
    std::fwrite(result.data, 1, result.total(), file);
    std::fclose(file);
  }
}
