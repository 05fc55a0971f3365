#include "local/sample_photos.h"

// HISTEQ_SAMPLE_PHOTOS is the folder that they are taken from when the program is built.
#define HISTEQ_PHOTO(symbol, file)                                                 \
  asm(".pushsection .rodata\n"                                                     \
      ".balign 16\n" #symbol                                                       \
      "_begin:\n"                                                                  \
      ".incbin \"" HISTEQ_SAMPLE_PHOTOS "/" file "\"\n" #symbol                    \
      "_end:\n"                                                                    \
      ".popsection\n");                                                            \
  extern "C" const uint8_t symbol##_begin[] __attribute__((visibility("hidden"))); \
  extern "C" const uint8_t symbol##_end[] __attribute__((visibility("hidden")))

HISTEQ_PHOTO(histeq_photo_rocket, "rocket.jpg");
HISTEQ_PHOTO(histeq_photo_chelsea, "chelsea.png");
HISTEQ_PHOTO(histeq_photo_retina, "retina.jpg");
HISTEQ_PHOTO(histeq_photo_coffee, "coffee.png");
HISTEQ_PHOTO(histeq_photo_hubble, "hubble_deep_field.jpg");
HISTEQ_PHOTO(histeq_photo_camera, "camera.png");

namespace histeq::client {

std::span<const std::span<const uint8_t>> SamplePhotos() {
  static const std::span<const uint8_t> photos[] = {
      {histeq_photo_rocket_begin, histeq_photo_rocket_end},
      {histeq_photo_chelsea_begin, histeq_photo_chelsea_end},
      {histeq_photo_retina_begin, histeq_photo_retina_end},
      {histeq_photo_coffee_begin, histeq_photo_coffee_end},
      {histeq_photo_hubble_begin, histeq_photo_hubble_end},
      {histeq_photo_camera_begin, histeq_photo_camera_end},
  };
  return photos;
}

}  // namespace histeq::client
