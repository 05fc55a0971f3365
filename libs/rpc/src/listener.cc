#include "listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "rpc/event_log.h"

namespace histeq::rpc {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr int kBacklog = 1024;
// How soon a connection that ended, or a file descriptor that came free, is noticed.
constexpr int kPauseMs = 100;
// Between two warnings: what makes them may go on for long.
constexpr std::chrono::seconds kQuiet(10);

absl::Status ListenFailed(const std::string& address, const std::string& why) {
  return base::MakeError(absl::StatusCode::kUnavailable,
                         fmt::format("cannot listen on {}: {}", address, why),
                         {.reason = "LISTEN_FAILED", .metadata = {{"address", address}}});
}

// Closed on destruction, unless released.
class OpenFile {
 public:
  explicit OpenFile(int fd) : fd_(fd) {}
  ~OpenFile() {
    if (fd_ >= 0) close(fd_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

struct Address {
  sockaddr_storage storage = {};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

absl::StatusOr<Address> UnixAddress(const std::string& listen, const std::string& path) {
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(name.sun_path)) {
    return ListenFailed(listen, fmt::format("the path has {} bytes; allowed: 1 to {}", path.size(),
                                            sizeof(name.sun_path) - 1));
  }
  std::memcpy(name.sun_path, path.data(), path.size());
  Address address;
  std::memcpy(&address.storage, &name, sizeof(name));
  address.size = sizeof(name);
  return address;
}

absl::StatusOr<Address> TcpAddress(const std::string& listen, int port) {
  std::string host = listen;
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), fmt::format("{}", port).c_str(), &hints, &found);
  if (error != 0 || found == nullptr) {
    return ListenFailed(listen, "it is neither an IP address nor unix:PATH");
  }
  Address address;
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  address.size = found->ai_addrlen;
  freeaddrinfo(found);
  return address;
}

// A socket file outlives a server that was killed; one that answers is in use.
absl::Status RemoveStaleSocket(const std::string& listen, const std::string& path,
                               const Address& address) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) return absl::OkStatus();
  if (!S_ISSOCK(info.st_mode)) return ListenFailed(listen, "a file that is no socket is there");
  const OpenFile probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (probe.get() < 0) return ListenFailed(listen, std::strerror(errno));
  if (connect(probe.get(), address.get(), address.size) == 0 || errno != ECONNREFUSED) {
    return ListenFailed(listen, "another server listens there");
  }
  unlink(path.c_str());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Listener>> Listener::Bind(const std::string& listen, int port) {
  const bool is_unix = listen.starts_with(kUnixPrefix);
  const std::string path = is_unix ? listen.substr(kUnixPrefix.size()) : std::string();
  const std::string shown = is_unix ? listen : fmt::format("{} port {}", listen, port);
  HISTEQ_ASSIGN_OR_RETURN(const Address address,
                          is_unix ? UnixAddress(listen, path) : TcpAddress(listen, port));
  if (is_unix) HISTEQ_RETURN_IF_ERROR(RemoveStaleSocket(listen, path, address));

  OpenFile file(socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (file.get() < 0) return ListenFailed(shown, std::strerror(errno));
  const int on = 1;
  // A restart need not wait for the connections of the process before it.
  if (!is_unix) setsockopt(file.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(file.get(), address.get(), address.size) != 0 || ::listen(file.get(), kBacklog) != 0) {
    return ListenFailed(shown, std::strerror(errno));
  }
  int bound_port = 0;
  if (!is_unix) {
    Address bound;
    bound.size = sizeof(bound.storage);
    if (getsockname(file.get(), reinterpret_cast<sockaddr*>(&bound.storage), &bound.size) != 0) {
      return ListenFailed(shown, std::strerror(errno));
    }
    // sin_port and sin6_port lie at the same place.
    bound_port = ntohs(reinterpret_cast<const sockaddr_in*>(&bound.storage)->sin_port);
  }
  OpenFile wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (wake.get() < 0) return ListenFailed(shown, std::strerror(errno));
  return std::unique_ptr<Listener>(new Listener(file.Release(), wake.Release(), bound_port, path));
}

Listener::~Listener() { Stop(); }

void Listener::Start(int max_connections, std::function<void(int)> accepted) {
  max_connections_ = static_cast<size_t>(std::max(1, max_connections));
  accepted_ = std::move(accepted);
  thread_ = std::thread([this] { Run(); });
}

void Listener::Stop() {
  if (fd_ < 0) return;
  const uint64_t one = 1;
  (void)!write(wake_fd_, &one, sizeof(one));
  if (thread_.joinable()) thread_.join();
  if (!unix_path_.empty()) unlink(unix_path_.c_str());
  close(fd_);
  close(wake_fd_);
  fd_ = wake_fd_ = -1;
}

void Listener::Run() {
  while (true) {
    if (!HasRoom()) {
      Complain("connections_full", fmt::format("{} are open, the limit", max_connections_));
      if (!Pause()) return;
      continue;
    }
    if (!WaitForConnection()) return;
    const int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      Take(fd);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      Complain("accept_failed", std::strerror(errno));
      if (!Pause()) return;
    }
    // Anything else is the failure of that one connection.
  }
}

void Listener::Complain(const char* event, const std::string& why) {
  const auto now = std::chrono::steady_clock::now();
  if (last_complaint_ != decltype(last_complaint_)() && now - last_complaint_ < kQuiet) return;
  last_complaint_ = now;
  LogEvent(LogLevel::kWarning, event, {{"why", why}});
}

bool Listener::WaitForConnection() {
  pollfd files[] = {{fd_, POLLIN, 0}, {wake_fd_, POLLIN, 0}};
  poll(files, 2, -1);
  return files[1].revents == 0;
}

bool Listener::Pause() {
  pollfd file = {wake_fd_, POLLIN, 0};
  return poll(&file, 1, kPauseMs) == 0 || file.revents == 0;
}

bool Listener::HasRoom() {
  if (open_.size() < max_connections_) return true;
  // Nobody tells us when gRPC closes a connection.
  std::erase_if(open_, [](const Connection& connection) {
    struct stat info;
    return fstat(connection.fd, &info) != 0 || info.st_dev != connection.device ||
           info.st_ino != connection.inode;
  });
  return open_.size() < max_connections_;
}

void Listener::Take(int fd) {
  const int on = 1;
  if (unix_path_.empty()) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  struct stat info;
  if (fstat(fd, &info) == 0) open_.push_back({fd, info.st_dev, info.st_ino});
  accepted_(fd);
}

}  // namespace histeq::rpc
