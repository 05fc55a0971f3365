// The commands as functions: what they print, write and return.

#include <catch2/catch.hpp>
#include <filesystem>
#include <future>
#include <sstream>

#include "base/error.h"
#include "commands/output_file.h"
#include "commands/output_path.h"
#include "commands/program.h"
#include "fake_frontend.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "scratch_folder.h"

namespace histeq::client {
namespace {

struct Ran {
  int code = -1;
  std::string out;
  std::string err;
};

struct Desk {
  Ran Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--server", frontend.address()});
    return RunElsewhere(std::move(arguments));
  }
  Ran RunElsewhere(std::vector<std::string> arguments) {
    std::ostringstream out;
    std::ostringstream err;
    Ran ran;
    ran.code = RunProgram(std::move(arguments), {.out = out,
                                                 .err = err,
                                                 .redraw = redraw,
                                                 .utf8 = true,
                                                 .columns = [] { return size_t{60}; },
                                                 .token = source.token()});
    ran.out = out.str();
    ran.err = err.str();
    return ran;
  }
  std::string Input(const std::string& name, size_t size = 5000) {
    return folder.Write(name, Noise(size));
  }

  FakeFrontend frontend;
  ScratchFolder folder;
  base::CancelSource source;
  bool redraw = false;
};

std::string Reversed(std::string bytes) {
  std::reverse(bytes.begin(), bytes.end());
  return bytes;
}

// Without the bytes in the test's output.
bool Same(const std::string& a, const std::string& b) { return a == b; }

bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Each line of `text` as a JSON object.
std::vector<google::protobuf::Struct> Objects(const std::string& text) {
  std::vector<google::protobuf::Struct> objects;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    google::protobuf::Struct object;
    INFO(line);
    CHECK(google::protobuf::util::JsonStringToMessage(line, &object).ok());
    objects.push_back(object);
  }
  return objects;
}

// What would move a terminal's cursor or change its colours.
bool HasControls(const std::string& text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) {
                       const auto byte = static_cast<unsigned char>(c);
                       return (byte < 0x20 && byte != '\n') || byte == 0x7F;
                     }) ||
         Contains(text, "\xC2\x9B") || Contains(text, "\xE2\x80\xAE");
}

TEST_CASE("equalize writes the result beside the input, or where it is told to") {
  Desk desk;
  const std::string input = desk.Input("a.b.png");
  CHECK(desk.Run({"equalize", input}).code == 0);
  CHECK(Same(desk.folder.Read("a.b_EQUALIZED.png"), Reversed(Noise(5000))));
  CHECK(desk.Run({"equalize", input, "-o", desk.folder.Path("x")}).code == 0);
  CHECK(Same(desk.folder.Read("x"), Reversed(Noise(5000))));
  CHECK(Same(desk.Run({"equalize", input, "-o", "-"}).out, Reversed(Noise(5000))));
  CHECK(desk.Run({"equalize", input, "-o", desk.folder.Path("sub/")}).code == 0);
  CHECK(Same(desk.folder.Read("sub/a.b_EQUALIZED.png"), Reversed(Noise(5000))));
  CHECK(desk.Run({"equalize", input, "--keep-name", "-o", desk.folder.Path("sub")}).code == 0);
  CHECK(Same(desk.folder.Read("sub/a.b.png"), Reversed(Noise(5000))));
  CHECK(desk.Run({"equalize", input, "-o", "/dev/null"}).code == 0);
  CHECK(desk.folder.Names() == std::set<std::string>{"a.b.png", "a.b_EQUALIZED.png", "x", "sub"});
}

TEST_CASE("equalize works on several inputs at once") {
  Desk desk;
  std::vector<std::string> arguments = {"equalize", "-o", desk.folder.Path("out"), "--parallel",
                                        "3"};
  for (int i = 0; i < 10; ++i) {
    arguments.push_back(desk.Input("in" + std::to_string(i) + ".png", 1000 + i));
  }
  const Ran ran = desk.Run(arguments);
  INFO(ran.err);
  CHECK(ran.code == 0);
  for (int i = 0; i < 10; ++i) {
    CHECK(Same(desk.folder.Read("out/in" + std::to_string(i) + "_EQUALIZED.png"),
               Reversed(Noise(1000 + i))));
  }
}

