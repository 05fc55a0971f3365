// Products as OpenCV computes them in `float`, in integers: each step rounded to 24 significant
// bits, ties to even.
#ifndef HISTEQ_SRC_FLOAT24_H_
#define HISTEQ_SRC_FLOAT24_H_

#include <bit>
#include <cstddef>
#include <cstdint>

namespace histeq::internal {

// value >> shift, rounded to nearest, ties to even.
inline uint64_t ShiftRounded(uint64_t value, uint32_t shift) {
  if (shift == 0) return value;
  if (shift > 63) return 0;
  const uint64_t half = uint64_t{1} << (shift - 1);
  const uint64_t whole = value >> shift;
  return whole + (((value & (2 * half - 1)) + (whole & 1)) > half ? 1 : 0);
}

// mantissa * 2^exponent.
struct Float24 {
  uint64_t mantissa;
  int exponent;
};

// To 24 significant bits.
inline Float24 Round24(uint64_t value) {
  const int bits = 64 - std::countl_zero(value);
  if (bits <= 24) return {value, 0};
  return {ShiftRounded(value, static_cast<uint32_t>(bits - 24)), bits - 24};
}

// largest / float(divisor), rounded; 1 <= largest <= 65535, divisor > 0.
inline Float24 Quotient24(uint32_t largest, uint64_t divisor) {
  const Float24 d = Round24(divisor);
  const int shift = std::countl_zero(uint64_t{largest}) - 1;
  const uint64_t numerator = uint64_t{largest} << shift;
  // The last bit says whether there is a remainder, far below the last bit that is kept.
  const uint64_t quotient = ((numerator / d.mantissa) << 1) | (numerator % d.mantissa != 0 ? 1 : 0);
  Float24 rounded = Round24(quotient);
  rounded.exponent -= shift + d.exponent + 1;
  return rounded;
}

// round(float(sum) * scale), at most `largest`.
inline uint32_t ScaledSum(uint64_t sum, Float24 scale, uint32_t largest) {
  const Float24 rounded_sum = Round24(sum);
  const Float24 product = Round24(rounded_sum.mantissa * scale.mantissa);
  const int exponent = product.exponent + rounded_sum.exponent + scale.exponent;
  if (exponent >= 0) {
    if (product.mantissa == 0) return 0;
    return exponent > 16 || (product.mantissa << exponent) > largest
               ? largest
               : static_cast<uint32_t>(product.mantissa << exponent);
  }
  const uint64_t whole = ShiftRounded(product.mantissa, static_cast<uint32_t>(-exponent));
  return whole > largest ? largest : static_cast<uint32_t>(whole);
}

// ScaledSum for many sums of up to `most` and one scale. The product is rounded twice, to 24 bits
// and to a whole number; once is enough when it is not near a half.
class ScaledSums {
 public:
  ScaledSums(Float24 scale, uint64_t most, uint32_t largest) : scale_(scale), largest_(largest) {
    if (most >> 24 != 0 || scale.exponent >= 0 || scale.exponent <= -56) return;
    shift_ = static_cast<uint32_t>(-scale.exponent);
    half_ = uint64_t{1} << (shift_ - 1);
    // Rounding to 24 bits moves no product by more than this.
    error_ = ((most * scale.mantissa) >> 24) + 1;
    window_ = error_ < half_ ? 2 * (half_ - error_) : 0;
  }

  uint32_t operator()(uint64_t sum) const {
    const uint64_t shifted = sum * scale_.mantissa + half_;
    // The whole number changes at multiples of 2 half_.
    const uint64_t fraction = shifted & (2 * half_ - 1);
    if (fraction - error_ >= window_) return ScaledSum(sum, scale_, largest_);
    const uint64_t whole = shifted >> shift_;
    return whole > largest_ ? largest_ : static_cast<uint32_t>(whole);
  }

  // What vectors need to do the same: (sum * mantissa + half) >> shift, where the product is not
  // within `error` of a half.
  struct Once {
    uint32_t mantissa;
    uint32_t shift;
    uint64_t half;
    uint64_t error;
    uint64_t window;  // Zero: always twice.
  };
  Once once() const {
    return {static_cast<uint32_t>(scale_.mantissa), shift_, half_, error_, window_};
  }

 private:
  Float24 scale_;
  uint32_t largest_;
  uint32_t shift_ = 1;
  uint64_t half_ = 1;
  uint64_t error_ = 0;
  // Zero: always twice.
  uint64_t window_ = 0;
};

}  // namespace histeq::internal

#endif  // HISTEQ_SRC_FLOAT24_H_
