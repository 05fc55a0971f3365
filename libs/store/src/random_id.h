#pragma once

#include <string>

#include "absl/time/time.h"

namespace histeq::store {

// 32 hexadecimal digits from the system's randomness.
std::string RandomHex128();

// 32 hexadecimal digits: milliseconds since 1970, then 80 bits of the system's randomness. What was
// made at the same time lies together in an index, so that few of its pages change.
std::string TimedHex128(absl::Time time);

// `size` random bytes.
std::string RandomBytes(size_t size);

}  // namespace histeq::store
