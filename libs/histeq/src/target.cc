#include "histeq/target.h"

#include "plain_kernels.h"

namespace histeq {
namespace internal {

const Kernels& ActiveKernels() {
  static constexpr Kernels kKernels{PlainSampleKernels<uint8_t>(),
                                    PlainSampleKernels<uint16_t>(),
                                    &PlainCount8,
                                    &PlainFlush8,
                                    &PlainCount16,
                                    &PlainFlush16};
  return kKernels;
}

}  // namespace internal

const char* ActiveTargetName() { return "scalar"; }

}  // namespace histeq
