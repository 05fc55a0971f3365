#pragma once

// The transfer function of sRGB, the same on every machine.

#include <cstdint>
#include <span>

namespace histeq::resize {

// Light (0 to 1) of a sample (0 to 1). Made of operations that IEEE 754 rounds exactly, unlike
// pow().
double Light(double sample);

// Levels of light for the samples 0 to 255, or 0 to 65535, rounded: offset + range * Light(sample /
// greatest).
std::span<const uint16_t> LightOfSamples(uint32_t bits_per_sample);
// The sample that comes nearest, for each of the 65536 levels.
std::span<const uint16_t> SamplesOfLight(uint32_t bits_per_sample);

}  // namespace histeq::resize
