#include "temp_folder.h"

#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace histeq::integration {

TempFolder::TempFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "histeq-test-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp " + name);
  path_ = name;
}

TempFolder::~TempFolder() {
  if (std::getenv("HISTEQ_KEEP") != nullptr) {
    std::fprintf(stderr, "kept: %s\n", path_.c_str());
    return;
  }
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace histeq::integration
