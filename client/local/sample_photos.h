#pragma once

// Real photographs that are part of the program, to make sample pictures of.

#include <cstdint>
#include <span>

namespace histeq::client {

// Image files: those of tests/data. They live for ever.
std::span<const std::span<const uint8_t>> SamplePhotos();

}  // namespace histeq::client
