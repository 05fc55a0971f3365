#include <array>
#include <cctype>
#include <charconv>
#include <optional>
#include <string>
#include <utility>

#include "fmt/format.h"
#include "rpc/program.h"

namespace histeq::rpc {
namespace {

struct Unit {
  const char* name;
  uint64_t bytes;
};

// Largest first of each kind, for FormatSize.
constexpr std::array<Unit, 4> kBinaryUnits = {
    {{"TiB", 1ull << 40}, {"GiB", 1ull << 30}, {"MiB", 1ull << 20}, {"KiB", 1ull << 10}}};
constexpr std::array<Unit, 4> kDecimalUnits = {
    {{"TB", 1'000'000'000'000}, {"GB", 1'000'000'000}, {"MB", 1'000'000}, {"kB", 1'000}}};

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

std::optional<uint64_t> UnitBytes(const std::string& name) {
  const std::string lower = Lower(name);
  if (lower.empty() || lower == "b") return 1;
  for (const auto& units : {kBinaryUnits, kDecimalUnits}) {
    for (const Unit& unit : units) {
      if (lower == Lower(unit.name)) return unit.bytes;
    }
  }
  return std::nullopt;
}

// Nothing when it is no size, or one beyond 64 bits.
std::optional<uint64_t> ParseSize(const std::string& text) {
  uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc()) return std::nullopt;
  const auto unit = UnitBytes(std::string(rest, end));
  uint64_t bytes = 0;
  if (!unit.has_value() || __builtin_mul_overflow(number, *unit, &bytes)) return std::nullopt;
  return bytes;
}

std::string FormatSize(uint64_t bytes) {
  for (const auto& units : {kBinaryUnits, kDecimalUnits}) {
    for (const Unit& unit : units) {
      if (bytes != 0 && bytes % unit.bytes == 0) {
        return fmt::format("{}{}", bytes / unit.bytes, unit.name);
      }
    }
  }
  return fmt::format("{}", bytes);
}

}  // namespace

CLI::Option* AddSizeOption(CLI::App& app, const std::string& name, uint64_t& bytes,
                           const std::string& description) {
  return app
      .add_option_function<std::string>(
          name,
          [&bytes, name](const std::string& text) {
            const auto size = ParseSize(text);
            if (!size.has_value()) {
              throw CLI::ValidationError(
                  name, fmt::format("'{}' is no size: a whole number, then B, KiB, MiB, GiB, TiB, "
                                    "kB, MB, GB, TB or nothing, below 2^64 bytes",
                                    text));
            }
            bytes = *size;
          },
          description)
      ->type_name("SIZE")
      ->default_str(FormatSize(bytes));
}

}  // namespace histeq::rpc
