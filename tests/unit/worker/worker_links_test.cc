// How a worker stays attached to its coordinators.

#include <atomic>
#include <condition_variable>
#include <future>
#include <map>
#include <mutex>
#include <thread>

#include "base/clock.h"
#include "base/error.h"
#include "grpc_coordinator_links.h"
#include "histeq/v1/coordinator.grpc.pb.h"
#include "rpc/status.h"
#include "test_worker.h"

namespace histeq::worker {
namespace {

// A coordinator that writes down what workers say.
class FakeCoordinator final : private v1::Coordinator::Service {
 public:
  explicit FakeCoordinator(std::string name) : name_(std::move(name)) { Start(); }
  ~FakeCoordinator() override { Stop(); }

  void Start() {
    rpc::ServerOptions options;
    options.port = port_;
    options.services = {this};
    auto started = rpc::Server::Start(options);
    INFO(started.status());
    REQUIRE(started.ok());
    server_ = *std::move(started);
    port_ = server_->port();
  }
  void Stop() {
    if (server_ != nullptr) server_->Shutdown(absl::ZeroDuration());
    server_.reset();
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  void Refuse(grpc::Status status) {
    std::lock_guard lock(mutex_);
    refusal_ = std::move(status);
  }
  // From the next stream on.
  void Rename(std::string name) {
    std::lock_guard lock(mutex_);
    name_ = std::move(name);
  }
  template <typename Done>
  bool WaitFor(Done done) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), [&] { return done(*this); });
  }

  // With the lock held, for WaitFor.
  int streams = 0;
  int open = 0;
  int reports = 0;
  v1::WorkerInfo last;

 private:
  grpc::Status Heartbeat(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<v1::CoordinatorHeartbeatResponse, v1::CoordinatorHeartbeatRequest>*
          stream) override {
    v1::CoordinatorHeartbeatRequest request;
    std::string name;
    {
      std::lock_guard lock(mutex_);
      name = name_;
      ++streams;
      ++open;
      changed_.notify_all();
      if (!refusal_.ok()) {
        --open;
        return refusal_;
      }
    }
    while (stream->Read(&request)) {
      {
        std::lock_guard lock(mutex_);
        last = request.worker();
        ++reports;
        changed_.notify_all();
      }
      v1::CoordinatorHeartbeatResponse response;
      response.set_coordinator(name);
      response.mutable_interval()->set_seconds(60);
      if (!stream->Write(response)) break;
    }
    std::lock_guard lock(mutex_);
    --open;
    changed_.notify_all();
    return grpc::Status::OK;
  }

  grpc::Status GetStatus(grpc::ServerContext*, const v1::CoordinatorGetStatusRequest*,
                         v1::CoordinatorGetStatusResponse* response) override {
    std::lock_guard lock(mutex_);
    response->mutable_coordinator()->set_name(name_);
    return grpc::Status::OK;
  }

  int port_ = 0;
  std::mutex mutex_;
  std::string name_;
  std::condition_variable changed_;
  grpc::Status refusal_;
  std::unique_ptr<rpc::Server> server_;
};

// A resolver that answers what a test wants; look-ups may outlive the test.
struct Names {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::string> addresses;
  bool resolves = true;
  // Look-ups do not return until this is false again.
  bool hang = false;
  int hanging = 0;
};

struct Fixture {
  base::Watchdog watchdog{base::SystemClock()};
  std::atomic<uint32_t> free_slots = 2;
  const std::shared_ptr<Names> names = std::make_shared<Names>();
  std::unique_ptr<CoordinatorLinks> links;

  void Start(const std::vector<std::string>& entries) {
    std::vector<CoordinatorEntry> parsed;
    for (const std::string& entry : entries) parsed.push_back(*ParseCoordinator(entry));
    links = std::make_unique<CoordinatorLinks>(
        parsed, watchdog,
        [this] {
          v1::WorkerInfo info;
          info.set_name("w");
          info.set_slots(2);
          info.set_free_slots(free_slots);
          return info;
        },
        CoordinatorLinks::Options{.resolve_interval = absl::Milliseconds(20), .link = {}},
        [names = names](const CoordinatorEntry&) -> absl::StatusOr<std::vector<std::string>> {
          std::unique_lock lock(names->mutex);
          ++names->hanging;
          names->changed.notify_all();
          names->changed.wait(lock, [&] { return !names->hang; });
          --names->hanging;
          if (!names->resolves) return absl::UnavailableError("no such name");
          return names->addresses;
        });
  }
  void Resolve(std::vector<std::string> to) {
    std::lock_guard lock(names->mutex);
    names->addresses = std::move(to);
  }
  void SetResolves(bool resolves) {
    std::lock_guard lock(names->mutex);
    names->resolves = resolves;
  }
};

const auto kAttached = [](FakeCoordinator& c) { return c.open == 1 && c.reports > 0; };
const auto kLeft = [](FakeCoordinator& c) { return c.open == 0; };

