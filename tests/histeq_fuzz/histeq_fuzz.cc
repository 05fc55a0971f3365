// Differential fuzzer: any bytes are parameters and a picture, on which every target of libs/histeq
// must agree with the slow twins.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "differential.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto c = histeq::differential::CaseOf({data, size});
  const std::string difference = histeq::differential::Difference(c);
  if (!difference.empty()) {
    std::fprintf(stderr, "%s\n", difference.c_str());
    std::abort();
  }
  return 0;
}
