#include "rpc/event_log.h"

#include <memory>
#include <mutex>
#include <utility>

#include "fmt/format.h"
#include "spdlog/logger.h"
#include "spdlog/pattern_formatter.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "text.h"

namespace histeq::rpc {
namespace {

// A value that is longer tells nothing more, and may come from outside.
constexpr size_t kMaxValueBytes = 4096;

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

// Characters that a terminal or a reader of lines may act upon: C0, DEL, C1, line and paragraph
// separators, and those that turn the direction of text.
bool Acts(int32_t code) {
  return code < 0x20 || (code >= 0x7F && code <= 0x9F) || code == 0x2028 || code == 0x2029 ||
         (code >= 0x200E && code <= 0x200F) || (code >= 0x202A && code <= 0x202E) ||
         (code >= 0x2066 && code <= 0x2069) || code == 0xFEFF;
}

// The inside of a quoted string. JSON has no byte escapes: what is no UTF-8 becomes U+FFFD there.
void AppendEscaped(std::string& line, std::string_view value, LogFormat format) {
  for (size_t i = 0; i < value.size();) {
    const Utf8Character character = NextCharacter(value, i);
    if (character.code < 0) {
      line += format == LogFormat::kJson
                  ? "\\ufffd"
                  : fmt::format("\\x{:02x}", static_cast<unsigned char>(value[i]));
    } else if (character.code == '"' || character.code == '\\') {
      line += '\\';
      line += value[i];
    } else if (character.code == '\n') {
      line += "\\n";
    } else if (character.code == '\r') {
      line += "\\r";
    } else if (character.code == '\t') {
      line += "\\t";
    } else if (Acts(character.code)) {
      line += fmt::format("\\u{:04x}", character.code);
    } else {
      line += value.substr(i, character.length);
    }
    i += character.length;
  }
}

// Values that can stand without quotes and still end where they end.
bool IsPlain(std::string_view value) {
  if (value.empty()) return false;
  for (size_t i = 0; i < value.size();) {
    const Utf8Character character = NextCharacter(value, i);
    if (character.code <= ' ' || character.code == '"' || character.code == '\\' ||
        character.code == '=' || character.code == 0xA0 || Acts(character.code)) {
      return false;
    }
    i += character.length;
  }
  return true;
}

// Keys are ours, but a line must stay a line whatever they are.
std::string CleanKey(std::string_view key) {
  std::string clean;
  for (const char c : key) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '.' || c == '-';
    clean += plain ? c : '_';
  }
  return clean;
}

void AppendQuoted(std::string& line, std::string_view value, LogFormat format) {
  line += '"';
  AppendEscaped(line, value.substr(0, kMaxValueBytes), format);
  if (value.size() > kMaxValueBytes) line += "...";
  line += '"';
}

class Log {
 public:
  Log() { Configure(LogLevel::kInfo, LogFormat::kText, "", ""); }

  void Configure(LogLevel level, LogFormat format, const std::string& service,
                 const std::string& name) {
    auto output = std::make_shared<Output>();
    output->format = format;
    auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    output->logger = std::make_unique<spdlog::logger>("events", std::move(sink));
    output->logger->set_level(ToSpdlog(level));
    const char* pattern = format == LogFormat::kJson
                              ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})"
                              : "%Y-%m-%dT%H:%M:%S.%eZ %-5l %v";
    output->logger->set_formatter(
        std::make_unique<spdlog::pattern_formatter>(pattern, spdlog::pattern_time_type::utc, "\n"));
    // Said once here, since they are the same in every line.
    if (format == LogFormat::kJson) {
      output->prefix = "\"service\":";
      AppendQuoted(output->prefix, service, format);
      output->prefix += ",\"name\":";
      AppendQuoted(output->prefix, name, format);
      output->prefix += ",\"event\":";
    } else if (!service.empty()) {
      output->prefix = CleanKey(service) + '=';
      if (IsPlain(name)) {
        output->prefix += name;
      } else {
        AppendQuoted(output->prefix, name, format);
      }
      output->prefix += ' ';
    }
    std::lock_guard lock(mutex_);
    output_ = std::move(output);
  }

  void Write(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
    std::shared_ptr<Output> output;
    {
      std::lock_guard lock(mutex_);
      output = output_;
    }
    if (!output->logger->should_log(ToSpdlog(level))) return;
    const bool json = output->format == LogFormat::kJson;
    std::string line = output->prefix;
    line += json ? '"' + CleanKey(event) + '"' : CleanKey(event);
    for (const auto& [key, value] : fields) {
      if (value.empty()) continue;
      std::string name = CleanKey(key);
      if (json) {
        // Two members of one name are read by nobody the same way.
        if (name == "time" || name == "level" || name == "service" || name == "name" ||
            name == "event") {
          name += '_';
        }
        line += ",\"" + name + "\":";
        AppendQuoted(line, value, output->format);
      } else {
        line += ' ' + name + '=';
        if (IsPlain(value) && value.size() <= kMaxValueBytes) {
          line += value;
        } else {
          AppendQuoted(line, value, output->format);
        }
      }
    }
    output->logger->log(ToSpdlog(level), spdlog::string_view_t(line));
  }

 private:
  struct Output {
    LogFormat format = LogFormat::kText;
    std::string prefix;
    std::unique_ptr<spdlog::logger> logger;
  };
  std::mutex mutex_;
  std::shared_ptr<Output> output_;
};

Log& TheLog() {
  // Never destroyed: threads may log until the process is gone.
  static Log& log = *new Log;
  return log;
}

}  // namespace

void ConfigureLog(LogLevel level, LogFormat format, const std::string& service,
                  const std::string& name) {
  TheLog().Configure(level, format, service, name);
}

bool ParseLogLevel(std::string_view word, LogLevel& level) {
  if (word == "debug") {
    level = LogLevel::kDebug;
  } else if (word == "info") {
    level = LogLevel::kInfo;
  } else if (word == "warning") {
    level = LogLevel::kWarning;
  } else if (word == "error") {
    level = LogLevel::kError;
  } else {
    return false;
  }
  return true;
}

void LogEvent(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  TheLog().Write(level, event, fields);
}

}  // namespace histeq::rpc