TEST_CASE("equalize does not replace what is there unasked") {
  Desk desk;
  const std::string input = desk.Input("a.png");
  desk.folder.Write("a_EQUALIZED.png", "mine");
  const Ran refused = desk.Run({"equalize", input});
  CHECK(refused.code == 1);
  CHECK(Contains(refused.err, "histeq: " + input + ": OUTPUT_EXISTS: "));
  CHECK(desk.folder.Read("a_EQUALIZED.png") == "mine");
  CHECK(desk.frontend.calls("UploadImage") == 0);
  const Ran forced = desk.Run({"equalize", input, "--force", "--quiet"});
  CHECK(forced.code == 0);
  CHECK(forced.err.empty());
  CHECK(forced.out.empty());
  CHECK(Same(desk.folder.Read("a_EQUALIZED.png"), Reversed(Noise(5000))));
}

TEST_CASE("a file that appears while equalize works stays") {
  Desk desk;
  desk.frontend.HoldJobs();
  auto ran = std::async(std::launch::async, [&] {
    return desk.Run({"equalize", desk.Input("a.png")});
  });
  REQUIRE(desk.frontend.AwaitCalls("WatchJob", 1));
  desk.folder.Write("a_EQUALIZED.png", "mine");
  desk.frontend.ReleaseJobs();
  CHECK(ran.get().code == 1);
  CHECK(desk.folder.Read("a_EQUALIZED.png") == "mine");
  CHECK(desk.folder.Names().size() == 2);
}

TEST_CASE("a failure names the input, the reason and the facts, and leaves nothing") {
  Desk desk;
  desk.frontend.Plan(
      "UploadImage",
      {.status = base::MakeError(
           absl::StatusCode::kInvalidArgument, "the file is no picture",
           {.reason = "NOT_AN_IMAGE", .metadata = {{"limit", "5"}, {"actual", "7"}}})});
  const std::string input = desk.Input("words.png");
  const Ran ran = desk.Run({"equalize", input});
  CHECK(ran.code == 1);
  CHECK(Contains(ran.err, "histeq: " + input +
                              ": NOT_AN_IMAGE: the file is no picture (limit 5, actual 7)\n"));
  CHECK(desk.folder.Names() == std::set<std::string>{"words.png"});

  v1::JobError error;
  error.set_code(3);
  error.set_reason("IMAGE_CORRUPT");
  error.set_message("row 5");
  desk.frontend.FailJobs(error);
  const Ran failed = desk.Run({"equalize", input, desk.Input("other.png"), "--json"});
  CHECK(failed.code == 1);
  CHECK(Contains(failed.err, "IMAGE_CORRUPT: row 5"));
  const auto objects = Objects(failed.out);
  REQUIRE(objects.size() == 2);
  CHECK(objects[0].fields().at("error").struct_value().fields().at("reason").string_value() ==
        "IMAGE_CORRUPT");
  CHECK(desk.folder.Names() == std::set<std::string>{".histeq.sqlite", "words.png", "other.png"});
}

TEST_CASE("one input that fails does not keep the others from their results") {
  Desk desk;
  const Ran ran = desk.Run({"equalize", desk.folder.Path("missing.png"), desk.Input("a.png")});
  CHECK(ran.code == 1);
  CHECK(Contains(ran.err, "missing.png: FILE_NOT_FOUND"));
  CHECK(Contains(ran.err, "1 done, 1 failed (1 FILE_NOT_FOUND)"));
  CHECK(desk.folder.Names() == std::set<std::string>{".histeq.sqlite", "a.png", "a_EQUALIZED.png"});
}

TEST_CASE("with a server too, what is there is not made again") {
  Desk desk;
  const std::string in = desk.folder.Path("in/");
  std::filesystem::create_directory(in);
  desk.Input("in/a.png");
  desk.Input("in/b.png", 4000);
  const std::vector<std::string> command = {"equalize", in, "-o", desk.folder.Path("out"),
                                            "--json"};
  const Ran first = desk.Run(command);
  INFO(first.err);
  CHECK(first.code == 0);
  CHECK(Contains(first.err, "2 done; "));
  CHECK(desk.frontend.calls("UploadImage") == 2);
  for (const auto& object : Objects(first.out)) {
    CHECK(object.fields().at("status").string_value() == "done");
    CHECK(object.fields().count("seconds") == 1);
    CHECK(object.fields().at("job").struct_value().fields().count("id") == 1);
    const auto& output = object.fields().at("outputs").list_value().values(0).struct_value();
    CHECK(output.fields().at("sha256").string_value().size() == 64);
    CHECK(!output.fields().at("image_id").string_value().empty());
  }
  const Ran second = desk.Run(command);
  CHECK(second.code == 0);
  CHECK(Contains(second.err, "0 done, 2 already there; "));
  CHECK(desk.frontend.calls("UploadImage") == 2);
  for (const auto& object : Objects(second.out)) {
    CHECK(object.fields().at("status").string_value() == "already_there");
  }
  // What is missing alone.
  std::filesystem::remove(desk.folder.Path("out/a_EQUALIZED.png"));
  CHECK(Contains(desk.Run(command).err, "1 done, 1 already there; "));
  CHECK(desk.frontend.calls("UploadImage") == 3);
  std::vector<std::string> again = command;
  again.push_back("--force");
  CHECK(Contains(desk.Run(again).err, "2 done; "));
  CHECK(Same(desk.folder.Read("out/a_EQUALIZED.png"), Reversed(Noise(5000))));
}

