#pragma once

#include <string>

namespace histeq::store {

// 32 hexadecimal digits from the system's randomness.
std::string RandomHex128();

// `size` random bytes.
std::string RandomBytes(size_t size);

}  // namespace histeq::store
