#include "commands/job_text.h"

#include "api/byte_text.h"
#include "api/watch.h"
#include "base/hex.h"
#include "display/error_text.h"
#include "display/names.h"
#include "display/printable.h"
#include "fmt/format.h"

namespace histeq::client {
namespace {

class Facts {
 public:
  void Add(const std::string& name, const std::string& value) {
    if (!value.empty()) text_ += fmt::format("{:<12} {}\n", name, Printable(value));
  }
  std::string Take() { return std::move(text_); }

 private:
  std::string text_;
};

}  // namespace

std::string JobText(const v1::Job& job) {
  Facts facts;
  facts.Add("job", job.id());
  facts.Add("state", StateName(job.state()));
  facts.Add("waits for", job.waiting_for());
  facts.Add("operation", OperationText(job.operation()));
  facts.Add("image", job.image_name().empty()
                         ? job.image_id()
                         : fmt::format("{} ({})", job.image_id(), job.image_name()));
  facts.Add("result", job.result_image_id());
  facts.Add("coordinator", job.coordinator());
  if (job.state() == v1::JOB_STATE_RUNNING && job.progress().segments_total() > 0) {
    facts.Add("progress",
              fmt::format("{} {}/{} segments, {} workers", StageName(job.progress().stage()),
                          job.progress().segments_done(), job.progress().segments_total(),
                          job.progress().workers()));
  }
  facts.Add("attempts", fmt::format("{} of {}", job.attempts(), job.max_attempts()));
  if (job.has_error()) {
    v1::Job failed = job;
    failed.set_state(v1::JOB_STATE_FAILED);
    facts.Add("error", ErrorText(JobFailure(failed)));
  }
  facts.Add("created", TimeText(job.create_time()));
  facts.Add("started", TimeText(job.start_time()));
  facts.Add("ended", TimeText(job.end_time()));
  return facts.Take();
}

std::string ImageText(const v1::Image& image) {
  Facts facts;
  facts.Add("image", image.id());
  facts.Add("name", image.name());
  if (image.unread()) {
    facts.Add("format", "not read yet");
  } else {
    facts.Add("format", fmt::format("{}, {}x{}, {} channel{}, {} bit", FormatName(image.format()),
                                    image.width(), image.height(), image.channels(),
                                    image.channels() == 1 ? "" : "s", image.bits_per_sample()));
  }
  facts.Add("size", fmt::format("{} bytes ({})", image.size_bytes(), ByteText(image.size_bytes())));
  facts.Add("sha256", base::ToHex(image.sha256()));
  facts.Add("location", image.location());
  facts.Add("tag", image.tag());
  facts.Add("made from", image.source_image_id());
  facts.Add("made by job", image.source_job_id());
  facts.Add("created", TimeText(image.create_time()));
  return facts.Take();
}

}  // namespace histeq::client