TEST_CASE("a reference image has one name in what tells outputs apart, however often it is sent") {
  Desk desk;
  desk.Input("a.png");
  const std::string reference = desk.folder.Write("reference.png", Noise(3000));
  const std::vector<std::string> command = {"equalize",    desk.folder.Path("a.png"),
                                            "-o",          desk.folder.Path("out/"),
                                            "--reference", reference};
  CHECK(Contains(desk.Run(command).err, "done in"));
  CHECK(Contains(desk.Run(command).err, "already there"));
  desk.folder.Write("reference.png", Noise(3001));
  CHECK(Contains(desk.Run(command).err, "done in"));
}

TEST_CASE("a server that goes away in the middle ends a batch") {
  Desk desk;
  std::vector<std::string> command = {"equalize",  "-o", desk.folder.Path("out"), "--parallel", "2",
                                      "--timeout", "0.3"};
  for (int i = 0; i < 20; ++i) command.push_back(desk.Input("in" + std::to_string(i) + ".png"));
  desk.frontend.HoldJobs();
  auto running = std::async(std::launch::async, [&] { return desk.Run(command); });
  REQUIRE(desk.frontend.AwaitCalls("WatchJob", 2));
  desk.frontend.StopServer();
  const Ran ran = running.get();
  INFO(ran.err);
  CHECK(ran.code == 3);
  CHECK(Contains(ran.err, "goes on without this command; its result: histeq watch job-"));
  CHECK(Contains(ran.err, "SERVER_UNREACHABLE"));
  CHECK(Contains(ran.err, "left; "));
}

TEST_CASE("an interrupted equalize leaves no file, and tells how to fetch the result") {
  Desk desk;
  desk.frontend.HoldJobs();
  const std::string input = desk.Input("it's.png");
  auto running = std::async(std::launch::async, [&] { return desk.Run({"equalize", input}); });
  REQUIRE(desk.frontend.AwaitCalls("WatchJob", 1));
  desk.source.Cancel(base::MakeError(absl::StatusCode::kCancelled, "ended by a signal",
                                     {.reason = "INTERRUPTED"}));
  const Ran ran = running.get();
  CHECK(ran.code == 1);
  CHECK(Contains(ran.err, "histeq watch job-1 -o '"));
  CHECK(Contains(ran.err, "it'\\''s_EQUALIZED.png'"));
  CHECK(desk.frontend.jobs()[0].state() == v1::JOB_STATE_QUEUED);
  CHECK(desk.folder.Names() == std::set<std::string>{"it's.png"});
}

TEST_CASE("an interrupted download leaves no file") {
  Desk desk;
  const std::string id = desk.frontend.AddImage("b.png", Noise(20000)).id();
  desk.frontend.Plan("DownloadImage", {.after_bytes = 3000, .hang = true, .then = [&] {
                                         desk.source.Cancel(absl::CancelledError("enough"));
                                       }});
  CHECK(desk.Run({"download", id, "-o", desk.folder.Path("b.png")}).code == 1);
  CHECK(desk.folder.Names().empty());
}

TEST_CASE("an unreachable server is exit code 3") {
  Desk desk;
  desk.frontend.StopServer();
  for (std::vector<std::string> command : {std::vector<std::string>{"nodes"},
                                           {"equalize", desk.Input("a.png")},
                                           {"upload", desk.Input("a.png")},
                                           {"submit", "image-1"},
                                           {"watch", "job-1"},
                                           {"download", "image-1", "-o", "-"},
                                           {"jobs"},
                                           {"job", "job-1"},
                                           {"cancel", "job-1"},
                                           {"images"},
                                           {"image", "image-1"},
                                           {"delete", "image-1"},
                                           {"histogram", "image-1"},
                                           {"coordinator", "add", "a", "h:1"},
                                           {"coordinator", "remove", "a"}}) {
    command.insert(command.end(), {"--timeout", "0.2"});
    const Ran ran = desk.Run(command);
    CAPTURE(command[0], ran.err);
    CHECK(ran.code == 3);
    CHECK(Contains(ran.err, desk.frontend.address()));
  }
  CHECK(desk.folder.Names().size() == 1);
}

