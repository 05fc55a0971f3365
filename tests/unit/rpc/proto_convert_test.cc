#include "rpc/proto_convert.h"

#include <catch2/catch.hpp>
#include <cstdint>

namespace histeq::rpc {
namespace {

google::protobuf::Duration DurationOf(int64_t seconds, int32_t nanos) {
  google::protobuf::Duration duration;
  duration.set_seconds(seconds);
  duration.set_nanos(nanos);
  return duration;
}

TEST_CASE("Durations keep their nanoseconds, also below zero") {
  for (const absl::Duration duration :
       {absl::ZeroDuration(), absl::Nanoseconds(1), absl::Nanoseconds(-1), absl::Seconds(2.5),
        absl::Seconds(-2.5), absl::Hours(1'000'000)}) {
    CHECK(FromProto(ToProto(duration)) == duration);
  }
  const auto negative = ToProto(absl::Milliseconds(-1500));
  CHECK(negative.seconds() == -1);
  CHECK(negative.nanos() == -500'000'000);
}

TEST_CASE("Durations out of range become the nearest allowed one") {
  const absl::Duration longest = absl::Seconds(315'576'000'000);
  CHECK(FromProto(ToProto(absl::InfiniteDuration())) == longest);
  CHECK(FromProto(ToProto(-absl::InfiniteDuration())) == -longest);
  CHECK(FromProto(DurationOf(INT64_MAX, INT32_MAX)) == longest);
  CHECK(FromProto(DurationOf(INT64_MIN, INT32_MIN)) == -longest);
  CHECK(FromProto(DurationOf(1, INT32_MAX)) == absl::Seconds(1) + absl::Nanoseconds(999'999'999));
}

TEST_CASE("Times keep their nanoseconds, also before 1970") {
  for (const absl::Time time :
       {absl::UnixEpoch(), absl::UnixEpoch() - absl::Nanoseconds(1),
        absl::FromUnixNanos(1'795'521'600'123'456'789), absl::FromUnixSeconds(-1'000'000'000)}) {
    CHECK(FromProto(ToProto(time)) == time);
    CHECK(ToProto(time).nanos() >= 0);
  }
}

TEST_CASE("Times out of range become the nearest allowed one") {
  CHECK(ToProto(absl::InfiniteFuture()).seconds() == 253'402'300'799);
  CHECK(ToProto(absl::InfiniteFuture()).nanos() == 999'999'999);
  CHECK(ToProto(absl::InfinitePast()).seconds() == -62'135'596'800);
  CHECK(ToProto(absl::InfinitePast()).nanos() == 0);
  google::protobuf::Timestamp wild;
  wild.set_seconds(INT64_MAX);
  wild.set_nanos(INT32_MIN);
  CHECK(FromProto(wild) == absl::FromUnixSeconds(253'402'300'799));
}

TEST_CASE("Image statistics come back as they were") {
  engine::ImageStatistics statistics;
  statistics.bits_per_sample = 16;
  statistics.counted_pixels = uint64_t{1} << 40;
  statistics.skipped_pixels = 3;
  for (const auto channel : {engine::StatisticsChannel::kLuma, engine::StatisticsChannel::kRed,
                             engine::StatisticsChannel::kGreen, engine::StatisticsChannel::kBlue}) {
    engine::ChannelStatistics one;
    one.channel = channel;
    one.histogram = {0, 1, UINT64_MAX, 7};
    one.minimum = 1;
    one.maximum = 65535;
    one.mean = 0.1;
    one.standard_deviation = 1.0 / 3;
    one.entropy_bits = 15.99;
    one.percentiles = {1, 2, 3, 4, 5, 6, 65535};
    statistics.channels.push_back(one);
  }
  const engine::ImageStatistics back = FromProto(ToProto(statistics));
  CHECK(back.bits_per_sample == 16);
  CHECK(back.counted_pixels == statistics.counted_pixels);
  CHECK(back.skipped_pixels == 3);
  REQUIRE(back.channels.size() == 4);
  for (size_t i = 0; i < 4; ++i) {
    CHECK(back.channels[i].channel == statistics.channels[i].channel);
    CHECK(back.channels[i].histogram == statistics.channels[i].histogram);
    CHECK(back.channels[i].minimum == 1);
    CHECK(back.channels[i].maximum == 65535);
    CHECK(back.channels[i].mean == 0.1);
    CHECK(back.channels[i].standard_deviation == 1.0 / 3);
    CHECK(back.channels[i].entropy_bits == 15.99);
    CHECK(back.channels[i].percentiles == statistics.channels[i].percentiles);
  }
}

TEST_CASE("A channel that is none is read as gray") {
  v1::ImageStatistics proto;
  proto.add_channels()->set_channel(static_cast<v1::ImageStatistics::Channel>(77));
  CHECK(FromProto(proto).channels[0].channel == engine::StatisticsChannel::kGray);
}

}  // namespace
}  // namespace histeq::rpc
