#include "cluster.h"

#include <cstdio>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <utility>

#include "files.h"

namespace histeq::integration {

Service::Service(std::string program, std::string name, std::vector<std::string> arguments,
                 const TempFolder& folder)
    : program_(std::move(program)),
      name_(std::move(name)),
      arguments_(std::move(arguments)),
      folder_(folder) {}

void Service::Start() { StartBelow({}); }

void Service::StartBelow(std::vector<std::string> wrapper) {
  const std::string port_file = folder_.File(name_ + ".port");
  std::filesystem::remove(port_file);
  Process::Options options;
  options.command = std::move(wrapper);
  options.command.insert(options.command.end(),
                         {Program(program_), "--port", port_, "--port-file", port_file});
  options.command.insert(options.command.end(), arguments_.begin(), arguments_.end());
  options.stdout_file = options.stderr_file = folder_.File(name_ + ".log");
  process_ = Process::Start(options);
  std::string port;
  const bool up = WaitUntil([&] {
    if (std::filesystem::exists(port_file)) port = ReadFile(port_file);
    return port.find('\n') != std::string::npos || !process_->Running();
  });
  if (!up || !process_->Running()) throw std::runtime_error(name_ + " did not start:\n" + Log());
  port_ = port.substr(0, port.find('\n'));
}

std::string Service::address() const { return "127.0.0.1:" + port_; }

std::string Service::Log() const {
  const std::string file = folder_.File(name_ + ".log");
  return std::filesystem::exists(file) ? ReadFile(file) : "";
}

Cluster::Cluster(std::vector<std::string> frontend_arguments) {
  std::filesystem::create_directory(scratch_folder());
  std::vector<std::string> arguments = {"--data-dir", data_folder()};
  arguments.insert(arguments.end(), frontend_arguments.begin(), frontend_arguments.end());
  frontend_ = std::make_unique<Service>("histeq-frontend", "frontend", arguments, folder_);
  frontend_->Start();
}

Cluster::~Cluster() {
  if (std::uncaught_exceptions() == 0) return;
  const auto print = [](const Service& service) {
    const std::string log = service.Log();
    const size_t kept = 20'000;
    std::fprintf(stderr, "--- %s\n%s\n", service.name().c_str(),
                 log.size() > kept ? log.substr(log.size() - kept).c_str() : log.c_str());
  };
  print(*frontend_);
  for (const auto& service : coordinators_) print(*service);
  for (const auto& service : workers_) print(*service);
}

Service& Cluster::AddCoordinator(const std::string& name, std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), {"--frontend", frontend_->address(), "--name", name,
                                     "--scratch-dir", scratch_folder()});
  coordinators_.push_back(
      std::make_unique<Service>("histeq-coordinator", name, std::move(arguments), folder_));
  coordinators_.back()->Start();
  return *coordinators_.back();
}

Service& Cluster::AddWorker(const std::string& name, std::vector<std::string> arguments) {
  std::string addresses;
  for (const auto& coordinator : coordinators_) {
    addresses += (addresses.empty() ? "" : ",") + coordinator->address();
  }
  arguments.insert(arguments.end(), {"--coordinators", addresses, "--name", name});
  workers_.push_back(
      std::make_unique<Service>("histeq-worker", name, std::move(arguments), folder_));
  workers_.back()->Start();
  return *workers_.back();
}

std::set<std::string> Cluster::BlobFiles() const { return FilesBelow(data_folder() + "/blobs"); }

}  // namespace histeq::integration
