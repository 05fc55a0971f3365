#pragma once

// The flags of thumbnails, for every command that makes some.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "histeq/v1/operation.pb.h"

namespace histeq::client {

struct ThumbnailOptions {
  std::vector<std::string> sizes;
  std::string fit = "inside";
  std::string format = "same";
  std::optional<uint32_t> quality;
  bool enlarge = false;
  bool linear = false;
  std::string background;
};

// Adds them to a subcommand, in a group of their own; the sizes are given by `size_flag`, which is
// required or not. `options` outlives it.
void AddThumbnailOptions(CLI::App& command, const std::string& size_flag, bool required,
                         ThumbnailOptions& options);

// Whether `text` is "256" or "320x240", 1 to 16384 each.
bool IsThumbnailSize(const std::string& text);

// One for each size, no two alike.
std::vector<v1::Thumbnail> ThumbnailsOf(const ThumbnailOptions& options);

}  // namespace histeq::client
