#pragma once

// Structured logs: one line an event.

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace histeq::rpc {

enum class LogLevel { kDebug, kInfo, kWarning, kError };
enum class LogFormat { kText, kJson };

using LogField = std::pair<std::string_view, std::string>;

// Before the first event; default: kInfo, kText, to stderr. `service` and `name` stand in every
// line.
void ConfigureLog(LogLevel level, LogFormat format, const std::string& service,
                  const std::string& name);

// "debug", "info", "warning", "error"; false for another word.
bool ParseLogLevel(std::string_view word, LogLevel& level);

// Writes one line: time (UTC, milliseconds), level, event, fields in the order given; fields with
// an empty value are left out, values are quoted or escaped where they need it, control characters
// always. `event` is lower_snake_case. Thread-safe; never fails.
void LogEvent(LogLevel level, std::string_view event, std::initializer_list<LogField> fields);

}  // namespace histeq::rpc
