#pragma once

// Values of the contracts and of the libraries, both ways.

#include "absl/time/time.h"
#include "codec/image_info.h"
#include "engine/image_statistics.h"
#include "engine/inspect.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "histeq/v1/image.pb.h"

namespace histeq::rpc {

google::protobuf::Duration ToProto(absl::Duration duration);
// Out-of-range values become the nearest allowed one.
absl::Duration FromProto(const google::protobuf::Duration& duration);

google::protobuf::Timestamp ToProto(absl::Time time);
absl::Time FromProto(const google::protobuf::Timestamp& time);

v1::ImageStatistics ToProto(const engine::ImageStatistics& statistics);
engine::ImageStatistics FromProto(const v1::ImageStatistics& statistics);

v1::InspectedFile ToProto(const engine::InspectedFile& file);
engine::InspectedFile FromProto(const v1::InspectedFile& file);

}  // namespace histeq::rpc
