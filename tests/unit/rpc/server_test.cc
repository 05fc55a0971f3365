#include "rpc/server.h"

#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/error.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/impl/codegen/client_unary_call.h"
#include "grpcpp/impl/codegen/sync_stream.h"
#include "grpcpp/support/byte_buffer.h"
#include "histeq/v1/frontend.grpc.pb.h"
#include "rpc/channel.h"
#include "rpc/chunk.h"
#include "rpc/status.h"

namespace histeq::rpc {
namespace {

constexpr std::chrono::seconds kPatience(60);
constexpr absl::Duration kLongDrain = absl::Seconds(60);

// GetJob answers at once, GetImage fails with what the test wants, WatchJob parks until it is
// cancelled or told to end.
class ParkingService final : public v1::Frontend::Service {
 public:
  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest* request,
                      v1::GetJobResponse* response) override {
    response->mutable_job()->set_id(request->job_id());
    return grpc::Status::OK;
  }

  grpc::Status GetImage(grpc::ServerContext*, const v1::GetImageRequest*,
                        v1::GetImageResponse*) override {
    return ToGrpc(failure);
  }

  grpc::Status WatchJob(grpc::ServerContext* context, const v1::WatchJobRequest*,
                        grpc::ServerWriter<v1::WatchJobResponse>* writer) override {
    v1::WatchJobResponse response;
    response.mutable_job()->set_id("parked");
    writer->Write(response);
    std::unique_lock lock(mutex_);
    ++parked_;
    changed_.notify_all();
    while (!let_go_ && !context->IsCancelled()) {
      changed_.wait_for(lock, std::chrono::milliseconds(20));
    }
    if (context->IsCancelled()) ++cancelled_;
    --parked_;
    changed_.notify_all();
    return grpc::Status::OK;
  }

  bool WaitForParked(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return parked_ == count; });
  }
  void LetGo() {
    std::lock_guard lock(mutex_);
    let_go_ = true;
    changed_.notify_all();
  }
  int parked() const {
    std::lock_guard lock(mutex_);
    return parked_;
  }
  int cancelled() const {
    std::lock_guard lock(mutex_);
    return cancelled_;
  }

  absl::Status failure;

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int parked_ = 0;
  int cancelled_ = 0;
  bool let_go_ = false;
};

std::unique_ptr<Server> Started(ServerOptions options) {
  auto server = Server::Start(options);
  INFO(server.status().ToString());
  REQUIRE(server.ok());
  return *std::move(server);
}

std::unique_ptr<Server> Started(grpc::Service& service) {
  ServerOptions options;
  options.services = {&service};
  return Started(options);
}

void SetPatience(grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  context.set_wait_for_ready(true);
}

grpc::Status Call(v1::Frontend::Stub& stub, const std::string& id = "j") {
  grpc::ClientContext context;
  SetPatience(context);
  v1::GetJobRequest request;
  request.set_job_id(id);
  v1::GetJobResponse response;
  const grpc::Status status = stub.GetJob(&context, request, &response);
  if (status.ok()) CHECK(response.job().id() == id);
  return status;
}

// Calls of services whose generated headers gRPC does not install.
grpc::ByteBuffer Bytes(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

std::string TextOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  buffer.Dump(&slices);
  std::string text;
  for (const grpc::Slice& slice : slices) {
    text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return text;
}

// A length-delimited field of a message.
std::string StringField(int number, const std::string& value) {
  return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(value.size())} + value;
}

