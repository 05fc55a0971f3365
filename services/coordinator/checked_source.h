#pragma once

// Compares a stored image with what was promised about it, while it passes.

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/byte_stream.h"
#include "store/sha256.h"

namespace histeq::coordinator {

// Hands on the bytes of `source` and computes their SHA-256. At the end it compares that with the
// one that the catalog has. Decoders stop at the end of the image and may not see the end of the
// file: whoever relies on the comparison reads on until Read returns 0 or fails.
class CheckedSource final : public base::ByteSource {
 public:
  // `sha256`: 32 bytes, or empty: nothing is compared.
  CheckedSource(base::ByteSource& source, std::string sha256);
  ~CheckedSource() override;
  CheckedSource(const CheckedSource&) = delete;
  CheckedSource& operator=(const CheckedSource&) = delete;

  // At the end: DATA_LOSS (SOURCE_CHANGED) when the checksum differs.
  absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) override;

 private:
  base::ByteSource& source_;
  const std::string sha256_;
  // Until the end; empty when nothing is compared.
  std::optional<store::Sha256> digest_;
};

}  // namespace histeq::coordinator
