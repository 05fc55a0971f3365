#pragma once

// A listening gRPC server with health, reflection and limits.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grpcpp/impl/codegen/service_type.h"

namespace histeq::rpc {

struct ServerOptions {
  // Where to listen: an IP address, or "unix:PATH" (then `port` is not used).
  std::string listen = "127.0.0.1";
  // 0: a free one.
  int port = 0;
  // Written (by rename) with the bound port and a newline after the server listens; empty: none.
  std::string port_file;
  // Outlive the server.
  std::vector<grpc::Service*> services;
  // Streams of one connection at once.
  int max_streams_per_connection = 1024;
  // Connections at once; more wait until others end.
  int max_connections = 4096;
  // Threads that answer calls; a call for which there is none is RESOURCE_EXHAUSTED. The last line
  // behind each service's own limits.
  int max_threads = 4096;
  // Connections that have sent no request for so long are closed.
  absl::Duration max_connection_idle = absl::Minutes(5);
};

// Serves grpc.health.v1 ("" and each service by its full name) and the v1alpha reflection that
// grpcurl speaks. Permits HTTP/2 pings every 10 s, also without calls. Thread-safe.
class Server {
 public:
  // - UNAVAILABLE LISTEN_FAILED: the address cannot be bound. PORT_FILE_FAILED.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options);
  // Shutdown(0).
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  int port() const;
  // host:port or unix:path that a client on this machine can call.
  std::string local_address() const;

  // NOT_SERVING is for the time before the end, while calls still work.
  void SetServing(bool serving);

  // No new calls; waits up to `timeout` for those that run, then cancels them and waits until their
  // handlers have returned.
  void Shutdown(absl::Duration timeout);

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace histeq::rpc
