// Folders of images by the services: each made once, whatever becomes of the command.

#include <catch2/catch.hpp>
#include <filesystem>

#include "cluster.h"
#include "files.h"
#include "frontend_client.h"
#include "image_desk.h"

namespace histeq::integration {
namespace {

namespace fs = std::filesystem;

struct Services {
  explicit Services(std::vector<std::string> worker = {})
      : client(cluster.frontend().address()),
        desk({{"HISTEQ_SERVER", cluster.frontend().address()}}) {
    cluster.AddCoordinator("one");
    cluster.AddWorker("worker", std::move(worker));
    REQUIRE(client.AwaitNodes(1, 1));
  }

  Cluster cluster;
  FrontendClient client;
  ImageDesk desk;
};

TEST_CASE("a folder by the services, twice, then by threads: the same files") {
  Services services;
  const ImageDesk& desk = services.desk;
  desk.AddSmall(10);
  desk.Add("below/more.png", SmallPng(77));
  desk.Add("words.png", "\x89PNG\r\n\x1a\n these are words");
  const std::vector<std::string> command = {"equalize", desk.in(),  "-r",
                                            "-o",       desk.out(), "--json"};
  const Finished first = desk.Run(command);
  INFO(first.err);
  CHECK(first.exit_code == 1);
  CHECK(first.err.find("words.png: ") != std::string::npos);
  CHECK(first.err.find("11 done, 1 failed (1 ") != std::string::npos);
  CHECK(first.out.find("\"status\":\"failed\"") != std::string::npos);
  desk.CheckEachMade(11);
  const auto outputs = desk.Outputs();
  CHECK(outputs.count("below/more_EQUALIZED.png") == 1);
  fs::remove(desk.in() + "/words.png");
  const size_t jobs = services.client.ListJobs().size();

  const Finished second = desk.Run(command);
  CHECK(second.exit_code == 0);
  CHECK(second.err.find("0 done, 11 already there; ") != std::string::npos);
  CHECK(second.out.find("\"status\":\"already_there\"") != std::string::npos);
  CHECK(services.client.ListJobs().size() == jobs);
  // The registry is the same for all ways of work.
  const Finished threads =
      desk.Run({"equalize", desk.in(), "-r", "-o", desk.out(), "--threads", "2"});
  CHECK(threads.err.find("0 done, 11 already there; ") != std::string::npos);
  CHECK(desk.Run({"equalize", desk.in(), "-r", "-o", desk.folder().File("local"), "--threads", "2"})
            .exit_code == 0);
  CHECK(ImageDesk::OutputsOf(desk.folder().File("local")) == outputs);
}

TEST_CASE("thumbnails of equalized images by the services; what is missing is made") {
  Services services;
  const ImageDesk& desk = services.desk;
  desk.AddSmall(3);
  const std::vector<std::string> command = {"thumbnail", desk.in(), "-o", desk.out(),  "--size",
                                            "8",         "--size",  "12", "--equalize"};
  const Finished first = desk.Run(command);
  INFO(first.err);
  CHECK(first.exit_code == 0);
  desk.CheckEachMade(9);
  const auto outputs = desk.Outputs();
  fs::remove(desk.out() + "/img_1_EQUALIZED.png_thumb_12x12.png");
  const Finished second = desk.Run(command);
  CHECK(second.err.find("1 done, 2 already there; ") != std::string::npos);
  CHECK(desk.Outputs() == outputs);
}

TEST_CASE("two commands with a server share the work") {
  Services services;
  const ImageDesk& desk = services.desk;
  desk.AddSmall(40);
  const auto one = desk.Start({"equalize", desk.in(), "-o", desk.out(), "--parallel", "3"}, "one");
  const auto two = desk.Start({"equalize", desk.in(), "-o", desk.out(), "--parallel", "3"}, "two");
  CHECK(one->Wait() == 0);
  CHECK(two->Wait() == 0);
  INFO(desk.Said("one") + desk.Said("two"));
  desk.CheckEachMade(40);
  CHECK(services.client.ListJobs().size() == 40);
}

TEST_CASE("killed in the middle and started again with a server, each image is made once") {
  Services services({"--slots", "1", "--test-segment-delay-ms", "200"});
  const ImageDesk& desk = services.desk;
  desk.AddSmall(12);
  const std::vector<std::string> command = {"equalize", desk.in(), "-o", desk.out()};
  {
    const auto killed = desk.Start(command);
    REQUIRE(WaitUntil([&] { return fs::exists(desk.out()) && !desk.Outputs().empty(); }));
    killed->Kill();
  }
  const Finished again = desk.Run(command);
  INFO(again.err);
  CHECK(again.exit_code == 0);
  desk.CheckEachMade(12);
  // What the killed command had begun is found, not made again: one computation for each.
  const std::string log = services.cluster.frontend().Log();
  size_t made = 0;
  for (size_t at = log.find(" job_succeeded "); at != std::string::npos;
       at = log.find(" job_succeeded ", at + 1)) {
    ++made;
  }
  CHECK(made == 12);
}

TEST_CASE("bytes go to the standard output when they are whole") {
  Services services;
  const ImageDesk& desk = services.desk;
  desk.AddSmall(1);
  const std::string input = desk.in() + "/img_0.png";
  const Finished out = desk.Run({"equalize", input, "-o", "-"});
  REQUIRE(out.exit_code == 0);
  CHECK(desk.Run({"equalize", input, "-o", desk.folder().File("x.png")}).exit_code == 0);
  CHECK(out.out == ReadFile(desk.folder().File("x.png")));
  CHECK(FilesBelow(desk.in()).size() == 1);
}

}  // namespace
}  // namespace histeq::integration
