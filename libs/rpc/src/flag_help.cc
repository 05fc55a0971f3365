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

class HelpFormatter final : public CLI::Formatter {
 public:
  std::string make_option(const CLI::Option* option, bool is_positional) const override {
    std::string line = "  " + make_option_name(option, is_positional);
    if (option->get_type_size() != 0 && !option->get_type_name().empty()) {
      line += ' ' + option->get_type_name();
    }
    if (option->get_expected_max() == CLI::detail::expected_max_vector_size) line += " ...";
    std::string description = option->get_description();
    if (option->get_required()) {
      description += " Required.";
    } else if (option->get_type_size() != 0 && !option->get_default_str().empty()) {
      description += " Default: " + option->get_default_str() + '.';
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
};

}  // namespace

std::shared_ptr<CLI::FormatterBase> MakeHelpFormatter() {
  return std::make_shared<HelpFormatter>();
}

}  // namespace histeq::rpc
