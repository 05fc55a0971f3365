#include "commands/operation_flags.h"

#include <algorithm>
#include <cctype>

#include "absl/strings/numbers.h"
#include "base/status_macros.h"
#include "commands/image_argument.h"

namespace histeq::client {
namespace {

// "A<separator>B"
template <typename Number, typename Parse>
bool ParsePair(const std::string& text, char separator, const Parse& parse, Number& first,
               Number& second) {
  const size_t at = text.find(separator);
  return at != std::string::npos && parse(text.substr(0, at), &first) &&
         parse(text.substr(at + 1), &second);
}

bool ParseGrid(const std::string& text, uint32_t& x, uint32_t& y) {
  return ParsePair(
      text, 'x',
      [](const std::string& word, uint32_t* value) { return absl::SimpleAtoi(word, value); }, x, y);
}

bool ParsePercentiles(const std::string& text, double& low, double& high) {
  return ParsePair(
      text, ',',
      [](const std::string& word, double* value) { return absl::SimpleAtod(word, value); }, low,
      high);
}

// "clip-limited" of "METHOD_": METHOD_CLIP_LIMITED.
template <typename Parse, typename Enum>
void SetByWord(const std::string& prefix, const std::string& word, const Parse& parse,
               Enum& value) {
  std::string name = prefix;
  for (const char c : word) {
    name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  parse(name, &value);
}

// What the other flags are for, when none is named.
std::string MethodOf(const OperationFlags& flags) {
  if (!flags.method.empty()) return flags.method;
  if (!flags.reference.empty() || !flags.distribution.empty()) return "match";
  if (!flags.percentiles.empty()) return "stretch";
  if (!flags.grid.empty()) return "clahe";
  if (flags.clip.has_value()) return "clip-limited";
  return "";
}

}  // namespace

void AddOperationFlags(CLI::App& command, OperationFlags& flags) {
  const auto add = [&](const std::string& name, auto& value, const std::string& description) {
    return command.add_option(name, value, description)->group("Operation");
  };
  add("--method", flags.method,
      "How contrast is changed. Default: what the other flags are for, else global")
      ->check(CLI::IsMember({"global", "clip-limited", "clahe", "match", "stretch"}));
  add("--color", flags.color,
      "luma: red, green and blue move together, the hue stays (default); per-channel: each by its "
      "own histogram; value: scaled by their maximum")
      ->check(CLI::IsMember({"luma", "per-channel", "value"}));
  add("--clip", flags.clip,
      "Clip limit of clip-limited and clahe, in multiples of the mean bin; 1 and up, default 2")
      ->type_name("FACTOR");
  add("--grid", flags.grid, "Tiles of clahe across and down, 1 to 256 each; default 8x8")
      ->type_name("WxH")
      ->check([](const std::string& text) {
        uint32_t x = 0;
        uint32_t y = 0;
        return ParseGrid(text, x, y) ? std::string() : "two numbers are wanted, as in 8x8";
      });
  add("--strength", flags.strength, "From 0, the image unchanged, to 1, the full effect (default)")
      ->type_name("0..1");
  add("--nodata", flags.nodata, "Samples of this value are neither counted nor changed")
      ->type_name("VALUE");
  add("--significant-bits", flags.significant_bits,
      "Bits of a 16-bit sample that carry the picture, for example 12")
      ->type_name("BITS");
  CLI::Option* reference =
      add("--reference", flags.reference,
          "The image whose histogram match takes as its aim: an id, or a file, which is uploaded")
          ->type_name("IMAGE");
  add("--distribution", flags.distribution, "The distribution that match takes as its aim")
      ->check(CLI::IsMember({"uniform", "gaussian", "rayleigh"}))
      ->excludes(reference);
  add("--percentiles", flags.percentiles, "What becomes black and white with stretch; default 1,99")
      ->type_name("LOW,HIGH")
      ->check([](const std::string& text) {
        double low = 0;
        double high = 0;
        return ParsePercentiles(text, low, high) ? std::string()
                                                 : "two numbers are wanted, as in 1,99";
      });
}

bool AnyGiven(const OperationFlags& flags) {
  return !MethodOf(flags).empty() || !flags.color.empty() || flags.strength.has_value() ||
         flags.nodata.has_value() || flags.significant_bits.has_value();
}

v1::Equalize EqualizeOf(const OperationFlags& flags) {
  v1::Equalize equalize;
  if (const std::string method = MethodOf(flags); !method.empty()) {
    v1::Equalize::Method value = {};
    SetByWord("METHOD_", method, v1::Equalize::Method_Parse, value);
    equalize.set_method(value);
  }
  if (!flags.color.empty()) {
    v1::Equalize::Color value = {};
    SetByWord("COLOR_", flags.color, v1::Equalize::Color_Parse, value);
    equalize.set_color(value);
  }
  if (flags.clip.has_value()) equalize.set_clip_limit(*flags.clip);
  if (!flags.grid.empty()) {
    uint32_t x = 0;
    uint32_t y = 0;
    ParseGrid(flags.grid, x, y);
    equalize.set_grid_x(x);
    equalize.set_grid_y(y);
  }
  if (flags.strength.has_value()) equalize.set_strength(*flags.strength);
  if (flags.nodata.has_value()) equalize.set_nodata(*flags.nodata);
  if (flags.significant_bits.has_value()) equalize.set_significant_bits(*flags.significant_bits);
  if (!flags.distribution.empty()) {
    v1::Equalize::Distribution value = {};
    SetByWord("DISTRIBUTION_", flags.distribution, v1::Equalize::Distribution_Parse, value);
    equalize.set_target_distribution(value);
  }
  if (!flags.percentiles.empty()) {
    double low = 0;
    double high = 0;
    ParsePercentiles(flags.percentiles, low, high);
    equalize.set_percentile_low(low);
    equalize.set_percentile_high(high);
  }
  return equalize;
}

absl::StatusOr<v1::Operation> OperationOf(const Session& session, const OperationFlags& flags) {
  v1::Operation operation;
  v1::Equalize& equalize = *operation.mutable_equalize();
  equalize = EqualizeOf(flags);
  if (!flags.reference.empty()) {
    const auto item = session.display.Begin(flags.reference, /*counted=*/false);
    HISTEQ_ASSIGN_OR_RETURN(*equalize.mutable_reference_image_id(),
                            ImageIdOf(session, flags.reference, *item));
    item->Done("");
  }
  return operation;
}

}  // namespace histeq::client
