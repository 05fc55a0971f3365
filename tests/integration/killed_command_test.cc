// Commands that are killed, stopped and started twice, and images that do to worker processes what
// hostile ones would.

#include <signal.h>
#include <zlib.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <string>

#include "files.h"
#include "image_desk.h"
#include "pictures.h"

namespace histeq::integration {
namespace {

namespace fs = std::filesystem;

void Append(std::string& png, const std::string& type, const std::string& data) {
  const auto number = [](uLong value) {
    std::string bytes;
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift);
    return bytes;
  };
  const std::string named = type + data;
  png += number(data.size()) + named +
         number(crc32(0, reinterpret_cast<const Bytef*>(named.data()), named.size()));
}

// A small file that may be a huge picture: gray, all black.
std::string BlackPng(uint32_t edge, char bits) {
  std::string header(8, '\0');
  for (int i = 0; i < 4; ++i) header[i] = header[i + 4] = static_cast<char>(edge >> (24 - 8 * i));
  header += bits + std::string(4, '\0');
  z_stream stream = {};
  REQUIRE(deflateInit(&stream, 1) == Z_OK);
  std::string data;
  std::string row(1 + edge * bits / 8, '\0');
  std::string buffer(1 << 16, '\0');
  for (uint32_t y = 0; y <= edge; ++y) {
    stream.next_in = reinterpret_cast<Bytef*>(row.data());
    stream.avail_in = y < edge ? static_cast<uInt>(row.size()) : 0;
    do {
      stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
      stream.avail_out = static_cast<uInt>(buffer.size());
      deflate(&stream, y < edge ? Z_NO_FLUSH : Z_FINISH);
      data.append(buffer, 0, buffer.size() - stream.avail_out);
    } while (stream.avail_out == 0);
  }
  deflateEnd(&stream);
  std::string png = "\x89PNG\r\n\x1a\n";
  Append(png, "IHDR", header);
  Append(png, "IDAT", data);
  Append(png, "IEND", "");
  return png;
}

// A command that dies at a moment: see die_at.c.
std::map<std::string, std::string> DieAt(const std::string& moment) {
  return {{"LD_PRELOAD", HISTEQ_DIE_AT_LIBRARY},
          {"HISTEQ_TEST_DIE_AT", moment},
          // Its runtime wants to be the first library.
          {"ASAN_OPTIONS", "verify_asan_link_order=0"}};
}

bool AnyPart(const std::string& folder) {
  if (!fs::exists(folder)) return false;
  for (const std::string& path : FilesBelow(folder)) {
    if (path.ends_with(".part")) return true;
  }
  return false;
}

TEST_CASE("a command that dies between a file's flush, its name and its record is made good") {
  for (const std::string moment : {"sync:1", "sync:7", "before-rename:1", "before-rename:4",
                                   "after-rename:1", "after-rename:9"}) {
    CAPTURE(moment);
    ImageDesk desk;
    desk.AddSmall(12);
    const auto command = desk.Start({"equalize", desk.in(), "-o", desk.out(), "--threads", "2"},
                                    "said", DieAt(moment));
    REQUIRE(command->Wait() == 128 + SIGKILL);
    const Finished again = desk.Run({"equalize", desk.in(), "-o", desk.out(), "--processes", "2"});
    INFO(again.err);
    CHECK(again.exit_code == 0);
    desk.CheckEachMade(12);
  }
}

TEST_CASE("a killed command on a single file leaves nothing") {
  ImageDesk desk;
  desk.AddSmall(1);
  const std::string temporary = desk.folder().File("tmp");
  fs::create_directory(temporary);
  const std::string input = desk.in() + "/img_0.png";
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"equalize", input},
        {"equalize", input, "-o", "-"},
        {"thumbnail", input, "--size", "8", "--size", "9"},
        {"thumbnail", input, "--size", "8", "--force", "-o", desk.in() + "/x.png"}}) {
    std::vector<std::string> arguments = command;
    arguments.insert(arguments.end(),
                     {"--processes", "1", "--test-worker-fault", "hang=img_0.png"});
    const auto running = desk.Start(arguments, "said", {{"TMPDIR", temporary}});
    // It has made the file for its result by then: an open one without a name.
    REQUIRE(WaitUntil([&] {
      for (const std::string& worker : WorkersOf(running->pid())) {
        std::error_code error;
        for (const auto& entry : fs::directory_iterator(worker + "/fd", error)) {
          if (fs::read_symlink(entry.path(), error).string().ends_with(" (deleted)")) return true;
        }
      }
      return false;
    }));
    running->Kill();
    CHECK(FilesBelow(desk.folder().File("in")) == std::set<std::string>{input});
    CHECK(fs::is_empty(temporary));
  }
}

