#pragma once

#include <set>
#include <string>

namespace histeq::integration {

// Whole files. Throw when that fails.
std::string ReadFile(const std::string& path);
void WriteFile(const std::string& path, const std::string& bytes);

// A file of tests/data.
std::string TestData(const std::string& name);

// SHA-256, 32 bytes, and the same as 64 hexadecimal digits.
std::string Sha256(const std::string& bytes);
std::string Sha256Hex(const std::string& bytes);

// CRC-32C (Castagnoli), bit by bit.
uint32_t Crc32c(const std::string& bytes);

// Paths of the regular files below a folder.
std::set<std::string> FilesBelow(const std::string& folder);

}  // namespace histeq::integration
