#include "rpc/server.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <utility>

#include "absl/time/clock.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/impl/server_builder_option.h"
#include "grpcpp/impl/server_initializer.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "rpc/chunk.h"

namespace histeq::rpc {
namespace {

constexpr char kUnixPrefix[] = "unix:";
constexpr absl::Duration kLongestDrain = absl::Hours(24);

bool IsUnix(const std::string& listen) { return listen.starts_with(kUnixPrefix); }

int Milliseconds(absl::Duration duration) {
  return static_cast<int>(std::clamp<int64_t>(absl::ToInt64Milliseconds(duration), 0, INT32_MAX));
}

// Notes the full names of the services that a server has.
class NameCollector final : public grpc::ServerBuilderPlugin {
 public:
  explicit NameCollector(std::vector<std::string>& names) : names_(names) {}
  std::string name() override { return "histeq.service_names"; }
  void InitServer(grpc::ServerInitializer*) override {}
  void Finish(grpc::ServerInitializer* initializer) override {
    names_ = *initializer->GetServiceList();
  }
  void ChangeArguments(const std::string&, void*) override {}

 private:
  std::vector<std::string>& names_;
};

// Reflection for this server alone, instead of all servers of the process.
class Plugins final : public grpc::ServerBuilderOption {
 public:
  explicit Plugins(std::vector<std::string>& names) : names_(names) {}
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    plugins->push_back(std::make_unique<NameCollector>(names_));
    plugins->push_back(std::make_unique<grpc::reflection::ProtoServerReflectionPlugin>());
  }

 private:
  std::vector<std::string>& names_;
};

absl::Status ListenFailed(const std::string& address, const std::string& why) {
  return base::MakeError(absl::StatusCode::kUnavailable,
                         fmt::format("cannot listen on {}: {}", address, why),
                         {.reason = "LISTEN_FAILED", .metadata = {{"address", address}}});
}

// gRPC would take the socket away from a server that lives.
absl::Status CheckUnixPath(const std::string& listen) {
  const std::string path = listen.substr(std::strlen(kUnixPrefix));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return ListenFailed(listen, fmt::format("the path has {} bytes; allowed: 1 to {}", path.size(),
                                            sizeof(address.sun_path) - 1));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return ListenFailed(listen, std::strerror(errno));
  const bool answered =
      connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ||
      errno == EAGAIN;
  close(probe);
  return answered ? ListenFailed(listen, "another server listens there") : absl::OkStatus();
}

// A reader never sees half a number.
absl::Status WritePortFile(const std::string& path, int port) {
  const std::string temporary = fmt::format("{}.{}.tmp", path, getpid());
  {
    std::ofstream file(temporary, std::ios::trunc);
    file << port << '\n';
    file.close();
    if (file.good() && std::rename(temporary.c_str(), path.c_str()) == 0) return absl::OkStatus();
  }
  const std::string why = std::strerror(errno);
  std::remove(temporary.c_str());
  return base::MakeError(absl::StatusCode::kUnavailable,
                         fmt::format("cannot write the port to {}: {}", path, why),
                         {.reason = "PORT_FILE_FAILED"});
}

void SetArguments(const ServerOptions& options, grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(static_cast<int>(kMaxMessageBytes));
  builder.SetMaxSendMessageSize(static_cast<int>(kMaxMessageBytes));
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 16 << 10);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, options.max_streams_per_connection);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS,
                             Milliseconds(options.max_connection_idle));
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  // Otherwise two processes listen on one port, and calls go to either.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Handlers run on the threads that poll; when one is taken another takes its place. One queue:
  // a parked stream must not keep the calls of a queue of its own waiting.
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 4);
}

}  // namespace

struct Server::Parts {
  std::string listen;
  int port = 0;
  std::vector<std::string> service_names;
  std::unique_ptr<grpc::Server> server;
};

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options) {
  // Once for the process, before its first server; not thread-safe otherwise.
  static const bool health = [] {
    grpc::EnableDefaultHealthCheckService(true);
    return true;
  }();
  (void)health;

  auto parts = std::make_unique<Parts>();
  parts->listen = options.listen;
  std::string address = options.listen;
  if (IsUnix(options.listen)) {
    HISTEQ_RETURN_IF_ERROR(CheckUnixPath(options.listen));
  } else if (options.listen.find(':') != std::string::npos && !options.listen.starts_with('[')) {
    address = fmt::format("[{}]:{}", options.listen, options.port);
  } else {
    address = fmt::format("{}:{}", options.listen, options.port);
  }

  grpc::ServerBuilder builder;
  SetArguments(options, builder);
  builder.SetOption(std::make_unique<Plugins>(parts->service_names));
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &parts->port);
  for (grpc::Service* const service : options.services) builder.RegisterService(service);
  errno = 0;
  parts->server = builder.BuildAndStart();
  if (parts->server == nullptr || parts->port == 0) {
    return ListenFailed(address, "it is in use, not of this machine, or not permitted");
  }
  auto server = std::unique_ptr<Server>(new Server(std::move(parts)));
  server->SetServing(true);
  if (!options.port_file.empty()) {
    HISTEQ_RETURN_IF_ERROR(WritePortFile(options.port_file, server->port()));
  }
  return server;
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Server::~Server() { Shutdown(absl::ZeroDuration()); }

int Server::port() const { return IsUnix(parts_->listen) ? 0 : parts_->port; }

std::string Server::local_address() const {
  const std::string& listen = parts_->listen;
  if (IsUnix(listen)) return listen;
  if (listen == "0.0.0.0") return fmt::format("127.0.0.1:{}", port());
  if (listen == "::" || listen == "[::]") return fmt::format("[::1]:{}", port());
  if (listen.find(':') != std::string::npos && !listen.starts_with('[')) {
    return fmt::format("[{}]:{}", listen, port());
  }
  return fmt::format("{}:{}", listen, port());
}

void Server::SetServing(bool serving) {
  grpc::HealthCheckServiceInterface* const health = parts_->server->GetHealthCheckService();
  health->SetServingStatus("", serving);
  for (const std::string& name : parts_->service_names) health->SetServingStatus(name, serving);
}

void Server::Shutdown(absl::Duration timeout) {
  timeout = std::clamp(timeout, absl::ZeroDuration(), kLongestDrain);
  parts_->server->Shutdown(absl::ToChronoTime(absl::Now() + timeout));
}

}  // namespace histeq::rpc
