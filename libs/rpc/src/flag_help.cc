#include "flag_help.h"

#include <algorithm>
#include <string>
#include <utility>

namespace histeq::rpc {
namespace {

constexpr size_t kNameColumn = 34;
constexpr size_t kLineWidth = 100;

// Words of `text` in lines of at most `width`, each after the first indented.
std::string Wrap(const std::string& text, size_t indent, size_t width) {
  std::string out;
  size_t column = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const size_t length = end - begin;
    if (column != 0 && column + 1 + length > width) {
      out += '\n' + std::string(indent, ' ');
      column = 0;
    }
    if (column != 0) {
      out += ' ';
      ++column;
    }
    out += text.substr(begin, length);
    column += length;
    begin = end + 1;
  }
  return out;
}

// "0 to 65535" of a check's "INT in [0 - 65535]"; other descriptions as they are.
std::string RangeOf(const std::string& check) {
  const size_t begin = check.find(" in [");
  const size_t middle = check.find(" - ");
  if (begin == std::string::npos || middle == std::string::npos || !check.ends_with(']')) {
    return check;
  }
  return check.substr(begin + 5, middle - begin - 5) + " to " +
         check.substr(middle + 3, check.size() - middle - 4);
}

class HelpFormatter final : public CLI::Formatter {
 public:
  std::string make_option(const CLI::Option* option, bool is_positional) const override {
    std::string line = "  " + make_option_name(option, is_positional);
    // "PORT:INT in [0 - 65535]" when there is a check: the range goes to the description.
    std::string type = option->get_type_size() != 0 ? option->get_type_name() : std::string();
    std::string range;
    if (const size_t check = type.find(':'); check != std::string::npos) {
      range = RangeOf(type.substr(check + 1));
      type.resize(check);
    }
    if (!type.empty()) line += ' ' + type;
    if (option->get_expected_max() == CLI::detail::expected_max_vector_size) line += " ...";
    std::string description = option->get_description();
    if (!description.empty() && !description.ends_with('.')) description += '.';
    if (option->get_required()) {
      description += " Required.";
    }
    if (!range.empty()) description += " Allowed: " + range + '.';
    const std::string preset = option->get_default_str();
    if (!option->get_required() && option->get_type_size() != 0 && !preset.empty() &&
        preset != "[]") {
      description += " Default: " + preset + '.';
    }
    if (line.size() + 2 > kNameColumn) {
      line += '\n' + std::string(kNameColumn, ' ');
    } else {
      line.resize(kNameColumn, ' ');
    }
    return line + Wrap(description, kNameColumn, kLineWidth - kNameColumn) + '\n';
  }

  std::string make_usage(const CLI::App* app, std::string name) const override {
    return '\n' + CLI::Formatter::make_usage(app, std::move(name));
  }

  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override {
    // CLI11 puts two empty lines between groups.
    return CLI::detail::find_and_replace(CLI::Formatter::make_help(app, std::move(name), mode),
                                         "\n\n\n", "\n\n");
  }
};

}  // namespace

std::shared_ptr<CLI::FormatterBase> MakeHelpFormatter() {
  return std::make_shared<HelpFormatter>();
}

}  // namespace histeq::rpc
