// Small jobs through running services, from upload to result:
//   small_jobs FRONTEND_ADDRESS JPEG [--jobs N] [--parallel N] [--alone N] [--process NAME=PID]...
// Uploads N different copies of a picture to be equalized, watches each job, and receives the
// result. First one after the other on an idle system (median and 99th percentile, by stage), then
// many at once (jobs a second, by stage, and the processor time that each process took for a job).

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "histeq/v1/frontend.grpc.pb.h"
#include "rpc/channel.h"
#include "rpc/chunk.h"

namespace histeq {
namespace {

using Clock = std::chrono::steady_clock;

double MillisecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

double Milliseconds(const google::protobuf::Timestamp& from,
                    const google::protobuf::Timestamp& to) {
  return static_cast<double>(to.seconds() - from.seconds()) * 1e3 +
         static_cast<double>(to.nanos() - from.nanos()) * 1e-6;
}

[[noreturn]] void Die(const std::string& why) {
  fmt::print(stderr, "small_jobs: {}\n", why);
  std::exit(1);
}

// The picture with a comment that no other copy has, so that nothing is there already.
std::string Copy(const std::string& jpeg, const std::string& name) {
  std::string comment = "\xFF\xFE";
  const size_t size = name.size() + 2;
  comment.push_back(static_cast<char>(size >> 8));
  comment.push_back(static_cast<char>(size & 255));
  return jpeg.substr(0, 2) + comment + name + jpeg.substr(2);
}

struct Times {
  // What the client waited for: the acknowledgement of the upload, and the result.
  double upload = 0;
  double total = 0;
  // By the frontend's clock: in the queue, and from the lease to the end.
  double queued = 0;
  double run = 0;
};

Times RunOne(v1::Frontend::Stub& stub, const std::string& jpeg, const std::string& id) {
  Times times;
  const std::string file = Copy(jpeg, id);
  const Clock::time_point begin = Clock::now();
  v1::UploadImageResponse uploaded;
  {
    grpc::ClientContext context;
    const auto writer = stub.UploadImage(&context, &uploaded);
    v1::UploadImageRequest message;
    v1::UploadImageRequest::Header& header = *message.mutable_header();
    header.set_upload_id(id);
    header.set_name(id + ".jpg");
    header.set_size_bytes(file.size());
    header.mutable_operation()->mutable_equalize();
    writer->Write(message, grpc::WriteOptions().set_buffer_hint());
    for (size_t offset = 0; offset < file.size(); offset += rpc::kChunkBytes) {
      message.mutable_chunk()->set_data(file.substr(offset, rpc::kChunkBytes));
      rpc::SealChunk(offset, *message.mutable_chunk());
      writer->Write(message);
    }
    writer->WritesDone();
    if (const grpc::Status status = writer->Finish(); !status.ok()) Die(status.error_message());
  }
  times.upload = MillisecondsSince(begin);
  v1::Job job;
  uint64_t bytes = 0;
  {
    grpc::ClientContext context;
    v1::WatchJobRequest request;
    request.set_job_id(uploaded.job().id());
    request.set_send_result(true);
    const auto reader = stub.WatchJob(&context, request);
    v1::WatchJobResponse response;
    while (reader->Read(&response)) {
      if (response.has_job()) job = response.job();
      if (response.has_chunk()) bytes += response.chunk().data().size();
    }
    if (const grpc::Status status = reader->Finish(); !status.ok()) Die(status.error_message());
  }
  times.total = MillisecondsSince(begin);
  if (job.state() != v1::JOB_STATE_SUCCEEDED || bytes == 0) Die(job.ShortDebugString());
  times.queued = Milliseconds(job.create_time(), job.start_time());
  times.run = Milliseconds(job.start_time(), job.end_time());
  return times;
}

double Percentile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1,
                         static_cast<size_t>(share * static_cast<double>(values.size())))];
}

void Print(const char* title, const std::vector<Times>& all) {
  fmt::print("{:<28}{:>10}{:>10}{:>10}\n", title, "median", "p99", "largest");
  const auto row = [&](const char* name, double Times::*member) {
    std::vector<double> values;
    for (const Times& times : all) values.push_back(times.*member);
    fmt::print("  {:<26}{:>10.2f}{:>10.2f}{:>10.2f}\n", name, Percentile(values, 0.5),
               Percentile(values, 0.99), Percentile(values, 1));
  };
  row("upload acknowledged, ms", &Times::upload);
  row("in the queue, ms", &Times::queued);
  row("lease to end, ms", &Times::run);
  row("upload to result, ms", &Times::total);
}

