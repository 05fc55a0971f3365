#include "image_desk.h"

#include <sqlite3.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "files.h"
#include "pictures.h"

namespace histeq::integration {

namespace fs = std::filesystem;

std::string SmallPng(int number) {
  static const Picture camera = DecodePng(ReadFile(TestData("camera.png")), 1);
  Picture picture = {.width = 24, .height = 16, .channels = 1, .samples = {}};
  for (uint32_t y = 0; y < picture.height; ++y) {
    for (uint32_t x = 0; x < picture.width; ++x) {
      picture.samples.push_back(static_cast<uint8_t>(
          camera.samples[(y * 20 + static_cast<uint32_t>(number) % 100) * camera.width + x * 20] +
          number));
    }
  }
  return EncodePng(picture);
}

ImageDesk::ImageDesk(std::map<std::string, std::string> environment)
    : environment_(std::move(environment)) {
  fs::create_directory(in());
}

void ImageDesk::Add(const std::string& name, const std::string& bytes) const {
  fs::create_directories(fs::path(in() + "/" + name).parent_path());
  WriteFile(in() + "/" + name, bytes);
}

void ImageDesk::AddSmall(int count) const {
  for (int i = 0; i < count; ++i) Add("img_" + std::to_string(i) + ".png", SmallPng(i));
}

Finished ImageDesk::Run(std::vector<std::string> arguments) const {
  arguments.insert(arguments.begin(), Program("histeq"));
  return RunToEnd(arguments, environment_);
}

std::unique_ptr<Process> ImageDesk::Start(std::vector<std::string> arguments,
                                          const std::string& said,
                                          std::map<std::string, std::string> environment) const {
  Process::Options options;
  options.command = {Program("histeq")};
  options.command.insert(options.command.end(), arguments.begin(), arguments.end());
  options.environment = std::move(environment);
  options.environment.insert(environment_.begin(), environment_.end());
  options.stdout_file = options.stderr_file = folder_.File(said);
  return Process::Start(options);
}

std::string ImageDesk::Said(const std::string& said) const {
  return fs::exists(folder_.File(said)) ? ReadFile(folder_.File(said)) : "";
}

std::map<std::string, std::string> ImageDesk::OutputsOf(const std::string& folder) {
  std::map<std::string, std::string> outputs;
  for (const std::string& path : FilesBelow(folder)) {
    const std::string name = path.substr(folder.size() + 1);
    if (!name.starts_with(".histeq.sqlite")) outputs[name] = ReadFile(path);
  }
  return outputs;
}

std::map<std::string, int> ImageDesk::TimesMade() const {
  std::map<std::string, int> times;
  sqlite3* database = nullptr;
  REQUIRE(sqlite3_open((out() + "/.histeq.sqlite").c_str(), &database) == SQLITE_OK);
  sqlite3_exec(
      database, "SELECT path, times_made FROM outputs WHERE times_made > 0",
      [](void* to, int, char** values, char**) {
        (*static_cast<std::map<std::string, int>*>(to))[values[0]] = std::stoi(values[1]);
        return 0;
      },
      &times, nullptr);
  sqlite3_close(database);
  return times;
}

void ImageDesk::CheckEachMade(size_t count, int times) const {
  const auto made = TimesMade();
  CHECK(made.size() == count);
  for (const auto& [path, of_path] : made) {
    INFO(path);
    CHECK(of_path == times);
  }
  const auto outputs = Outputs();
  CHECK(outputs.size() == count);
  for (const auto& [name, bytes] : outputs) {
    INFO(name);
    CHECK(name.find(".part") == std::string::npos);
    CHECK_FALSE(bytes.empty());
  }
}

std::vector<std::string> WorkersOf(pid_t parent) {
  std::vector<std::string> workers;
  const std::string wanted = "--parent=" + std::to_string(parent);
  for (const auto& entry : fs::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "cmdline", std::ios::binary);
    const std::string line{std::istreambuf_iterator<char>(file), {}};
    if (line.find("worker-process") != std::string::npos &&
        (line + '\0').find(wanted + '\0') != std::string::npos) {
      workers.push_back(entry.path().string());
    }
  }
  return workers;
}

}  // namespace histeq::integration
