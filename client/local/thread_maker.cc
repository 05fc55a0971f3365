#include "local/thread_maker.h"

#include "base/status_macros.h"
#include "rpc/operation_convert.h"

namespace histeq::client {

absl::StatusOr<FileResult> ThreadMaker::Make(const ImageWork& work,
                                             const base::CancelToken& token) {
  HISTEQ_ASSIGN_OR_RETURN(const engine::Operation operation,
                          rpc::OperationFromProto(work.operation));
  engine::JobOptions options;
  options.limits = options_.limits;
  options.budget = &budget_;
  options.scratch_dir = options_.scratch_dir;
  options.small_image_bytes = options_.small_image_bytes;
  options.token = token;
  if (work.reports.progress) {
    options.progress = [&work](engine::JobStage stage, uint32_t done, uint32_t total) {
      v1::JobProgress progress;
      progress.set_stage(static_cast<v1::JobStage>(stage));
      progress.set_segments_done(done);
      progress.set_segments_total(total);
      work.reports.progress(progress);
    };
  }
  return WorkOnFile(work.source_path, work.result, work.output_path, operation, executor_, options);
}

}  // namespace histeq::client
