#include "axis.h"

#include <algorithm>
#include <cmath>

namespace histeq::resize {
namespace {

constexpr double kLobes = 3;
constexpr uint32_t kCopies = 5;

}  // namespace

Axis MakeAxis(uint32_t source, double begin, double length, uint32_t target, bool whole) {
  Axis axis;
  axis.changes = begin != 0 || length != source || target != source;
  axis.count = source;
  axis.source = source;
  axis.target = target;
  axis.begin = begin;
  axis.length = length;
  if (!axis.changes) return axis;
  const double step = length / target;
  // Half the filter's width, and a sample for what is rounded.
  const double reach = kLobes * std::max(1.0, step) + 1;
  if (!whole) {
    const double first = std::floor(std::max(0.0, begin - reach - 1));
    const double end = std::ceil(std::min<double>(source, begin + length + reach + 1));
    axis.first = static_cast<uint32_t>(first);
    axis.count = static_cast<uint32_t>(end - first);
    axis.source = axis.count;
    axis.begin = begin - first;
  }
  if (source > reach && length > reach) return axis;
  axis.copies = kCopies;
  axis.source = axis.count * kCopies;
  // Wide enough for the filter: two samples of the result more on each side, and more where these
  // are narrow.
  const double missing = (reach + 1 - length) / (2 * step);
  axis.margin = static_cast<uint32_t>(std::max(2.0, std::ceil(missing)));
  axis.target = target + 2 * axis.margin;
  axis.begin = static_cast<double>(axis.count) * (kCopies / 2) + axis.begin - axis.margin * step;
  axis.length = axis.target * step;
  return axis;
}

}  // namespace histeq::resize