// Processor time so far, of all its threads.
double CpuMilliseconds(const std::string& pid) {
  std::ifstream in("/proc/" + pid + "/stat");
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  // After the name in parentheses, which may have spaces, the 12th and 13th: user and system.
  std::istringstream fields(text.substr(std::min(text.size(), text.rfind(')') + 2)));
  std::string field;
  double ticks = 0;
  for (int i = 0; i < 13 && fields >> field; ++i) {
    if (i >= 11) ticks += std::strtod(field.c_str(), nullptr);
  }
  return ticks * 1e3 / static_cast<double>(sysconf(_SC_CLK_TCK));
}

int Main(int argc, char** argv) {
  if (argc < 3) Die("small_jobs ADDRESS JPEG [--jobs N] [--parallel N] [--alone N]");
  size_t jobs = 5000;
  size_t parallel = 64;
  size_t alone = 200;
  std::vector<std::pair<std::string, std::string>> processes = {{"client", "self"}};
  for (int i = 3; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--process") {
      const std::string process = argv[i + 1];
      const size_t equals = std::min(process.find('='), process.size() - 1);
      processes.emplace_back(process.substr(0, equals), process.substr(equals + 1));
      continue;
    }
    size_t& value = flag == "--jobs" ? jobs : flag == "--parallel" ? parallel : alone;
    value = std::strtoull(argv[i + 1], nullptr, 10);
  }
  std::ifstream in(argv[2], std::ios::binary);
  const std::string jpeg((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (jpeg.size() < 4) Die("the picture cannot be read");
  const std::string run = fmt::format("b{}", Clock::now().time_since_epoch().count());
  const auto stub = v1::Frontend::NewStub(rpc::MakeChannel(argv[1]));

  std::vector<Times> single(alone);
  RunOne(*stub, jpeg, run + "-warm");
  for (size_t i = 0; i < alone; ++i) single[i] = RunOne(*stub, jpeg, fmt::format("{}-a{}", run, i));
  if (alone > 0) Print(fmt::format("{} jobs, one at a time", alone).c_str(), single);

  std::vector<Times> many(jobs);
  std::atomic<size_t> next = 0;
  const Clock::time_point begin = Clock::now();
  std::vector<double> cpu;
  for (const auto& [name, pid] : processes) cpu.push_back(CpuMilliseconds(pid));
  std::vector<std::thread> threads;
  for (size_t t = 0; t < parallel; ++t) {
    threads.emplace_back([&] {
      for (size_t i; (i = next++) < jobs;)
        many[i] = RunOne(*stub, jpeg, fmt::format("{}-m{}", run, i));
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double seconds = MillisecondsSince(begin) / 1e3;
  if (jobs > 0) {
    Print(fmt::format("{} jobs, {} at once", jobs, parallel).c_str(), many);
    double all = 0;
    for (size_t i = 0; i < processes.size(); ++i) {
      const double each =
          (CpuMilliseconds(processes[i].second) - cpu[i]) / static_cast<double>(jobs);
      all += each;
      fmt::print("  processor ms a job: {:<19}{:>10.2f}\n", processes[i].first, each);
    }
    fmt::print("  processor ms a job: {:<19}{:>10.2f}\n", "all", all);
    fmt::print("{:.0f} jobs/s\n", static_cast<double>(jobs) / seconds);
  }

  // Warm reads of one image.
  v1::ListImagesRequest list;
  list.set_page_size(1);
  v1::ListImagesResponse images;
  grpc::ClientContext context;
  if (!stub->ListImages(&context, list, &images).ok() || images.images().empty()) Die("no images");
  constexpr size_t kReads = 20'000;
  std::atomic<size_t> read = 0;
  const Clock::time_point reading = Clock::now();
  threads.clear();
  for (size_t t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      v1::GetImageRequest request;
      request.set_image_id(images.images(0).id());
      v1::GetImageResponse response;
      while (read++ < kReads) {
        grpc::ClientContext one;
        if (!stub->GetImage(&one, request, &response).ok()) Die("GetImage failed");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  fmt::print("{:.0f} GetImage/s, 8 at once\n", kReads / (MillisecondsSince(reading) / 1e3));
  return 0;
}

}  // namespace
}  // namespace histeq

int main(int argc, char** argv) { return histeq::Main(argc, argv); }
