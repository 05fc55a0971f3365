// CompleteJob: the result of a job, while it is made.

#include <memory>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "grpc_convert.h"
#include "grpc_job_queue_service.h"
#include "request_checks.h"
#include "result_session.h"
#include "rpc/chunk.h"
#include "rpc/event_log.h"
#include "rpc/proto_convert.h"

namespace histeq::frontend {
namespace {

using Finish = v1::CompleteJobRequest::Finish;

absl::Status OutOfOrder(const std::string& message) {
  return base::MakeError(absl::StatusCode::kInvalidArgument, message,
                         {.reason = "BAD_MESSAGE_ORDER", .field = "message"});
}

absl::Status BadStatistics(const std::string& message, const std::string& limit, int64_t actual) {
  return base::MakeError(absl::StatusCode::kInvalidArgument, message,
                         {.reason = "BAD_RESULT",
                          .metadata = {{"limit", limit}, {"actual", std::to_string(actual)}},
                          .field = "finish.statistics"});
}

// Whoever reads them later relies on their form.
absl::Status CheckStatistics(const v1::ImageStatistics& statistics) {
  const uint32_t bits = statistics.bits_per_sample();
  if (bits != 8 && bits != 16) {
    return BadStatistics(
        fmt::format("statistics of {} bits per sample; 8 or 16 are possible", bits), "8 or 16",
        bits);
  }
  if (statistics.channels_size() < 1 || statistics.channels_size() > 4) {
    return BadStatistics(
        fmt::format("statistics of {} channels; 1 to 4 are possible", statistics.channels_size()),
        "1 to 4", statistics.channels_size());
  }
  for (const v1::ImageStatistics::ChannelStatistics& channel : statistics.channels()) {
    if (channel.histogram().counts_size() != 1 << bits) {
      return BadStatistics(fmt::format("a histogram of {} counts for {} bits per sample",
                                       channel.histogram().counts_size(), bits),
                           std::to_string(1 << bits), channel.histogram().counts_size());
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<store::ImageFacts> FactsOf(const v1::InspectedFile& file) {
  HISTEQ_ASSIGN_OR_RETURN(const auto sha256, ReadSha256(file.sha256(), "finish.inspected.sha256"));
  if (!sha256.has_value() || !v1::ImageFormat_IsValid(file.format()) ||
      file.format() == v1::IMAGE_FORMAT_UNSPECIFIED || file.width() == 0 || file.height() == 0 ||
      file.channels() < 1 || file.channels() > 4 || file.bits_per_sample() < 1 ||
      file.bits_per_sample() > 16) {
    return base::MakeError(absl::StatusCode::kInvalidArgument,
                           "what a file is has a SHA-256, a format, a size in pixels, 1 to 4 "
                           "channels and 1 to 16 bits",
                           {.reason = "BAD_RESULT", .field = "finish.inspected"});
  }
  store::ImageFacts facts;
  facts.sha256 = *sha256;
  facts.size_bytes = file.size_bytes();
  facts.format = static_cast<store::ImageFormat>(file.format());
  facts.width = file.width();
  facts.height = file.height();
  facts.channels = file.channels();
  facts.bits_per_sample = file.bits_per_sample();
  return facts;
}

// `end`: a Finish or an EndOfResult.
template <typename End>
absl::Status EndResult(ResultSession& session, const End& end, const std::string& field) {
  HISTEQ_ASSIGN_OR_RETURN(const auto sha256, ReadSha256(end.sha256(), field));
  if (!sha256.has_value()) {
    return base::MakeError(absl::StatusCode::kInvalidArgument,
                           "the end of a result has the SHA-256 of its bytes, or statistics",
                           {.reason = "BAD_CHECKSUM", .field = field});
  }
  return session.EndResult(end.size_bytes(), *sha256);
}

absl::StatusOr<store::CompletedJob> Commit(ResultSession& session, const Finish& finish,
                                           bool several) {
  if (finish.has_statistics()) {
    HISTEQ_RETURN_IF_ERROR(CheckStatistics(finish.statistics()));
    return session.CommitStatistics(finish.statistics().SerializeAsString());
  }
  if (finish.has_inspected()) {
    HISTEQ_ASSIGN_OR_RETURN(const store::ImageFacts facts, FactsOf(finish.inspected()));
    std::optional<absl::Time> modify_time;
    if (finish.inspected().has_modify_time()) {
      modify_time = rpc::FromProto(finish.inspected().modify_time());
    }
    return session.CommitInspected(facts, modify_time);
  }
  if (!several) HISTEQ_RETURN_IF_ERROR(EndResult(session, finish, "finish.sha256"));
  return session.Commit();
}

struct Received {
  std::string job_id;
  uint64_t epoch = 0;
  uint64_t bytes = 0;
};

absl::StatusOr<store::CompletedJob> Receive(FrontendCore& core, const ServerCall& call,
                                            grpc::ServerReader<v1::CompleteJobRequest>& reader,
                                            Received& received) {
  // Before anything is waited for: each call here has a thread.
  HISTEQ_ASSIGN_OR_RETURN(const auto pass,
                          core.job_transfers.Enter([&] { return call.cancelled(); }));
  v1::CompleteJobRequest message;
  {
    const auto guard = core.guards.Watch(call.ender(), "no header came");
    guard->Expect(core.options.upload_idle_timeout);
    if (!reader.Read(&message) || !message.has_header()) {
      HISTEQ_RETURN_IF_ERROR(call.WhyBroken());
      return OutOfOrder("a result begins with a header");
    }
  }
  received.job_id = CutText(message.header().job_id(), 128);
  received.epoch = message.header().epoch();
  HISTEQ_RETURN_IF_ERROR(CheckId(message.header().job_id(), "header.job_id"));
  HISTEQ_ASSIGN_OR_RETURN(
      ResultSession::Opening opening,
      ResultSession::Begin(core.catalog, core.blobs, core.clock, received.job_id, received.epoch,
                           core.options.upload_limits()));
  if (opening.completed.has_value()) return *std::move(opening.completed);
  ResultSession& session = *opening.session;
  HISTEQ_RETURN_IF_ERROR(CheckAllowed(core.catalog, session.lease().job.coordinator));
  const Activity::Transfer transfer(core.activity);
  // The bytes come as fast as the job makes them: no deadline but the lease's.
  auto guard = core.guards.WatchLease(received.job_id, received.epoch, call.ender(), "");
  std::optional<Finish> finish;
  bool several = false;
  while (reader.Read(&message)) {
    if (finish.has_value()) return OutOfOrder("nothing comes after the finish of a result");
    if (message.has_finish()) {
      finish = std::move(*message.mutable_finish());
    } else if (message.has_chunk()) {
      HISTEQ_RETURN_IF_ERROR(rpc::CheckChunk(message.chunk(), session.size_bytes()));
      HISTEQ_RETURN_IF_ERROR(session.Write(rpc::BytesOf(message.chunk())));
      received.bytes += message.chunk().data().size();
    } else if (message.has_end_of_result()) {
      several = true;
      HISTEQ_RETURN_IF_ERROR(EndResult(session, message.end_of_result(), "end_of_result.sha256"));
    } else {
      return OutOfOrder(
          "after its header a result has chunks (and an end of each, when there are several), then "
          "one finish");
    }
  }
  HISTEQ_RETURN_IF_ERROR(call.WhyBroken());
  if (!finish.has_value()) return OutOfOrder("a result ends with a finish");
  // The commit ends the lease, which the guard would take for its loss.
  guard.reset();
  HISTEQ_RETURN_IF_ERROR(call.WhyBroken());
  return Commit(session, *finish, several);
}

}  // namespace

absl::Status Complete(FrontendCore& core, const ServerCall& call,
                      grpc::ServerReader<v1::CompleteJobRequest>& reader,
                      v1::CompleteJobResponse& response) {
  const absl::Duration began = core.clock.Monotonic();
  Received received;
  const absl::StatusOr<store::CompletedJob> completed = Receive(core, call, reader, received);
  const std::string duration =
      fmt::format("{:.3f}", absl::ToDoubleSeconds(core.clock.Monotonic() - began));
  if (!completed.ok()) {
    const auto detail = base::GetErrorDetail(completed.status());
    rpc::LogEvent(
        absl::IsCancelled(completed.status()) ? rpc::LogLevel::kInfo : rpc::LogLevel::kWarning,
        "result_refused",
        {{"job", received.job_id},
         {"epoch", fmt::format("{}", received.epoch)},
         {"peer", call.peer()},
         {"bytes", fmt::format("{}", received.bytes)},
         {"duration_s", duration},
         {"code", absl::StatusCodeToString(completed.status().code())},
         {"reason", detail.has_value() ? detail->reason : std::string()},
         {"error", std::string(completed.status().message())}});
    return completed.status();
  }
  for (const auto& result : completed->results) {
    // In its place an empty one stands for what was deleted since.
    v1::Image& image = *response.add_results();
    if (result.has_value()) image = ToProto(*result);
  }
  if (!completed->results.empty() && completed->results.front().has_value()) {
    *response.mutable_result() = response.results(0);
  }
  const store::JobRecord& job = completed->job;
  std::string total;
  if (job.start_time.has_value() && job.end_time.has_value()) {
    total = fmt::format("{:.3f}", absl::ToDoubleSeconds(*job.end_time - *job.start_time));
  }
  rpc::LogEvent(rpc::LogLevel::kInfo,
                completed->already_completed ? "result_repeated" : "job_succeeded",
                {{"job", job.id},
                 {"image", job.image_id},
                 {"result", job.result_image_id},
                 {"epoch", fmt::format("{}", job.epoch)},
                 {"attempts", fmt::format("{}", job.attempts)},
                 {"peer", call.peer()},
                 {"bytes", fmt::format("{}", received.bytes)},
                 {"receive_s", duration},
                 {"duration_s", total}});
  return absl::OkStatus();
}

}  // namespace histeq::frontend
