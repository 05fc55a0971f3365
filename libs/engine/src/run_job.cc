#include "engine/run_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/memory_source.h"
#include "base/status_macros.h"
#include "byte_spool.h"
#include "codec/decoder.h"
#include "codec/fragment.h"
#include "engine/plan.h"
#include "engine/segment_work.h"
#include "histeq/equalize.h"
#include "image_counts.h"
#include "job_exchange.h"
#include "job_source.h"
#include "operation_check.h"
#include "out_of_memory.h"
#include "spool.h"
#include "thumbnail_job.h"

namespace histeq::engine {
namespace {

// Rows that are decoded, then counted while they are in the second-level cache.
constexpr uint64_t kBatchBytes = 256 << 10;

// Decoded samples, about: whether the plan will be one segment. Being wrong costs time only.
bool LooksLikeOneSegment(const codec::ImageInfo& info) {
  const uint64_t bytes = info.bits_per_sample == 16 ? 2 : 1;
  return uint64_t{info.width} * info.height * info.channels * bytes <= kSegmentBytes;
}

// A thumbnail of a small file costs little, unless the file is much larger than it looks.
constexpr uint64_t kSmallThumbnailPixels = 64 << 20;

// Whether a small file is done whole: in one piece, by one process.
bool IsDoneWhole(const Operation& operation, const codec::ImageInfo& info) {
  if (MakesThumbnails(operation) && !Equalizes(operation))
    return uint64_t{info.width} * info.height <= kSmallThumbnailPixels;
  return LooksLikeOneSegment(info);
}

// Counts what passes; keeps it too when there is a spool.
class CountingSink final : public base::ByteSink {
 public:
  CountingSink(base::ByteSink& sink, ByteSpool* spool) : sink_(sink), spool_(spool) {}
  absl::Status Write(std::span<const uint8_t> bytes) override {
    bytes_ += bytes.size();
    if (spool_ != nullptr) HISTEQ_RETURN_IF_ERROR(spool_->Write(bytes));
    return sink_.Write(bytes);
  }
  uint64_t bytes() const { return bytes_; }

 private:
  base::ByteSink& sink_;
  ByteSpool* const spool_;
  uint64_t bytes_ = 0;
};

class Job {
 public:
  Job(JobSource& source, base::ByteSink& sink, const Operation& operation, Executor& executor,
      const JobOptions& options)
      : source_(source),
        sink_(sink),
        operation_(operation),
        executor_(executor),
        options_(options) {}

  absl::StatusOr<JobResult> Run() {
    codec::DecodeOptions decode;
    decode.limits = options_.limits;
    decode.mode = SampleModeFor(operation_);
    decode.budget = options_.budget;
    decode.scratch_dir = options_.scratch_dir;
    HISTEQ_ASSIGN_OR_RETURN(decoder_, codec::OpenDecoder(source_, decode));
    result_.info = decoder_->info();
    result_.pixels = uint64_t{result_.info.width} * result_.info.height;
    spec_.layout = decoder_->layout();
    spec_.encode = decoder_->encode_spec();
    shape_ = ShapeOf(spec_.layout, result_.info.height);
    HISTEQ_RETURN_IF_ERROR(CheckOperationForShape(operation_, shape_));
    plan_ = MakePlan(spec_.encode, spec_.layout, result_.info.height);
    result_.segments = plan_.count();
    HISTEQ_RETURN_IF_ERROR(operation_.kind == Operation::Kind::kAnalyze ? Analyze()
                                                                        : EqualizeAndDerive());
    return std::move(result_);
  }

 private:
  absl::Status Analyze() {
    HISTEQ_ASSIGN_OR_RETURN(ImageCounts counts, ImageCounts::Create(*decoder_));
    std::vector<uint8_t> samples;
    for (uint32_t i = 0; i < plan_.count(); ++i) {
      const Segment segment = plan_.at(i);
      samples.resize(codec::SegmentBytes(spec_.layout, segment.rows));
      HISTEQ_RETURN_IF_ERROR(DecodeSegment(
          segment, samples, [&](uint32_t first_row, uint32_t rows, std::span<uint8_t> batch) {
            counts.Add(batch, first_row, rows);
          }));
      Report(JobStage::kAnalyze, i + 1);
    }
    HISTEQ_RETURN_IF_ERROR(decoder_->Finish());
    result_.statistics = counts.Finish();
    return absl::OkStatus();
  }

