#include "rpc/program.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace histeq::rpc {
namespace {

constexpr int kPatienceMs = 60'000;

// rpc_program_probe, run with arguments and an environment.
class Probe {
 public:
  Probe(const std::vector<std::string>& arguments,
        const std::map<std::string, std::string>& environment = {}) {
    const char* const folder = std::getenv("HISTEQ_BIN");
    REQUIRE(folder != nullptr);
    const std::string path = std::string(folder) + "/rpc_program_probe";
    std::vector<std::string> words = {path};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    std::vector<std::string> settings;
    for (char** entry = environ; *entry != nullptr; ++entry) settings.emplace_back(*entry);
    for (const auto& [name, value] : environment) settings.push_back(name + '=' + value);
    std::vector<char*> envp;
    for (std::string& setting : settings) envp.push_back(setting.data());
    envp.push_back(nullptr);

    int out[2];
    int err[2];
    REQUIRE(pipe2(out, O_CLOEXEC) == 0);
    REQUIRE(pipe2(err, O_CLOEXEC) == 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO);
    REQUIRE(posix_spawn(&pid_, path.c_str(), &actions, nullptr, argv.data(), envp.data()) == 0);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    close(err[1]);
    out_fd_ = out[0];
    err_fd_ = err[0];
  }
  ~Probe() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    close(out_fd_);
    close(err_fd_);
  }
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  void Signal(int signal) const { REQUIRE(kill(pid_, signal) == 0); }

  // Reads until standard output has `text`.
  void ReadUntil(const std::string& text) {
    while (out_.find(text) == std::string::npos) {
      INFO(out_);
      REQUIRE(Read());
    }
  }

