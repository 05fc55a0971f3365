#include "image_uses.h"

namespace histeq::frontend {

std::shared_ptr<void> ImageUses::Read(const std::string& image_id) {
  std::lock_guard lock(mutex_);
  ++readers_[image_id];
  if (touched_.size() < max_touched_) touched_.insert(image_id);
  return std::shared_ptr<void>(nullptr, [this, image_id](void*) {
    std::lock_guard lock(mutex_);
    const auto found = readers_.find(image_id);
    if (--found->second == 0) readers_.erase(found);
  });
}

bool ImageUses::InUse(const std::string& image_id) const {
  std::lock_guard lock(mutex_);
  return readers_.count(image_id) > 0;
}

std::vector<std::string> ImageUses::TakeTouched() {
  std::lock_guard lock(mutex_);
  std::vector<std::string> touched(touched_.begin(), touched_.end());
  touched_.clear();
  return touched;
}

}  // namespace histeq::frontend
