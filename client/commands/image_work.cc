#include "commands/image_work.h"

#include <sys/stat.h>

#include <filesystem>
#include <iostream>
#include <system_error>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "base/hex.h"
#include "base/status_macros.h"
#include "commands/image_argument.h"
#include "commands/image_makers.h"
#include "commands/image_narrator.h"
#include "commands/output_file.h"
#include "commands/output_path.h"
#include "commands/stream_sink.h"
#include "fmt/format.h"
#include "local/batch.h"
#include "local/image_list.h"
#include "local/made_file.h"

namespace histeq::client {
namespace {

absl::Status CopyToOut(const MadeFile& file, std::ostream& out) {
  StreamSink sink(out);
  HISTEQ_RETURN_IF_ERROR(file.CopyTo(sink));
  return sink.Flush();
}

absl::Status CopyToDevice(const MadeFile& file, const std::string& path) {
  HISTEQ_ASSIGN_OR_RETURN(const auto device, OutputFile::Create(path, /*overwrite=*/true));
  HISTEQ_RETURN_IF_ERROR(file.CopyTo(*device));
  return device->Commit();
}

bool IsDevice(const std::string& path) {
  struct stat file;
  return stat(path.c_str(), &file) == 0 &&
         (S_ISCHR(file.st_mode) || S_ISFIFO(file.st_mode) || S_ISBLK(file.st_mode));
}

bool IsFolder(const std::string& path) {
  std::error_code error;
  return path.ends_with('/') || std::filesystem::is_directory(path, error);
}

absl::Status BadOutput(const std::string& message) {
  return base::MakeError(absl::StatusCode::kInvalidArgument, message, {.reason = "BAD_OUTPUT"});
}

// The histogram of `path`, counted by this command, as Equalize takes it.
absl::StatusOr<v1::Histogram> ReferenceHistogramOf(const Session& session, const ImageFlags& flags,
                                                   const std::string& path) {
  const ImageMakers makers(session, flags, 1);
  // An analysis has no result, but wants a place for it.
  HISTEQ_ASSIGN_OR_RETURN(const auto file,
                          MadeFile::CreateIn(ScratchFolder(flags), ScratchFolder(flags)));
  ImageWork work;
  std::error_code error;
  work.source_path = std::filesystem::absolute(path, error).string();
  work.result = file->descriptor();
  work.output_path = ScratchFolder(flags);
  work.operation.mutable_analyze();
  HISTEQ_ASSIGN_OR_RETURN(const FileResult result, makers.all().front()->Make(work, session.token));
  if (!result.statistics.has_value() || result.statistics->channels.empty()) {
    return base::MakeError(absl::StatusCode::kInternal, "the image has no statistics",
                           {.reason = "BAD_RESULT"});
  }
  // Gray, or luma: as the services take a reference.
  v1::Histogram histogram;
  const std::vector<uint64_t>& counts = result.statistics->channels.front().histogram;
  histogram.mutable_counts()->Assign(counts.begin(), counts.end());
  return histogram;
}

// What is made of every image first. A reference image is counted here, or has its place among the
// services'.
absl::Status SetEqualize(const Session& session, const ImageFlags& flags,
                         const OperationFlags& operation, BatchOptions& options) {
  v1::Equalize& equalize = options.recipe.equalize.emplace(EqualizeOf(operation));
  if (operation.reference.empty()) return absl::OkStatus();
  const auto item = session.display.Begin(operation.reference, /*counted=*/false);
  if (IsLocal(session, flags)) {
    HISTEQ_ASSIGN_OR_RETURN(*equalize.mutable_reference_histogram(),
                            ReferenceHistogramOf(session, flags, operation.reference));
  } else {
    HISTEQ_ASSIGN_OR_RETURN(const std::string id, ImageIdOf(session, operation.reference, *item));
    HISTEQ_ASSIGN_OR_RETURN(const v1::Image image,
                            session.client.GetImage(id, session.Control(*item)));
    equalize.set_reference_image_id(id);
    // Empty while a registered file has not been read.
    options.reference_key = base::ToHex(image.sha256());
  }
  item->Done("");
  return absl::OkStatus();
}

}  // namespace

ExitCode RunImages(const Session& session, const ImageFlags& flags, const OperationFlags* equalize,
                   std::vector<v1::Thumbnail> thumbnails) {
  if (flags.inputs.empty() && flags.jobs_from.empty()) {
    session.display.Error("IN is required, or --jobs-from");
    return kUsage;
  }
  const auto usage = [&](const absl::Status& status) {
    session.Report("", status);
    return kUsage;
  };
  ImageListOptions list_options;
  list_options.recursive = flags.recursive;
  list_options.jobs_from = flags.jobs_from;
  list_options.in = &std::cin;
  list_options.token = session.token;
  if (IsFolder(flags.out)) list_options.output_folder = flags.out;
  const ImageList list = ListImages(flags.inputs, list_options);

  const bool to_out = IsStandardOutput(flags.out);
  const bool to_device = !to_out && IsDevice(flags.out);
  std::error_code error;
  if (list.many) {
    if (to_out) return usage(BadOutput("-o - takes the result of one input alone"));
    if (!flags.out.empty() && std::filesystem::exists(flags.out, error) && !IsFolder(flags.out)) {
      return usage(BadOutput(fmt::format(
          "-o {}: a folder is wanted for several inputs, and this is a file", flags.out)));
    }
  }
  if (flags.keep_name && flags.out.empty()) {
    return usage(BadOutput("--keep-name needs a folder to write to: -o"));
  }
  if (!list.many && !flags.out.empty() && !list.images.empty() &&
      std::filesystem::equivalent(flags.out, list.images.front().path, error)) {
    return usage(
        BadOutput(fmt::format("{} would be replaced by its own result", list.images.front().path)));
  }

  BatchOptions options;
  options.recipe.thumbnails = std::move(thumbnails);
  if (equalize != nullptr) {
    if (const absl::Status status = SetEqualize(session, flags, *equalize, options); !status.ok()) {
      return session.Report(equalize->reference, status);
    }
  }
  options.anew = flags.force;
  options.place.keep_name = flags.keep_name;
  const size_t outputs =
      options.recipe.thumbnails.size() + (options.recipe.equalize.has_value() ? 1 : 0);
  if (to_out || to_device) {
    // A whole file first: what cannot be made must not leave half of it there.
    options.place.path = ScratchFolder(flags) + "/result";
    options.take = [&](const MadeFile& file) {
      return to_out ? CopyToOut(file, session.out) : CopyToDevice(file, flags.out);
    };
    options.place.is_file = true;
    options.registry = false;
  } else {
    options.place.path = flags.out;
    options.place.is_file =
        !list.many && !flags.out.empty() && !IsFolder(flags.out) && outputs == 1;
    options.registry = list.many || (!flags.out.empty() && !options.place.is_file);
  }

  ImageNarrator narrator(session, list.images, options.take ? flags.out : std::string());
  session.display.ExpectItems(list.images.size() + list.refused.size());
  for (const auto& [input, status] : list.refused) narrator.Refused(input, status);
  const absl::Duration began = base::SystemClock().Monotonic();
  absl::Status ran;
  try {
    const ImageMakers makers(session, flags, list.images.size());
    ran = RunBatch(list.images, makers.all(), options, narrator, session.token);
  } catch (const std::system_error& no_thread) {
    ran = base::MakeError(absl::StatusCode::kResourceExhausted,
                          std::string("the threads that are wanted cannot all be started: ") +
                              no_thread.what() + "; ask for fewer",
                          {.reason = "NO_THREADS"});
  }
  if (list.images.empty() && list.refused.empty()) {
    session.display.Note(flags.recursive
                             ? "no images found"
                             : "no images found; --recursive looks into folders below too");
  } else if (list.many) {
    session.display.Note(narrator.Summary(base::SystemClock().Monotonic() - began));
  }
  // What every image would have failed with is said once, by one of them.
  if (narrator.failed() > 0) return narrator.code();
  if (!ran.ok() && !session.token.cancelled()) return session.Report("", ran);
  return ran.ok() ? kOk : kFailed;
}

}  // namespace histeq::client