TEST_CASE("a wrong command line is exit code 2") {
  Desk desk;
  const std::string input = desk.Input("a.png");
  const std::string other = desk.folder.Path("sub/a.png");
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{},
        {"nonsense"},
        {"equalize"},
        {"equalize", "--no-such-flag"},
        {"equalize", input, "--method", "magic"},
        {"equalize", input, "--grid", "8"},
        {"equalize", input, "--percentiles", "1"},
        {"equalize", input, "--parallel", "0"},
        {"equalize", input, "--strength", "x"},
        {"equalize", input, "--keep-name"},
        {"equalize", input, other, "-o", "-"},
        {"equalize", input, other, "-o", input},
        {"equalize", input, "--force", "-o", input},
        {"equalize", input, "--reference", "a", "--distribution", "uniform"},
        {"jobs", "--state", "odd"},
        {"coordinator"},
        {"nodes", "--timeout", "-1"},
        {"nodes", "--server", "nowhere"}}) {
    const Ran ran = desk.RunElsewhere(command);
    CAPTURE(command, ran.err);
    CHECK(ran.code == 2);
    CHECK(!ran.err.empty());
  }
  CHECK(desk.frontend.calls("UploadImage") == 0);
}

TEST_CASE("help and version are exit code 0") {
  Desk desk;
  CHECK(desk.RunElsewhere({"--help"}).code == 0);
  CHECK(Contains(desk.RunElsewhere({"--help"}).out, "\nSubcommands:\n  equalize "));
  CHECK(Contains(desk.RunElsewhere({"--help"}).out, "Exit codes:"));
  CHECK(desk.RunElsewhere({"equalize", "--help"}).code == 0);
  CHECK(Contains(desk.RunElsewhere({"--version"}).out, "histeq "));
}

TEST_CASE("the flags of an operation reach the server") {
  Desk desk;
  const std::string id = desk.frontend.AddImage("b.png", "bytes").id();
  const auto submitted = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"submit", id});
    const Ran ran = desk.Run(flags);
    INFO(ran.err);
    CHECK(ran.code == 0);
    return desk.frontend.jobs().back().operation().equalize();
  };
  CHECK(submitted({}).method() == v1::Equalize::METHOD_UNSPECIFIED);
  const v1::Equalize clahe =
      submitted({"--method", "clahe", "--grid", "4x16", "--clip", "2.5", "--color", "per-channel"});
  CHECK(clahe.method() == v1::Equalize::METHOD_CLAHE);
  CHECK(clahe.color() == v1::Equalize::COLOR_PER_CHANNEL);
  CHECK(clahe.grid_x() == 4);
  CHECK(clahe.grid_y() == 16);
  CHECK(clahe.clip_limit() == 2.5);
  const v1::Equalize global = submitted(
      {"--method=clip-limited", "--strength", "0.25", "--nodata", "0", "--significant-bits", "12"});
  CHECK(global.method() == v1::Equalize::METHOD_CLIP_LIMITED);
  CHECK(global.strength() == 0.25);
  CHECK(global.has_nodata());
  CHECK(global.significant_bits() == 12);
  const v1::Equalize stretch = submitted({"--percentiles", "0.5,99.5"});
  CHECK(stretch.method() == v1::Equalize::METHOD_STRETCH);
  CHECK(stretch.percentile_low() == 0.5);
  CHECK(stretch.percentile_high() == 99.5);
  CHECK(submitted({"--distribution", "rayleigh"}).target_distribution() ==
        v1::Equalize::DISTRIBUTION_RAYLEIGH);
  CHECK(submitted({"--reference", id}).reference_image_id() == id);
  const v1::Equalize match = submitted({"--reference", desk.Input("ref.png")});
  CHECK(match.method() == v1::Equalize::METHOD_MATCH);
  CHECK(desk.frontend.BytesOf(match.reference_image_id()) == Noise(5000));
}

