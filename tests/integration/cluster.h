#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "process.h"
#include "temp_folder.h"

namespace histeq::integration {

// One service as a process: started on a free port, and again on the same one.
class Service {
 public:
  // `arguments` without --port and --port-file. `folder` takes its port file and its log; it
  // outlives the service.
  Service(std::string program, std::string name, std::vector<std::string> arguments,
          const TempFolder& folder);

  // Starts it and waits until it listens. Throws with its log when it ends or does not come up.
  void Start();
  // Starts it below another command, for example {"unshare", "-m"}.
  void StartBelow(std::vector<std::string> wrapper);
  // SIGKILL.
  void Kill() { process_->Kill(); }
  // SIGTERM; then Wait for its exit code.
  void Terminate() { process_->Signal(15); }
  std::optional<int> Wait(Milliseconds patience = kPatience) { return process_->Wait(patience); }
  bool Running() { return process_ != nullptr && process_->Running(); }
  // SIGSTOP and SIGCONT.
  void Pause() { process_->Signal(19); }
  void Continue() { process_->Signal(18); }

  const std::string& name() const { return name_; }
  // 127.0.0.1:port
  std::string address() const;
  std::string Log() const;
  pid_t pid() const { return process_->pid(); }

 private:
  std::string program_;
  std::string name_;
  std::vector<std::string> arguments_;
  const TempFolder& folder_;
  std::string port_ = "0";
  std::unique_ptr<Process> process_;
};

// A frontend with its data folder, and the coordinators and workers that a test adds. Everything
// ends with the object; logs go to stderr when the test failed.
class Cluster {
 public:
  // Starts the frontend.
  explicit Cluster(std::vector<std::string> frontend_arguments = {});
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  Service& frontend() { return *frontend_; }
  Service& AddCoordinator(const std::string& name, std::vector<std::string> arguments = {});
  // Attached to all coordinators so far.
  Service& AddWorker(const std::string& name, std::vector<std::string> arguments = {});

  std::string data_folder() const { return folder_.File("data"); }
  // Temporary files of all coordinators belong here.
  std::string scratch_folder() const { return folder_.File("scratch"); }
  const TempFolder& folder() const { return folder_; }

  // The frontend's stored files, whole and partial.
  std::set<std::string> BlobFiles() const;

 private:
  TempFolder folder_;
  std::unique_ptr<Service> frontend_;
  std::vector<std::unique_ptr<Service>> coordinators_;
  std::vector<std::unique_ptr<Service>> workers_;
};

}  // namespace histeq::integration
