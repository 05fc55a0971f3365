#pragma once

// Trouble with temporary files that have no name.

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace histeq::testing {

// Cuts this process's open unlinked files in `folder` to nothing, as if the disk had lost them;
// how many there were.
inline int CutScratchFiles(const std::string& folder) {
  int cut = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const std::string target = std::filesystem::read_symlink(entry.path(), gone).string();
    if (target.rfind(folder + "/", 0) != 0) continue;
    const int fd = open(entry.path().c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0) continue;
    if (ftruncate(fd, 0) == 0) ++cut;
    close(fd);
  }
  return cut;
}

}  // namespace histeq::testing