  // Reads all, and waits for the end.
  int Wait() {
    while (Read()) {
    }
    int status = 0;
    REQUIRE(waitpid(pid_, &status, 0) == pid_);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

  const std::string& out() const { return out_; }
  const std::string& err() const { return err_; }

 private:
  // False at the end of both.
  bool Read() {
    pollfd files[] = {{out_open_ ? out_fd_ : -1, POLLIN, 0}, {err_open_ ? err_fd_ : -1, POLLIN, 0}};
    if (!out_open_ && !err_open_) return false;
    REQUIRE(poll(files, 2, kPatienceMs) > 0);
    const auto take = [](const pollfd& file, int fd, std::string& text, bool& open) {
      if (file.revents == 0) return;
      char buffer[4096];
      const ssize_t size = read(fd, buffer, sizeof(buffer));
      if (size > 0) {
        text.append(buffer, static_cast<size_t>(size));
      } else {
        open = false;
      }
    };
    take(files[0], out_fd_, out_, out_open_);
    take(files[1], err_fd_, err_, err_open_);
    return true;
  }

  pid_t pid_ = -1;
  int out_fd_ = -1;
  int err_fd_ = -1;
  bool out_open_ = true;
  bool err_open_ = true;
  std::string out_;
  std::string err_;
};

class ConfigFile {
 public:
  explicit ConfigFile(const std::string& text) {
    char name[] = "/tmp/histeq-program-test-XXXXXX";
    close(mkstemp(name));
    path_ = name;
    std::ofstream(path_) << text;
  }
  ~ConfigFile() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// What the probe printed for these flags.
std::string OutputOf(const std::vector<std::string>& arguments,
                     const std::map<std::string, std::string>& environment = {}) {
  Probe probe(arguments, environment);
  const int exit_code = probe.Wait();
  INFO(probe.err());
  CHECK(exit_code == 0);
  return probe.out();
}

// What it said on standard error when it refused these flags.
std::string RefusalOf(const std::vector<std::string>& arguments,
                      const std::map<std::string, std::string>& environment = {}) {
  Probe probe(arguments, environment);
  CHECK(probe.Wait() == 2);
  CHECK(probe.out().empty());
  CHECK(probe.err().starts_with("histeq-probe: "));
  CHECK_THAT(probe.err(), Catch::Contains("histeq-probe --help"));
  return probe.err();
}

TEST_CASE("Without flags there are defaults") {
  const std::string out = OutputOf({});
  CHECK_THAT(out, Catch::Contains("listen=127.0.0.1\nport=7777\n"));
  CHECK_THAT(out, Catch::Contains("log_level=info\ndrain=30\nmax_pixels=1000\nbudget=268435456\n"));
  CHECK_THAT(out, Catch::Matches("[\\s\\S]*\nname=[0-9A-Za-z._-]+-[0-9]+\n[\\s\\S]*"));
}

TEST_CASE("The command line wins over the environment, that over the file") {
  const ConfigFile file(
      "max-pixels = 10\n"
      "port = 1001\n"
      "# a comment\n"
      "name = \"from-file\"\n"
      "budget = \"1KiB\"\n"
      "peers = [\"a:1\", \"b:2\"]\n");
  const std::map<std::string, std::string> environment = {{"HISTEQ_PROBE_MAX_PIXELS", "20"},
                                                          {"HISTEQ_PROBE_PORT", "1002"},
                                                          {"HISTEQ_PROBE_LOG_LEVEL", "debug"}};
  const std::string out = OutputOf({"--config", file.path(), "--max-pixels=30"}, environment);
  CHECK_THAT(out, Catch::Contains("max_pixels=30\n"));
  CHECK_THAT(out, Catch::Contains("port=1002\n"));
  CHECK_THAT(out, Catch::Contains("name=from-file\n"));
  CHECK_THAT(out, Catch::Contains("budget=1024\n"));
  CHECK_THAT(out, Catch::Contains("log_level=debug\n"));
  CHECK_THAT(out, Catch::Contains("peers=<a:1><b:2>\n"));
}

TEST_CASE("Lists come from the environment as from the command line, and do not add up") {
  CHECK_THAT(OutputOf({}, {{"HISTEQ_PROBE_PEERS", "a:1,b:2"}}),
             Catch::Contains("peers=<a:1><b:2>\n"));
  CHECK_THAT(OutputOf({"--peers", "c:3"}, {{"HISTEQ_PROBE_PEERS", "a:1,b:2"}}),
             Catch::Contains("peers=<c:3>\n"));
}

TEST_CASE("An empty variable is none") {
  CHECK_THAT(OutputOf({}, {{"HISTEQ_PROBE_PORT", ""}}), Catch::Contains("port=7777\n"));
}

TEST_CASE("A variable may name the file, and the command line another one") {
  const ConfigFile one("port = 1001\n");
  const ConfigFile other("port = 1002\n");
  const std::map<std::string, std::string> environment = {{"HISTEQ_PROBE_CONFIG", one.path()}};
  CHECK_THAT(OutputOf({}, environment), Catch::Contains("port=1001\n"));
  CHECK_THAT(OutputOf({"--config=" + other.path()}, environment), Catch::Contains("port=1002\n"));
  CHECK_THAT(RefusalOf({}, {{"HISTEQ_PROBE_CONFIG", "/nonexistent.toml"}}),
             Catch::Contains("/nonexistent.toml"));
}

TEST_CASE("What is wrong in the file is an error") {
  CHECK_THAT(RefusalOf({"--config", ConfigFile("max-pixel = 5\n").path() + "-gone"}),
             Catch::Contains("-gone"));
  const ConfigFile unknown("max-pixel = 5\n");
  CHECK_THAT(RefusalOf({"--config", unknown.path()}), Catch::Contains("max-pixel"));
  const ConfigFile section("[worker]\nmax-pixels = 5\n");
  CHECK_THAT(RefusalOf({"--config", section.path()}), Catch::Contains("worker"));
  const ConfigFile wrong("port = lots\n");
  CHECK_THAT(RefusalOf({"--config", wrong.path()}), Catch::Contains("port"));
}

TEST_CASE("Wrong flags are refused with their name") {
  CHECK_THAT(RefusalOf({"--prt", "1"}), Catch::Contains("--prt"));
  CHECK_THAT(RefusalOf({"stray"}), Catch::Contains("stray"));
  CHECK_THAT(RefusalOf({"--port", "65536"}), Catch::Contains("--port"));
  CHECK_THAT(RefusalOf({"--port", "-1"}), Catch::Contains("--port"));
  CHECK_THAT(RefusalOf({"--port"}), Catch::Contains("--port"));
  CHECK_THAT(RefusalOf({"--name", ""}), Catch::Contains("--name"));
  CHECK_THAT(RefusalOf({"--name", "a/b"}), Catch::Contains("--name"));
  CHECK_THAT(RefusalOf({"--name", std::string(65, 'a')}), Catch::Contains("--name"));
  CHECK_THAT(RefusalOf({"--log-level", "loud"}), Catch::Contains("--log-level"));
  CHECK_THAT(RefusalOf({"--log-format", "xml"}), Catch::Contains("--log-format"));
  CHECK_THAT(RefusalOf({"--drain-timeout-s", "-1"}), Catch::Contains("--drain-timeout-s"));
  CHECK_THAT(RefusalOf({"--drain-timeout-s", "nan"}), Catch::Contains("--drain-timeout-s"));
  CHECK_THAT(RefusalOf({"--max-pixels", "many"}), Catch::Contains("--max-pixels"));
  CHECK_THAT(RefusalOf({}, {{"HISTEQ_PROBE_PORT", "many"}}), Catch::Contains("--port"));
}

TEST_CASE("Help and version") {
  CHECK(OutputOf({"--version"}) == std::string("histeq-probe ") + Version() + '\n');
  CHECK(std::string(Version()) == "0.1.0");
  // Also when other flags are wrong or the environment is odd.
  const std::string help = OutputOf({"--help"}, {{"HISTEQ_PROBE_CONFIG", "/nonexistent"}});
  CHECK_THAT(help, Catch::StartsWith("A program as the services are.\n"));
  for (const char* const flag :
       {"--listen", "--port", "--port-file", "--name", "--log-level", "--log-format",
        "--max-connections", "--max-streams", "--drain-timeout-s", "--config", "--version",
        "--help", "--max-pixels", "--budget"}) {
    CHECK_THAT(help, Catch::Contains(std::string("  ") + flag + ' '));
  }
  CHECK_THAT(help, Catch::Contains("Default: 256MiB."));
  CHECK_THAT(help, Catch::Contains("Allowed: 0 to 65535."));
  CHECK_THAT(help, Catch::Contains("HISTEQ_PROBE_LOG_LEVEL"));
  // The form of the variables is said once, not at each flag.
  CHECK_THAT(help, !Catch::Contains("HISTEQ_PROBE_MAX_PIXELS"));
  size_t begin = 0;
  while (begin < help.size()) {
    const size_t end = help.find('\n', begin);
    CHECK(end - begin <= 100);
    begin = end + 1;
  }
}

TEST_CASE("The log is as the flags say") {
  {
    Probe probe({"--name", "p1"});
    CHECK(probe.Wait() == 0);
    CHECK_THAT(probe.err(), Catch::EndsWith("Z info  probe=p1 started\n"));
  }
  {
    Probe probe({"--name", "p1", "--log-format", "json"});
    CHECK(probe.Wait() == 0);
    CHECK_THAT(probe.err(), Catch::StartsWith("{\"time\":"));
  }
  {
    Probe probe({"--log-level", "warning"});
    CHECK(probe.Wait() == 0);
    CHECK(probe.err().empty());
  }
}

TEST_CASE("A signal is waited for, and a second one ends the process at once") {
  for (const int signal : {SIGTERM, SIGINT}) {
    Probe probe({"--wait"});
    probe.ReadUntil("peers=");
    probe.Signal(signal);
    CHECK(probe.Wait() == 0);
    CHECK_THAT(probe.out(), Catch::Contains("signal=" + std::to_string(signal) + '\n'));
  }
  Probe probe({"--wait", "--drain-for-ever"});
  probe.ReadUntil("peers=");
  probe.Signal(SIGTERM);
  probe.ReadUntil("signal=");
  probe.Signal(SIGINT);
  CHECK(probe.Wait() == 128 + SIGINT);
}

// Sizes, in this process: no need for a probe each.
uint64_t SizeOf(const std::string& text) {
  CLI::App app;
  uint64_t bytes = 99;
  AddSizeOption(app, "--size", bytes, "A size");
  app.parse(std::vector<std::string>{text, "--size"});
  return bytes;
}

TEST_CASE("Sizes are numbers with units") {
  CHECK(SizeOf("0") == 0);
  CHECK(SizeOf("1048576") == 1048576);
  CHECK(SizeOf("17B") == 17);
  CHECK(SizeOf("1KiB") == 1024);
  CHECK(SizeOf("64MiB") == 64ull << 20);
  CHECK(SizeOf("3GiB") == 3ull << 30);
  CHECK(SizeOf("2TiB") == 2ull << 40);
  CHECK(SizeOf("1kB") == 1000);
  CHECK(SizeOf("5MB") == 5'000'000);
  CHECK(SizeOf("1GB") == 1'000'000'000);
  CHECK(SizeOf("1TB") == 1'000'000'000'000);
  CHECK(SizeOf("64mib") == 64ull << 20);
  CHECK(SizeOf("18446744073709551615") == UINT64_MAX);
  CHECK(SizeOf("16777215TiB") == 16777215ull << 40);
}

TEST_CASE("What is no size is refused") {
  for (const char* const wrong :
       {"", " ", "MiB", "-1", "+1", "1.5GiB", "1 GiB", " 1", "1GiB ", "0x10", "1e6", "1K", "1M",
        "1GiBs", "18446744073709551616", "16777216TiB", "99999999999999999999GB"}) {
    INFO(wrong);
    CHECK_THROWS_AS(SizeOf(wrong), CLI::ValidationError);
  }
}

TEST_CASE("The default of a size is shown in the largest unit that fits") {
  const auto shown = [](uint64_t bytes) {
    CLI::App app;
    return AddSizeOption(app, "--size", bytes, "A size")->get_default_str();
  };
  CHECK(shown(0) == "0");
  CHECK(shown(1000) == "1kB");
  CHECK(shown(1023) == "1023");
  CHECK(shown(1024) == "1KiB");
  CHECK(shown(64ull << 30) == "64GiB");
  CHECK(shown(1'000'000'000) == "1GB");
}

}  // namespace
}  // namespace histeq::rpc
