#include "commands/thumbnail_flags.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "engine/thumbnail_parameters.h"

namespace histeq::client {
namespace {

constexpr const char* kGroup = "Thumbnail";

// "256" or "320x240".
bool ParseSize(const std::string& text, uint32_t& width, uint32_t& height) {
  const size_t cross = text.find('x');
  if (!absl::SimpleAtoi(text.substr(0, cross), &width)) return false;
  if (cross == std::string::npos) {
    height = width;
  } else if (!absl::SimpleAtoi(text.substr(cross + 1), &height)) {
    return false;
  }
  return width >= 1 && height >= 1 && width <= engine::kMaxThumbnailDimension &&
         height <= engine::kMaxThumbnailDimension;
}

bool ParseColor(const std::string& text, uint32_t& color) {
  const std::string digits = text.starts_with('#') ? text.substr(1) : text;
  return digits.size() == 6 && absl::SimpleHexAtoi(digits, &color);
}

}  // namespace

bool IsThumbnailSize(const std::string& text) {
  uint32_t width = 0;
  uint32_t height = 0;
  return ParseSize(text, width, height);
}

std::vector<v1::Thumbnail> ThumbnailsOf(const ThumbnailOptions& options) {
  std::vector<v1::Thumbnail> thumbnails;
  for (const std::string& size : options.sizes) {
    v1::Thumbnail thumbnail;
    uint32_t width = 0;
    uint32_t height = 0;
    ParseSize(size, width, height);
    thumbnail.set_width(width);
    thumbnail.set_height(height);
    thumbnail.set_fit(options.fit == "cover"   ? v1::Thumbnail::FIT_COVER
                      : options.fit == "exact" ? v1::Thumbnail::FIT_EXACT
                                               : v1::Thumbnail::FIT_INSIDE);
    if (options.format == "jpeg") thumbnail.set_format(v1::IMAGE_FORMAT_JPEG);
    if (options.format == "png") thumbnail.set_format(v1::IMAGE_FORMAT_PNG);
    if (options.quality.has_value()) thumbnail.set_quality(*options.quality);
    thumbnail.set_enlarge(options.enlarge);
    thumbnail.set_linear_light(options.linear);
    if (uint32_t color = 0; ParseColor(options.background, color)) thumbnail.set_background(color);
    // No two alike: one of them is enough.
    const bool known = std::any_of(thumbnails.begin(), thumbnails.end(), [&](const auto& other) {
      return other.width() == width && other.height() == height;
    });
    if (!known) thumbnails.push_back(std::move(thumbnail));
  }
  return thumbnails;
}

void AddThumbnailOptions(CLI::App& command, const std::string& size_flag, bool required,
                         ThumbnailOptions& options) {
  command
      .add_option(
          size_flag, options.sizes,
          "Pixels: the longest side, or width and height; several sizes read the image "
          "once, and decode a PNG once, a JPEG at most four times (photo.jpg_thumb_256x256.jpg)")
      ->required(required)
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("N|WxH")
      ->check([](const std::string& text) {
        uint32_t width = 0;
        uint32_t height = 0;
        return ParseSize(text, width, height)
                   ? std::string()
                   : "a size is wanted, as in 256 or 320x240, 1 to 16384";
      })
      ->group(kGroup);
  command
      .add_option("--fit", options.fit,
                  "inside: as large as fits in, the aspect kept; cover: fills it, the middle cut "
                  "out; exact: stretched")
      ->capture_default_str()
      ->check(CLI::IsMember({"inside", "cover", "exact"}))
      ->group(kGroup);
  command.add_option("--format", options.format, "Of the result")
      ->capture_default_str()
      ->check(CLI::IsMember({"same", "jpeg", "png"}))
      ->group(kGroup);
  command.add_option("--quality", options.quality, "Of a JPEG, 1 to 100; default 85")
      ->check(CLI::Range(1, 100))
      ->type_name("N")
      ->group(kGroup);
  command.add_flag("--enlarge", options.enlarge, "Small images become larger")->group(kGroup);
  command
      .add_flag("--linear", options.linear,
                "Average light rather than samples: truer for fine bright detail, slower")
      ->group(kGroup);
  command
      .add_option("--background", options.background,
                  "Behind what is transparent, in a JPEG; default ffffff")
      ->type_name("RRGGBB")
      ->check([](const std::string& text) {
        uint32_t color = 0;
        return ParseColor(text, color) ? std::string()
                                       : "a colour is wanted, as in ffffff or #20a0ff";
      })
      ->group(kGroup);
}

}  // namespace histeq::client