TEST_CASE("what a command leaves that dies as it replaces a file, the next one removes") {
  ImageDesk desk;
  desk.AddSmall(1);
  const std::string input = desk.in() + "/img_0.png";
  WriteFile(desk.in() + "/x.png", "old");
  const auto command = desk.Start({"equalize", input, "--force", "-o", desk.in() + "/x.png"},
                                  "said", DieAt("rename:1"));
  REQUIRE(command->Wait() == 128 + SIGKILL);
  // Only here a name is needed before the last one.
  CHECK(AnyPart(desk.in()));
  CHECK(ReadFile(desk.in() + "/x.png") == "old");
  CHECK(desk.Run({"equalize", input, "--force", "-o", desk.in() + "/x.png"}).exit_code == 0);
  CHECK_FALSE(AnyPart(desk.in()));
  CHECK(ReadFile(desk.in() + "/x.png") != "old");
}

TEST_CASE("two commands that surely meet share the work") {
  ImageDesk desk;
  desk.AddSmall(60);
  // The first stands still while it has an image.
  const auto one = desk.Start({"equalize", desk.in(), "-o", desk.out(), "--processes", "1"}, "one");
  REQUIRE(WaitUntil([&] { return AnyPart(desk.out()); }));
  one->Signal(SIGSTOP);
  const bool met = AnyPart(desk.out());
  const auto two = desk.Start({"equalize", desk.in(), "-o", desk.out(), "--threads", "1"}, "two");
  if (met) {
    CHECK(WaitUntil([&] {
      return desk.Said("two").find("another command works on it; waiting") != std::string::npos;
    }));
  }
  one->Signal(SIGCONT);
  CHECK(one->Wait() == 0);
  CHECK(two->Wait() == 0);
  INFO(desk.Said("one") + desk.Said("two"));
  desk.CheckEachMade(60);
  CHECK(met);
}

TEST_CASE("--force makes all again") {
  ImageDesk desk;
  desk.AddSmall(5);
  const std::vector<std::string> command = {"equalize", desk.in(), "-o", desk.out()};
  REQUIRE(desk.Run(command).exit_code == 0);
  const auto first = desk.Outputs();
  std::vector<std::string> forced = command;
  forced.push_back("--force");
  const Finished again = desk.Run(forced);
  INFO(again.err);
  CHECK(again.exit_code == 0);
  CHECK(again.err.find("5 done; ") != std::string::npos);
  desk.CheckEachMade(5, 2);
  CHECK(desk.Outputs() == first);
}

// No picture is known to crash a decoder that is kept up to date: for that the fault is made by
// name, in local_modes_test.
TEST_CASE("a picture that takes too much memory fails alone") {
  ImageDesk desk;
  desk.AddSmall(6);
  // A histogram of 65,536 bins for each tile.
  desk.Add("img_deep.png", BlackPng(600, 16));
  const Finished run =
      desk.Run({"equalize", desk.in(), "-o", desk.out(), "--processes", "2", "--worker-memory",
                "128MiB", "--method", "clahe", "--grid", "20x20"});
  INFO(run.err);
  CHECK(run.exit_code == 1);
  CHECK(run.err.find("img_deep.png: WORKER_OUT_OF_MEMORY") != std::string::npos);
  CHECK(run.err.find("6 done, 1 failed (1 WORKER_OUT_OF_MEMORY)") != std::string::npos);
  CHECK(desk.Outputs().size() == 6);
  CHECK_FALSE(AnyPart(desk.out()));
}

TEST_CASE("a picture that takes too long fails alone") {
  ImageDesk desk;
  desk.AddSmall(6);
  // 0.9 gigapixel: decoding, mapping and encoding them takes more than a second anywhere.
  desk.Add("img_huge.png", BlackPng(30'000, 8));
  const Finished run = desk.Run(
      {"equalize", desk.in(), "-o", desk.out(), "--processes", "2", "--image-timeout-s", "1"});
  INFO(run.err);
  CHECK(run.exit_code == 1);
  CHECK(run.err.find("img_huge.png: WORKER_TIMED_OUT") != std::string::npos);
  CHECK(desk.Outputs().size() == 6);
  CHECK_FALSE(AnyPart(desk.out()));
}

}  // namespace
}  // namespace histeq::integration
