#pragma once

// Folders of pictures that commands work on, and what became of them.

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "process.h"
#include "temp_folder.h"

namespace histeq::integration {

// A small picture; those of different numbers differ.
std::string SmallPng(int number);

// One folder of pictures and one of what is made of them. `environment` is for all commands.
class ImageDesk {
 public:
  explicit ImageDesk(std::map<std::string, std::string> environment = {});

  std::string in() const { return folder_.File("in"); }
  std::string out() const { return folder_.File("out"); }
  const TempFolder& folder() const { return folder_; }

  void Add(const std::string& name, const std::string& bytes) const;
  // img_0.png, img_1.png, …
  void AddSmall(int count) const;

  // The command to its end.
  Finished Run(std::vector<std::string> arguments) const;
  // In the background; what it says goes to a file, which Said() reads.
  std::unique_ptr<Process> Start(std::vector<std::string> arguments,
                                 const std::string& said = "said",
                                 std::map<std::string, std::string> environment = {}) const;
  std::string Said(const std::string& said = "said") const;

  // The outputs, by their paths below the folder; what belongs to the registry left out.
  std::map<std::string, std::string> Outputs() const { return OutputsOf(out()); }
  static std::map<std::string, std::string> OutputsOf(const std::string& folder);

  // How often each output was made, as the registry says; those that never were are not there.
  std::map<std::string, int> TimesMade() const;
  // `count` outputs, each made so often, and nothing else in the folder.
  void CheckEachMade(size_t count, int times = 1) const;

 private:
  const TempFolder folder_;
  const std::map<std::string, std::string> environment_;
};

// Processes that a command with this process id started: their folders in /proc.
std::vector<std::string> WorkersOf(pid_t parent);

}  // namespace histeq::integration
