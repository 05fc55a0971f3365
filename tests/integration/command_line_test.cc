// The histeq program against real services that come and go.

#include <catch2/catch.hpp>
#include <filesystem>

#include "cluster.h"
#include "files.h"
#include "frontend_client.h"
#include "pictures.h"

namespace histeq::integration {
namespace {

struct Desk {
  Desk() : client(cluster.frontend().address()) { cluster.AddCoordinator("one"); }

  Finished Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), Program("histeq"));
    return RunToEnd(arguments, {{"HISTEQ_SERVER", cluster.frontend().address()}});
  }
  // Starts it in the background; what it says is in `said`.
  std::unique_ptr<Process> Start(std::vector<std::string> arguments) {
    Process::Options options;
    options.command = {Program("histeq")};
    options.command.insert(options.command.end(), arguments.begin(), arguments.end());
    options.environment = {{"HISTEQ_SERVER", cluster.frontend().address()}};
    options.stdout_file = options.stderr_file = said();
    return Process::Start(options);
  }
  std::string said() const { return folder.File("said.txt"); }
  std::string Copy(const std::string& name) {
    WriteFile(folder.File(name), ReadFile(TestData(name)));
    return folder.File(name);
  }

  Cluster cluster;
  FrontendClient client;
  TempFolder folder;
};

TEST_CASE("equalize writes the result beside the original") {
  Desk desk;
  const Finished run = desk.Run({"equalize", desk.Copy("moon.png"), desk.Copy("rocket.jpg")});
  INFO(run.err);
  REQUIRE(run.exit_code == 0);
  const Picture result = DecodePng(ReadFile(desk.folder.File("moon_EQUALIZED.png")), 1);
  CHECK(result.samples == EqualizedByFormula(DecodePng(ReadFile(TestData("moon.png")), 1)).samples);
  CHECK(DecodeJpeg(ReadFile(desk.folder.File("rocket_EQUALIZED.jpg")), 3).width == 640);
  // Nothing but these four.
  // Two pictures, two results, and the registry.
  CHECK(FilesBelow(desk.folder.path().string()).size() == 5);
  // Not a terminal: plain lines.
  CHECK(run.err.find('\r') == std::string::npos);
  CHECK(run.err.find('\x1b') == std::string::npos);

  // Not overwritten unasked.
  CHECK(desk.Run({"equalize", desk.folder.File("moon.png")}).exit_code == 1);
  CHECK(desk.Run({"equalize", desk.folder.File("moon.png"), "--force", "--quiet"}).err.empty());
}

TEST_CASE("the commands work together") {
  Desk desk;
  const Finished upload = desk.Run({"upload", desk.Copy("camera.png"), "--quiet"});
  REQUIRE(upload.exit_code == 0);
  const std::string image = upload.out.substr(0, upload.out.find('\n'));
  const Finished submit = desk.Run({"submit", image, "--quiet"});
  REQUIRE(submit.exit_code == 0);
  const std::string job = submit.out.substr(0, submit.out.find('\n'));
  const std::string out = desk.folder.File("out.png");
  REQUIRE(desk.Run({"watch", job, "-o", out}).exit_code == 0);
  CHECK(DecodePng(ReadFile(out), 1).samples ==
        EqualizedByFormula(DecodePng(ReadFile(TestData("camera.png")), 1)).samples);
  CHECK(desk.Run({"job", job, "--json"}).out.find("\"JOB_STATE_SUCCEEDED\"") != std::string::npos);
  CHECK(desk.Run({"jobs"}).out.find(job) != std::string::npos);
  CHECK(desk.Run({"images"}).out.find("camera_EQUALIZED.png") != std::string::npos);
  CHECK(desk.Run({"nodes"}).out.find("one") != std::string::npos);
  const std::string copy = desk.folder.File("copy.png");
  REQUIRE(desk.Run({"download", image, "-o", copy}).exit_code == 0);
  CHECK(ReadFile(copy) == ReadFile(TestData("camera.png")));
  CHECK(desk.Run({"cancel", job}).exit_code == 0);
}

