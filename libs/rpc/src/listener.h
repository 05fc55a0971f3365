#pragma once

// The listening socket of a server.
//
// gRPC 1.51 has one of its own, but that never accepts again after file descriptors ran out once
// (CVE-2023-4785), and knows no limit of connections.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace histeq::rpc {

// Accepts connections on a thread of its own and hands them on.
class Listener {
 public:
  // `listen`: an IP address, or unix:PATH (a socket that nobody listens on any more is replaced).
  // UNAVAILABLE LISTEN_FAILED.
  static absl::StatusOr<std::unique_ptr<Listener>> Bind(const std::string& listen, int port);
  // Stop.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // The bound TCP port; 0 for a Unix socket.
  int port() const { return port_; }

  // `accepted` owns the file descriptor that it gets. While `max_connections` of them are open, or
  // no file descriptor is left, others wait in the kernel's queue. Once.
  void Start(int max_connections, std::function<void(int fd)> accepted);

  // Accepts no more; the address is free afterwards, `accepted` is not called any more.
  void Stop();

 private:
  // What tells an open connection from another file under the same number.
  struct Connection {
    int fd;
    dev_t device;
    ino_t inode;
  };

  Listener(int fd, int wake_fd, int port, std::string unix_path)
      : fd_(fd), wake_fd_(wake_fd), port_(port), unix_path_(std::move(unix_path)) {}

  void Run();
  // False when told to stop.
  bool WaitForConnection();
  bool Pause();
  bool HasRoom();
  void Take(int fd);
  // A warning, unless there was one a moment ago.
  void Complain(const char* event, const std::string& why);

  int fd_;
  int wake_fd_;
  const int port_;
  const std::string unix_path_;
  size_t max_connections_ = 0;
  std::function<void(int)> accepted_;
  std::vector<Connection> open_;
  std::chrono::steady_clock::time_point last_complaint_;
  std::thread thread_;
};

}  // namespace histeq::rpc
