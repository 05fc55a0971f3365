// The client API against a frontend that fails in every way that the contract allows.

#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <functional>
#include <future>
#include <mutex>
#include <thread>

#include "api/byte_text.h"
#include "api/download.h"
#include "api/random_id.h"
#include "api/upload.h"
#include "api/watch.h"
#include "base/error.h"
#include "fake_frontend.h"
#include "scratch_folder.h"

namespace histeq::client {
namespace {

using Fault = FakeFrontend::Fault;

class StringSink final : public base::ByteSink {
 public:
  absl::Status Write(std::span<const uint8_t> more) override {
    bytes.append(reinterpret_cast<const char*>(more.data()), more.size());
    return status;
  }
  std::string bytes;
  absl::Status status;
};

// Something that a server's thread begins; awaited at the end.
class Meanwhile {
 public:
  ~Meanwhile() {
    std::future<void> running;
    {
      std::lock_guard lock(mutex_);
      running = std::move(running_);
    }
    if (running.valid()) running.wait();
  }
  void Start(std::function<void()> work) {
    std::lock_guard lock(mutex_);
    running_ = std::async(std::launch::async, std::move(work));
  }

 private:
  std::mutex mutex_;
  std::future<void> running_;
};

struct Desk {
  Desk() {
    Connect([](ClientOptions&) {});
  }

  void Connect(const std::function<void(ClientOptions&)>& change) {
    ClientOptions options;
    options.server = frontend.address();
    options.give_up_after = absl::Seconds(60);
    options.longest_pause = absl::Milliseconds(50);
    options.chunk_bytes = 1000;
    change(options);
    client = *Client::Create(options);
  }

  CallControl control() {
    return {.token = source.token(),
            .notice = [this](const std::string& text) { notices.push_back(text); }};
  }

  absl::StatusOr<v1::UploadImageResponse> Upload(const std::string& bytes,
                                                 bool with_operation = false) {
    const auto file = LocalFile::Open(folder.Write("a.png", bytes));
    UploadOptions options;
    options.name = "a.png";
    if (with_operation) options.operation.emplace().mutable_equalize();
    options.sent = [this](uint64_t sent, uint64_t size) {
      CHECK(sent <= size);
      last_sent = sent;
    };
    return UploadFile(*client, *file, options, control());
  }

  absl::StatusOr<Watched> Watch(const std::string& job_id) {
    WatchOptions options;
    options.job = [this](const v1::Job& job) { states.push_back(job.state()); };
    options.open_result = [this](const v1::Image&) -> absl::StatusOr<base::ByteSink*> {
      ++opened;
      return &sink;
    };
    return WatchJob(*client, job_id, options, control());
  }

  absl::StatusOr<v1::Image> Download(const std::string& image_id, DownloadOptions options = {}) {
    return DownloadImage(
        *client, image_id, options,
        [this](const v1::Image&) -> absl::StatusOr<base::ByteSink*> { return &sink; }, control());
  }

  // A running call does not return until the server goes; it comes back at once.
  Fault RestartAfter(uint64_t bytes) {
    return {.after_bytes = bytes,
            .status = absl::UnavailableError("gone"),
            .hang = true,
            .then = [this] {
              meanwhile.Start([this] {
                frontend.StopServer();
                frontend.StartServer();
              });
            }};
  }

  bool Noticed(const std::string& words) const {
    for (const std::string& notice : notices) {
      if (notice.find(words) != std::string::npos) return true;
    }
    return false;
  }