  absl::Status EqualizeAndDerive() {
    ByteSpool equalized(options_.budget, options_.scratch_dir);
    const bool derives = MakesThumbnails(operation_);
    CountingSink sink(sink_, derives ? &equalized : nullptr);
    HISTEQ_RETURN_IF_ERROR(Equalize(sink));
    result_.result_bytes.push_back(sink.bytes());
    if (!derives) return absl::OkStatus();
    const std::unique_ptr<base::ByteSource> source = equalized.Open();
    return MakeThumbnails(*source, sink_, operation_.thumbnails, options_, nullptr,
                          result_.result_bytes)
        .status();
  }

  absl::Status Equalize(base::ByteSink& sink) {
    spec_.parameters = operation_.equalize;
    Spool spool(plan_.count(), codec::SegmentBytes(spec_.layout, plan_.at(0).rows), options_.budget,
                options_.scratch_dir);
    HISTEQ_RETURN_IF_ERROR(DecodeAndMap(spool));
    // Only now is it sure that the file is whole: nothing was written before.
    const codec::Metadata metadata = decoder_->metadata();
    // Coefficients of a progressive image.
    decoder_.reset();
    HISTEQ_RETURN_IF_ERROR(options_.token.Check());
    HISTEQ_ASSIGN_OR_RETURN(const std::unique_ptr<codec::Stitcher> stitcher,
                            codec::CreateStitcher(spec_.encode, metadata, sink));
    JobExchange exchange(plan_, spool, *stitcher,
                         [this](uint32_t written) { Report(JobStage::kTransform, written); });
    HISTEQ_RETURN_IF_ERROR(executor_.Transform(spec_, exchange, options_.token));
    if (exchange.delivered_prefix() != plan_.count())
      return absl::InternalError(fmt::format("the executor ended after {} of {} segments",
                                             exchange.delivered_prefix(), plan_.count()));
    return stitcher->Finish();
  }

  absl::Status DecodeAndMap(Spool& spool) {
    Statistics statistics = Statistics::Create(spec_.parameters, shape_);
    if (!statistics.valid())
      return OutOfMemory("the histograms", Statistics::BytesFor(spec_.parameters, shape_));
    const auto stride = static_cast<ptrdiff_t>(codec::PlaneStride(spec_.layout.planes[0]));
    for (uint32_t i = 0; i < plan_.count(); ++i) {
      const Segment segment = plan_.at(i);
      HISTEQ_ASSIGN_OR_RETURN(const std::span<uint8_t> samples,
                              spool.Allocate(i, codec::SegmentBytes(spec_.layout, segment.rows)));
      HISTEQ_RETURN_IF_ERROR(DecodeSegment(
          segment, samples, [&](uint32_t first_row, uint32_t rows, std::span<uint8_t> batch) {
            AccumulateRows(spec_.parameters, shape_, ConstRows{batch.data(), stride, rows},
                           first_row, statistics);
          }));
      HISTEQ_RETURN_IF_ERROR(spool.Store(i));
      Report(JobStage::kAnalyze, i + 1);
    }
    spool.Seal();
    HISTEQ_RETURN_IF_ERROR(decoder_->Finish());
    auto mapping = std::make_shared<Mapping>(ComputeMapping(spec_.parameters, shape_, statistics));
    if (!mapping->valid())
      return OutOfMemory("the mapping", Mapping::BytesFor(spec_.parameters, shape_));
    spec_.mapping = std::move(mapping);
    return absl::OkStatus();
  }

  // Calls count(first_row, rows, samples of plane 0 from there on) for all rows.
  template <typename Count>
  absl::Status DecodeSegment(const Segment& segment, std::span<uint8_t> samples,
                             const Count& count) {
    const uint32_t batch_rows = BatchRows(segment);
    for (uint32_t done = 0; done < segment.rows;) {
      HISTEQ_RETURN_IF_ERROR(options_.token.Check());
      const uint32_t rows = std::min(batch_rows, segment.rows - done);
      const std::span<uint8_t> batch = samples.subspan(codec::SegmentBytes(spec_.layout, done),
                                                       codec::SegmentBytes(spec_.layout, rows));
      HISTEQ_RETURN_IF_ERROR(decoder_->ReadRows(rows, batch));
      count(segment.first_row + done, rows, batch);
      done += rows;
    }
    return absl::OkStatus();
  }

