// Which instructions the kernels use.
#ifndef HISTEQ_TARGET_H_
#define HISTEQ_TARGET_H_

namespace histeq {

// Name of the instruction set in use: "avx3_dl" (AVX-512 with VBMI), "avx3", "avx2", "sse4",
// "ssse3" or "scalar". The best of the processor, unless the environment's HISTEQ_TARGET names
// another one that the processor has; an unknown or missing one is ignored. The environment is read
// once, before the first kernel runs. Thread-safe.
const char* ActiveTargetName();

}  // namespace histeq

#endif  // HISTEQ_TARGET_H_
