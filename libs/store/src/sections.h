#pragma once

// The record of what is durable in a partial blob.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "file_calls.h"
#include "store/sha256.h"

namespace histeq::store {

// A run of bytes that was synced: from the end of the section before it (or 0) to `end`.
struct Section {
  uint64_t end = 0;
  uint32_t crc32c = 0;
  // Of all bytes from 0 on, up to the last multiple of Sha256::kBlockBytes.
  Sha256Chain chain{};
};

// The file's form of a section: its end, its CRC-32C, its chain, and the CRC-32C of these, little
// endian.
constexpr size_t kSectionBytes = 48;
std::vector<uint8_t> EncodeSection(const Section& section);

// The whole and increasing sections at the beginning of the file; none when it cannot be opened.
absl::StatusOr<std::vector<Section>> ReadSections(const std::string& path);

// Drops from the end the sections that are not in `data` as they should. A section is recorded only
// after its bytes and those before it were synced: all before one that is right are taken for right
// too, without being read.
absl::Status DropBadSections(const Fd& data, const std::string& path,
                             std::vector<Section>& sections);

}  // namespace histeq::store
