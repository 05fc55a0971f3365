#pragma once

// Where the images of one command are worked on, by its flags.

#include <memory>
#include <optional>
#include <vector>

#include "base/memory_budget.h"
#include "commands/image_flags.h"
#include "commands/session.h"
#include "engine/thread_executor.h"
#include "local/image_maker.h"
#include "local/process_pool.h"

namespace histeq::client {

// The makers of one command, and what they share.
class ImageMakers {
 public:
  // At most `most` of them are of use.
  ImageMakers(const Session& session, const ImageFlags& flags, size_t most);

  const std::vector<std::unique_ptr<ImageMaker>>& all() const { return makers_; }

 private:
  base::MemoryBudget budget_;
  engine::ThreadExecutor executor_;
  std::optional<ProcessPool> processes_;
  std::vector<std::unique_ptr<ImageMaker>> makers_;
};

}  // namespace histeq::client