TEST_CASE("exit codes") {
  Desk desk;
  CHECK(desk.Run({"--help"}).exit_code == 0);
  CHECK(desk.Run({"equalize", "--no-such-flag"}).exit_code == 2);
  CHECK(desk.Run({"equalize"}).exit_code == 2);
  WriteFile(desk.folder.File("words.png"), "these are words, and no image at all");
  const Finished words = desk.Run({"equalize", desk.folder.File("words.png")});
  CHECK(words.exit_code == 1);
  CHECK(words.err.find("NOT_AN_IMAGE") != std::string::npos);
  CHECK(words.err.find("words.png") != std::string::npos);
  CHECK(desk.Run({"equalize", desk.folder.File("missing.png")}).exit_code == 1);
  const Finished nobody =
      RunToEnd({Program("histeq"), "nodes", "--server", "127.0.0.1:1", "--timeout", "1"});
  CHECK(nobody.exit_code == 3);
  CHECK(nobody.err.find("127.0.0.1:1") != std::string::npos);
  CHECK(FilesBelow(desk.folder.path().string()).size() == 1);
}

TEST_CASE("it survives a frontend that restarts while it waits") {
  Desk desk;
  desk.cluster.AddWorker("slow", {"--slots", "1", "--test-segment-delay-ms", "3000"});
  REQUIRE(desk.client.AwaitNodes(1, 1));
  const auto histeq = desk.Start({"equalize", desk.Copy("moon.png")});
  REQUIRE(WaitUntil([&] {
    const auto jobs = desk.client.ListJobs();
    return !jobs.empty() && jobs[0].state() == v1::JOB_STATE_RUNNING;
  }));
  desk.cluster.frontend().Kill();
  desk.cluster.frontend().Start();
  REQUIRE(desk.client.AwaitReachable());
  const auto code = histeq->Wait(Seconds(180));
  INFO(ReadFile(desk.said()));
  REQUIRE(code == 0);
  CHECK(DecodePng(ReadFile(desk.folder.File("moon_EQUALIZED.png")), 1).samples ==
        EqualizedByFormula(DecodePng(ReadFile(TestData("moon.png")), 1)).samples);
  CHECK(desk.client.ListJobs().size() == 1);
}

TEST_CASE("it survives a frontend that restarts while it uploads, and while it downloads") {
  Desk desk;
  const std::string file =
      EncodePng(Tiled(DecodePng(ReadFile(TestData("coffee.png")), 3), 8000, 6000));
  WriteFile(desk.folder.File("large.png"), file);
  const auto histeq = desk.Start({"upload", desk.folder.File("large.png")});
  // In the middle of the upload, or a little later.
  REQUIRE(WaitUntil([&] { return !desk.cluster.BlobFiles().empty(); }));
  desk.cluster.frontend().Kill();
  desk.cluster.frontend().Start();
  REQUIRE(desk.client.AwaitReachable());
  const auto code = histeq->Wait(Seconds(180));
  INFO(ReadFile(desk.said()));
  REQUIRE(code == 0);
  const auto images = desk.client.ListImages();
  REQUIRE(images.size() == 1);
  CHECK(images[0].sha256() == Sha256(file));

  const std::string copy = desk.folder.File("copy.png");
  const auto download = desk.Start({"download", images[0].id(), "-o", copy});
  WaitUntil(
      [&] { return FilesBelow(desk.folder.path().string()).size() > 2 || !download->Running(); });
  desk.cluster.frontend().Kill();
  desk.cluster.frontend().Start();
  REQUIRE(desk.client.AwaitReachable());
  REQUIRE(download->Wait(Seconds(180)) == 0);
  CHECK(ReadFile(copy) == file);
}

}  // namespace
}  // namespace histeq::integration