TEST_CASE("flags come from the command line, the environment, or a file, in that order") {
  Desk desk;
  const std::string input = desk.Input("a.png");
  const std::string config = desk.folder.Write(
      "histeq.toml", "quiet = true\n[equalize]\nmethod = \"clahe\"\nclip = 3.5\nforce = true\n");
  const auto equalize = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"equalize", input, "--config", config};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Ran ran = desk.Run(arguments);
    INFO(ran.err);
    REQUIRE(ran.code == 0);
    CHECK(ran.err.empty());
    return desk.frontend.jobs().back().operation().equalize();
  };
  CHECK(equalize({}).method() == v1::Equalize::METHOD_CLAHE);
  CHECK(equalize({}).clip_limit() == 3.5);
  REQUIRE(setenv("HISTEQ_EQUALIZE_CLIP", "5", 1) == 0);
  CHECK(equalize({}).clip_limit() == 5);
  CHECK(equalize({"--clip", "7"}).clip_limit() == 7);
  CHECK(equalize({}).method() == v1::Equalize::METHOD_CLAHE);
  unsetenv("HISTEQ_EQUALIZE_CLIP");

  REQUIRE(setenv("HISTEQ_CONFIG", config.c_str(), 1) == 0);
  CHECK(desk.Run({"equalize", input}).code == 0);
  CHECK(desk.frontend.jobs().back().operation().equalize().clip_limit() == 3.5);
  // A section does not run its command.
  CHECK(desk.Run({"images"}).code == 0);
  unsetenv("HISTEQ_CONFIG");
  const std::string wrong = desk.folder.Write("wrong.toml", "no-such-flag = 1\n");
  CHECK(desk.Run({"images", "--config", wrong}).code == 2);
}

TEST_CASE("submit asks for thumbnails, alone or of the equalized image, and for a refresh") {
  Desk desk;
  const std::string id = desk.frontend.AddImage("b.png", "bytes").id();
  const auto submitted = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"submit", id});
    const Ran ran = desk.Run(flags);
    INFO(ran.err);
    CHECK(ran.code == 0);
    return desk.frontend.jobs().back().operation();
  };
  const v1::Operation one = submitted({"--thumbnail", "320x240", "--fit", "cover"});
  CHECK(one.thumbnail().width() == 320);
  CHECK(one.thumbnail().height() == 240);
  CHECK(one.thumbnail().fit() == v1::Thumbnail::FIT_COVER);
  const v1::Operation two = submitted({"--thumbnail", "256", "--thumbnail", "64"});
  CHECK(two.derive().thumbnails_size() == 2);
  CHECK(!two.derive().has_equalize());
  const v1::Operation both = submitted({"--thumbnail", "256", "--strength", "0.5"});
  CHECK(both.derive().thumbnails_size() == 1);
  CHECK(both.derive().equalize().strength() == 0.5);
  CHECK(submitted({"--thumbnail", "256", "--equalize"}).derive().has_equalize());
  CHECK(desk.frontend.refreshes == 0);
  submitted({"--refresh"});
  CHECK(desk.frontend.refreshes == 1);
  CHECK(desk.Run({"submit", id, "--thumbnail", "0"}).code == 2);
}

