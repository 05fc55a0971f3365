#include "codec_round_trip.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using histeq::codec::SampleMode;
  histeq::codec::RoundTrip({data, size}, SampleMode::kRawPlanes);
  histeq::codec::RoundTrip({data, size}, SampleMode::kInterleaved);
  return 0;
}
