#pragma once

#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "engine/executor.h"

namespace histeq::engine {

// Executor::ProcessImage on the calling thread.
absl::StatusOr<ProcessedImage> ProcessImageHere(std::span<const uint8_t> file,
                                                const Operation& operation,
                                                const codec::DecodeLimits& limits,
                                                const base::CancelToken& token);

}  // namespace histeq::engine
