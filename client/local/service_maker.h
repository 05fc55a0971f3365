#pragma once

// Images by the services.

#include "api/client.h"
#include "local/image_maker.h"

namespace histeq::client {

// Uploads an image, follows its job, and fetches the results that are wanted; through broken
// connections and restarts of the server. Ended before the job is, it says in a warning how the
// job's result is fetched: the job goes on.
class ServiceMaker final : public ImageMaker {
 public:
  // `client` outlives it.
  explicit ServiceMaker(Client& client) : client_(client) {}

  absl::StatusOr<FileResult> Make(const ImageWork& work, const base::CancelToken& token) override;

 private:
  Client& client_;
};

}  // namespace histeq::client