TEST_CASE("query shows an image's state and all that was made of it") {
  Desk desk;
  const std::string id = desk.frontend.AddImage("b.png", "bytes").id();
  CHECK(Contains(desk.Run({"query", id, "--json"}).out, "\"status\":\"registered\""));
  desk.frontend.describe_image = [](v1::GetImageResponse& response) {
    response.set_state(v1::GetImageResponse::STATE_FAILED);
    response.mutable_error()->set_reason("IMAGE_CORRUPT");
    v1::GetImageResponse::Derivative& made = *response.add_derivatives();
    made.mutable_operation()->mutable_thumbnail()->set_width(64);
    made.mutable_operation()->mutable_thumbnail()->set_height(64);
    made.set_state(v1::GetImageResponse::STATE_DONE);
    made.mutable_image()->set_id("image-7");
    made.mutable_image()->set_name("b.png_thumb.png");
    made.mutable_image()->set_location("blob:\x1b[31m");
    made.mutable_image()->set_sha256("\x01\xff");
    made.mutable_image()->set_size_bytes(123);
    v1::GetImageResponse::Derivative& failed = *response.add_derivatives();
    failed.mutable_operation()->mutable_equalize();
    failed.set_state(v1::GetImageResponse::STATE_FAILED);
    *failed.mutable_error() = response.error();
    failed.set_job_id("job-9");
    v1::GetImageResponse::Derivative& waits = *response.add_derivatives();
    v1::Derive& derive = *waits.mutable_operation()->mutable_derive();
    derive.mutable_equalize()->set_strength(0.5);
    derive.add_thumbnails()->set_width(32);
    waits.set_state(v1::GetImageResponse::STATE_QUEUED);
    waits.set_waiting_for("storage disk1");
    response.set_waiting_for("storage \x1b");
  };
  const Ran json = desk.Run({"query", id, "--json"});
  CHECK(json.code == 0);
  google::protobuf::Struct parsed;
  REQUIRE(google::protobuf::util::JsonStringToMessage(json.out, &parsed).ok());
  const auto& fields = parsed.fields();
  CHECK(fields.at("id").string_value() == id);
  CHECK(fields.at("status").string_value() == "failed");
  CHECK(fields.at("original").struct_value().fields().at("name").string_value() == "b.png");
  const auto& derivatives = fields.at("derivatives").list_value();
  REQUIRE(derivatives.values_size() == 3);
  CHECK(fields.at("waiting_for").string_value() == "storage \x1b");
  const auto& waits = derivatives.values(2).struct_value().fields();
  CHECK(waits.at("waiting_for").string_value() == "storage disk1");
  const auto& derive = waits.at("parameters").struct_value().fields().at("derive").struct_value();
  CHECK(derive.fields().at("equalize").struct_value().fields().at("strength").number_value() ==
        0.5);
  const auto& made = derivatives.values(0).struct_value().fields();
  CHECK(made.at("status").string_value() == "done");
  CHECK(made.at("id").string_value() == "image-7");
  CHECK(made.at("size").number_value() == 123);
  CHECK(made.at("sha256").string_value() == "01ff");
  const auto& failed = derivatives.values(1).struct_value().fields();
  CHECK(failed.at("error").struct_value().fields().at("reason").string_value() == "IMAGE_CORRUPT");
  CHECK(failed.at("job").string_value() == "job-9");
  const Ran text = desk.Run({"query", id});
  CHECK(Contains(text.out, "thumbnail 64x64: done"));
  CHECK(Contains(text.out, "equalize: failed"));
  CHECK(Contains(text.out, "equalize, thumbnail 32x0: queued\n  waits for    storage disk1\n"));
  // Nothing from outside reaches the terminal as it is.
  CHECK(!Contains(text.out, "\x1b"));
  CHECK(desk.Run({"query", "image-99"}).code == 1);
}

TEST_CASE("upload, submit, watch and download print what the next one needs") {
  Desk desk;
  const std::string a = desk.Input("a.png");
  const std::string b = desk.Input("b.png", 300);
  CHECK(desk.Run({"upload", a, "-q"}).out == "image-1\n");
  const Ran both = desk.Run({"upload", a, desk.folder.Path("none"), b, "--parallel", "1"});
  CHECK(both.code == 1);
  CHECK(both.out == "image-2\nimage-3\n");
  CHECK(desk.Run({"submit", "image-1", "image-3", "--parallel", "1"}).out == "job-1\njob-2\n");
  CHECK(desk.Run({"submit", "image-1", "--wait"}).code == 0);
  CHECK(Contains(desk.Run({"watch", "job-1"}).out, "succeeded"));
  CHECK(desk.Run({"watch", "job-1", "-o", desk.folder.Path("r.png")}).code == 0);
  CHECK(Same(desk.folder.Read("r.png"), Reversed(Noise(5000))));
  CHECK(Same(desk.Run({"watch", "job-1", "-o", "-"}).out, Reversed(Noise(5000))));
  std::filesystem::create_directory(desk.folder.Path("sub"));
  CHECK(desk.Run({"watch", "job-1", "-o", desk.folder.Path("sub")}).code == 0);
  CHECK(Same(desk.folder.Read("sub/a_EQUALIZED.png"), Reversed(Noise(5000))));
  CHECK(desk.Run({"download", "image-1", "-o", "-", "--offset", "10", "--limit", "20"}).out ==
        Noise(5000).substr(10, 20));
  CHECK(desk.Run({"download", "image-99", "-o", "-"}).code == 1);

  v1::JobError error;
  error.set_reason("IMAGE_CORRUPT");
  desk.frontend.FailJobs(error);
  const Ran failed = desk.Run({"submit", "image-1", "--wait"});
  CHECK(failed.code == 1);
  CHECK(Contains(failed.out, "job-"));
  CHECK(Contains(failed.err, "IMAGE_CORRUPT"));
}

