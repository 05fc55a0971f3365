#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "base/cancel.h"
#include "engine/executor.h"
#include "engine/segment_work.h"

namespace histeq::engine {

// Transforms one segment on the calling thread: where it lies if it can, otherwise in `buffer`.
absl::Status TransformAndDeliver(const TransformSpec& spec, SegmentExchange& exchange,
                                 uint32_t index, std::vector<uint8_t>& buffer,
                                 const base::CancelToken& token);

}  // namespace histeq::engine
