#pragma once

// The record of what is durable in a partial blob.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "file_calls.h"

namespace histeq::store {

// A run of bytes that was synced: from the end of the section before it (or 0) to `end`.
struct Section {
  uint64_t end = 0;
  uint32_t crc32c = 0;
};

// The file's form of a section: its end, its CRC-32C, and the CRC-32C of these, little endian.
constexpr size_t kSectionBytes = 16;
std::vector<uint8_t> EncodeSection(const Section& section);

// The whole and increasing sections at the beginning of the file; none when it cannot be opened.
absl::StatusOr<std::vector<Section>> ReadSections(const std::string& path);

// How many of `sections`, from the first on, are in `data` as they should.
absl::StatusOr<size_t> CountGoodSections(const Fd& data, const std::string& path,
                                         const std::vector<Section>& sections);

}  // namespace histeq::store
