#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace histeq::store {

// Where the next page begins, in a form that only the holder of `key` can make. `list` names the
// list and its filter.
std::string MakePageToken(const std::string& key, const std::string& list, int64_t seq);

// - INVALID_ARGUMENT BAD_PAGE_TOKEN (field page_token): not made by MakePageToken with this key and
//   list.
absl::StatusOr<int64_t> ReadPageToken(const std::string& key, const std::string& list,
                                      const std::string& token);

}  // namespace histeq::store
