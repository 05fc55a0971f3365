// Tables that change samples: what an image is changed by.
#ifndef HISTEQ_MAPPING_H_
#define HISTEQ_MAPPING_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "histeq/buffer.h"
#include "histeq/parameters.h"

namespace histeq {

// One table of 256 or 65536 entries, one for each colour channel, or one for each tile of a grid.
// Immutable after it was made, so any number of threads may apply it at once. Movable.
class Mapping {
 public:
  // An empty object: valid() is false.
  Mapping() = default;

  // A mapping whose data() was `bytes`, here or on another machine of the same byte order. Nothing
  // when the size is not the one these parameters need, or memory is short. Any content is safe to
  // apply.
  static std::optional<Mapping> FromBytes(const EqualizeParameters& parameters,
                                          const ImageShape& shape, std::span<const uint8_t> bytes);

  // Size of data(): entries of 1 or 2 bytes; 16-bit CLAHE takes 128 KiB for each tile and channel.
  static uint64_t BytesFor(const EqualizeParameters& parameters, const ImageShape& shape);

  bool valid() const { return !bytes_.empty(); }

  // The tables, in the order of Statistics::words(), entries of one or two bytes, native-endian.
  std::span<const uint8_t> data() const { return bytes_.span(); }

  // Room for the tables of this image, for whoever makes or receives them; call Seal() once they
  // are filled.
  static Mapping Allocate(const EqualizeParameters& parameters, const ImageShape& shape);
  std::span<uint8_t> mutable_data() { return bytes_.span(); }
  // Derives from the tables what the kernels want beside them. Not valid() afterwards when memory
  // is short.
  void Seal(const EqualizeParameters& parameters, const ImageShape& shape);

  // Color::kValue: for each value v the factor table[v] / v in 16.16 bits. Else empty.
  std::span<const uint32_t> factors() const { return factors_.span(); }

  // Method::kClahe on large pictures: the tables once more, for each area between four tile centres
  // the four entries of each value beside each other. Else empty. No larger than the picture.
  std::span<const uint8_t> quads() const { return quads_.span(); }

 private:
  Buffer<uint8_t> bytes_;
  Buffer<uint8_t> quads_;
  Buffer<uint32_t> factors_;
};

}  // namespace histeq

#endif  // HISTEQ_MAPPING_H_
