#pragma once

// Which images are being read, and which were read lately.

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace histeq::frontend {

// Thread-safe. Must outlive the handles it gives.
class ImageUses {
 public:
  // More are not noted until the next TakeTouched.
  explicit ImageUses(size_t max_touched = 20'000) : max_touched_(max_touched) {}

  // Somebody reads the image while the handle lives. Take it before the image is looked up, and it
  // cannot expire in between.
  [[nodiscard]] std::shared_ptr<void> Read(const std::string& image_id);

  bool InUse(const std::string& image_id) const;

  // Images that were read since the last call.
  std::vector<std::string> TakeTouched();

 private:
  const size_t max_touched_;
  mutable std::mutex mutex_;
  std::map<std::string, size_t> readers_;
  std::set<std::string> touched_;
};

}  // namespace histeq::frontend
