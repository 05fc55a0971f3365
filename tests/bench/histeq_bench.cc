// Speed of libs/histeq, with OpenCV beside it in the same run where it is installed; one thread.
//
//   histeq_bench [--target=avx2] [--edge=8192] [Google Benchmark's flags]
//
// The photograph is edge x edge pixels, 64 Mpixel by default. At the end comes a table: medians in
// Mpixel/s, and how many times the other's speed that is. Repetitions of all benchmarks take turns,
// so that a machine that is busy for a while is busy for all.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#ifdef HISTEQ_BENCH_OPENCV
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#endif

#include "histeq/equalize.h"
#include "histeq/target.h"
#include "pictures.h"

namespace {

using histeq::AccumulateRows;
using histeq::ApplyRows;
using histeq::ComputeMapping;
using histeq::ConstRows;
using histeq::EqualizeParameters;
using histeq::ImageShape;
using histeq::Mapping;
using histeq::Method;
using histeq::Rows;
using histeq::Statistics;

// A picture and room for what becomes of it.
struct Picture {
  ImageShape shape;
  std::vector<uint8_t> source;
  std::vector<uint8_t> target;

  size_t RowBytes() const {
    return size_t{shape.width} * shape.channels * (shape.bits_per_sample / 8);
  }
  ConstRows In() const { return {source.data(), static_cast<ptrdiff_t>(RowBytes()), shape.height}; }
  Rows Out() { return {target.data(), static_cast<ptrdiff_t>(RowBytes()), shape.height}; }
  int64_t Pixels() const { return int64_t{shape.width} * shape.height; }
};

// The photographs of tests/data in turns, each tile a little brighter or darker than the last.
Picture MakePhotograph(uint32_t width, uint32_t height, uint32_t channels, uint32_t bits) {
  std::vector<histeq::reference::Image> photographs;
  if (channels == 1) {
    for (const char* name : {"camera.png", "moon.png", "retina.jpg", "hubble_deep_field.jpg"}) {
      photographs.push_back(histeq::pictures::Photograph(name, 1));
    }
  } else {
    for (const char* name : {"coffee.png", "chelsea.png", "rocket.jpg", "retina.jpg"}) {
      photographs.push_back(histeq::pictures::Photograph(name, 3));
    }
  }
  Picture picture;
  picture.shape = {width, height, channels, false, bits};
  const size_t samples = size_t{width} * height * channels;
  picture.source.resize(samples * (bits / 8));
  picture.target.resize(picture.source.size());
  constexpr uint32_t kTile = 256;
  uint32_t noise = 1;
  size_t at = 0;
  for (uint32_t y = 0; y < height; ++y) {
    for (uint32_t x = 0; x < width; ++x) {
      const uint32_t tile = (y / kTile) * 7 + x / kTile;
      const auto& photograph = photographs[tile % photographs.size()];
      const uint32_t* pixel = photograph.Pixel((x + tile * 31) % photograph.shape.width,
                                               (y + tile * 17) % photograph.shape.height);
      for (uint32_t channel = 0; channel < channels; ++channel, ++at) {
        const uint32_t brighter = std::min(pixel[channel] + tile * 5 % 24, 255u);
        if (bits == 8) {
          picture.source[at] = static_cast<uint8_t>(brighter);
        } else {
          noise = noise * 1664525 + 1013904223;
          const auto deep = static_cast<uint16_t>(brighter << 8 | noise >> 24);
          std::memcpy(&picture.source[at * 2], &deep, 2);
        }
      }
    }
  }
  return picture;
}

Picture MakeConstant(uint32_t width, uint32_t height, uint32_t bits) {
  Picture picture;
  picture.shape = {width, height, 1, false, bits};
  picture.source.assign(size_t{width} * height * (bits / 8), 77);
  picture.target.resize(picture.source.size());
  return picture;
}

EqualizeParameters ParametersOf(Method method) {
  EqualizeParameters parameters;
  parameters.method = method;
  return parameters;
}

void Count(const Picture& picture) {
  const EqualizeParameters parameters;
  Statistics statistics = Statistics::Create(parameters, picture.shape);
  AccumulateRows(parameters, picture.shape, picture.In(), 0, statistics);
  benchmark::DoNotOptimize(statistics.words().data());
}

void Equalize(Method method, Picture& picture) {
  const EqualizeParameters parameters = ParametersOf(method);
  Statistics statistics = Statistics::Create(parameters, picture.shape);
  AccumulateRows(parameters, picture.shape, picture.In(), 0, statistics);
  const Mapping mapping = ComputeMapping(parameters, picture.shape, statistics);
  ApplyRows(parameters, picture.shape, mapping, picture.In(), picture.Out(), 0);
}

Mapping MappingOf(const Picture& picture) {
  const EqualizeParameters parameters;
  Statistics statistics = Statistics::Create(parameters, picture.shape);
  AccumulateRows(parameters, picture.shape, picture.In(), 0, statistics);
  return ComputeMapping(parameters, picture.shape, statistics);
}

void Apply(const Mapping& mapping, Picture& picture) {
  ApplyRows(EqualizeParameters(), picture.shape, mapping, picture.In(), picture.Out(), 0);
}

// What one would write without a library.
void ApplyPlainly(const Mapping& mapping, Picture& picture) {
  const auto* table = reinterpret_cast<const uint16_t*>(mapping.data().data());
  const auto* in = reinterpret_cast<const uint16_t*>(picture.source.data());
  auto* out = reinterpret_cast<uint16_t*>(picture.target.data());
  for (int64_t i = 0; i < picture.Pixels(); ++i) out[i] = table[in[i]];
}

#ifdef HISTEQ_BENCH_OPENCV

cv::Mat MatOf(const ImageShape& shape, std::vector<uint8_t>& bytes) {
  return cv::Mat(
      static_cast<int>(shape.height), static_cast<int>(shape.width),
      CV_MAKETYPE(shape.bits_per_sample == 8 ? CV_8U : CV_16U, static_cast<int>(shape.channels)),
      bytes.data());
}

void CountByOpenCv(Picture& picture) {
  const cv::Mat image = MatOf(picture.shape, picture.source);
  const int channel = 0;
  const int bins = 1 << picture.shape.bits_per_sample;
  const float range[] = {0, static_cast<float>(bins)};
  const float* ranges[] = {range};
  cv::Mat histogram;
  cv::calcHist(&image, 1, &channel, cv::Mat(), histogram, 1, &bins, ranges);
}

void EqualizeByOpenCv(Picture& picture) {
  cv::Mat target = MatOf(picture.shape, picture.target);
  cv::equalizeHist(MatOf(picture.shape, picture.source), target);
}

void ClaheByOpenCv(Picture& picture) {
  cv::Mat target = MatOf(picture.shape, picture.target);
  cv::createCLAHE(2, {8, 8})->apply(MatOf(picture.shape, picture.source), target);
}

void LutByOpenCv(const Mapping& mapping, Picture& picture) {
  const cv::Mat table(1, 256, CV_8U, const_cast<uint8_t*>(mapping.data().data()));
  cv::Mat target = MatOf(picture.shape, picture.target);
  cv::LUT(MatOf(picture.shape, picture.source), table, target);
}

// Its buffers are kept from call to call.
void LumaByOpenCv(Picture& picture) {
  static cv::Mat converted;
  static cv::Mat luma;
  cv::cvtColor(MatOf(picture.shape, picture.source), converted, cv::COLOR_RGB2YCrCb);
  cv::extractChannel(converted, luma, 0);
  cv::equalizeHist(luma, luma);
  cv::insertChannel(luma, converted, 0);
  cv::Mat target = MatOf(picture.shape, picture.target);
  cv::cvtColor(converted, target, cv::COLOR_YCrCb2RGB);
}

#endif

// One line of the table: this library's time and what it is compared with.
void Add(const std::string& what, const std::string& who, int64_t pixels,
         std::function<void()> work) {
  benchmark::RegisterBenchmark((what + "/" + who).c_str(), [pixels, work = std::move(work)](
                                                               benchmark::State& state) {
    for (auto _ : state) {
      work();
      benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(state.iterations() * pixels);
  })->Unit(benchmark::kMicrosecond);
}

// Prints as usual, and keeps the medians for the table.
class TableReporter : public benchmark::ConsoleReporter {
 public:
  void ReportRuns(const std::vector<Run>& runs) override {
    ConsoleReporter::ReportRuns(runs);
    for (const Run& run : runs) {
      if (run.run_type == Run::RT_Aggregate) continue;
      const std::string& name = run.run_name.function_name;
      if (times_.find(name) == times_.end()) order_.push_back(name);
      const auto speed = run.counters.find("items_per_second");
      if (speed != run.counters.end()) times_[name].push_back(speed->second / 1e6);
    }
  }

  void PrintTable() {
    std::printf(
        "\ntarget %s\n\n| what | Mpixel/s | compared with | Mpixel/s | times "
        "|\n|---|---|---|---|---|\n",
        histeq::ActiveTargetName());
    for (const std::string& name : order_) {
      const size_t slash = name.rfind('/');
      const std::string who = name.substr(slash + 1);
      const auto ours = times_.find(name.substr(0, slash) + "/histeq");
      if (who == "histeq" || ours == times_.end()) continue;
      const double fast = Median(ours->second);
      const double other = Median(times_[name]);
      std::printf("| %s | %.0f | %s | %.0f | %.2f |\n", name.substr(0, slash).c_str(), fast,
                  who.c_str(), other, fast / other);
    }
  }

 private:
  static double Median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
  }

  std::vector<std::string> order_;
  std::map<std::string, std::vector<double>> times_;
};

void AddGray8(const std::string& name, Picture& picture) {
  Add("8-bit histogram, " + name, "histeq", picture.Pixels(), [&] { Count(picture); });
  Add("8-bit global, " + name, "histeq", picture.Pixels(),
      [&] { Equalize(Method::kGlobal, picture); });
  Add("8-bit CLAHE, " + name, "histeq", picture.Pixels(),
      [&] { Equalize(Method::kClahe, picture); });
#ifdef HISTEQ_BENCH_OPENCV
  Add("8-bit histogram, " + name, "calcHist", picture.Pixels(), [&] { CountByOpenCv(picture); });
  Add("8-bit global, " + name, "equalizeHist", picture.Pixels(),
      [&] { EqualizeByOpenCv(picture); });
  Add("8-bit CLAHE, " + name, "createCLAHE", picture.Pixels(), [&] { ClaheByOpenCv(picture); });
#endif
}

void AddGray16(const std::string& name, Picture& picture) {
  Add("16-bit histogram, " + name, "histeq", picture.Pixels(), [&] { Count(picture); });
  Add("16-bit CLAHE, " + name, "histeq", picture.Pixels(),
      [&] { Equalize(Method::kClahe, picture); });
#ifdef HISTEQ_BENCH_OPENCV
  Add("16-bit histogram, " + name, "calcHist", picture.Pixels(), [&] { CountByOpenCv(picture); });
  Add("16-bit CLAHE, " + name, "createCLAHE", picture.Pixels(), [&] { ClaheByOpenCv(picture); });
#endif
}

void AddTables(Picture& gray, const Mapping& mapping, Picture& deep, const Mapping& deep_mapping) {
  Add("8-bit table, photograph", "histeq", gray.Pixels(), [&] { Apply(mapping, gray); });
  Add("8-bit table, photograph", "memcpy", gray.Pixels(),
      [&] { std::memcpy(gray.target.data(), gray.source.data(), gray.source.size()); });
  Add("16-bit table, photograph", "histeq", deep.Pixels(), [&] { Apply(deep_mapping, deep); });
  Add("16-bit table, photograph", "plain loop", deep.Pixels(),
      [&] { ApplyPlainly(deep_mapping, deep); });
#ifdef HISTEQ_BENCH_OPENCV
  Add("8-bit table, photograph", "LUT", gray.Pixels(), [&] { LutByOpenCv(mapping, gray); });
#endif
}

void AddColor(const std::string& name, Picture& picture) {
  Add("RGB luma, " + name, "histeq", picture.Pixels(), [&] { Equalize(Method::kGlobal, picture); });
#ifdef HISTEQ_BENCH_OPENCV
  Add("RGB luma, " + name, "convert, equalizeHist, convert", picture.Pixels(),
      [&] { LumaByOpenCv(picture); });
#endif
}

}  // namespace