// The answer of grpc.health.v1: 1 SERVING, 2 NOT_SERVING; nothing when the call failed.
std::optional<int> HealthOf(grpc::Channel& channel, const std::string& service) {
  grpc::ClientContext context;
  SetPatience(context);
  grpc::ByteBuffer response;
  const grpc::internal::RpcMethod method("/grpc.health.v1.Health/Check",
                                         grpc::internal::RpcMethod::NORMAL_RPC);
  const grpc::Status status = grpc::internal::BlockingUnaryCall<grpc::ByteBuffer, grpc::ByteBuffer>(
      &channel, method, &context, Bytes(service.empty() ? std::string() : StringField(1, service)),
      &response);
  if (!status.ok()) {
    CHECK(status.error_code() == grpc::StatusCode::NOT_FOUND);
    return std::nullopt;
  }
  const std::string bytes = TextOf(response);
  REQUIRE(bytes.size() == 2);
  return bytes[1];
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

class TempFolder {
 public:
  TempFolder() {
    char name[] = "/tmp/histeq-server-test-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    path_ = name;
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + '/' + name; }
  size_t files() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(path_),
                                             std::filesystem::directory_iterator()));
  }

 private:
  std::string path_;
};

void CheckListenFailed(const absl::Status& status) {
  CHECK(status.code() == absl::StatusCode::kUnavailable);
  REQUIRE(base::GetErrorDetail(status).has_value());
  CHECK(base::GetErrorDetail(status)->reason == "LISTEN_FAILED");
}

TEST_CASE("A server on a free port writes its port and answers") {
  ParkingService service;
  const TempFolder folder;
  ServerOptions options;
  options.services = {&service};
  options.port_file = folder / "port";
  std::ofstream(options.port_file) << "an old one, and longer";
  const auto server = Started(options);
  CHECK(server->port() > 0);
  CHECK(server->local_address() == "127.0.0.1:" + std::to_string(server->port()));
  CHECK(ReadFile(options.port_file) == std::to_string(server->port()) + '\n');
  CHECK(folder.files() == 1);
  const auto stub = v1::Frontend::NewStub(MakeChannel(server->local_address()));
  CHECK(Call(*stub).ok());
}

TEST_CASE("All addresses are called by the loopback one") {
  ParkingService service;
  ServerOptions options;
  options.services = {&service};
  options.listen = "0.0.0.0";
  const auto server = Started(options);
  CHECK(server->local_address() == "127.0.0.1:" + std::to_string(server->port()));
  CHECK(Call(*v1::Frontend::NewStub(MakeChannel(server->local_address()))).ok());
}

TEST_CASE("An address in use, or of no machine, is refused and says why") {
  ParkingService service;
  const auto first = Started(service);
  ServerOptions options;
  options.port = first->port();
  const absl::Status in_use = Server::Start(options).status();
  CheckListenFailed(in_use);
  CHECK_THAT(std::string(in_use.message()), Catch::Contains("in use"));
  options.port = 0;
  for (const char* const wrong : {"192.0.2.1", "not-an-address", "", "1.2.3.4.5", "[::1"}) {
    options.listen = wrong;
    CheckListenFailed(Server::Start(options).status());
  }
}

TEST_CASE("A port file that cannot be written ends the start") {
  const TempFolder folder;
  ServerOptions options;
  options.port_file = folder / "no/such/folder";
  const absl::Status status = Server::Start(options).status();
  CHECK(base::GetErrorDetail(status)->reason == "PORT_FILE_FAILED");
  CHECK(folder.files() == 0);
}

TEST_CASE("Calls beyond the threads are refused, those that have one go on") {
  ParkingService service;
  ServerOptions options;
  options.services = {&service};
  options.max_threads = 8;
  const auto server = Started(options);
  const auto stub = v1::Frontend::NewStub(MakeChannel(server->local_address()));
  struct Parked {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<v1::WatchJobResponse>> reader;
  };
  std::vector<std::unique_ptr<Parked>> calls;
  v1::WatchJobResponse response;
  bool refused = false;
  while (!refused && calls.size() < 20) {
    auto call = std::make_unique<Parked>();
    SetPatience(call->context);
    call->reader = stub->WatchJob(&call->context, {});
    if (call->reader->Read(&response)) {
      calls.push_back(std::move(call));
    } else {
      refused = true;
      CHECK(call->reader->Finish().error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
    }
  }
  CHECK(refused);
  CHECK(calls.size() >= 4);
  service.LetGo();
  for (const auto& call : calls) {
    while (call->reader->Read(&response)) {
    }
    CHECK(call->reader->Finish().ok());
  }
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!Call(*stub).ok() && std::chrono::steady_clock::now() < end) {
  }
  CHECK(Call(*stub).ok());
}

