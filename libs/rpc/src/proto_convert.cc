#include "rpc/proto_convert.h"

#include <algorithm>
#include <cstdint>

namespace histeq::rpc {
namespace {

// What the proto types allow: 10000 years either way; the years 1 to 9999.
constexpr int64_t kMaxDurationSeconds = 315'576'000'000;
constexpr int64_t kFirstSecond = -62'135'596'800;
constexpr int64_t kLastSecond = 253'402'300'799;
constexpr int64_t kNanosPerSecond = 1'000'000'000;

}  // namespace

google::protobuf::Duration ToProto(absl::Duration duration) {
  duration =
      std::clamp(duration, absl::Seconds(-kMaxDurationSeconds), absl::Seconds(kMaxDurationSeconds));
  google::protobuf::Duration proto;
  absl::Duration rest;
  proto.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &rest));
  proto.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
  return proto;
}

absl::Duration FromProto(const google::protobuf::Duration& duration) {
  const int64_t seconds = std::clamp(duration.seconds(), -kMaxDurationSeconds, kMaxDurationSeconds);
  const int64_t nanos =
      std::clamp<int64_t>(duration.nanos(), -(kNanosPerSecond - 1), kNanosPerSecond - 1);
  return std::clamp(absl::Seconds(seconds) + absl::Nanoseconds(nanos),
                    absl::Seconds(-kMaxDurationSeconds), absl::Seconds(kMaxDurationSeconds));
}

google::protobuf::Timestamp ToProto(absl::Time time) {
  const absl::Duration since_epoch =
      std::clamp(time - absl::UnixEpoch(), absl::Seconds(kFirstSecond),
                 absl::Seconds(kLastSecond) + absl::Nanoseconds(kNanosPerSecond - 1));
  google::protobuf::Timestamp proto;
  const absl::Duration seconds = absl::Floor(since_epoch, absl::Seconds(1));
  proto.set_seconds(absl::ToInt64Seconds(seconds));
  // Never negative, also before 1970.
  proto.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(since_epoch - seconds)));
  return proto;
}

absl::Time FromProto(const google::protobuf::Timestamp& time) {
  return absl::UnixEpoch() + absl::Seconds(std::clamp(time.seconds(), kFirstSecond, kLastSecond)) +
         absl::Nanoseconds(std::clamp<int64_t>(time.nanos(), 0, kNanosPerSecond - 1));
}

v1::ImageStatistics ToProto(const engine::ImageStatistics& statistics) {
  v1::ImageStatistics proto;
  proto.set_bits_per_sample(statistics.bits_per_sample);
  proto.set_counted_pixels(statistics.counted_pixels);
  proto.set_skipped_pixels(statistics.skipped_pixels);
  for (const engine::ChannelStatistics& channel : statistics.channels) {
    auto& out = *proto.add_channels();
    out.set_channel(static_cast<v1::ImageStatistics::Channel>(channel.channel));
    out.mutable_histogram()->mutable_counts()->Assign(channel.histogram.begin(),
                                                      channel.histogram.end());
    out.set_minimum(channel.minimum);
    out.set_maximum(channel.maximum);
    out.set_mean(channel.mean);
    out.set_standard_deviation(channel.standard_deviation);
    out.set_entropy_bits(channel.entropy_bits);
    out.mutable_percentiles()->Assign(channel.percentiles.begin(), channel.percentiles.end());
  }
  return proto;
}

engine::ImageStatistics FromProto(const v1::ImageStatistics& statistics) {
  engine::ImageStatistics out;
  out.bits_per_sample = statistics.bits_per_sample();
  out.counted_pixels = statistics.counted_pixels();
  out.skipped_pixels = statistics.skipped_pixels();
  for (const auto& channel : statistics.channels()) {
    engine::ChannelStatistics& to = out.channels.emplace_back();
    if (channel.channel() >= v1::ImageStatistics::CHANNEL_GRAY &&
        channel.channel() <= v1::ImageStatistics::CHANNEL_BLUE) {
      to.channel = static_cast<engine::StatisticsChannel>(channel.channel());
    }
    to.histogram.assign(channel.histogram().counts().begin(), channel.histogram().counts().end());
    to.minimum = channel.minimum();
    to.maximum = channel.maximum();
    to.mean = channel.mean();
    to.standard_deviation = channel.standard_deviation();
    to.entropy_bits = channel.entropy_bits();
    to.percentiles.assign(channel.percentiles().begin(), channel.percentiles().end());
  }
  return out;
}

v1::InspectedFile ToProto(const engine::InspectedFile& file) {
  v1::InspectedFile proto;
  proto.set_size_bytes(file.size_bytes);
  proto.set_sha256(file.sha256);
  proto.set_format(static_cast<v1::ImageFormat>(file.info.format));
  proto.set_width(file.info.width);
  proto.set_height(file.info.height);
  proto.set_channels(file.info.channels);
  proto.set_bits_per_sample(file.info.bits_per_sample);
  if (file.modify_time.has_value()) *proto.mutable_modify_time() = ToProto(*file.modify_time);
  return proto;
}

engine::InspectedFile FromProto(const v1::InspectedFile& proto) {
  engine::InspectedFile file;
  file.size_bytes = proto.size_bytes();
  file.sha256 = proto.sha256();
  file.info.format = static_cast<codec::ImageFormat>(proto.format());
  file.info.width = proto.width();
  file.info.height = proto.height();
  file.info.channels = proto.channels();
  file.info.bits_per_sample = proto.bits_per_sample();
  if (proto.has_modify_time()) file.modify_time = FromProto(proto.modify_time());
  return file;
}

}  // namespace histeq::rpc