TEST_CASE("a worker tells all its coordinators, at once what changes, and leaves with a word") {
  FakeCoordinator one("one"), two("two");
  Fixture f;
  f.Start({one.address(), two.address()});
  CHECK(one.WaitFor(kAttached));
  CHECK(two.WaitFor(kAttached));
  f.free_slots = 1;
  f.links->Wake(/*urgent=*/false);
  // The interval is a minute, the patience too: without the wake this fails.
  CHECK(one.WaitFor([](FakeCoordinator& c) { return c.last.free_slots() == 1; }));
  CHECK(two.WaitFor([](FakeCoordinator& c) { return c.last.free_slots() == 1; }));
  f.links->Stop();
  CHECK(one.WaitFor(kLeft));
  CHECK(two.WaitFor(kLeft));
}

TEST_CASE("a coordinator that restarts, or refuses for a while, is found again") {
  FakeCoordinator one("one");
  Fixture f;
  SECTION("restarts") {
    f.Start({one.address()});
    REQUIRE(one.WaitFor(kAttached));
    one.Stop();
    one.Start();
  }
  SECTION("refuses") {
    one.Refuse(rpc::ToGrpc(base::MakeError(absl::StatusCode::kAlreadyExists, "taken",
                                           {.reason = "WORKER_NAME_TAKEN"})));
    f.Start({one.address()});
    REQUIRE(one.WaitFor([](FakeCoordinator& c) { return c.streams >= 2; }));
    one.Refuse(grpc::Status::OK);
  }
  CHECK(one.WaitFor([](FakeCoordinator& c) { return c.streams >= 2 && c.open == 1; }));
  CHECK(one.WaitFor(kAttached));
}

TEST_CASE("a name stands for as many coordinators as it has addresses, now and later") {
  FakeCoordinator one("one"), two("two");
  Fixture f;
  f.Resolve({one.address()});
  f.Start({"coordinators:7000"});
  REQUIRE(one.WaitFor(kAttached));
  f.Resolve({one.address(), two.address()});
  CHECK(two.WaitFor(kAttached));
  f.SetResolves(false);
  // A failed look-up takes nothing away; an address that left keeps a stream that works.
  f.Resolve({two.address()});
  f.SetResolves(true);
  f.free_slots = 1;
  f.links->Wake(/*urgent=*/false);
  CHECK(one.WaitFor([](FakeCoordinator& c) { return c.last.free_slots() == 1 && c.open == 1; }));
  one.Stop();
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (f.links->Addresses().size() > 1 && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  CHECK(f.links->Addresses() == std::vector<std::string>{two.address()});
}

TEST_CASE("two addresses of one coordinator make one attachment that stays") {
  FakeCoordinator one("same"), other("same");
  Fixture f;
  f.Start({one.address(), other.address()});
  const auto attached = [&] { return f.links->connected(); };
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  // Both have been tried, and one of them has been left alone since.
  const auto tried = [](FakeCoordinator& c) { return c.reports > 0; };
  REQUIRE(one.WaitFor(tried));
  REQUIRE(other.WaitFor(tried));
  const auto open_streams = [](FakeCoordinator& coordinator) {
    int open = 0;
    coordinator.WaitFor([&open](FakeCoordinator& c) {
      open = c.open;
      return true;
    });
    return open;
  };
  while ((attached() != 1 || open_streams(one) + open_streams(other) != 1) &&
         std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  CHECK(attached() == 1);
  CHECK(f.links->Addresses().size() == 2);
  // When it goes, the other takes its place.
  const bool first = open_streams(one) == 1;
  FakeCoordinator& chosen = first ? one : other;
  FakeCoordinator& idle = first ? other : one;
  REQUIRE(idle.WaitFor(kLeft));
  chosen.Stop();
  CHECK(idle.WaitFor([](FakeCoordinator& c) { return c.open == 1; }));
}

TEST_CASE("coordinators that come back under each other's addresses are both found again") {
  FakeCoordinator one("a"), two("b");
  Fixture f;
  f.Start({one.address(), two.address()});
  REQUIRE(one.WaitFor(kAttached));
  REQUIRE(two.WaitFor(kAttached));
  one.Stop();
  two.Stop();
  two.Rename("a");
  two.Start();
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (f.links->connected() != 1 && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  REQUIRE(f.links->connected() == 1);
  // The first address led to a, which is attached under the second now.
  one.Rename("b");
  one.Start();
  CHECK(one.WaitFor([](FakeCoordinator& c) { return c.streams >= 2 && c.open == 1; }));
}

TEST_CASE("the end of a worker does not wait for a name that is looked up") {
  Fixture f;
  f.names->hang = true;
  f.Start({"coordinators:7000"});
  {
    std::unique_lock lock(f.names->mutex);
    REQUIRE(f.names->changed.wait_for(lock, std::chrono::seconds(60),
                                      [&] { return f.names->hanging > 0; }));
  }
  auto stopped = std::async(std::launch::async, [&] { f.links->Stop(); });
  CHECK(stopped.wait_for(std::chrono::seconds(60)) == std::future_status::ready);
  std::lock_guard lock(f.names->mutex);
  CHECK(f.names->hanging > 0);
  f.names->hang = false;
  f.names->changed.notify_all();
}

}  // namespace
}  // namespace histeq::worker
