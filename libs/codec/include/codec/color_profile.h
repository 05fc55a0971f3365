#pragma once

// What an image's metadata says about its colours, for a result in the same or the other format.

#include <cstdint>
#include <vector>

#include "codec/decoder.h"

namespace histeq::codec {

// The ICC profile, whole; empty when there is none, when its pieces do not fit together, or when it
// is larger than `max_bytes`. Any bytes.
std::vector<uint8_t> ColorProfileOf(const Metadata& metadata, ImageFormat format,
                                    uint64_t max_bytes);

// Of an image's metadata only what its samples need to be shown rightly: the ICC profile, and from
// PNG to PNG the other chunks about colours. A profile that is not for gray or for RGB, as
// `channels` (1 to 4, alpha included) of the result want it, is left out.
Metadata ColorMetadata(const Metadata& metadata, ImageFormat source, ImageFormat target,
                       uint32_t channels, uint64_t max_bytes);

}  // namespace histeq::codec
