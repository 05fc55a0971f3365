#include "histeq/target.h"

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "hwy/highway.h"
#include "kernels.h"

namespace histeq {
namespace {

struct Target {
  int64_t bit;
  const char* name;
};

// Best first. Only one of the last two exists: some compilers cannot build the other.
constexpr Target kTargets[] = {
#if HWY_ARCH_X86
    {HWY_AVX3_DL, "avx3_dl"}, {HWY_AVX3, "avx3"},     {HWY_AVX2, "avx2"},
    {HWY_SSE4, "sse4"},       {HWY_SSSE3, "ssse3"},
#endif
    {HWY_SCALAR, "scalar"},   {HWY_EMU128, "scalar"},
};

const Target* FindSupported(const char* name) {
  // The plain target is always there, though the processor's list does not name it.
  const int64_t supported = (hwy::SupportedTargets() | HWY_SCALAR | HWY_EMU128) & HWY_TARGETS;
  for (const Target& target : kTargets) {
    if (std::strcmp(target.name, name) == 0 && (target.bit & supported) != 0) return &target;
  }
  return nullptr;
}

int64_t TargetOfEnvironment() {
  const char* name = std::getenv("HISTEQ_TARGET");
  const Target* target = name == nullptr ? nullptr : FindSupported(name);
  return target == nullptr ? 0 : target->bit;
}

}  // namespace

namespace internal {

void UseEnvironment() {
  static const int64_t target = [] {
    const int64_t named = TargetOfEnvironment();
    if (named != 0) hwy::SetSupportedTargetsForTest(named);
    return named;
  }();
  static_cast<void>(target);
}

Kernels ActiveKernels() {
  UseEnvironment();
  const CountKernels count = ActiveCountKernels();
  const MapKernels map = ActiveMapKernels();
  const InterpolateKernels interpolate = ActiveInterpolateKernels();
  const ColorKernels color = ActiveColorKernels();
  Kernels kernels{color.bytes,        color.words,        count.count8,  count.flush8,
                  count.count_pairs8, count.flush_pairs8, count.count16, count.flush16};
  kernels.bytes.map = map.bytes;
  kernels.words.map = map.words;
  kernels.bytes.interpolate = interpolate.bytes;
  kernels.words.interpolate = interpolate.words;
  return kernels;
}

}  // namespace internal

const char* ActiveTargetName() {
  internal::UseEnvironment();
  const int64_t supported = hwy::SupportedTargets() & HWY_TARGETS;
  for (const Target& target : kTargets) {
    if ((target.bit & supported) != 0) return target.name;
  }
  return "scalar";
}

std::span<const char* const> SupportedTargetNames() {
  static const auto names = [] {
    internal::UseEnvironment();
    struct Names {
      std::array<const char*, std::size(kTargets)> list{};
      size_t size = 0;
    } found;
    for (const Target& target : kTargets) {
      if (FindSupported(target.name) == &target) found.list[found.size++] = target.name;
    }
    return found;
  }();
  return {names.list.data(), names.size};
}

bool ForceTargetForTest(const char* name) {
  SupportedTargetNames();
  if (name == nullptr) {
    hwy::SetSupportedTargetsForTest(TargetOfEnvironment());
    return true;
  }
  for (const char* supported : SupportedTargetNames()) {
    if (std::strcmp(supported, name) != 0) continue;
    for (const Target& target : kTargets) {
      if (std::strcmp(target.name, name) == 0 && (target.bit & HWY_TARGETS) != 0) {
        hwy::SetSupportedTargetsForTest(target.bit);
        return true;
      }
    }
  }
  return false;
}

}  // namespace histeq
