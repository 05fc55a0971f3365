// The same bytes everywhere: a checksum that every machine must come to, and zimg's kinds of
// processors among each other.

#include <zimg.h>

#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/crc32c.h"
#include "run.h"
#include "transfer.h"

namespace histeq::resize {
namespace {

TEST_CASE("bytes that every machine comes to") {
  uint32_t crc = 0;
  const uint32_t sizes[][4] = {
      {300, 200, 97, 61}, {64, 64, 129, 200}, {500, 5, 256, 1}, {2, 90, 17, 33}};
  for (const auto& size : sizes) {
    for (const uint32_t bits : {8u, 16u}) {
      for (const uint32_t channels : {1u, 4u}) {
        for (const bool light : {false, true}) {
          const ResampleSpec spec = {.source_width = size[0],
                                     .source_height = size[1],
                                     .channels = channels,
                                     .has_alpha = channels == 4,
                                     .bits_per_sample = bits,
                                     .region = {0.25, 0, size[0] - 0.5, double(size[1])},
                                     .width = size[2],
                                     .height = size[3],
                                     .linear_light = light};
          const auto bytes = Pack(Run(spec, MakePattern(spec, Pattern::kNoise)), bits);
          crc = base::Crc32c(crc, bytes);
        }
      }
    }
  }
  CHECK(crc == 0x39100a8);
}

// Every kind that this machine has; those that it lacks are tested where they are.
TEST_CASE("zimg gives the same 16-bit samples on every kind of processor") {
  std::vector<zimg_cpu_type_e> kinds = {ZIMG_CPU_NONE, ZIMG_CPU_AUTO, ZIMG_CPU_AUTO_64B};
#ifdef __x86_64__
  kinds.push_back(ZIMG_CPU_X86_SSE2);
  if (__builtin_cpu_supports("avx2")) kinds.push_back(ZIMG_CPU_X86_AVX2);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    kinds.push_back(ZIMG_CPU_X86_AVX512_SKX);
#endif
  constexpr uint32_t kWidth = 333, kHeight = 150;
  constexpr size_t kStride = 704;
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  const auto allocate = [](size_t bytes) {
    return std::unique_ptr<uint8_t, Free>(
        static_cast<uint8_t*>(std::aligned_alloc(64, (bytes + 127) / 64 * 64)));
  };
  const auto source = allocate(kStride * kHeight);
  std::mt19937 random(5);
  for (size_t i = 0; i < kStride * kHeight; i += 2) {
    const auto sample = static_cast<uint16_t>(i % 3 == 0 ? random() % 2 * 65535 : random());
    std::memcpy(source.get() + i, &sample, 2);
  }
  const uint32_t targets[][2] = {{100, 40}, {330, 10}, {350, 290}, {64, 150}, {333, 77}, {17, 9}};
  for (const auto& target : targets) {
    std::vector<uint8_t> expected;
    for (const zimg_cpu_type_e kind : kinds) {
      zimg_image_format in, out;
      zimg_image_format_default(&in, ZIMG_API_VERSION);
      in.width = kWidth;
      in.height = kHeight;
      in.pixel_type = ZIMG_PIXEL_WORD;
      in.pixel_range = ZIMG_RANGE_FULL;
      in.depth = 16;
      out = in;
      out.width = target[0];
      out.height = target[1];
      zimg_graph_builder_params params;
      zimg_graph_builder_params_default(&params, ZIMG_API_VERSION);
      params.resample_filter = ZIMG_RESIZE_LANCZOS;
      params.filter_param_a = 3;
      params.cpu_type = kind;
      zimg_filter_graph* graph = zimg_filter_graph_build(&in, &out, &params);
      REQUIRE(graph != nullptr);
      size_t work_bytes = 0;
      zimg_filter_graph_get_tmp_size(graph, &work_bytes);
      const auto work = allocate(work_bytes);
      const auto result = allocate(kStride * target[1]);
      std::memset(result.get(), 0, kStride * target[1]);
      zimg_image_buffer_const from{};
      from.version = ZIMG_API_VERSION;
      from.plane[0] = {source.get(), kStride, ZIMG_BUFFER_MAX};
      zimg_image_buffer to{};
      to.version = ZIMG_API_VERSION;
      to.plane[0] = {result.get(), kStride, ZIMG_BUFFER_MAX};
      REQUIRE(zimg_filter_graph_process(graph, &from, &to, work.get(), nullptr, nullptr, nullptr,
                                        nullptr) == ZIMG_ERROR_SUCCESS);
      zimg_filter_graph_free(graph);
      std::vector<uint8_t> bytes;
      for (uint32_t y = 0; y < target[1]; ++y)
        bytes.insert(bytes.end(), result.get() + y * kStride,
                     result.get() + y * kStride + target[0] * 2);
      if (expected.empty()) expected = bytes;
      CAPTURE(int(kind), target[0], target[1]);
      CHECK((bytes == expected));
    }
  }
}

TEST_CASE("light is sRGB's, and comes back") {
  for (int i = 0; i <= 1000; ++i) {
    const double v = i / 1000.0;
    const double expected = v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4);
    CHECK(std::abs(Light(v) - expected) < 1e-14);
  }
  for (const uint32_t bits : {8u, 16u}) {
    const auto light = LightOfSamples(bits);
    const auto samples = SamplesOfLight(bits);
    for (size_t v = 0; v < light.size(); ++v) {
      if (bits == 8)
        REQUIRE(samples[light[v]] == v);
      else
        REQUIRE(std::abs(int(samples[light[v]]) - int(v)) <= 6);
    }
  }
}

}  // namespace
}  // namespace histeq::resize
