// How fast the catalog acknowledges: whole job cycles (begin and finish an upload, lease,
// complete), each step durable, and reads.
//
//   store_bench [FOLDER [CYCLES [QUEUED [ONLY [THREADS]]]]]
//
// FOLDER: where the catalog is made (default: the temporary folder; give one on the disk to be
// measured). CYCLES: for each figure (default 4000). QUEUED: jobs that wait in the queue meanwhile
// (default 0). ONLY: the figures with this in their names (default all), THREADS: with so many
// threads.

#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "store/sqlite_catalog.h"

namespace histeq::store {
namespace {

ImageFacts Facts(const std::string& location) {
  ImageFacts facts;
  facts.location = location;
  facts.sha256 = Sha256Of({reinterpret_cast<const uint8_t*>(location.data()), location.size()});
  facts.size_bytes = 100'000;
  facts.width = facts.height = 512;
  facts.channels = 3;
  facts.bits_per_sample = 8;
  return facts;
}

template <typename T>
T Must(absl::StatusOr<T> result) {
  if (result.ok()) return *std::move(result);
  std::fprintf(stderr, "%s\n", result.status().ToString().c_str());
  std::exit(1);
}

JobSpec Spec(const std::string& operation) {
  JobSpec spec;
  spec.operation = operation;
  JobOutput& output = spec.outputs.emplace_back();
  output.operation = operation;
  output.tag = "EQUALIZED";
  return spec;
}

FinishedUpload Upload(Catalog& catalog, const std::string& id) {
  UploadHeader header;
  header.upload_id = id;
  header.name = "photo.jpg";
  header.size_bytes = 100'000;
  header.job = Spec("equalize");
  Must(catalog.BeginUpload(header, "key-" + id));
  return Must(catalog.FinishUpload(id, Facts("blob:" + id)));
}

// Of this process, all threads together.
double ProcessorSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

std::string only_name;
int only_threads = 0;

// Prints how often `body(number)` runs in a second on `threads` threads, and what each takes.
template <typename Body>
void Measure(const char* name, int threads, int count, const Body& body) {
  if (std::string(name).find(only_name) == std::string::npos) return;
  if (only_threads > 0 && threads != only_threads) return;
  std::atomic<int> next{0};
  const double processor_begin = ProcessorSeconds();
  const auto begin = std::chrono::steady_clock::now();
  std::vector<std::thread> running;
  for (int t = 0; t < threads; ++t) {
    running.emplace_back([&] {
      for (int i = next++; i < count; i = next++) body(i);
    });
  }
  for (std::thread& thread : running) thread.join();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  std::printf("%-34s %2d threads %10.0f /s %8.3f ms each, %7.4f ms of processor time\n", name,
              threads, count / seconds.count(), 1000 * threads * seconds.count() / count,
              1000 * (ProcessorSeconds() - processor_begin) / count);
  std::fflush(stdout);
}

int Run(int argc, char** argv) {
  const std::filesystem::path base = argc > 1 ? argv[1] : std::filesystem::temp_directory_path();
  const int cycles = argc > 2 ? std::atoi(argv[2]) : 4000;
  const int queued = argc > 3 ? std::atoi(argv[3]) : 0;
  if (argc > 4) only_name = argv[4];
  if (argc > 5) only_threads = std::atoi(argv[5]);
  std::string folder = (base / "store-bench-XXXXXX").string();
  if (cycles <= 0 || mkdtemp(folder.data()) == nullptr) {
    std::fprintf(stderr, "usage: store_bench [FOLDER [CYCLES [QUEUED [ONLY [THREADS]]]]]\n");
    return 2;
  }
  {
    const auto catalog = Must(OpenSqliteCatalog(folder + "/catalog.sqlite", {}));
    const FinishedUpload first = Upload(*catalog, "first");
    const std::string image = first.image.id;
    const std::string job = first.job->id;
    if (queued > 0)
      Measure("CreateJob", 16, queued, [&](int i) {
        const std::string number = std::to_string(i);
        Must(catalog->CreateJob("q-" + number, image, Spec("equalize " + number)));
      });
    for (const int threads : {1, 8, 64}) {
      const std::string prefix = "up-" + std::to_string(threads) + "-";
      Measure("upload+lease+complete", threads, cycles, [&](int i) {
        Upload(*catalog, prefix + std::to_string(i));
        const auto lease = Must(catalog->LeaseNext("bench", 1000));
        if (!lease.has_value()) return;
        JobResult result;
        result.images.push_back(Facts("blob:r-" + lease->job.id));
        Must(catalog->Complete(lease->job.id, lease->job.epoch, result));
      });
    }
    // What the frontend asks for one small job beside its changes.
    for (const int threads : {1, 8, 64}) {
      const std::string prefix = "job-" + std::to_string(threads) + "-";
      Measure("a small job with its reads", threads, cycles, [&](int i) {
        const std::string number = prefix + std::to_string(i);
        const FinishedUpload finished = Upload(*catalog, number);
        Must(catalog->GetUpload(number));
        Must(catalog->GetJob(finished.job->id));
        const auto lease = Must(catalog->LeaseNext("bench", 0));
        if (!lease.has_value()) return;
        const std::string& id = lease->job.id;
        for (int reads = 0; reads < 2; ++reads) Must(catalog->GetLease(id, lease->job.epoch));
        Must(catalog->GetJob(id));
        JobResult result;
        result.images.push_back(Facts("blob:r-" + id));
        Must(catalog->Complete(id, lease->job.epoch, result));
        const JobRecord done = Must(catalog->GetJob(id));
        Must(catalog->GetImage(done.result_image_id));
      });
    }
    for (const int threads : {1, 8, 64}) {
      const std::string prefix = "there-" + std::to_string(threads) + "-";
      Measure("CreateJob of what is there", threads, cycles, [&](int i) {
        Must(catalog->CreateJob(prefix + std::to_string(i), image, Spec("equalize")));
      });
    }
    for (const int threads : {1, 8}) {
      Measure("GetImage", threads, 20 * cycles, [&](int) { Must(catalog->GetImage(image)); });
      Measure("DescribeImage, one derivative", threads, 20 * cycles,
              [&](int) { Must(catalog->DescribeImage(image)); });
      Measure("GetJob", threads, 20 * cycles, [&](int) { Must(catalog->GetJob(job)); });
    }
  }
  std::filesystem::remove_all(folder);
  return 0;
}

}  // namespace
}  // namespace histeq::store

int main(int argc, char** argv) { return histeq::store::Run(argc, argv); }
