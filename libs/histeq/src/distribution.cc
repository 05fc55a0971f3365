#include "distribution.h"

#include <bit>
#include <cstddef>
#include <iterator>

namespace histeq::internal {
namespace {

// exp(-2^k) in 1.63 bits, k from 3 down to -32.
constexpr uint64_t kExp[] = {
    0x000afe10820813d6u,  // exp(-2^3)
    0x02582ab704279e8fu,  // exp(-2^2)
    0x1152aaa3bf81cba0u,  // exp(-2^1)
    0x2f16ac6c59de6f8du,  // exp(-2^0)
    0x4da2cbf1be5827fau,  // exp(-2^-1)
    0x63afbe7ab2082ba2u,  // exp(-2^-2)
    0x70f5a893b608861eu,  // exp(-2^-3)
    0x783eafef1c0a8f39u,  // exp(-2^-4)
    0x7c0fd5aa22d75e45u,  // exp(-2^-5)
    0x7e03faaffbbe924au,  // exp(-2^-6)
    0x7f00ff55aa8893e6u,  // exp(-2^-7)
    0x7f803feaaffeef1cu,  // exp(-2^-8)
    0x7fc00ffd55aaa223u,  // exp(-2^-9)
    0x7fe003ffaaafffbcu,  // exp(-2^-10)
    0x7ff000fff555aaa9u,  // exp(-2^-11)
    0x7ff8003ffeaab000u,  // exp(-2^-12)
    0x7ffc000fffd555abu,  // exp(-2^-13)
    0x7ffe0003fffaaab0u,  // exp(-2^-14)
    0x7fff0000ffff5556u,  // exp(-2^-15)
    0x7fff80003fffeaabu,  // exp(-2^-16)
    0x7fffc0000ffffd55u,  // exp(-2^-17)
    0x7fffe00003ffffabu,  // exp(-2^-18)
    0x7ffff00000fffff5u,  // exp(-2^-19)
    0x7ffff800003fffffu,  // exp(-2^-20)
    0x7ffffc0000100000u,  // exp(-2^-21)
    0x7ffffe0000040000u,  // exp(-2^-22)
    0x7fffff0000010000u,  // exp(-2^-23)
    0x7fffff8000004000u,  // exp(-2^-24)
    0x7fffffc000001000u,  // exp(-2^-25)
    0x7fffffe000000400u,  // exp(-2^-26)
    0x7ffffff000000100u,  // exp(-2^-27)
    0x7ffffff800000040u,  // exp(-2^-28)
    0x7ffffffc00000010u,  // exp(-2^-29)
    0x7ffffffe00000004u,  // exp(-2^-30)
    0x7fffffff00000001u,  // exp(-2^-31)
    0x7fffffff80000000u,  // exp(-2^-32)
};

// exp(-t) in 1.63 bits, t in 4.32 bits: the product of the factors that t's bits select.
uint64_t ExpOfMinus(uint64_t t) {
  uint64_t product = uint64_t{1} << 63;
  for (size_t bit = 0; bit < std::size(kExp); ++bit) {
    if ((t >> (35 - bit) & 1) == 0) continue;
    product = static_cast<uint64_t>((static_cast<unsigned __int128>(product) * kExp[bit]) >> 63);
  }
  return product;
}

}  // namespace

void FillDistribution(Distribution distribution, uint32_t largest, uint64_t* weights) {
  const auto bits = static_cast<uint32_t>(std::popcount(largest));
  for (uint64_t value = 0; value <= largest; ++value) {
    switch (distribution) {
      case Distribution::kNone:
      case Distribution::kUniform:
        weights[value] = 1;
        break;
      case Distribution::kGaussian: {
        // (value - largest / 2)^2 / (2 sigma^2) with sigma = 2^bits / 6.
        const uint64_t twice = 2 * value > largest ? 2 * value - largest : largest - 2 * value;
        const auto t = static_cast<uint64_t>(
            (static_cast<unsigned __int128>(twice * twice * 9) << 31) >> (2 * bits));
        weights[value] = ExpOfMinus(t) >> 31;
        break;
      }
      case Distribution::kRayleigh: {
        // value / s^2 * exp(-value^2 / (2 s^2)) with s = 2^bits / 4; the constant factor does not
        // matter.
        const auto t = static_cast<uint64_t>(
            (static_cast<unsigned __int128>(value * value * 8) << 32) >> (2 * bits));
        weights[value] = (ExpOfMinus(t) >> 32) * value;
        break;
      }
    }
  }
}

}  // namespace histeq::internal