  uint32_t BatchRows(const Segment& segment) const {
    // Planes of a segment lie one after the other, so that a part of it is not a segment. Counts of
    // 65536 values want many samples at a time.
    if (spec_.layout.planes.size() > 1 || shape_.bits_per_sample == 16) return segment.rows;
    const uint64_t unit = spec_.layout.unit_rows;
    const uint64_t units = kBatchBytes / codec::SegmentBytes(spec_.layout, unit);
    return static_cast<uint32_t>(
        std::min<uint64_t>(std::max<uint64_t>(1, units) * unit, segment.rows));
  }

  void Report(JobStage stage, uint32_t done) const {
    if (options_.progress) options_.progress(stage, done, plan_.count());
  }

  JobSource& source_;
  base::ByteSink& sink_;
  const Operation& operation_;
  Executor& executor_;
  const JobOptions& options_;
  std::unique_ptr<codec::Decoder> decoder_;
  TransformSpec spec_;
  ImageShape shape_;
  Plan plan_;
  JobResult result_;
};

absl::StatusOr<JobResult> RunWhole(const codec::ImageInfo& info, std::span<const uint8_t> file,
                                   base::ByteSink& sink, const Operation& operation,
                                   Executor& executor, const JobOptions& options) {
  HISTEQ_ASSIGN_OR_RETURN(ProcessedImage processed,
                          executor.ProcessImage(file, operation, options.limits, options.token));
  const auto report = [&](JobStage stage) {
    if (options.progress) options.progress(stage, 1, 1);
  };
  report(JobStage::kAnalyze);
  if (operation.kind != Operation::Kind::kAnalyze) {
    HISTEQ_RETURN_IF_ERROR(sink.Write(processed.file));
    report(JobStage::kTransform);
  }
  JobResult result;
  result.info = info;
  result.pixels = processed.pixels;
  result.segments = 1;
  result.result_bytes = std::move(processed.result_bytes);
  result.statistics = std::move(processed.statistics);
  return result;
}

// Thumbnails of the image as it is. Progress goes by decoded rows, in hundredths.
absl::StatusOr<JobResult> RunThumbnails(base::ByteSource& source, base::ByteSink& sink,
                                        const Operation& operation, const JobOptions& options) {
  JobResult result;
  result.segments = 1;
  uint32_t reported = 0;
  const auto progress = [&](uint32_t rows, uint32_t height) {
    constexpr uint64_t kSteps = 100;
    const auto done = static_cast<uint32_t>(kSteps * rows / height);
    if (options.progress && done != std::exchange(reported, done))
      options.progress(JobStage::kTransform, done, kSteps);
  };
  HISTEQ_ASSIGN_OR_RETURN(result.info, MakeThumbnails(source, sink, operation.thumbnails, options,
                                                      progress, result.result_bytes));
  result.pixels = uint64_t{result.info.width} * result.info.height;
  return result;
}

}  // namespace

absl::StatusOr<JobResult> RunJob(base::ByteSource& source, base::ByteSink& sink,
                                 const Operation& operation, Executor& executor,
                                 const JobOptions& options) {
  HISTEQ_RETURN_IF_ERROR(options.token.Check());
  JobSource all(source, options.token);
  if (options.small_image_bytes > 0) {
    HISTEQ_ASSIGN_OR_RETURN(const bool whole, all.Peek(options.small_image_bytes));
    if (whole) {
      base::MemorySource head(all.peeked());
      HISTEQ_ASSIGN_OR_RETURN(const codec::ImageInfo info, codec::ProbeImage(head, options.limits));
      HISTEQ_RETURN_IF_ERROR(CheckOperation(operation, info));
      if (IsDoneWhole(operation, info))
        return RunWhole(info, all.peeked(), sink, operation, executor, options);
    }
  }
  if (MakesThumbnails(operation) && !Equalizes(operation)) {
    HISTEQ_RETURN_IF_ERROR(CheckOperationForShape(operation, {}));
    return RunThumbnails(all, sink, operation, options);
  }
  return Job(all, sink, operation, executor, options).Run();
}

}  // namespace histeq::engine
