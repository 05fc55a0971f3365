// A job that is cancelled in the middle of a segment does not come to the segment's end.
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

#include "engine/operation.h"
#include "engine/segment_work.h"

namespace histeq::engine {
namespace {

// Samples of which one page, when it is touched first, has the token cancelled before anything goes
// on; and one page near the end, which notes that it was touched. One object at a time.
class WatchedSamples {
 public:
  explicit WatchedSamples(size_t size) : size_(size) {
    void* const memory =
        mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    data_ = static_cast<uint8_t*>(memory);
    for (size_t i = 0; i < size; ++i) data_[i] = static_cast<uint8_t>(i * 2654435761u >> 24);
    middle_.page = PageAt(size / 4);
    end_.page = PageAt(size - size / 8);
    current_ = this;
    struct sigaction action = {};
    action.sa_sigaction = Touched;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, &before_);
    for (const Page* page : {&middle_, &end_}) mprotect(page->page, kPage, PROT_NONE);
    canceller_ = std::thread([this] {
      while (!middle_.touched && !ending_) sched_yield();
      if (middle_.touched) cancel_.Cancel(absl::AbortedError("the lease is lost"));
      cancelled_ = true;
    });
  }
  ~WatchedSamples() {
    ending_ = true;
    canceller_.join();
    sigaction(SIGSEGV, &before_, nullptr);
    munmap(data_, size_);
  }

  std::span<uint8_t> span() { return {data_, size_}; }
  base::CancelToken token() const { return cancel_.token(); }
  bool middle_touched() const { return middle_.touched; }
  bool end_touched() const { return end_.touched; }

 private:
  static constexpr size_t kPage = 4096;
  struct Page {
    uint8_t* page = nullptr;
    std::atomic<bool> touched = false;
  };
  uint8_t* PageAt(size_t offset) { return data_ + offset / kPage * kPage; }

  // On the thread that touches, in the middle of its instruction, which is then done again.
  static void Touched(int, siginfo_t* info, void*) {
    WatchedSamples& self = *current_;
    auto* const at = static_cast<uint8_t*>(info->si_addr);
    for (Page* page : {&self.middle_, &self.end_}) {
      if (at < page->page || at >= page->page + kPage) continue;
      mprotect(page->page, kPage, PROT_READ | PROT_WRITE);
      page->touched = true;
      while (page == &self.middle_ && !self.cancelled_) sched_yield();
      return;
    }
    // A real fault.
    signal(SIGSEGV, SIG_DFL);
  }

  static WatchedSamples* current_;
  const size_t size_;
  uint8_t* data_ = nullptr;
  Page middle_, end_;
  struct sigaction before_ = {};
  base::CancelSource cancel_;
  std::atomic<bool> cancelled_ = false;
  std::atomic<bool> ending_ = false;
  std::thread canceller_;
};

WatchedSamples* WatchedSamples::current_ = nullptr;

constexpr uint32_t kWidth = 4096;
constexpr uint32_t kHeight = 2048;

codec::JpegEncodeSpec Jpeg(codec::JpegColorTransform transform, size_t components) {
  codec::JpegEncodeSpec jpeg;
  jpeg.color_transform = transform;
  jpeg.components.assign(components, {1, 1, 0});
  jpeg.quant_tables.resize(1);
  jpeg.quant_tables[0].fill(16);
  return jpeg;
}

TransformSpec Spec(uint32_t channels, uint32_t unit_rows) {
  TransformSpec spec;
  spec.layout.planes = {{kWidth, kWidth, channels, 1, 1}};
  spec.layout.unit_rows = unit_rows;
  spec.encode = {kWidth, kHeight, codec::PngEncodeSpec{.channels = channels}};
  const std::vector<uint8_t> table(256, 5);
  spec.mapping = std::make_shared<Mapping>(
      *Mapping::FromBytes(spec.parameters, ShapeOf(spec.layout, kHeight), table));
  return spec;
}

}  // namespace

TEST_CASE("a segment ends soon after its token is cancelled") {
  TransformSpec spec = Spec(1, 1);
  bool maps = false;
  SECTION("while it is mapped") { maps = true; }
  SECTION("while it is filtered and deflated") {}
  SECTION("while planes become JPEG") {
    spec = Spec(1, 8);
    spec.encode.format = Jpeg(codec::JpegColorTransform::kGray, 1);
  }
  SECTION("while pixels become JPEG") {
    spec = Spec(3, 8);
    spec.encode.format = Jpeg(codec::JpegColorTransform::kRgbToYCbCr, 3);
  }
  WatchedSamples samples(codec::SegmentBytes(spec.layout, kHeight));
  const auto fragment =
      maps ? TransformSegment(spec, {0, 0, kHeight}, samples.span(), samples.token())
           : codec::EncodeFragment(spec.encode, spec.layout, 0, kHeight, samples.span(),
                                   samples.token());
  CHECK(samples.middle_touched());
  CHECK_FALSE(samples.end_touched());
  CHECK(fragment.status() == absl::AbortedError("the lease is lost"));
}

TEST_CASE("a segment whose token is cancelled already is not touched") {
  const TransformSpec spec = Spec(1, 1);
  std::vector<uint8_t> samples(codec::SegmentBytes(spec.layout, kHeight), 77);
  base::CancelSource cancel;
  cancel.Cancel(absl::AbortedError("the lease is lost"));
  const auto fragment = TransformSegment(spec, {0, 0, kHeight}, samples, cancel.token());
  CHECK(fragment.status() == absl::AbortedError("the lease is lost"));
  CHECK(std::count(samples.begin(), samples.end(), 77) == static_cast<ptrdiff_t>(samples.size()));
}

}  // namespace histeq::engine