int main(int argc, char** argv) {
  setenv("HISTEQ_TEST_DATA", HISTEQ_TEST_DATA, 0);
  uint32_t edge = 8192;
  std::vector<char*> arguments = {argv[0]};
  // Defaults; what is given later wins.
  char repetitions[] = "--benchmark_repetitions=5";
  char turns[] = "--benchmark_enable_random_interleaving=true";
  char seconds[] = "--benchmark_min_time=0.05";
  arguments.insert(arguments.end(), {repetitions, turns, seconds});
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.starts_with("--target=")) {
      if (!histeq::ForceTargetForTest(argument.substr(9).c_str())) {
        std::fprintf(stderr, "%s: this processor has:", argv[i]);
        for (const char* name : histeq::SupportedTargetNames()) std::fprintf(stderr, " %s", name);
        std::fprintf(stderr, "\n");
        return 2;
      }
    } else if (argument.starts_with("--edge=")) {
      edge = static_cast<uint32_t>(std::clamp(std::atoi(argument.c_str() + 7), 1, 32768));
    } else {
      arguments.push_back(argv[i]);
    }
  }
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;
#ifdef HISTEQ_BENCH_OPENCV
  cv::setNumThreads(1);
#endif

  Picture gray = MakePhotograph(edge, edge, 1, 8);
  Picture deep = MakePhotograph(edge, edge, 1, 16);
  Picture color = MakePhotograph(edge, edge, 3, 8);
  Picture gray_vga = MakePhotograph(640, 480, 1, 8);
  Picture deep_vga = MakePhotograph(640, 480, 1, 16);
  Picture color_vga = MakePhotograph(640, 480, 3, 8);
  Picture gray_tiny = MakePhotograph(64, 64, 1, 8);
  Picture deep_tiny = MakePhotograph(64, 64, 1, 16);
  Picture color_tiny = MakePhotograph(64, 64, 3, 8);
  Picture constant = MakeConstant(edge, edge, 8);
  Picture deep_constant = MakeConstant(edge, edge, 16);
  const Mapping mapping = MappingOf(gray);
  const Mapping deep_mapping = MappingOf(deep);

  AddGray8("photograph", gray);
  AddTables(gray, mapping, deep, deep_mapping);
  AddGray16("photograph", deep);
  AddColor("photograph", color);
  AddGray8("640x480", gray_vga);
  AddGray16("640x480", deep_vga);
  AddColor("640x480", color_vga);
  AddGray8("64x64", gray_tiny);
  AddGray16("64x64", deep_tiny);
  AddColor("64x64", color_tiny);
  AddGray8("constant", constant);
  AddGray16("constant", deep_constant);

  TableReporter reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);
  reporter.PrintTable();
  benchmark::Shutdown();
}
