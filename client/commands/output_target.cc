#include "commands/output_target.h"

#include "base/status_macros.h"
#include "commands/output_path.h"

namespace histeq::client {

OpenSink OutputTarget::Opener() {
  return [this](const v1::Image& image) -> absl::StatusOr<base::ByteSink*> {
    chosen_ = path_(image);
    if (IsStandardOutput(chosen_)) return &stream_;
    HISTEQ_ASSIGN_OR_RETURN(file_, OutputFile::Create(chosen_, overwrite_));
    return file_.get();
  };
}

absl::Status OutputTarget::Commit() { return file_ != nullptr ? file_->Commit() : stream_.Flush(); }

}  // namespace histeq::client
