#pragma once

#include <cstdint>

namespace histeq::engine {

// Of the bytes that engine and codecs make: raised when the same operation gives others, so that
// what was made before is made again.
inline constexpr uint32_t kResultVersion = 3;

}  // namespace histeq::engine
