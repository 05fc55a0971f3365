#pragma once

// The coefficients of a progressive JPEG in Scratch: libjpeg-turbo as packaged has no backing store
// and would keep them all in memory.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/memory_budget.h"
#include "codec/scratch.h"
#include "jpeg_error.h"

namespace histeq::codec {

struct JpegCoefficients {
  Scratch scratch;
  std::vector<JBLOCKROW> rows;
  uint32_t blocks_per_row = 0;
  uint32_t row_count = 0;
  // Rows [released, ...) may be in memory.
  uint32_t released = 0;
  uint32_t last_access = 0;
};

struct JpegScratch {
  base::MemoryBudget* budget = nullptr;
  std::string directory;
  std::vector<std::unique_ptr<JpegCoefficients>> arrays;
};

// Puts scratch, found through the client_data of `cinfo`, behind its virtual block arrays.
void InstallJpegScratch(j_common_ptr cinfo);

}  // namespace histeq::codec
