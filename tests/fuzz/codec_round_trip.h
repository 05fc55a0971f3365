#pragma once

// Any bytes through probe, decoder, encoder and stitcher, and once more.

#include <cstdint>
#include <span>

#include "codec/decoder.h"

namespace histeq::codec {

// Aborts when something does not hold that must hold for every file.
void RoundTrip(std::span<const uint8_t> file, SampleMode mode);

}  // namespace histeq::codec
