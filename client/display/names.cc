#include "display/names.h"

#include <algorithm>
#include <cctype>

#include "absl/time/time.h"
#include "fmt/format.h"
#include "rpc/proto_convert.h"

namespace histeq::client {
namespace {

// "JOB_STATE_QUEUED" without its prefix, in lower case, dashes for underscores.
std::string Word(const std::string& name, const std::string& prefix) {
  if (name.rfind(prefix, 0) != 0) return "unknown";
  std::string word = name.substr(prefix.size());
  std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) {
    return c == '_' ? '-' : static_cast<char>(std::tolower(c));
  });
  return word;
}

}  // namespace

std::string StateName(v1::JobState state) { return Word(v1::JobState_Name(state), "JOB_STATE_"); }

std::optional<v1::JobState> StateByName(const std::string& name) {
  for (int state = v1::JobState_MIN + 1; state <= v1::JobState_MAX; ++state) {
    if (StateName(static_cast<v1::JobState>(state)) == name) {
      return static_cast<v1::JobState>(state);
    }
  }
  return std::nullopt;
}

std::string StageName(v1::JobStage stage) {
  switch (stage) {
    case v1::JOB_STAGE_ANALYZE:
      return "analyze";
    case v1::JOB_STAGE_TRANSFORM:
      return "transform";
    // "upload" is what the client did.
    case v1::JOB_STAGE_UPLOAD:
      return "store";
    default:
      return "";
  }
}

std::string FormatName(v1::ImageFormat format) {
  return Word(v1::ImageFormat_Name(format), "IMAGE_FORMAT_");
}

std::string ChannelName(v1::ImageStatistics::Channel channel) {
  return Word(v1::ImageStatistics::Channel_Name(channel), "CHANNEL_");
}

std::string TimeText(const google::protobuf::Timestamp& time) {
  if (time.seconds() == 0 && time.nanos() == 0) return "";
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", rpc::FromProto(time), absl::LocalTimeZone());
}

std::string OperationText(const v1::Operation& operation) {
  switch (operation.kind_case()) {
    case v1::Operation::kThumbnail:
      return fmt::format("thumbnail {}x{}", operation.thumbnail().width(),
                         operation.thumbnail().height());
    case v1::Operation::kDerive:
      if (operation.derive().thumbnails_size() == 1) {
        const v1::Thumbnail& thumbnail = operation.derive().thumbnails(0);
        return fmt::format("{}thumbnail {}x{}",
                           operation.derive().has_equalize() ? "equalize, " : "", thumbnail.width(),
                           thumbnail.height());
      }
      return fmt::format("{}{} thumbnails", operation.derive().has_equalize() ? "equalize, " : "",
                         operation.derive().thumbnails_size());
    case v1::Operation::kInspect:
      return "inspect";
    case v1::Operation::kAnalyze:
      return "analyze";
    case v1::Operation::kEqualize:
      break;
    case v1::Operation::KIND_NOT_SET:
      return "unknown";
  }
  const v1::Equalize& equalize = operation.equalize();
  std::string text = "equalize";
  if (equalize.method() > v1::Equalize::METHOD_GLOBAL) {
    text += ' ';
    text += Word(v1::Equalize::Method_Name(equalize.method()), "METHOD_");
  }
  if (equalize.color() > v1::Equalize::COLOR_LUMA) {
    text += ", ";
    text += Word(v1::Equalize::Color_Name(equalize.color()), "COLOR_");
  }
  if (equalize.has_grid_x() || equalize.has_grid_y()) {
    text += fmt::format(", grid {}x{}", equalize.has_grid_x() ? equalize.grid_x() : 8,
                        equalize.has_grid_y() ? equalize.grid_y() : 8);
  }
  if (equalize.has_clip_limit()) text += fmt::format(", clip {}", equalize.clip_limit());
  if (equalize.has_strength()) text += fmt::format(", strength {}", equalize.strength());
  if (equalize.has_nodata()) text += fmt::format(", nodata {}", equalize.nodata());
  if (equalize.has_significant_bits()) {
    text += fmt::format(", {} bits", equalize.significant_bits());
  }
  return text;
}

}  // namespace histeq::client
