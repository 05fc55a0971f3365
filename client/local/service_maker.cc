#include "local/service_maker.h"

#include <utility>

#include "api/download.h"
#include "api/local_file.h"
#include "api/upload.h"
#include "api/watch.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "local/file_sink.h"

namespace histeq::client {
namespace {

absl::Status BadAnswer(const std::string& message) {
  return base::MakeError(absl::StatusCode::kInternal, message, {.reason = "BAD_ANSWER"});
}

// For a shell.
std::string Quoted(const std::string& word) {
  if (!word.empty() && word.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                              "0123456789_-./+,:@%=") == std::string::npos) {
    return word;
  }
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

// Whether all that the operation makes is one result.
bool IsSingle(const ImageWork& work) { return work.wanted.size() <= 1; }

// How to come to what the job makes.
std::string Later(const ImageWork& work, const std::string& job_id) {
  return IsSingle(work)
             ? fmt::format(
                   "job {0} goes on without this command; its result: "
                   "histeq watch {0} -o {1}",
                   job_id, Quoted(work.output_path))
             : fmt::format("job {0} goes on without this command; what it made: histeq job {0}",
                           job_id);
}

// Follows the job and fetches what is wanted of it.
absl::StatusOr<FileResult> Fetch(Client& client, const ImageWork& work, const std::string& job_id,
                                 FileSink& sink, const CallControl& control) {
  const OpenSink open = [&sink](const v1::Image&) -> absl::StatusOr<base::ByteSink*> {
    return &sink;
  };
  WatchOptions watch;
  watch.job = work.reports.job;
  watch.progress = work.reports.progress;
  watch.received = work.reports.downloading;
  if (IsSingle(work)) watch.open_result = open;
  HISTEQ_ASSIGN_OR_RETURN(Watched watched, WatchJob(client, job_id, watch, control));
  HISTEQ_RETURN_IF_ERROR(JobFailure(watched.job));
  FileResult made;
  if (watched.result.has_value()) {
    made.image_ids = {watched.result->id()};
    made.result_bytes = {watched.result->size_bytes()};
  } else {
    made.image_ids.assign(watched.job.result_image_ids().begin(),
                          watched.job.result_image_ids().end());
    if (made.image_ids.size() != work.wanted.size()) {
      return BadAnswer(fmt::format("the server made {} results; {} were asked for",
                                   made.image_ids.size(), work.wanted.size()));
    }
    for (size_t i = 0; i < work.wanted.size(); ++i) {
      made.result_bytes.push_back(0);
      if (!work.wanted[i]) continue;
      DownloadOptions download;
      download.received = work.reports.downloading;
      HISTEQ_ASSIGN_OR_RETURN(const v1::Image image,
                              DownloadImage(client, made.image_ids[i], download, open, control));
      made.result_bytes.back() = image.size_bytes();
    }
  }
  HISTEQ_RETURN_IF_ERROR(sink.Flush());
  made.job = std::move(watched.job);
  return made;
}

}  // namespace

absl::StatusOr<FileResult> ServiceMaker::Make(const ImageWork& work,
                                              const base::CancelToken& token) {
  const CallControl control = {.token = token, .notice = work.reports.notice};
  FileSink sink(work.output_path, work.result);
  UploadOptions upload;
  upload.name = work.name;
  upload.operation = work.operation;
  upload.sent = work.reports.uploading;
  HISTEQ_ASSIGN_OR_RETURN(const LocalFile source, LocalFile::Open(work.source_path));
  HISTEQ_ASSIGN_OR_RETURN(const v1::UploadImageResponse uploaded,
                          UploadFile(client_, source, upload, control));
  const std::string& job_id = uploaded.job().id();
  if (job_id.empty()) return BadAnswer("the server began no job for the image");
  absl::StatusOr<FileResult> made = Fetch(client_, work, job_id, sink, control);
  if (!made.ok() && work.reports.warning && (token.cancelled() || IsUnreachable(made.status()))) {
    work.reports.warning(Later(work, job_id));
  }
  return made;
}

}  // namespace histeq::client
