// Which instructions the kernels use.
#ifndef HISTEQ_TARGET_H_
#define HISTEQ_TARGET_H_

#include <span>

namespace histeq {

// Name of the instruction set in use: "avx3_dl" (AVX-512 with VBMI), "avx3", "avx2", "sse4",
// "ssse3" or "scalar". The best of the processor, unless the environment's HISTEQ_TARGET names
// another one that the processor has; an unknown or missing one is ignored. The environment is read
// once, before the first kernel runs. Thread-safe.
const char* ActiveTargetName();

// Names of the targets that this processor has and the library was built with, best first. With
// HISTEQ_TARGET only that one. Thread-safe.
std::span<const char* const> SupportedTargetNames();

// Makes the kernels use this target from now on; null goes back to the choice that
// ActiveTargetName() describes. False, and nothing done, for a name that is not in
// SupportedTargetNames(). For tests and measurements: no other thread may be in the library
// meanwhile.
bool ForceTargetForTest(const char* name);

}  // namespace histeq

#endif  // HISTEQ_TARGET_H_
