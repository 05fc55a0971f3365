#include "rpc/write_behind.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <future>
#include <random>

namespace histeq::rpc {
namespace {

std::string Piece(size_t size, char byte) { return std::string(size, byte); }

TEST_CASE("pieces arrive whole and in order, whatever their sizes") {
  std::mt19937 random(3);
  std::string sent;
  std::string arrived;
  WriteBehind behind([&](std::span<const uint8_t> bytes) {
    arrived.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return absl::OkStatus();
  });
  std::string piece;
  for (int i = 0; i < 200; ++i) {
    // The string that came back may hold an earlier piece.
    piece.assign(random() % 60'000, static_cast<char>(i));
    sent += piece;
    REQUIRE(behind.Push(piece).ok());
  }
  REQUIRE(sent.size() > 2 * WriteBehind::kInlineBytes);
  REQUIRE(behind.Flush().ok());
  CHECK(arrived == sent);
}

TEST_CASE("a short stream stays on the caller's thread, a long one leaves it") {
  const std::thread::id caller = std::this_thread::get_id();
  std::atomic<bool> elsewhere = false;
  WriteBehind behind([&](std::span<const uint8_t>) {
    elsewhere = elsewhere || std::this_thread::get_id() != caller;
    return absl::OkStatus();
  });
  std::string piece = Piece(WriteBehind::kInlineBytes, 'a');
  REQUIRE(behind.Push(piece).ok());
  CHECK_FALSE(elsewhere);
  piece = Piece(10, 'b');
  REQUIRE(behind.Push(piece).ok());
  REQUIRE(behind.Flush().ok());
  CHECK(elsewhere);
}

TEST_CASE("the first error stays, and nothing is written after it") {
  int calls = 0;
  WriteBehind behind([&](std::span<const uint8_t> bytes) {
    ++calls;
    return bytes.size() == 3 ? absl::DataLossError("three") : absl::OkStatus();
  });
  std::string piece = Piece(WriteBehind::kInlineBytes, 'a');
  REQUIRE(behind.Push(piece).ok());
  piece = "abc";
  REQUIRE(behind.Push(piece).ok());
  CHECK(behind.Flush().message() == "three");
  piece = "more";
  CHECK(behind.Push(piece).message() == "three");
  CHECK(behind.Flush().message() == "three");
  CHECK(calls == 2);

  WriteBehind at_once([&](std::span<const uint8_t>) { return absl::DataLossError("first"); });
  piece = "x";
  CHECK(at_once.Push(piece).message() == "first");
  CHECK(at_once.Flush().message() == "first");
}

TEST_CASE("what waits is bounded, and given up when it ends") {
  std::promise<void> gate;
  std::shared_future<void> open = gate.get_future().share();
  std::atomic<size_t> pushed = 0;
  std::atomic<int> written = 0;
  auto behind = std::make_unique<WriteBehind>([&](std::span<const uint8_t> bytes) {
    if (bytes.size() == 1) open.wait();
    ++written;
    return absl::OkStatus();
  });
  std::string piece = Piece(WriteBehind::kInlineBytes, 'a');
  REQUIRE(behind->Push(piece).ok());
  std::thread pusher([&] {
    std::string one;
    for (size_t i = 0; i < 20; ++i) {
      one = "1";
      if (!behind->Push(one).ok()) return;
      ++pushed;
    }
  });
  // One is being written, and kMaxPieces wait.
  while (pushed < WriteBehind::kMaxPieces) std::this_thread::yield();
  CHECK(pushed <= WriteBehind::kMaxPieces + 1);
  CHECK(written == 1);
  gate.set_value();
  pusher.join();
  REQUIRE(behind->Flush().ok());
  CHECK(written == 21);
}

}  // namespace
}  // namespace histeq::rpc
