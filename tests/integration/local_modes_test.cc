// The command without services: on threads, in worker processes that die, killed and started again,
// and twice at once.

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <vector>

#include "cluster.h"
#include "files.h"
#include "frontend_client.h"
#include "image_desk.h"
#include "pictures.h"
#include "process.h"

namespace histeq::integration {
namespace {

namespace fs = std::filesystem;

TEST_CASE("threads, processes and services make the same bytes") {
  ImageDesk desk;
  desk.Add("camera.png", ReadFile(TestData("camera.png")));
  desk.Add("rocket.jpg", ReadFile(TestData("rocket.jpg")));
  desk.Add("deep/coffee.png", ReadFile(TestData("coffee.png")));
  // Several segments.
  desk.Add("deep/large.jpg",
           EncodeJpeg(Tiled(DecodeJpeg(ReadFile(TestData("retina.jpg")), 3), 3000, 3000)));
  desk.Add("large.png",
           EncodePng(Tiled(DecodePng(ReadFile(TestData("camera.png")), 1), 3000, 4000)));
  const auto run = [&](const std::string& out, std::vector<std::string> more,
                       std::vector<std::string> arguments = {"equalize"}) {
    arguments.insert(arguments.end(), {desk.in(), "-r", "-o", desk.folder().File(out)});
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Finished finished = desk.Run(arguments);
    INFO(finished.err);
    REQUIRE(finished.exit_code == 0);
    return ImageDesk::OutputsOf(desk.folder().File(out));
  };
  const auto expected = run("threads-1", {"--threads", "1"});
  CHECK(expected.size() == 5);
  CHECK(expected.count("deep/large_EQUALIZED.jpg") == 1);
  CHECK(run("threads-4", {"--threads", "4"}) == expected);
  CHECK(run("processes-1", {"--processes", "1"}) == expected);
  CHECK(run("processes-3", {"--processes", "3"}) == expected);
  Cluster cluster;
  cluster.AddCoordinator("one");
  cluster.AddWorker("worker");
  CHECK(run("services", {"--server", cluster.frontend().address()}) == expected);
  // Thumbnails, of the equalized image too.
  const std::vector<std::string> thumbnails = {"thumbnail", "--size", "256",   "--size",
                                               "90x60",     "--fit",  "cover", "--equalize"};
  const auto small = run("small-threads", {"--threads", "2"}, thumbnails);
  CHECK(small.size() == 15);
  CHECK(small.at("rocket_EQUALIZED.jpg") == expected.at("rocket_EQUALIZED.jpg"));
  CHECK(small.count("deep/coffee_EQUALIZED.png_thumb_90x60.png") == 1);
  CHECK(run("small-processes", {"--processes", "2"}, thumbnails) == small);
  CHECK(run("small-services", {"--server", cluster.frontend().address()}, thumbnails) == small);

  const Picture camera = DecodePng(ReadFile(TestData("camera.png")), 1);
  CHECK(DecodePng(expected.at("camera_EQUALIZED.png"), 1).samples ==
        EqualizedByFormula(camera).samples);
}

TEST_CASE("a thousand small files; the second time they are there") {
  ImageDesk desk;
  desk.AddSmall(1000);
  desk.Add("notes.txt", "no image");
  desk.Add("img_5_EQUALIZED.png", SmallPng(5));
  const Finished first = desk.Run({"equalize", desk.in(), "-o", desk.out(), "--quiet", "--json"});
  INFO(first.err);
  REQUIRE(first.exit_code == 0);
  CHECK(first.err.empty());
  CHECK(std::count(first.out.begin(), first.out.end(), '\n') == 1000);
  CHECK(first.out.find("\"status\":\"done\"") != std::string::npos);
  CHECK(first.out.find("\"status\":\"failed\"") == std::string::npos);
  desk.CheckEachMade(1000);
  const Finished second = desk.Run({"equalize", desk.in(), "-o", desk.out()});
  REQUIRE(second.exit_code == 0);
  CHECK(second.err.find("0 done, 1000 already there") != std::string::npos);
  desk.CheckEachMade(1000);

  // What changed is made again, and nothing else; --force makes all again.
  WriteFile(desk.in() + "/img_7.png", SmallPng(907));
  const Finished third = desk.Run({"equalize", desk.in(), "-o", desk.out()});
  CHECK(third.err.find("1 done, 999 already there") != std::string::npos);
  CHECK(desk.TimesMade()["img_7_EQUALIZED.png"] == 2);
}

TEST_CASE("thumbnails have their names, and those that are missing are made") {
  ImageDesk desk;
  desk.Add("img_100.jpg", ReadFile(TestData("rocket.jpg")));
  desk.Add("img_101.png", ReadFile(TestData("moon.png")));
  const auto names = [&] {
    std::set<std::string> names;
    for (const auto& [name, bytes] : desk.Outputs()) names.insert(name);
    return names;
  };
  REQUIRE(desk.Run({"thumbnail", desk.in(), "--size", "64", "-o", desk.out()}).exit_code == 0);
  CHECK(names() == std::set<std::string>{"img_100.jpg_thumb.jpg", "img_101.png_thumb.png"});
  // 640x427 within 64x64.
  const Picture picture = DecodeJpeg(desk.Outputs()["img_100.jpg_thumb.jpg"], 3);
  CHECK(picture.width == 64);
  CHECK(picture.height == 43);
  // The same name for another size: ours to replace.
  REQUIRE(desk.Run({"thumbnail", desk.in(), "--size", "32", "-o", desk.out()}).exit_code == 0);
  CHECK(DecodeJpeg(desk.Outputs()["img_100.jpg_thumb.jpg"], 3).width == 32);

  const auto several = [&](const std::string& size) {
    const Finished run = desk.Run({"thumbnail", desk.in(), "--size", "16", "--size", size,
                                   "--format", "jpeg", "-o", desk.out(), "--processes", "2"});
    INFO(run.err);
    REQUIRE(run.exit_code == 0);
  };
  several("24x8");
  several("20");
  CHECK(names().count("img_101.png_thumb_24x8.jpg") == 1);
  CHECK(names().count("img_101.png_thumb_20x20.jpg") == 1);
  CHECK(desk.TimesMade()["img_101.png_thumb_16x16.jpg"] == 1);
  CHECK(desk.Run({"thumbnail", desk.in()}).exit_code == 2);
  CHECK(desk.Run({"thumbnail", desk.in(), "--size", "0"}).exit_code == 2);
  CHECK(desk.Run({"thumbnail", desk.in(), "--size", "9", "--method", "clahe"}).exit_code == 2);
}

TEST_CASE("sample pictures are the same ones every time") {
  ImageDesk desk;
  const auto sample = [&](const std::string& folder) {
    REQUIRE(desk.Run({"sample", "--nodes", "2", "--count", "5", desk.folder().File(folder)})
                .exit_code == 0);
    return ImageDesk::OutputsOf(desk.folder().File(folder));
  };
  const auto pictures = sample("samples");
  CHECK(pictures.size() == 10);
  CHECK(pictures.count("node1/img_100.jpg") == 1);
  CHECK(pictures.count("node2/img_203.png") == 1);
  CHECK(sample("samples") == pictures);
  CHECK(sample("again") == pictures);
}

TEST_CASE("a folder, and a folder below it: each output is in one registry") {
  ImageDesk desk;
  desk.AddSmall(4);
  for (int i = 0; i < 3; ++i) desk.Add("sub/more_" + std::to_string(i) + ".png", SmallPng(50 + i));
  const std::vector<std::string> whole = {"equalize", desk.in(), "-r"};
  const std::vector<std::string> part = {"equalize", desk.in() + "/sub"};
  const bool part_first = GENERATE(true, false);
  CAPTURE(part_first);
  const Finished first = desk.Run(part_first ? part : whole);
  CHECK(first.exit_code == 0);
  const Finished second = desk.Run(part_first ? whole : part);
  INFO(second.err);
  CHECK(second.exit_code == 0);
  CHECK(second.err.find("3 already there") != std::string::npos);
  CHECK(desk.Run(whole).err.find("0 done, 7 already there") != std::string::npos);
  CHECK(desk.Run(part).err.find("0 done, 3 already there") != std::string::npos);
}

TEST_CASE("one clash of outputs is one failure; lists keep their folders") {
  ImageDesk desk;
  desk.Add("a/x.png", SmallPng(1));
  desk.Add("b/x.png", SmallPng(2));
  desk.Add("b/y.png", SmallPng(3));
  const Finished flat =
      desk.Run({"equalize", desk.in() + "/a", desk.in() + "/b", "-o", desk.out()});
  INFO(flat.err);
  CHECK(flat.exit_code == 1);
  CHECK(flat.err.find("2 done, 1 failed (1 BAD_OUTPUT)") != std::string::npos);
  CHECK(desk.Outputs().size() == 2);
  const std::string list = desk.folder().File("list");
  WriteFile(list, "a/x.png\nb\n");
  const Finished kept =
      RunToEnd({"/bin/sh", "-c", "cd \"$1\" && exec \"$0\" equalize --jobs-from ../list -o ../kept",
                Program("histeq"), desk.in()});
  INFO(kept.err);
  CHECK(kept.exit_code == 0);
  const auto outputs = ImageDesk::OutputsOf(desk.folder().File("kept"));
  CHECK(outputs.size() == 3);
  CHECK(outputs.count("a/x_EQUALIZED.png") == 1);
  CHECK(outputs.count("b/x_EQUALIZED.png") == 1);
  CHECK(outputs.count("b/y_EQUALIZED.png") == 1);
}

#ifndef HISTEQ_SANITIZED
// Sanitizers take more address space than is left here.
TEST_CASE("more threads than the system gives: fewer do it, or it says so") {
  ImageDesk desk;
  desk.AddSmall(700);
  const Finished run = RunToEnd({"/bin/sh", "-c",
                                 "ulimit -v 3000000 && exec \"$0\" equalize \"$1\" -o \"$2\" "
                                 "--threads 600",
                                 Program("histeq"), desk.in(), desk.out()});
  INFO(run.err.substr(0, 2000));
  CHECK(((run.exit_code == 0 && desk.Outputs().size() == 700) ||
         (run.exit_code == 1 && run.err.find("NO_THREADS") != std::string::npos)));
}
#endif

TEST_CASE("a list of inputs, refused ones among them") {
  ImageDesk desk;
  desk.AddSmall(3);
  desk.Add("words.png", "these are words");
  const std::string list = desk.folder().File("list");
  WriteFile(list, desk.in() + "/img_0.png\n\n" + desk.in() + "/words.png\n" + desk.in() +
                      "/missing.png\n" + desk.in() + "/img_1.png\n");
  const Finished run = desk.Run({"equalize", "--jobs-from", list, "-o", desk.out(), "--json"});
  CHECK(run.exit_code == 1);
  CHECK(run.err.find("2 done, 2 failed (1 FILE_NOT_FOUND, 1 NOT_AN_IMAGE)") != std::string::npos);
  CHECK(run.out.find("\"reason\":\"NOT_AN_IMAGE\"") != std::string::npos);
  CHECK(desk.Outputs().size() == 2);
  CHECK(desk.Run({"equalize", "--threads", "2"}).exit_code == 2);
  CHECK(desk.Run({"equalize", desk.in(), "--threads", "2", "--processes", "2"}).exit_code == 2);
}

TEST_CASE("one file needs no registry") {
  ImageDesk desk;
  desk.AddSmall(1);
  const std::string input = desk.in() + "/img_0.png";
  REQUIRE(desk.Run({"equalize", input}).exit_code == 0);
  CHECK(FilesBelow(desk.in()).size() == 2);
  CHECK(desk.Run({"equalize", input}).exit_code == 1);
  CHECK(desk.Run({"equalize", input, "--force", "--processes", "1"}).exit_code == 0);
  const Finished out = desk.Run({"equalize", input, "-o", "-"});
  REQUIRE(out.exit_code == 0);
  CHECK(out.out == ReadFile(desk.in() + "/img_0_EQUALIZED.png"));
  CHECK(desk.Run({"equalize", input, "-o", input, "--force"}).exit_code == 2);
}

TEST_CASE("a loop of links ends, and what others made stays") {
  ImageDesk desk;
  desk.AddSmall(2);
  fs::create_directory(desk.in() + "/sub");
  fs::create_directory_symlink(desk.in(), desk.in() + "/sub/loop");
  fs::create_directory(desk.out());
  WriteFile(desk.out() + "/img_0_EQUALIZED.png", "precious");
  const Finished run = desk.Run({"equalize", desk.in(), "-r", "-o", desk.out()});
  CHECK(run.exit_code == 1);
  CHECK(run.err.find("OUTPUT_EXISTS") != std::string::npos);
  CHECK(ReadFile(desk.out() + "/img_0_EQUALIZED.png") == "precious");
  CHECK(desk.Outputs().size() == 2);
}

TEST_CASE("an image takes down its worker process and fails alone") {
  const auto [fault, reason] =
      GENERATE(table<const char*, const char*>({{"abort", "WORKER_CRASHED"},
                                                {"hang", "WORKER_TIMED_OUT"},
                                                {"memory", "WORKER_OUT_OF_MEMORY"}}));
  INFO(fault);
  ImageDesk desk;
  desk.AddSmall(12);
  const Finished run =
      desk.Run({"equalize", desk.in(), "-o", desk.out(), "--processes", "2", "--image-timeout-s",
                // Enough for the others, on any machine.
                std::string(fault) == "hang" ? "6" : "300", "--worker-memory", "1GiB", "--json",
                "--test-worker-fault", std::string(fault) + "=img_3.png"});
  INFO(run.err);
  CHECK(run.exit_code == 1);
  CHECK(run.err.find(std::string("11 done, 1 failed (1 ") + reason + ")") != std::string::npos);
  CHECK(run.out.find(std::string("\"reason\":\"") + reason + "\"") != std::string::npos);
  CHECK(desk.Outputs().size() == 11);
  // The image was innocent; started again, it alone is made.
  const Finished again = desk.Run({"equalize", desk.in(), "-o", desk.out(), "--processes", "2"});
  CHECK(again.exit_code == 0);
  CHECK(again.err.find("1 done, 11 already there") != std::string::npos);
  desk.CheckEachMade(12);
}

TEST_CASE("an image that takes its process down once is made by the next") {
  ImageDesk desk;
  desk.AddSmall(4);
  const Finished run = desk.Run({"equalize", desk.in(), "-o", desk.out(), "--processes", "1",
                                 "--test-worker-fault", "abort-once=img_2.png"});
  INFO(run.err);
  CHECK(run.exit_code == 0);
  desk.CheckEachMade(4);
}

TEST_CASE("killed in the middle and started again, each image is made once") {
  ImageDesk desk;
  desk.AddSmall(20);
  {
    const auto command = desk.Start({"equalize", desk.in(), "-o", desk.out(), "--processes", "2",
                                     "--test-worker-fault", "hang=img_5.png"});
    // All but the one that hangs.
    REQUIRE(WaitUntil([&] {
      if (!fs::exists(desk.out())) return false;
      size_t made = 0;
      for (const std::string& path : FilesBelow(desk.out())) made += path.ends_with(".png");
      return made == 19;
    }));
    const pid_t pid = command->pid();
    command->Kill();
    // They go with it.
    CHECK(WaitUntil([&] { return WorkersOf(pid).empty(); }));
  }
  const Finished again = desk.Run({"equalize", desk.in(), "-o", desk.out(), "--threads", "2"});
  INFO(again.err);
  CHECK(again.exit_code == 0);
  CHECK(again.err.find("1 done, 19 already there") != std::string::npos);
  desk.CheckEachMade(20);
}

TEST_CASE("ended by Ctrl-C, nothing is left half made") {
  ImageDesk desk;
  desk.AddSmall(6);
  const auto command = desk.Start({"equalize", desk.in(), "-o", desk.out(), "--processes", "2",
                                   "--test-worker-fault", "hang=img_5.png"});
  REQUIRE(WaitUntil(
      [&] { return fs::exists(desk.out()) && fs::exists(desk.out() + "/img_4_EQUALIZED.png"); }));
  command->Signal(SIGINT);
  CHECK(command->Wait() == 130);
  for (const auto& [name, bytes] : desk.Outputs()) CHECK_FALSE(name.starts_with(".histeq"));
  CHECK(desk.Run({"equalize", desk.in(), "-o", desk.out()}).exit_code == 0);
  desk.CheckEachMade(6);
}

TEST_CASE("a worker process has little that could be misused") {
  ImageDesk desk;
  desk.AddSmall(1);
  const auto command = desk.Start({"equalize", desk.in(), "-o", desk.out(), "--processes", "1",
                                   "--test-worker-fault", "hang=img_0.png"});
  const auto read = [](const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return std::string{std::istreambuf_iterator<char>(file), {}};
  };
  std::string worker;
  REQUIRE(WaitUntil([&] {
    const auto workers = WorkersOf(command->pid());
    if (workers.empty()) return false;
    worker = workers.front();
    // Last of all.
    return read(worker + "/status").find("Seccomp:\t2") != std::string::npos;
  }));
  CHECK(read(worker + "/status").find("NoNewPrivs:\t1") != std::string::npos);
  // In a session of its own: behind the name come state, parent, group and session.
  const std::string stat = read(worker + "/stat");
  std::istringstream fields(stat.substr(stat.rfind(')') + 1));
  std::string state, parent, group, session;
  fields >> state >> parent >> group >> session;
  CHECK(session == worker.substr(worker.rfind('/') + 1));
  CHECK(session == group);
  const auto limit = [&](const std::string& name) {
    const std::string limits = read(worker + "/limits");
    const size_t at = limits.find(name);
    REQUIRE(at != std::string::npos);
    const size_t value = limits.find_first_not_of(' ', at + name.size());
    return limits.substr(value, limits.find(' ', value) - value);
  };
  CHECK(limit("Max core file size") == "0");
  CHECK(limit("Max open files") == "128");
  CHECK(limit("Max file size") != "unlimited");
  // Nothing of the command's environment, and none of its files but the result's.
  CHECK(read(worker + "/environ").find("HOME=") == std::string::npos);
  for (const auto& entry : fs::directory_iterator(worker + "/fd")) {
    const std::string target = fs::read_symlink(entry.path()).string();
    INFO(target);
    CHECK((target == "/dev/null" || target.starts_with("socket:") ||
           target.starts_with("anon_inode:") || target.starts_with(desk.out() + "/.histeq-")));
  }
}

TEST_CASE("two commands on one folder share the work") {
  ImageDesk desk;
  desk.AddSmall(200);
  const auto one = desk.Start({"equalize", desk.in(), "-o", desk.out(), "--threads", "1"}, "one");
  const auto two = desk.Start({"equalize", desk.in(), "-o", desk.out(), "--processes", "1"}, "two");
  CHECK(one->Wait() == 0);
  CHECK(two->Wait() == 0);
  INFO(ReadFile(desk.folder().File("one")) + ReadFile(desk.folder().File("two")));
  desk.CheckEachMade(200);
}

TEST_CASE("a command waits for what another works on, and takes it over when that one dies") {
  ImageDesk desk;
  desk.AddSmall(4);
  const auto one = desk.Start({"equalize", desk.in(), "-o", desk.out(), "--processes", "1",
                               "--test-worker-fault", "hang=img_0.png"},
                              "one");
  REQUIRE(WaitUntil([&] { return fs::exists(desk.out()) && !FilesBelow(desk.out()).empty(); }));
  const auto two = desk.Start({"equalize", desk.in(), "-o", desk.out(), "--threads", "1"}, "two");
  REQUIRE(WaitUntil([&] {
    return ReadFile(desk.folder().File("two")).find("another command works on it") !=
           std::string::npos;
  }));
  one->Kill();
  CHECK(two->Wait() == 0);
  desk.CheckEachMade(4);
}

}  // namespace
}  // namespace histeq::integration