TEST_CASE("jobs, images and nodes") {
  Desk desk;
  desk.frontend.HoldJobs();
  const std::string id = desk.frontend.AddImage("b.png", "bytes").id();
  desk.Run({"submit", id});
  desk.Run({"submit", id});
  CHECK(Contains(desk.Run({"cancel", "job-1"}).out, "job-1 cancelled"));
  CHECK(desk.Run({"cancel", "job-1", "job-77"}).code == 1);
  const Ran queued = desk.Run({"jobs", "--state", "queued"});
  CHECK(!Contains(queued.out, "job-1 "));
  CHECK(Contains(queued.out, "job-2 "));
  CHECK(Objects(desk.Run({"jobs", "--json"}).out).size() == 2);
  CHECK(desk.Run({"jobs", "--image", "none"}).out.empty());
  CHECK(Contains(desk.Run({"job", "job-1"}).out, "cancelled"));
  CHECK(Contains(desk.Run({"images"}).out, "b.png"));
  CHECK(desk.Run({"images", "--name", "c.png"}).out.empty());
  CHECK(Objects(desk.Run({"image", id, "--json"}).out)[0].fields().at("name").string_value() ==
        "b.png");
  CHECK(Contains(desk.Run({"image", id}).out, "10x20"));
  CHECK(desk.Run({"coordinator", "add", "one", "host:1"}).code == 0);
  CHECK(Contains(desk.Run({"nodes"}).out, "worker-of-one"));
  CHECK(Contains(desk.Run({"nodes"}).out, "3/4 slots"));
  CHECK(!Contains(desk.Run({"nodes"}).out, "more workers"));
  desk.frontend.workers_omitted = 12;
  CHECK(Contains(desk.Run({"nodes"}).out, "12 more workers"));
  CHECK(Objects(desk.Run({"nodes", "--json"}).out).size() == 1);
  CHECK(desk.Run({"coordinator", "remove", "one"}).code == 0);
  CHECK(desk.Run({"coordinator", "remove", "one"}).code == 1);
  CHECK(desk.Run({"delete", id, "--json"}).code == 0);
  CHECK(desk.Run({"delete", id}).code == 1);
}

TEST_CASE("--json prints one object a line") {
  Desk desk;
  const std::string input = desk.Input("a \"quoted\".png");
  const auto equalized = Objects(desk.Run({"equalize", input, "--json"}).out);
  REQUIRE(equalized.size() == 1);
  CHECK(equalized[0].fields().at("input").string_value() == input);
  CHECK(equalized[0].fields().at("job").struct_value().fields().at("state").string_value() ==
        "JOB_STATE_SUCCEEDED");
  CHECK(Objects(desk.Run({"upload", input, "--json"}).out)[0].fields().count("image") == 1);
  CHECK(Objects(desk.Run({"submit", "image-1", "--json"}).out).size() == 1);
  CHECK(Objects(desk.Run({"watch", "job-1", "--json"}).out).size() == 1);
  CHECK(Objects(desk.Run({"histogram", "image-1", "--json"}).out)[0].fields().count("statistics") ==
        1);
  CHECK(Objects(desk.Run({"job", "none", "--json"}).out)[0].fields().count("error") == 1);
  CHECK(Objects(desk.Run({"download", "image-1", "-o", desk.folder.Path("c"), "--json"}).out)[0]
            .fields()
            .at("output")
            .string_value() == desk.folder.Path("c"));
}

TEST_CASE("what a hostile server says cannot reach the terminal") {
  Desk desk;
  const std::string hostile =
      "a\x1b[31m\r\n\x07\xC2\x9B\xE2\x80\xAE"
      "b";
  const std::string id = desk.frontend.AddImage("b.png", "bytes").id();
  desk.Run({"submit", id});
  desk.Run({"coordinator", "add", hostile, hostile});
  desk.frontend.twist_image = [&](v1::Image& image) {
    image.set_name(hostile);
    image.set_location(hostile);
    image.set_tag(hostile);
  };
  desk.frontend.twist_job = [&](v1::Job& job) {
    job.set_image_name(hostile);
    job.set_coordinator(hostile);
    job.set_state(v1::JOB_STATE_FAILED);
    job.mutable_error()->set_reason(hostile);
    job.mutable_error()->set_message(hostile);
  };
  desk.frontend.Plan("GetImage", {.status = base::MakeError(absl::StatusCode::kInternal, hostile,
                                                            {.reason = hostile})});
  CHECK(HasControls(hostile));
  for (const std::vector<std::string>& command : {std::vector<std::string>{"image", id},
                                                  {"image", id},
                                                  {"images"},
                                                  {"images", "--json"},
                                                  {"jobs"},
                                                  {"job", "job-1"},
                                                  {"job", "job-1", "--json"},
                                                  {"watch", "job-1"},
                                                  {"nodes"},
                                                  {"nodes", "--json"},
                                                  {"histogram", id},
                                                  {"histogram", id, "--json"},
                                                  {"submit", id},
                                                  {"cancel", "job-1"}}) {
    const Ran ran = desk.Run(command);
    CAPTURE(command, ran.out, ran.err);
    CHECK(!HasControls(ran.out));
    CHECK(!HasControls(ran.err));
  }
}

