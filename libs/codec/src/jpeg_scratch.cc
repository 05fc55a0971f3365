#include "jpeg_scratch.h"

#include <fmt/format.h>
#include <jerror.h>

#include "base/error.h"
#include "jpeg_client.h"

namespace histeq::codec {
namespace {

// How much of a file-backed array stays mapped behind the rows in use.
constexpr uint64_t kWindowBytes = 8ull << 20;

JpegScratch& ScratchOf(j_common_ptr cinfo) {
  return *static_cast<JpegClient*>(cinfo->client_data)->scratch;
}

// Null when there is no room; then the status is kept in the error manager.
JpegCoefficients* Allocate(j_common_ptr cinfo, uint32_t blocks_per_row, uint32_t row_count) {
  JpegScratch& all = ScratchOf(cinfo);
  const uint64_t row_bytes = uint64_t{blocks_per_row} * sizeof(JBLOCK);
  const uint64_t bytes = row_bytes * row_count;
  absl::Status& status = reinterpret_cast<JpegErrors*>(cinfo->err)->status;
  auto scratch = Scratch::Create(bytes, all.budget, all.directory);
  if (!scratch.ok()) {
    status = scratch.status();
    return nullptr;
  }
  auto array = std::make_unique<JpegCoefficients>();
  array->scratch = std::move(scratch).value();
  array->blocks_per_row = blocks_per_row;
  array->row_count = row_count;
  array->rows.resize(row_count);
  for (uint32_t r = 0; r < row_count; ++r)
    array->rows[r] = reinterpret_cast<JBLOCKROW>(array->scratch.data() + r * row_bytes);
  all.arrays.push_back(std::move(array));
  return all.arrays.back().get();
}

jvirt_barray_ptr Request(j_common_ptr cinfo, int, boolean, JDIMENSION blocks_per_row,
                         JDIMENSION row_count, JDIMENSION) {
  JpegCoefficients* array = Allocate(cinfo, blocks_per_row, row_count);
  if (array == nullptr) longjmp(reinterpret_cast<JpegErrors*>(cinfo->err)->jump, 1);
  return reinterpret_cast<jvirt_barray_ptr>(array);
}

JBLOCKARRAY Access(j_common_ptr cinfo, jvirt_barray_ptr ptr, JDIMENSION start, JDIMENSION count,
                   boolean) {
  auto* array = reinterpret_cast<JpegCoefficients*>(ptr);
  if (uint64_t{start} + count > array->row_count) ERREXIT(cinfo, JERR_BAD_VIRTUAL_ACCESS);
  const uint64_t row_bytes = uint64_t{array->blocks_per_row} * sizeof(JBLOCK);
  if (start < array->last_access) {
    // A new scan from the top.
    array->scratch.Release(0, array->scratch.size());
    array->released = 0;
  } else if ((start - array->released) * row_bytes > kWindowBytes) {
    array->scratch.Release(array->released * row_bytes, start * row_bytes);
    array->released = start;
  }
  array->last_access = start;
  return array->rows.data() + start;
}

}  // namespace

void InstallJpegScratch(j_common_ptr cinfo) {
  cinfo->mem->request_virt_barray = Request;
  cinfo->mem->access_virt_barray = Access;
}

}  // namespace histeq::codec
