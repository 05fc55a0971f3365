#pragma once

// Files that commands write.

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/byte_stream.h"
#include "local/made_file.h"

namespace histeq::client {

// A file that appears under its name when it is complete, as MadeFile does. A device or pipe is
// written directly.
class OutputFile final : public base::ByteSink {
 public:
  // Creates missing folders of `path` never.
  // - ALREADY_EXISTS OUTPUT_EXISTS: there is such a file, and not `overwrite`.
  // - FAILED_PRECONDITION OUTPUT_NOT_WRITABLE.
  static absl::StatusOr<std::unique_ptr<OutputFile>> Create(const std::string& path,
                                                            bool overwrite);
  ~OutputFile() override;
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // - RESOURCE_EXHAUSTED DISK_FULL, FAILED_PRECONDITION OUTPUT_NOT_WRITABLE.
  absl::Status Write(std::span<const uint8_t> bytes) override;

  // Gives the file its name. Once, after the last Write. As Create.
  absl::Status Commit();

  const std::string& path() const { return path_; }

 private:
  OutputFile(std::string path, bool overwrite) : path_(std::move(path)), overwrite_(overwrite) {}

  const std::string path_;
  const bool overwrite_;
  std::unique_ptr<MadeFile> file_;
  // Of a device, which is written directly.
  int descriptor_ = -1;
};

// Whether a command may write `path`: before it works for nothing. As OutputFile::Create.
absl::Status CheckOutput(const std::string& path, bool overwrite);

}  // namespace histeq::client
