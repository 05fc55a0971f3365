#include "rpc/event_log.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"

namespace histeq::rpc {
namespace {

// Standard error goes to a file while this lives.
class Captured {
 public:
  Captured() : file_(std::tmpfile()), before_(dup(STDERR_FILENO)) {
    dup2(fileno(file_), STDERR_FILENO);
  }
  ~Captured() {
    Restore();
    std::fclose(file_);
  }
  std::vector<std::string> Lines() {
    Restore();
    std::rewind(file_);
    std::vector<std::string> lines;
    std::string line;
    for (int c = std::fgetc(file_); c != EOF; c = std::fgetc(file_)) {
      if (c == '\n') {
        lines.push_back(std::exchange(line, {}));
      } else {
        line += static_cast<char>(c);
      }
    }
    CHECK(line.empty());
    return lines;
  }

 private:
  void Restore() {
    if (before_ < 0) return;
    dup2(before_, STDERR_FILENO);
    close(std::exchange(before_, -1));
  }
  std::FILE* file_;
  int before_;
};

// The one line that an event of this value makes, without the time.
std::string LineOf(LogFormat format, const std::string& value) {
  Captured captured;
  ConfigureLog(LogLevel::kInfo, format, "worker", "w1");
  LogEvent(LogLevel::kInfo, "thing_happened", {{"value", value}});
  const auto lines = captured.Lines();
  REQUIRE(lines.size() == 1);
  return lines[0];
}

std::string TextValueOf(const std::string& value) {
  const std::string line = LineOf(LogFormat::kText, value);
  const size_t at = line.find(" value=");
  REQUIRE(at != std::string::npos);
  return line.substr(at + 7);
}

google::protobuf::Struct Parsed(const std::string& line) {
  google::protobuf::Struct object;
  INFO(line);
  REQUIRE(google::protobuf::util::JsonStringToMessage(line, &object).ok());
  return object;
}

TEST_CASE("A text line has time, level, service, event and fields in order") {
  Captured captured;
  ConfigureLog(LogLevel::kDebug, LogFormat::kText, "worker", "w1");
  LogEvent(LogLevel::kInfo, "job_completed", {{"job", "j-7"}, {"empty", ""}, {"seconds", "0.25"}});
  LogEvent(LogLevel::kDebug, "a", {});
  LogEvent(LogLevel::kWarning, "b", {});
  LogEvent(LogLevel::kError, "c", {});
  const auto lines = captured.Lines();
  REQUIRE(lines.size() == 4);
  CHECK_THAT(
      lines[0],
      Catch::Matches(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info  worker=w1 job_completed )"
                     R"(job=j-7 seconds=0\.25)"));
  CHECK(lines[1].ends_with("Z debug worker=w1 a"));
  CHECK(lines[2].ends_with("Z warning worker=w1 b"));
  CHECK(lines[3].ends_with("Z error worker=w1 c"));
}

TEST_CASE("A JSON line says the same") {
  Captured captured;
  ConfigureLog(LogLevel::kInfo, LogFormat::kJson, "worker", "w1");
  LogEvent(LogLevel::kWarning, "job_failed", {{"job", "j-7"}, {"empty", ""}, {"name", "x"}});
  const auto lines = captured.Lines();
  REQUIRE(lines.size() == 1);
  const auto object = Parsed(lines[0]);
  CHECK_THAT(object.fields().at("time").string_value(),
             Catch::Matches(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)"));
  CHECK(object.fields().at("level").string_value() == "warning");
  CHECK(object.fields().at("service").string_value() == "worker");
  // A field does not replace what every line has.
  CHECK(object.fields().at("name").string_value() == "w1");
  CHECK(object.fields().at("name_").string_value() == "x");
  CHECK(object.fields().at("event").string_value() == "job_failed");
  CHECK(object.fields().at("job").string_value() == "j-7");
  CHECK(object.fields().count("empty") == 0);
}

TEST_CASE("Events below the level are not written") {
  Captured captured;
  ConfigureLog(LogLevel::kWarning, LogFormat::kText, "worker", "w1");
  LogEvent(LogLevel::kDebug, "a", {});
  LogEvent(LogLevel::kInfo, "b", {});
  LogEvent(LogLevel::kWarning, "c", {});
  CHECK(captured.Lines().size() == 1);
}

TEST_CASE("Words of levels") {
  LogLevel level = LogLevel::kInfo;
  CHECK(ParseLogLevel("debug", level));
  CHECK(level == LogLevel::kDebug);
  CHECK(ParseLogLevel("info", level));
  CHECK(level == LogLevel::kInfo);
  CHECK(ParseLogLevel("warning", level));
  CHECK(level == LogLevel::kWarning);
  CHECK(ParseLogLevel("error", level));
  CHECK(level == LogLevel::kError);
  for (const char* const wrong : {"", "Info", "warn", "info ", "trace"}) {
    CHECK(!ParseLogLevel(wrong, level));
  }
}

TEST_CASE("Plain values stand as they are, others are quoted and escaped") {
  CHECK(TextValueOf("photo_EQUALIZED.jpg") == "photo_EQUALIZED.jpg");
  CHECK(TextValueOf("za\u017C\u00F3\u0142\u0107") == "za\u017C\u00F3\u0142\u0107");
  CHECK(TextValueOf("two words") == R"("two words")");
  CHECK(TextValueOf("a=b") == R"("a=b")");
  CHECK(TextValueOf("say \"hi\" \\") == R"("say \"hi\" \\")");
  CHECK(TextValueOf("%v %s {} {0}") == R"("%v %s {} {0}")");
  CHECK(TextValueOf("{}%n") == "{}%n");
}

TEST_CASE("A value cannot forge a line, move a cursor or turn text around") {
  CHECK(TextValueOf("x\n2026-11-24T12:00:00.000Z error worker=w1 forged") ==
        R"("x\n2026-11-24T12:00:00.000Z error worker=w1 forged")");
  CHECK(TextValueOf("a\r\tb") == R"("a\r\tb")");
  CHECK(TextValueOf("\x1B[2J\x7F\x01") == "\"\\u001b[2J\\u007f\\u0001\"");
  CHECK(TextValueOf(std::string("a\0b", 3)) == R"("a\u0000b")");
  // C1 control, line separator, right-to-left override.
  CHECK(TextValueOf("\u009B31m") == R"("\u009b31m")");
  CHECK(TextValueOf("\u2028") == R"("\u2028")");
  CHECK(TextValueOf("gpj.\u202Eexe") == R"("gpj.\u202eexe")");
  CHECK(TextValueOf("\xFF\xC3") == R"("\xff\xc3")");
}

TEST_CASE("JSON lines are JSON whatever the value, and say it again") {
  for (const std::string& value :
       {std::string("x\n\",\"level\":\"error"), std::string("\\\"\r\t\b\f"),
        std::string("\x1B[2J\x7F"), std::string("\u2028\u202E\u009B"), std::string("%v {}")}) {
    const auto object = Parsed(LineOf(LogFormat::kJson, value));
    CHECK(object.fields().at("value").string_value() == value);
    CHECK(object.fields().size() == 6);
  }
  CHECK(Parsed(LineOf(LogFormat::kJson, "a\xFFz")).fields().at("value").string_value() ==
        "a\uFFFDz");
  CHECK(Parsed(LineOf(LogFormat::kJson, std::string("a\0z", 3)))
            .fields()
            .at("value")
            .string_value() == std::string("a\0z", 3));
}

TEST_CASE("A name from outside is escaped in every line") {
  Captured captured;
  ConfigureLog(LogLevel::kInfo, LogFormat::kText, "worker", "w\n1");
  LogEvent(LogLevel::kInfo, "started", {});
  const auto lines = captured.Lines();
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].ends_with("info  worker=\"w\\n1\" started"));
}

TEST_CASE("A very long value is cut") {
  const std::string value = TextValueOf(std::string(1'000'000, 'x'));
  CHECK(value == '"' + std::string(4096, 'x') + "...\"");
}

TEST_CASE("Lines of many threads do not mix") {
  Captured captured;
  ConfigureLog(LogLevel::kInfo, LogFormat::kText, "worker", "w1");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      const std::string value(500, static_cast<char>('a' + t));
      for (int i = 0; i < 200; ++i) LogEvent(LogLevel::kInfo, "e", {{"value", value}});
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto lines = captured.Lines();
  CHECK(lines.size() == 800);
  for (const std::string& line : lines) {
    const std::string value = line.substr(line.find(" value=") + 7);
    REQUIRE(value == std::string(500, value[0]));
  }
}

}  // namespace
}  // namespace histeq::rpc