TEST_CASE("a name from the server is never a path out of the folder") {
  v1::Image image;
  image.set_id("12-ab/../x");
  image.set_format(v1::IMAGE_FORMAT_JPEG);
  ScratchFolder folder;
  const std::string root = folder.Path("");
  for (const std::string& name :
       {std::string("../../etc/passwd"), std::string("/etc/passwd"), std::string(".bashrc"),
        std::string(".."), std::string(), std::string("a\nb")}) {
    image.set_name(name);
    CHECK(ImagePath(image, root) == root + "image-12-abx.jpg");
  }
  image.set_name("photo.jpg");
  CHECK(ImagePath(image, root) == root + "photo.jpg");
  CHECK(ImagePath(image, "") == "photo.jpg");
  CHECK(ImagePath(image, folder.Path("other")) == folder.Path("other"));
}

TEST_CASE("an output file appears when it is complete") {
  ScratchFolder folder;
  const std::string path = folder.Path("x");
  const std::vector<uint8_t> bytes = {1, 2, 3};
  {
    auto file = OutputFile::Create(path, false);
    REQUIRE(file.ok());
    CHECK((*file)->Write(bytes).ok());
    CHECK(folder.Names().count("x") == 0);
  }
  CHECK(folder.Names().empty());
  {
    auto file = OutputFile::Create(path, false);
    REQUIRE(file.ok());
    CHECK((*file)->Write(bytes).ok());
    CHECK((*file)->Commit().ok());
  }
  CHECK(folder.Read("x") == std::string("\1\2\3"));
  CHECK(folder.Names().size() == 1);
  CHECK(!OutputFile::Create(path, false).ok());
  CHECK(OutputFile::Create(path, true).ok());
  CHECK(!OutputFile::Create(folder.Path("none/x"), false).ok());
  CHECK(!OutputFile::Create(folder.Path(""), true).ok());
}

TEST_CASE("progress on a terminal is one line that goes away, elsewhere plain lines") {
  Desk desk;
  const std::string input = desk.Input("a.png");
  const Ran plain = desk.Run({"equalize", input});
  CHECK(Contains(plain.err, ": uploading 4.9 KiB\n"));
  CHECK(Contains(plain.err, ": job job-1 succeeded\n"));
  CHECK(Contains(plain.err, ": downloading 4.9 KiB\n"));
  CHECK(Contains(plain.err, ": done in "));
  CHECK(!HasControls(plain.err));

  desk.redraw = true;
  desk.frontend.HoldJobs();
  auto running = std::async(std::launch::async, [&] {
    return desk.Run({"equalize", input, "--force"});
  });
  REQUIRE(desk.frontend.AwaitCalls("WatchJob", 2));
  desk.frontend.ReleaseJobs();
  const Ran drawn = running.get();
  CHECK(drawn.code == 0);
  CHECK(!Contains(drawn.err, "uploading"));
  // The last thing is a whole line, not one that was being redrawn.
  CHECK(drawn.err.back() != '\r');
  CHECK(Contains(drawn.err, "done in "));
}

TEST_CASE("histograms of stored images and of files, drawn in the terminal and as a picture") {
  Desk desk;
  const std::string id = desk.frontend.AddImage("b.png", "bytes").id();
  const std::string plot = desk.folder.Path("plot.png");
  const Ran ran = desk.Run({"histogram", id, desk.Input("a.png"), "-o", plot});
  INFO(ran.err);
  CHECK(ran.code == 0);
  CHECK(Contains(ran.out, "b.png"));
  CHECK(Contains(ran.out, "a.png"));
  CHECK(Contains(ran.out, "127.50"));
  CHECK(Contains(ran.out, "█"));
  CHECK(desk.folder.Read("plot.png").substr(1, 3) == "PNG");
  CHECK(desk.Run({"histogram", id, "-o", plot}).code == 1);
  CHECK(desk.Run({"histogram", "none", "-o", plot, "--force"}).code == 1);
}

}  // namespace
}  // namespace histeq::client
