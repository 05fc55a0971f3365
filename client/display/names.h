#pragma once

// Values of the contract in words, as the command line prints and takes them.

#include <optional>
#include <string>

#include "google/protobuf/timestamp.pb.h"
#include "histeq/v1/image.pb.h"
#include "histeq/v1/job.pb.h"

namespace histeq::client {

// "queued", "running", "succeeded", "failed", "cancelled".
std::string StateName(v1::JobState state);
std::optional<v1::JobState> StateByName(const std::string& name);

// "analyze", "transform", "store"; empty for none.
std::string StageName(v1::JobStage stage);

// "jpeg", "png".
std::string FormatName(v1::ImageFormat format);

// "gray", "luma", "red", "green", "blue".
std::string ChannelName(v1::ImageStatistics::Channel channel);

// "2026-11-24 20:25:18" in local time; empty when absent.
std::string TimeText(const google::protobuf::Timestamp& time);

// "equalize", with what is not its default: "equalize clahe, grid 8x8, clip 2".
std::string OperationText(const v1::Operation& operation);

}  // namespace histeq::client
