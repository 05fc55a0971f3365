// Counting. The table of counters is memory whatever the target, so the loops are plain; what
// differs is how the compiler may add the tables up.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels_count.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h
#include "hwy/highway.h"
#include "plain_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace histeq::internal {
namespace HWY_NAMESPACE {

CountKernels GetCountKernels() {
  return {&PlainCount8, &PlainFlush8, &PlainCount16, &PlainFlush16};
}

}  // namespace HWY_NAMESPACE
}  // namespace histeq::internal
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace histeq::internal {

HWY_EXPORT(GetCountKernels);
CountKernels ActiveCountKernels() { return HWY_DYNAMIC_DISPATCH(GetCountKernels)(); }

}  // namespace histeq::internal
#endif  // HWY_ONCE
