#include "png_filter.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace histeq::codec {
namespace {

// The loops are written so that compilers make vector code of them: no branches, no dependence of a
// byte on the result before it.

uint64_t Magnitude(const uint8_t* __restrict bytes, size_t size) {
  uint64_t sum = 0;
  // Blocks, so that the inner sum stays in 32 bits.
  for (size_t at = 0; at < size; at += 1 << 16) {
    const size_t end = std::min(size, at + (1 << 16));
    uint32_t block = 0;
    for (size_t i = at; i < end; ++i)
      block += std::min<uint8_t>(bytes[i], static_cast<uint8_t>(-bytes[i]));
    sum += block;
  }
  return sum;
}

void Sub(const uint8_t* __restrict row, size_t size, size_t pixel, uint8_t* __restrict out) {
  std::memcpy(out, row, pixel);
  for (size_t i = pixel; i < size; ++i) out[i] = static_cast<uint8_t>(row[i] - row[i - pixel]);
}

void Up(const uint8_t* __restrict row, const uint8_t* __restrict above, size_t size,
        uint8_t* __restrict out) {
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<uint8_t>(row[i] - above[i]);
}

void Average(const uint8_t* __restrict row, const uint8_t* __restrict above, size_t size,
             size_t pixel, uint8_t* __restrict out) {
  for (size_t i = 0; i < pixel; ++i) out[i] = static_cast<uint8_t>(row[i] - (above[i] >> 1));
  for (size_t i = pixel; i < size; ++i)
    out[i] = static_cast<uint8_t>(row[i] - ((row[i - pixel] + above[i]) >> 1));
}

void Paeth(const uint8_t* __restrict row, const uint8_t* __restrict above, size_t size,
           size_t pixel, uint8_t* __restrict out) {
  for (size_t i = 0; i < pixel; ++i) out[i] = static_cast<uint8_t>(row[i] - above[i]);
  for (size_t i = pixel; i < size; ++i) {
    const int16_t a = row[i - pixel];
    const int16_t b = above[i];
    const int16_t c = above[i - pixel];
    const auto from_a = static_cast<int16_t>(b - c);
    const auto from_b = static_cast<int16_t>(a - c);
    const auto from_c = static_cast<int16_t>(from_a + from_b);
    const auto pa = static_cast<int16_t>(from_a < 0 ? -from_a : from_a);
    const auto pb = static_cast<int16_t>(from_b < 0 ? -from_b : from_b);
    const auto pc = static_cast<int16_t>(from_c < 0 ? -from_c : from_c);
    const int16_t b_or_c = pb <= pc ? b : c;
    const int16_t best = ((pa <= pb) & (pa <= pc)) ? a : b_or_c;
    out[i] = static_cast<uint8_t>(row[i] - best);
  }
}

}  // namespace

PngRowFilter::PngRowFilter(size_t row_bytes, size_t pixel_bytes)
    : row_bytes_(row_bytes), pixel_bytes_(pixel_bytes), best_(row_bytes), candidate_(row_bytes) {}

void PngRowFilter::Filter(const uint8_t* row, const uint8_t* above, uint8_t* out) {
  uint8_t number = 0;
  uint64_t least = Magnitude(row, row_bytes_);
  auto consider = [&](uint8_t candidate_number) {
    const uint64_t magnitude = Magnitude(candidate_.data(), row_bytes_);
    if (magnitude >= least) return;
    least = magnitude;
    number = candidate_number;
    std::swap(best_, candidate_);
  };
  Sub(row, row_bytes_, pixel_bytes_, candidate_.data());
  consider(1);
  if (above != nullptr) {
    Up(row, above, row_bytes_, candidate_.data());
    consider(2);
    Average(row, above, row_bytes_, pixel_bytes_, candidate_.data());
    consider(3);
    Paeth(row, above, row_bytes_, pixel_bytes_, candidate_.data());
    consider(4);
  }
  out[0] = number;
  std::memcpy(out + 1, number == 0 ? row : best_.data(), row_bytes_);
}

}  // namespace histeq::codec
