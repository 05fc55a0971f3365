#pragma once

#include <cstdint>
#include <string>

namespace histeq::client {

// An amount of bytes for people: "512 B", "1.5 KiB", "12.0 MiB", "3.2 GiB".
std::string ByteText(uint64_t bytes);

}  // namespace histeq::client
