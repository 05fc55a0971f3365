#pragma once

#include <cstdint>
#include <functional>

#include "codec/encode_picture.h"

namespace histeq::codec {

absl::Status EncodeJpegPicture(const Picture& picture, uint32_t quality, const Metadata& metadata,
                               const std::function<absl::Status()>& check, base::ByteSink& sink);
absl::Status EncodePngPicture(const Picture& picture, const Metadata& metadata,
                              const std::function<absl::Status()>& check, base::ByteSink& sink);

}  // namespace histeq::codec
