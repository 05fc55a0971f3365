// What gRPC alone takes for a stream of chunks, nothing done with them:
//   empty_stream up|down BYTES [CHUNK_BYTES]
// The server is a process of its own, as a frontend is. Prints the seconds.

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>

#include "grpcpp/grpcpp.h"
#include "histeq/v1/frontend.grpc.pb.h"
#include "rpc/channel.h"
#include "rpc/chunk.h"
#include "rpc/program.h"
#include "rpc/server.h"

namespace {

namespace v1 = histeq::v1;

class EmptyFrontend final : public v1::Frontend::Service {
 public:
  explicit EmptyFrontend(size_t chunk_bytes) : chunk_bytes_(chunk_bytes) {}

  grpc::Status UploadImage(grpc::ServerContext*, grpc::ServerReader<v1::UploadImageRequest>* reader,
                           v1::UploadImageResponse*) override {
    v1::UploadImageRequest message;
    while (reader->Read(&message)) {
    }
    return grpc::Status::OK;
  }

  grpc::Status DownloadImage(grpc::ServerContext*, const v1::DownloadImageRequest* request,
                             grpc::ServerWriter<v1::DownloadImageResponse>* writer) override {
    v1::DownloadImageResponse message;
    message.mutable_chunk()->mutable_data()->resize(chunk_bytes_);
    for (uint64_t sent = 0; sent < request->limit(); sent += chunk_bytes_) {
      if (!writer->Write(message)) break;
    }
    return grpc::Status::OK;
  }

 private:
  const size_t chunk_bytes_;
};

[[noreturn]] void Serve(int port_pipe, size_t chunk_bytes) {
  EmptyFrontend frontend(chunk_bytes);
  histeq::rpc::ServerOptions options;
  options.services = {&frontend};
  const auto server = histeq::rpc::Server::Start(options);
  if (!server.ok()) _exit(1);
  const int port = (*server)->port();
  if (write(port_pipe, &port, sizeof port) != sizeof port) _exit(1);
  while (true) pause();
}

bool Transfer(int port, bool up, uint64_t bytes, size_t chunk_bytes) {
  const auto stub =
      v1::Frontend::NewStub(histeq::rpc::MakeChannel("127.0.0.1:" + std::to_string(port)));
  grpc::ClientContext context;
  if (!up) {
    v1::DownloadImageRequest request;
    request.set_limit(bytes);
    const auto reader = stub->DownloadImage(&context, request);
    v1::DownloadImageResponse message;
    while (reader->Read(&message)) {
    }
    return reader->Finish().ok();
  }
  v1::UploadImageResponse response;
  const auto writer = stub->UploadImage(&context, &response);
  v1::UploadImageRequest message;
  message.mutable_chunk()->mutable_data()->resize(chunk_bytes);
  for (uint64_t sent = 0; sent < bytes; sent += chunk_bytes) {
    if (!writer->Write(message)) break;
  }
  writer->WritesDone();
  return writer->Finish().ok();
}

}  // namespace

int main(int argc, char** argv) {
  histeq::rpc::TuneAllocator();
  const std::string direction = argc > 1 ? argv[1] : "";
  if (argc < 3 || (direction != "up" && direction != "down")) {
    std::fprintf(stderr, "usage: empty_stream up|down BYTES [CHUNK_BYTES]\n");
    return 2;
  }
  const uint64_t bytes = std::stoull(argv[2]);
  const size_t chunk_bytes = argc > 3 ? std::stoull(argv[3]) : histeq::rpc::kChunkBytes;
  int ports[2];
  if (pipe(ports) != 0) return 1;
  // Before gRPC starts threads in this process.
  const pid_t server = fork();
  if (server == 0) Serve(ports[1], chunk_bytes);
  close(ports[1]);
  int port = 0;
  bool ok = read(ports[0], &port, sizeof port) == sizeof port;
  const auto begin = std::chrono::steady_clock::now();
  ok = ok && Transfer(port, direction == "up", bytes, chunk_bytes);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  kill(server, SIGKILL);
  waitpid(server, nullptr, 0);
  if (ok) std::printf("%.3f\n", seconds.count());
  return ok ? 0 : 1;
}