  FakeFrontend frontend;
  ScratchFolder folder;
  std::unique_ptr<Client> client;
  base::CancelSource source;
  std::vector<std::string> notices;
  std::vector<v1::JobState> states;
  StringSink sink;
  int opened = 0;
  uint64_t last_sent = 0;
  Meanwhile meanwhile;
};

std::string Reversed(std::string bytes) {
  std::reverse(bytes.begin(), bytes.end());
  return bytes;
}

std::string Reason(const absl::Status& status) {
  const auto detail = base::GetErrorDetail(status);
  return detail.has_value() ? detail->reason : "";
}

#define REQUIRE_OK(expression)                      \
  do {                                              \
    const auto& result_ = (expression);             \
    INFO(std::string(StatusOf(result_).message())); \
    REQUIRE(StatusOf(result_).ok());                \
  } while (false)

absl::Status StatusOf(const absl::Status& status) { return status; }
template <typename T>
absl::Status StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

TEST_CASE("an upload arrives whole, with its job") {
  Desk desk;
  const size_t size = GENERATE(0, 1, 999, 1000, 1001, 50000);
  const std::string bytes = Noise(size);
  const auto response = desk.Upload(bytes, true);
  REQUIRE_OK(response);
  CHECK(desk.frontend.BytesOf(response->image().id()) == bytes);
  CHECK(response->image().name() == "a.png");
  CHECK(response->job().id() == "job-1");
  CHECK(desk.frontend.calls("GetUpload") == 0);
  CHECK(desk.notices.empty());
  CHECK(desk.last_sent == size);
}

TEST_CASE("an upload goes on from the committed offset after a broken stream") {
  Desk desk;
  const std::string bytes = Noise(300000);
  const absl::Status fault = GENERATE(
      absl::UnavailableError("gone"), absl::DeadlineExceededError("no chunk"),
      absl::CancelledError("stopping"), absl::UnknownError("Stream removed"),
      absl::AbortedError("another call"),
      base::MakeError(absl::StatusCode::kDataLoss, "crc", {.reason = "CHECKSUM_MISMATCH"}),
      base::MakeError(absl::StatusCode::kOutOfRange, "offset", {.reason = "OFFSET_MISMATCH"}),
      base::MakeError(absl::StatusCode::kResourceExhausted, "busy",
                      {.reason = "TOO_MANY_CALLS", .retry_after = absl::Milliseconds(10)}));
  desk.frontend.Plan("UploadImage", {.after_bytes = 100000, .status = fault, .keep_bytes = 65536});
  desk.frontend.Plan("UploadImage", {.after_bytes = 200000, .status = fault, .keep_bytes = 131072});
  const auto response = desk.Upload(bytes);
  REQUIRE_OK(response);
  CHECK(desk.frontend.BytesOf(response->image().id()) == bytes);
  CHECK(desk.frontend.images().size() == 1);
  CHECK(desk.frontend.calls("UploadImage") == 3);
  CHECK(desk.Noticed("; resuming at 64.0 KiB of 293.0 KiB"));
  CHECK(desk.Noticed("; resuming at 128.0 KiB of 293.0 KiB"));
}

TEST_CASE("an upload survives a server that restarts") {
  Desk desk;
  const std::string bytes = Noise(300000);
  desk.frontend.Plan("UploadImage", desk.RestartAfter(100000));
  const auto response = desk.Upload(bytes);
  REQUIRE_OK(response);
  CHECK(desk.frontend.BytesOf(response->image().id()) == bytes);
  CHECK(desk.Noticed("connection lost; resuming at 97.7 KiB of 293.0 KiB"));
}

TEST_CASE("an upload whose answer was lost is not made twice") {
  Desk desk;
  desk.frontend.Plan("UploadImage",
                     {.status = absl::UnavailableError("gone"), .after_effect = true});
  const auto response = desk.Upload(Noise(5000), true);
  REQUIRE_OK(response);
  CHECK(response->image().id() == "image-1");
  CHECK(response->job().id() == "job-1");
  CHECK(desk.frontend.jobs().size() == 1);
}

TEST_CASE("an upload on which nothing moves is cancelled and made again") {
  Desk desk;
  desk.Connect([](ClientOptions& options) { options.stall_timeout = absl::Seconds(1); });
  desk.frontend.Plan("UploadImage", {.after_bytes = 3000, .hang = true});
  const std::string bytes = Noise(5000);
  const auto response = desk.Upload(bytes);
  REQUIRE_OK(response);
  CHECK(desk.frontend.BytesOf(response->image().id()) == bytes);
}

TEST_CASE("a refused upload is not tried again") {
  Desk desk;
  desk.frontend.Plan("UploadImage",
                     {.after_bytes = 2000,
                      .status = base::MakeError(absl::StatusCode::kInvalidArgument, "no picture",
                                                {.reason = "NOT_AN_IMAGE"})});
  const auto response = desk.Upload(Noise(500000));
  CHECK(Reason(response.status()) == "NOT_AN_IMAGE");
  CHECK(desk.frontend.calls("UploadImage") == 1);
  CHECK(desk.frontend.images().empty());
}

TEST_CASE("an upload that arrives damaged again and again ends") {
  Desk desk;
  for (int i = 0; i < 10; ++i) {
    desk.frontend.Plan("UploadImage", {.after_bytes = 3000,
                                       .status = base::MakeError(absl::StatusCode::kDataLoss, "crc",
                                                                 {.reason = "CHECKSUM_MISMATCH"}),
                                       .keep_bytes = 2000});
  }
  const auto response = desk.Upload(Noise(5000));
  CHECK(absl::IsDataLoss(response.status()));
  CHECK(Reason(response.status()) == "CHECKSUM_MISMATCH");
  CHECK(desk.frontend.calls("UploadImage") <= 5);
}

TEST_CASE("what the server registered has to be the file") {
  Desk desk;
  desk.frontend.twist_image = [](v1::Image& image) { image.set_sha256(std::string(32, 'x')); };
  CHECK(Reason(desk.Upload(Noise(5000)).status()) == "CHECKSUM_MISMATCH");
}

TEST_CASE("a file that changes during its upload is an error") {
  Desk desk;
  const std::string path = desk.folder.Path("a.png");
  const bool longer = GENERATE(true, false);
  desk.frontend.Plan("UploadImage",
                     {.after_bytes = 2000, .status = absl::UnavailableError("gone"), .then = [&] {
                        if (longer) {
                          std::ofstream(path, std::ios::app) << "more";
                        } else {
                          std::filesystem::resize_file(path, 3000);
                        }
                      }});
  CHECK(Reason(desk.Upload(Noise(50000)).status()) == "FILE_CHANGED");
  CHECK(desk.frontend.images().empty());
}

TEST_CASE("a cancelled upload ends with the token's status") {
  Desk desk;
  desk.frontend.Plan("UploadImage", {.after_bytes = 2000, .hang = true, .then = [&] {
                                       desk.source.Cancel(absl::CancelledError("enough"));
                                     }});
  CHECK(desk.Upload(Noise(5000)).status() == absl::CancelledError("enough"));
}

TEST_CASE("a server that is not there is given up") {
  Desk desk;
  desk.frontend.StopServer();
  desk.Connect([](ClientOptions& options) { options.give_up_after = absl::Milliseconds(300); });
  const absl::Status status = desk.Upload(Noise(5000)).status();
  CHECK(IsUnreachable(status));
  CHECK(std::string(status.message()).find(desk.frontend.address()) == 0);
  CHECK(IsUnreachable(desk.client->GetJob("x", desk.control()).status()));
  CHECK(IsUnreachable(desk.Watch("x").status()));
  CHECK(IsUnreachable(desk.Download("x").status()));
  CHECK(desk.Noticed("cannot be reached; trying again"));
}

TEST_CASE("a server that goes away in the middle is given up") {
  Desk desk;
  desk.Connect([](ClientOptions& options) { options.give_up_after = absl::Seconds(1); });
  desk.frontend.Plan("UploadImage", {.after_bytes = 2000, .hang = true, .then = [&] {
                                       desk.meanwhile.Start([&] { desk.frontend.StopServer(); });
                                     }});
  CHECK(IsUnreachable(desk.Upload(Noise(50000)).status()));
}

TEST_CASE("a job is followed to its end, and its result fetched") {
  Desk desk;
  desk.frontend.HoldJobs();
  const std::string bytes = Noise(20000);
  const auto uploaded = desk.Upload(bytes, true);
  REQUIRE_OK(uploaded);
  auto releasing = std::async(std::launch::async, [&] {
    desk.frontend.AwaitCalls("WatchJob", 1);
    desk.frontend.ReleaseJobs();
  });
  const auto watched = desk.Watch(uploaded->job().id());
  REQUIRE_OK(watched);
  CHECK(watched->job.state() == v1::JOB_STATE_SUCCEEDED);
  CHECK(watched->result->name() == "a_EQUALIZED.png");
  CHECK(desk.sink.bytes == Reversed(bytes));
  CHECK(desk.states.back() == v1::JOB_STATE_SUCCEEDED);
}

TEST_CASE("a result goes on where its stream broke") {
  Desk desk;
  const std::string bytes = Noise(20000);
  const auto uploaded = desk.Upload(bytes, true);
  REQUIRE_OK(uploaded);
  SECTION("connection lost") {
    for (const uint64_t after : {4000u, 7000u}) {
      desk.frontend.Plan("WatchJob",
                         {.after_bytes = after, .status = absl::UnavailableError("gone")});
    }
  }
  SECTION("an end that is none") {
    desk.frontend.Plan("WatchJob", {.after_bytes = 4000, .status = absl::OkStatus()});
    desk.frontend.Plan("WatchJob", {.status = absl::OkStatus()});
  }
  SECTION("damaged bytes") {
    desk.frontend.Plan("WatchJob", {.after_bytes = 4000, .corrupt_chunk = true});
    desk.frontend.Plan("WatchJob", {.after_bytes = 4000, .wrong_offset = true});
  }
  SECTION("nothing moves") {
    desk.Connect([](ClientOptions& options) { options.ping_interval = absl::Milliseconds(300); });
    desk.frontend.Plan("WatchJob", {.after_bytes = 4000, .hang = true});
    desk.frontend.Plan("WatchJob", {.hang = true});
  }
  SECTION("a restart") {
    desk.frontend.Plan("WatchJob", desk.RestartAfter(4000));
    desk.frontend.Plan("WatchJob", {.status = absl::UnavailableError("draining")});
  }
  const auto watched = desk.Watch(uploaded->job().id());
  REQUIRE_OK(watched);
  CHECK(desk.sink.bytes == Reversed(bytes));
  CHECK(desk.opened == 1);
  CHECK(desk.frontend.calls("WatchJob") == 3);
  CHECK(desk.Noticed("; resuming at 3.9 KiB of 19.5 KiB"));
}

TEST_CASE("pings keep a watch alive for as long as it takes") {
  Desk desk;
  desk.frontend.HoldJobs();
  const auto uploaded = desk.Upload(Noise(2000), true);
  REQUIRE_OK(uploaded);
  desk.Connect([](ClientOptions& options) {
    options.ping_interval = absl::Milliseconds(700);
    options.give_up_after = absl::Milliseconds(700);
  });
  std::promise<void> done;
  auto releasing = std::async(std::launch::async, [&] {
    // Longer than three intervals without anything but pings.
    done.get_future().wait_for(std::chrono::milliseconds(2500));
    desk.frontend.ReleaseJobs();
  });
  REQUIRE_OK(desk.Watch(uploaded->job().id()));
  done.set_value();
  CHECK(desk.frontend.calls("WatchJob") == 1);
}

TEST_CASE("a job that failed or was cancelled is an answer") {
  Desk desk;
  v1::JobError error;
  error.set_code(static_cast<int>(absl::StatusCode::kDataLoss));
  error.set_reason("IMAGE_CORRUPT");
  error.set_message("row 5 is broken");
  (*error.mutable_metadata())["actual"] = "5";
  desk.frontend.FailJobs(error);
  const auto uploaded = desk.Upload(Noise(2000), true);
  const auto watched = desk.Watch(uploaded->job().id());
  REQUIRE_OK(watched);
  const absl::Status failure = JobFailure(watched->job);
  CHECK(failure.code() == absl::StatusCode::kDataLoss);
  CHECK(failure.message() == "row 5 is broken");
  CHECK(Reason(failure) == "IMAGE_CORRUPT");
  CHECK(base::GetErrorDetail(failure)->metadata.at("actual") == "5");
  CHECK(desk.opened == 0);

  v1::Job job;
  job.set_state(v1::JOB_STATE_CANCELLED);
  CHECK(Reason(JobFailure(job)) == "JOB_CANCELLED");
  job.set_state(v1::JOB_STATE_SUCCEEDED);
  CHECK(JobFailure(job).ok());
}

TEST_CASE("an unknown job, and one without a result") {
  Desk desk;
  CHECK(absl::IsNotFound(desk.Watch("job-9").status()));
  CHECK(desk.frontend.calls("WatchJob") == 1);
  const auto uploaded = desk.Upload(Noise(2000), true);
  desk.frontend.twist_job = [](v1::Job& job) { job.clear_result_image_id(); };
  desk.frontend.twist_image = [](v1::Image&) {};
  desk.frontend.Plan("WatchJob", {.status = absl::OkStatus()});
  CHECK(Reason(desk.Watch(uploaded->job().id()).status()) == "NO_RESULT");
}

TEST_CASE("a download goes on where its stream broke, and is checked") {
  Desk desk;
  const std::string bytes = Noise(20000);
  const std::string id = desk.frontend.AddImage("b.png", bytes).id();
  SECTION("whole") {
    desk.frontend.Plan("DownloadImage",
                       {.after_bytes = 4000, .status = absl::UnavailableError("gone")});
    desk.frontend.Plan("DownloadImage", {.after_bytes = 3000, .corrupt_chunk = true});
    desk.frontend.Plan("DownloadImage", desk.RestartAfter(2000));
    REQUIRE_OK(desk.Download(id));
    CHECK(desk.sink.bytes == bytes);
  }
  SECTION("a range") {
    desk.frontend.Plan("DownloadImage",
                       {.after_bytes = 2000, .status = absl::UnavailableError("gone")});
    REQUIRE_OK(desk.Download(id, {.offset = 100, .limit = 5000}));
    CHECK(desk.sink.bytes == bytes.substr(100, 5000));
  }
  SECTION("a range over the end") {
    REQUIRE_OK(desk.Download(id, {.offset = 19999, .limit = 5000}));
    CHECK(desk.sink.bytes == bytes.substr(19999));
  }
  SECTION("beyond the end") {
    CHECK(absl::IsOutOfRange(desk.Download(id, {.offset = 20001}).status()));
  }
  SECTION("damaged again and again") {
    for (int i = 0; i < 10; ++i) {
      desk.frontend.Plan("DownloadImage", {.corrupt_chunk = true});
    }
    CHECK(absl::IsDataLoss(desk.Download(id).status()));
    CHECK(desk.frontend.calls("DownloadImage") == 3);
  }
  SECTION("not the image") {
    desk.frontend.twist_image = [](v1::Image& image) { image.set_sha256(std::string(32, 'x')); };
    CHECK(Reason(desk.Download(id).status()) == "CHECKSUM_MISMATCH");
  }
  SECTION("more bytes than the image has") {
    desk.frontend.twist_image = [](v1::Image& image) { image.set_size_bytes(10); };
    CHECK(absl::IsDataLoss(desk.Download(id).status()));
  }
  SECTION("another image after a broken stream") {
    desk.frontend.Plan("DownloadImage",
                       {.after_bytes = 4000, .status = absl::UnavailableError("gone"), .then = [&] {
                          desk.frontend.twist_image = [](v1::Image& image) {
                            image.set_size_bytes(30000);
                          };
                        }});
    CHECK(Reason(desk.Download(id).status()) == "IMAGE_CHANGED");
  }
  SECTION("a sink that fails") {
    desk.sink.status = absl::ResourceExhaustedError("disk full");
    CHECK(desk.Download(id).status() == absl::ResourceExhaustedError("disk full"));
    CHECK(desk.frontend.calls("DownloadImage") == 1);
  }
  SECTION("an unknown image") { CHECK(absl::IsNotFound(desk.Download("nothing").status())); }
}

TEST_CASE("lists come page by page") {
  Desk desk;
  for (int i = 0; i < 250; ++i) desk.frontend.AddImage("n" + std::to_string(i), "x");
  const auto names = [&](uint64_t limit) {
    std::vector<std::string> found;
    REQUIRE_OK(desk.client->ListImages(
        {}, limit,
        [&](const v1::Image& image) {
          found.push_back(image.name());
          return absl::OkStatus();
        },
        desk.control()));
    return found;
  };
  CHECK(names(0).size() == 250);
  CHECK(desk.frontend.calls("ListImages") == 3);
  CHECK(names(120).back() == "n130");
  desk.frontend.page_size = 7;
  CHECK(names(0).size() == 250);
  CHECK(names(8).size() == 8);

  desk.frontend.endless_pages = true;
  const absl::Status circles = desk.client->ListImages(
      {}, 0, [](const v1::Image&) { return absl::OkStatus(); }, desk.control());
  CHECK(Reason(circles) == "BAD_ANSWER");
  const absl::Status stopped = desk.client->ListImages(
      {}, 0, [](const v1::Image&) { return absl::AbortedError("stop"); }, desk.control());
  CHECK(stopped == absl::AbortedError("stop"));
}

TEST_CASE("pages that are too large for a message come in smaller ones") {
  Desk desk;
  for (int i = 0; i < 40; ++i) desk.frontend.AddImage("n" + std::to_string(i), "x");
  desk.frontend.twist_image = [](v1::Image& image) {
    image.set_location(std::string(100000, 'l'));
  };
  size_t found = 0;
  REQUIRE_OK(desk.client->ListImages(
      {}, 0,
      [&](const v1::Image&) {
        ++found;
        return absl::OkStatus();
      },
      desk.control()));
  CHECK(found == 40);
}

TEST_CASE("calls whose answer is lost have their effect once") {
  Desk desk;
  const Fault lost = {.status = absl::UnavailableError("gone"), .after_effect = true};
  const std::string id = desk.frontend.AddImage("b.png", "bytes").id();
  desk.frontend.Plan("CreateJob", lost);
  v1::Operation operation;
  operation.mutable_equalize();
  REQUIRE_OK(desk.client->CreateJob(id, operation, false, desk.control()));
  CHECK(desk.frontend.jobs().size() == 1);

  desk.frontend.Plan("DeleteImage", lost);
  REQUIRE_OK(desk.client->DeleteImage(id, desk.control()));
  CHECK(absl::IsNotFound(desk.client->DeleteImage(id, desk.control())));

  REQUIRE_OK(desk.client->RegisterCoordinator("one", "h:1", desk.control()));
  desk.frontend.Plan("RemoveCoordinator", lost);
  REQUIRE_OK(desk.client->RemoveCoordinator("one", desk.control()));
  CHECK(absl::IsNotFound(desk.client->RemoveCoordinator("one", desk.control())));
}

TEST_CASE("a busy server is asked again, for a while") {
  Desk desk;
  const Fault busy = {
      .status = base::MakeError(absl::StatusCode::kResourceExhausted, "queue full",
                                {.reason = "QUEUE_FULL", .retry_after = absl::Milliseconds(20)})};
  const std::string id = desk.frontend.AddImage("b.png", "bytes").id();
  for (int i = 0; i < 3; ++i) desk.frontend.Plan("GetImage", busy);
  REQUIRE_OK(desk.client->GetImage(id, desk.control()));
  CHECK(desk.Noticed("the server is busy"));
  desk.Connect(
      [](ClientOptions& options) { options.busy_give_up_after = absl::Milliseconds(100); });
  for (int i = 0; i < 100; ++i) desk.frontend.Plan("GetImage", busy);
  CHECK(Reason(desk.client->GetImage(id, desk.control()).status()) == "QUEUE_FULL");
}

TEST_CASE("many calls at once share a client") {
  Desk desk;
  const std::string id = desk.frontend.AddImage("b.png", Noise(30000)).id();
  std::vector<std::future<bool>> calls;
  for (int i = 0; i < 8; ++i) {
    calls.push_back(std::async(std::launch::async, [&] {
      StringSink sink;
      return DownloadImage(
                 *desk.client, id, {},
                 [&](const v1::Image&) -> absl::StatusOr<base::ByteSink*> { return &sink; }, {})
                 .ok() &&
             sink.bytes == Noise(30000);
    }));
  }
  for (auto& call : calls) CHECK(call.get());
}

TEST_CASE("addresses") {
  for (const char* good : {"localhost:1", "127.0.0.1:65535", "[::1]:80", "unix:/tmp/x",
                           "dns:///name:7070", "dns:name:7070"}) {
    CAPTURE(good);
    CHECK(CheckAddress(good).ok());
  }
  for (const char* bad : {"", "host", "host:", ":80", "host:0", "host:65536", "host:-1", "host:8x",
                          "::1:80", "http://host:80/x", "unix:"}) {
    CAPTURE(bad);
    CHECK(Reason(CheckAddress(bad)) == "INVALID_ADDRESS");
  }
  ClientOptions options;
  options.server = "nowhere";
  CHECK(Reason(Client::Create(options).status()) == "INVALID_ADDRESS");
}

TEST_CASE("names of images") {
  for (const std::string& good : std::vector<std::string>{
           "a", "photo 1.jpg", "Größe.png", "日本.png", ".hidden", std::string(255, 'x')}) {
    CAPTURE(good);
    CHECK(CheckImageName(good).ok());
  }
  for (const std::string& bad :
       {std::string(), std::string("."), std::string(".."), std::string("a/b"), std::string("a\\b"),
        std::string("a\nb"), std::string("a\x7f"), std::string("\xC2\x9B"), std::string("a\xFF"),
        std::string("\xED\xA0\x80"), std::string("\xC0\xAF"), std::string(256, 'x'),
        std::string("a\0b", 3)}) {
    CAPTURE(bad);
    CHECK(Reason(CheckImageName(bad)) == "INVALID_NAME");
  }
}

TEST_CASE("files that cannot be uploaded") {
  ScratchFolder folder;
  CHECK(Reason(LocalFile::Open(folder.Path("none")).status()) == "FILE_NOT_FOUND");
  CHECK(Reason(LocalFile::Open(folder.Path("")).status()) == "NOT_A_FILE");
  CHECK(Reason(LocalFile::Open("/dev/null").status()) == "NOT_A_FILE");
}

TEST_CASE("amounts of bytes") {
  CHECK(ByteText(0) == "0 B");
  CHECK(ByteText(1023) == "1023 B");
  CHECK(ByteText(1024) == "1.0 KiB");
  CHECK(ByteText(1536) == "1.5 KiB");
  CHECK(ByteText((1 << 20) - 1) == "1.0 MiB");
  CHECK(ByteText(UINT64_MAX) == "16.0 EiB");
}

TEST_CASE("random ids") {
  const std::string id = RandomId();
  CHECK(id.size() == 36);
  CHECK(id[14] == '4');
  CHECK(std::string("89ab").find(id[19]) != std::string::npos);
  CHECK(id.find_first_not_of("0123456789abcdef-") == std::string::npos);
  CHECK(RandomId() != id);
}

}  // namespace
}  // namespace histeq::client
