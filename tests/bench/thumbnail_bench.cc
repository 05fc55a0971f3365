// How many thumbnails a second, by threads that each take the next image of a list:
//   thumbnail_bench [--size N] [--threads N] [--repeat N] [--format jpeg|png] [--fit
//   inside|cover|exact] [--linear] [-o FOLDER] FILE...
// Prints images, seconds, images a second, and megapixels of source a second. With -o the
// thumbnails are kept.

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "engine/run_job.h"
#include "engine/thread_executor.h"

namespace histeq::engine {
namespace {

class FileSource final : public base::ByteSource {
 public:
  explicit FileSource(const std::string& path) : in_(path, std::ios::binary) {}
  absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) override {
    in_.read(reinterpret_cast<char*>(buffer.data()), static_cast<std::streamsize>(buffer.size()));
    return static_cast<size_t>(in_.gcount());
  }

 private:
  std::ifstream in_;
};

class MemorySink final : public base::ByteSink {
 public:
  absl::Status Write(std::span<const uint8_t> more) override {
    bytes.insert(bytes.end(), more.begin(), more.end());
    return absl::OkStatus();
  }
  std::vector<uint8_t> bytes;
};

struct Arguments {
  ThumbnailParameters thumbnail = {.width = 256, .height = 256};
  unsigned threads = 1;
  int repeat = 1;
  std::string folder;
  std::vector<std::string> files;
};

Arguments Parse(int argc, char** argv) {
  Arguments out;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const auto value = [&] { return std::string(i + 1 < argc ? argv[++i] : ""); };
    if (argument == "--size") {
      out.thumbnail.width = out.thumbnail.height = static_cast<uint32_t>(std::stoul(value()));
    } else if (argument == "--threads") {
      out.threads = static_cast<unsigned>(std::stoul(value()));
    } else if (argument == "--repeat") {
      out.repeat = std::stoi(value());
    } else if (argument == "--format") {
      out.thumbnail.format =
          value() == "png" ? codec::ImageFormat::kPng : codec::ImageFormat::kJpeg;
    } else if (argument == "--fit") {
      const std::string fit = value();
      out.thumbnail.fit = fit == "cover"   ? ThumbnailParameters::Fit::kCover
                          : fit == "exact" ? ThumbnailParameters::Fit::kExact
                                           : ThumbnailParameters::Fit::kInside;
    } else if (argument == "--linear") {
      out.thumbnail.linear_light = true;
    } else if (argument == "-o") {
      out.folder = value();
    } else {
      out.files.push_back(argument);
    }
  }
  return out;
}

int Main(int argc, char** argv) {
  const Arguments arguments = Parse(argc, argv);
  const size_t count = arguments.files.size() * static_cast<size_t>(arguments.repeat);
  std::atomic<size_t> next = 0;
  std::atomic<uint64_t> pixels = 0;
  std::atomic<int> failed = 0;
  const auto work = [&] {
    InlineExecutor executor;
    base::MemoryBudget budget(int64_t{256} << 20);
    JobOptions options;
    options.budget = &budget;
    options.small_image_bytes = 0;
    Operation operation;
    operation.kind = Operation::Kind::kThumbnail;
    operation.thumbnails = {arguments.thumbnail};
    for (size_t i; (i = next++) < count;) {
      const std::string& path = arguments.files[i % arguments.files.size()];
      FileSource source(path);
      MemorySink sink;
      const auto result = RunJob(source, sink, operation, executor, options);
      if (!result.ok()) {
        std::fprintf(stderr, "%s: %s\n", path.c_str(), result.status().ToString().c_str());
        ++failed;
        continue;
      }
      pixels += result->pixels;
      if (arguments.folder.empty()) continue;
      const auto format = arguments.thumbnail.format.value_or(result->info.format);
      const auto name =
          std::filesystem::path(path).filename().string() + "_thumb." + codec::FormatName(format);
      std::ofstream(std::filesystem::path(arguments.folder) / name, std::ios::binary)
          .write(reinterpret_cast<const char*>(sink.bytes.data()),
                 static_cast<std::streamsize>(sink.bytes.size()));
    }
  };
  const auto begin = std::chrono::steady_clock::now();
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < arguments.threads; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  fmt::print("images {} failed {} seconds {:.3f} images/s {:.1f} Mpixel/s {:.1f}\n", count,
             failed.load(), seconds, count / seconds, pixels / seconds / 1e6);
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace histeq::engine

int main(int argc, char** argv) { return histeq::engine::Main(argc, argv); }
