#include <cstdint>
#include <cstdio>
#include <vector>

#include "histeq/equalize.h"
#include "histeq/target.h"

int main() {
  // A dull picture: 640 x 480, gray, all values between 100 and 131.
  const histeq::ImageShape shape{.width = 640, .height = 480};
  std::vector<uint8_t> pixels(640 * 480);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(100 + i / 640 % 32);

  histeq::EqualizeParameters parameters;
  parameters.method = histeq::Method::kGlobal;
  if (const auto problem = histeq::FindProblem(parameters, shape)) {
    std::fprintf(stderr, "%s must be %s\n", problem->field, problem->allowed);
    return 1;
  }

  // Count. Two halves here; they may be counted anywhere, and are merged in any order.
  const histeq::ConstRows upper{pixels.data(), 640, 240};
  const histeq::ConstRows lower{pixels.data() + 240 * 640, 640, 240};
  auto statistics = histeq::Statistics::Create(parameters, shape);
  auto of_lower = histeq::Statistics::Create(parameters, shape);
  if (!statistics.valid() || !of_lower.valid()) return 1;
  histeq::AccumulateRows(parameters, shape, upper, 0, statistics);
  histeq::AccumulateRows(parameters, shape, lower, 240, of_lower);
  statistics.Merge(of_lower);
  std::printf("before: %.1f +- %.1f, %s\n", histeq::SummaryOf(statistics.words()).mean,
              histeq::SummaryOf(statistics.words()).standard_deviation, histeq::ActiveTargetName());

  // Map, and apply in place.
  const auto mapping = histeq::ComputeMapping(parameters, shape, statistics);
  if (!mapping.valid()) return 1;
  histeq::ApplyRows(parameters, shape, mapping, {pixels.data(), 640, 480},
                    {pixels.data(), 640, 480}, 0);

  // The darkest value has become 0, the brightest 255.
  return pixels[0] == 0 && pixels[31 * 640] == 255 ? 0 : 1;
}
