#pragma once

#include <filesystem>
#include <string>

namespace histeq::integration {

// A new folder below the system's temporary folder, removed with everything in it at the end,
// unless HISTEQ_KEEP is set.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string File(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace histeq::integration