TEST_CASE("The port is free again after the end") {
  ParkingService service;
  ServerOptions options;
  options.services = {&service};
  options.port = Started(service)->port();
  for (int i = 0; i < 3; ++i) {
    const auto server = Started(options);
    CHECK(Call(*v1::Frontend::NewStub(MakeChannel(server->local_address()))).ok());
  }
}

TEST_CASE("A channel finds a server that came back, and keepalive is no offence") {
  ParkingService service;
  auto server = Started(service);
  ServerOptions options;
  options.services = {&service};
  options.port = server->port();
  const auto stub = v1::Frontend::NewStub(MakeChannel(server->local_address()));
  CHECK(Call(*stub).ok());
  server.reset();
  server = Started(options);
  CHECK(Call(*stub).ok());
}

TEST_CASE("A Unix socket serves, is not stolen, and is taken over when nobody listens") {
  ParkingService service;
  const TempFolder folder;
  ServerOptions options;
  options.services = {&service};
  options.listen = "unix:" + (folder / "socket");
  {
    const auto server = Started(options);
    CHECK(server->port() == 0);
    CHECK(server->local_address() == options.listen);
    const auto stub = v1::Frontend::NewStub(MakeChannel(server->local_address()));
    CHECK(Call(*stub).ok());
    CheckListenFailed(Server::Start(options).status());
    CHECK(Call(*stub).ok());
  }
  CHECK(folder.files() == 0);
  // As a server that was killed leaves it.
  {
    const int stale = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    (folder / "socket").copy(address.sun_path, sizeof(address.sun_path) - 1);
    REQUIRE(bind(stale, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    close(stale);
  }
  {
    const auto server = Started(options);
    CHECK(Call(*v1::Frontend::NewStub(MakeChannel(server->local_address()))).ok());
  }
  // A file of somebody else stays.
  std::ofstream(folder / "socket") << "precious";
  CheckListenFailed(Server::Start(options).status());
  CHECK(ReadFile(folder / "socket") == "precious");
  options.listen = "unix:" + (folder / std::string(200, 'x'));
  CheckListenFailed(Server::Start(options).status());
  options.listen = "unix:";
  CheckListenFailed(Server::Start(options).status());
}

TEST_CASE("Health says SERVING and NOT_SERVING for all and for each service") {
  ParkingService service;
  const auto server = Started(service);
  const auto channel = MakeChannel(server->local_address());
  for (const bool serving : {true, false, true}) {
    server->SetServing(serving);
    for (const char* const name : {"", "histeq.v1.Frontend"}) {
      CHECK(HealthOf(*channel, name) == (serving ? 1 : 2));
    }
    // Calls work meanwhile.
    CHECK(Call(*v1::Frontend::NewStub(channel)).ok());
  }
  CHECK(HealthOf(*channel, "histeq.v1.Worker") == std::nullopt);
}

TEST_CASE("Reflection lists the services as grpcurl asks for them") {
  ParkingService service;
  const auto server = Started(service);
  const auto channel = MakeChannel(server->local_address());
  grpc::ClientContext context;
  SetPatience(context);
  const grpc::internal::RpcMethod method(
      "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
      grpc::internal::RpcMethod::BIDI_STREAMING);
  const std::unique_ptr<grpc::ClientReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>> stream(
      grpc::internal::ClientReaderWriterFactory<grpc::ByteBuffer, grpc::ByteBuffer>::Create(
          channel.get(), method, &context));
  grpc::ByteBuffer response;
  // list_services.
  REQUIRE(stream->Write(Bytes(StringField(7, "*"))));
  REQUIRE(stream->Read(&response));
  CHECK_THAT(TextOf(response), Catch::Contains("histeq.v1.Frontend"));
  CHECK_THAT(TextOf(response), Catch::Contains("grpc.health.v1.Health"));
  // file_containing_symbol.
  REQUIRE(stream->Write(Bytes(StringField(4, "histeq.v1.Frontend"))));
  REQUIRE(stream->Read(&response));
  CHECK_THAT(TextOf(response), Catch::Contains("histeq/v1/frontend.proto"));
  CHECK_THAT(TextOf(response), Catch::Contains("UploadImage"));
  stream->WritesDone();
  CHECK(stream->Finish().ok());
}

// A parked stream from a client's side.
struct Watching {
  explicit Watching(v1::Frontend::Stub& stub) {
    SetPatience(context);
    reader = stub.WatchJob(&context, v1::WatchJobRequest());
  }
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReader<v1::WatchJobResponse>> reader;
};

TEST_CASE("Shutdown cancels what still runs at the deadline, and waits for its handlers") {
  ParkingService service;
  const auto server = Started(service);
  const auto stub = v1::Frontend::NewStub(MakeChannel(server->local_address()));
  std::vector<std::unique_ptr<Watching>> watching;
  for (int i = 0; i < 5; ++i) watching.push_back(std::make_unique<Watching>(*stub));
  REQUIRE(service.WaitForParked(5));
  server->Shutdown(absl::Milliseconds(200));
  CHECK(service.parked() == 0);
  CHECK(service.cancelled() == 5);
  for (const auto& one : watching) {
    v1::WatchJobResponse response;
    CHECK(one->reader->Read(&response));
    CHECK(!one->reader->Read(&response));
    const auto code = one->reader->Finish().error_code();
    CHECK((code == grpc::StatusCode::UNAVAILABLE || code == grpc::StatusCode::CANCELLED));
  }
  // A second time is harmless.
  server->Shutdown(absl::InfiniteDuration());
}

TEST_CASE("Shutdown lets what runs come to its end, and takes nothing new") {
  ParkingService service;
  const auto server = Started(service);
  const auto stub = v1::Frontend::NewStub(MakeChannel(server->local_address()));
  Watching watching(*stub);
  REQUIRE(service.WaitForParked(1));
  std::thread shutdown([&] { server->Shutdown(kLongDrain); });
  // Until the drain has begun calls are still answered.
  grpc::Status status;
  const auto begin = std::chrono::steady_clock::now();
  do {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    v1::GetJobResponse response;
    status = stub->GetJob(&context, v1::GetJobRequest(), &response);
  } while (status.ok() && std::chrono::steady_clock::now() - begin < kPatience);
  // A call that arrives in the very moment is cancelled by gRPC.
  CHECK((status.error_code() == grpc::StatusCode::UNAVAILABLE ||
         status.error_code() == grpc::StatusCode::CANCELLED));
  service.LetGo();
  shutdown.join();
  CHECK(service.cancelled() == 0);
  v1::WatchJobResponse response;
  CHECK(watching.reader->Read(&response));
  CHECK(!watching.reader->Read(&response));
  CHECK(watching.reader->Finish().ok());
}

TEST_CASE("Many parked streams do not keep calls waiting") {
  ParkingService service;
  const auto server = Started(service);
  const auto stub = v1::Frontend::NewStub(MakeChannel(server->local_address()));
  std::vector<std::unique_ptr<Watching>> watching;
  for (int i = 0; i < 200; ++i) watching.push_back(std::make_unique<Watching>(*stub));
  REQUIRE(service.WaitForParked(200));
  for (int i = 0; i < 50; ++i) CHECK(Call(*stub, std::to_string(i)).ok());
  for (const auto& one : watching) one->context.TryCancel();
  CHECK(service.WaitForParked(0));
}

TEST_CASE("Messages have a largest size") {
  ParkingService service;
  const auto server = Started(service);
  const auto stub = v1::Frontend::NewStub(MakeChannel(server->local_address()));
  CHECK(Call(*stub, std::string(kMaxChunkBytes, 'x')).ok());
  const auto unlimited = v1::Frontend::NewStub(
      grpc::CreateChannel(server->local_address(), grpc::InsecureChannelCredentials()));
  CHECK(Call(*unlimited, std::string(kMaxMessageBytes + 1, 'x')).error_code() ==
        grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(Call(*stub).ok());
}

TEST_CASE("A failure with hostile contents reaches any client, its reason with it") {
  ParkingService service;
  std::string hostile;
  for (int i = 0; i < 50'000; ++i) hostile += static_cast<char>(i * 7);
  base::ErrorDetail detail{.reason = "IMAGE_TOO_LARGE", .field = hostile};
  for (int i = 0; i < 100; ++i) detail.metadata[std::to_string(i)] = hostile;
  service.failure = base::MakeError(absl::StatusCode::kInvalidArgument, hostile, detail);
  const auto server = Started(service);
  // Also one with gRPC's default limit of metadata.
  for (const auto& channel :
       {MakeChannel(server->local_address()),
        grpc::CreateChannel(server->local_address(), grpc::InsecureChannelCredentials())}) {
    const auto stub = v1::Frontend::NewStub(channel);
    grpc::ClientContext context;
    SetPatience(context);
    v1::GetImageResponse response;
    const absl::Status status =
        FromGrpc(stub->GetImage(&context, v1::GetImageRequest(), &response));
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    REQUIRE(base::GetErrorDetail(status).has_value());
    CHECK(base::GetErrorDetail(status)->reason == "IMAGE_TOO_LARGE");
  }
}

// A TCP connection that says nothing.
class SilentConnection {
 public:
  explicit SilentConnection(int port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(fd_ >= 0);
    REQUIRE(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  }
  ~SilentConnection() { close(fd_); }
  SilentConnection(const SilentConnection&) = delete;
  SilentConnection& operator=(const SilentConnection&) = delete;

 private:
  int fd_;
};

TEST_CASE("Beyond the limit of connections others wait, and are served when some end") {
  ParkingService service;
  ServerOptions options;
  options.services = {&service};
  options.max_connections = 4;
  const auto server = Started(options);
  std::vector<std::unique_ptr<SilentConnection>> silent;
  for (int i = 0; i < 4; ++i) silent.push_back(std::make_unique<SilentConnection>(server->port()));
  const auto stub = v1::Frontend::NewStub(MakeChannel(server->local_address()));
  {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(300));
    context.set_wait_for_ready(true);
    v1::GetJobResponse response;
    CHECK(stub->GetJob(&context, v1::GetJobRequest(), &response).error_code() ==
          grpc::StatusCode::DEADLINE_EXCEEDED);
  }
  silent.clear();
  CHECK(Call(*stub).ok());
}

TEST_CASE("A server that ran out of file descriptors serves again when there are some") {
  ParkingService service;
  const auto server = Started(service);
  rlimit before;
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  // Room for a few dozen more, which the clients below, of this same process, use up.
  const int next = dup(0);
  close(next);
  rlimit low = before;
  low.rlim_cur = static_cast<rlim_t>(next) + 40;
  REQUIRE(setrlimit(RLIMIT_NOFILE, &low) == 0);
  std::vector<int> clients;
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(server->port()));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (int i = 0; i < 100; ++i) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0) break;
    connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address));
    clients.push_back(fd);
  }
  CHECK(clients.size() < 100);
  for (const int fd : clients) close(fd);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(Call(*v1::Frontend::NewStub(MakeChannel(server->local_address()))).ok());
}

}  // namespace
}  // namespace histeq::rpc
