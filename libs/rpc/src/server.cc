#include "rpc/server.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <mutex>
#include <utility>

#include "absl/time/clock.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/impl/server_builder_option.h"
#include "grpcpp/impl/server_initializer.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "listener.h"
#include "rpc/chunk.h"

namespace histeq::rpc {
namespace {

constexpr char kUnixPrefix[] = "unix:";
constexpr absl::Duration kLongestDrain = absl::Hours(24);
// Threads that stay when their calls have ended, to serve the next ones.
constexpr int kIdleThreads = 64;

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

class Plugins final : public grpc::ServerBuilderOption {
 public:
  explicit Plugins(std::vector<std::string>& names) : names_(names) {}
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    plugins->push_back(std::make_unique<NameCollector>(names_));
  }

 private:
  std::vector<std::string>& names_;
};

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
  grpc::ResourceQuota quota("histeq");
  quota.SetMaxThreads(options.max_threads);
  builder.SetResourceQuota(quota);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 16 << 10);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, options.max_streams_per_connection);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS,
                             Milliseconds(options.max_connection_idle));
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  // Handlers run on the threads that poll; when the last one is taken another takes its place, and
  // a thread whose call has ended polls again while no more than MAX_POLLERS do: with few, calls
  // that park and return together would end their threads and have them made anew all the time.
  // One queue: a parked stream must not keep the calls of a queue of its own waiting.
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS,
                              std::clamp(options.max_threads / 4, 2, kIdleThreads));
}

}  // namespace

struct Server::Parts {
  std::string listen;
  // Held while the listener stops.
  std::mutex stopping;
  std::unique_ptr<Listener> listener;
  std::vector<std::string> service_names;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor;
  std::unique_ptr<grpc::Server> server;
};

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options) {
  // Once for the process, before its first server; not thread-safe otherwise.
  static const bool enabled = [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    return true;
  }();
  (void)enabled;

  auto parts = std::make_unique<Parts>();
  parts->listen = options.listen;
  HISTEQ_ASSIGN_OR_RETURN(parts->listener, Listener::Bind(options.listen, options.port));

  grpc::ServerBuilder builder;
  SetArguments(options, builder);
  builder.SetOption(std::make_unique<Plugins>(parts->service_names));
  parts->acceptor = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
      grpc::InsecureServerCredentials());
  for (grpc::Service* const service : options.services) builder.RegisterService(service);
  parts->server = builder.BuildAndStart();
  if (parts->server == nullptr) {
    return base::MakeError(absl::StatusCode::kInternal,
                           "gRPC did not start: its own log line says why",
                           {.reason = "SERVER_NOT_STARTED"});
  }
  auto server = std::unique_ptr<Server>(new Server(std::move(parts)));
  server->SetServing(true);
  Parts& started = *server->parts_;
  started.listener->Start(options.max_connections, [&started](int fd) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.fd = fd;
    started.acceptor->HandleNewConnection(&connection);
  });
  if (!options.port_file.empty()) {
    HISTEQ_RETURN_IF_ERROR(WritePortFile(options.port_file, server->port()));
  }
  return server;
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Server::~Server() { Shutdown(absl::ZeroDuration()); }

int Server::port() const { return parts_->listener->port(); }

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
  // First: gRPC loses the connections that come after its end.
  {
    std::lock_guard lock(parts_->stopping);
    parts_->listener->Stop();
  }
  parts_->server->Shutdown(absl::ToChronoTime(absl::Now() + timeout));
}

}  // namespace histeq::rpc
