#include "rpc/flag_sources.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <istream>

namespace histeq::rpc {
namespace {

bool InEnvironment(const std::string& name) {
  const char* const value = name.empty() ? nullptr : std::getenv(name.c_str());
  return value != nullptr && *value != '\0';
}

// CLI11 asks the file before the environment, and the first one wins: what the environment says is
// left out of the file here.
class ConfigBelowEnvironment final : public CLI::ConfigTOML {
 public:
  explicit ConfigBelowEnvironment(const CLI::App& app) : app_(app) {}

  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
    std::vector<CLI::ConfigItem> items = CLI::ConfigTOML::from_config(input);
    std::erase_if(items, [this](const CLI::ConfigItem& item) {
      const CLI::App* app = &app_;
      for (const std::string& parent : item.parents) {
        const auto named = app->get_subcommands(
            [&](const CLI::App* command) { return command->check_name(parent); });
        if (named.empty()) return false;
        app = named.front();
      }
      const CLI::Option* const option = app->get_option_no_throw("--" + item.name);
      return option != nullptr && option->get_configurable() &&
             InEnvironment(option->get_envname());
    });
    return items;
  }

 private:
  const CLI::App& app_;
};

void NameVariables(CLI::App& app, const std::string& prefix) {
  for (CLI::Option* const option : app.get_options()) {
    if (option == app.get_help_ptr() || option == app.get_version_ptr()) continue;
    if (option->get_lnames().empty() || !option->get_envname().empty()) continue;
    option->envname(EnvironmentName(prefix, option->get_lnames().front()));
  }
  for (CLI::App* const command : app.get_subcommands(nullptr)) {
    NameVariables(*command, prefix + '_' + command->get_name());
  }
}

bool IsGiven(const std::vector<std::string>& arguments, const std::string& option) {
  return std::any_of(arguments.begin(), arguments.end(), [&](const std::string& argument) {
    return argument == option || argument.starts_with(option + '=');
  });
}

}  // namespace

std::string EnvironmentName(const std::string& program, const std::string& option) {
  std::string name = program + '_' + option;
  for (char& c : name) {
    c = c == '-' || c == '.' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return name;
}

void ReadFlagsFromElsewhere(CLI::App& app, const std::string& program) {
  if (app.get_config_ptr() == nullptr) {
    app.set_config("--config", "", "File of flags, one `name = value` a line (TOML).")
        ->type_name("FILE");
    app.config_formatter(std::make_shared<ConfigBelowEnvironment>(app));
    app.allow_config_extras(CLI::config_extras_mode::error);
  }
  NameVariables(app, program);
}

void AddConfigFromEnvironment(const std::string& program, std::vector<std::string>& arguments) {
  const std::string variable = EnvironmentName(program, "config");
  if (InEnvironment(variable) && !IsGiven(arguments, "--config")) {
    arguments.insert(arguments.begin(), {"--config", std::getenv(variable.c_str())});
  }
}

}  // namespace histeq::rpc
