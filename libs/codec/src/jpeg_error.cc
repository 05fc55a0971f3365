#include "jpeg_error.h"

#include <fmt/format.h>
#include <jerror.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"

namespace histeq::codec {
namespace {

void ErrorExit(j_common_ptr cinfo) { longjmp(reinterpret_cast<JpegErrors*>(cinfo->err)->jump, 1); }

// libjpeg goes on after damaged data and makes the rest gray. Here that is an error: nobody wants a
// half gray result that counts as a success.
void EmitMessage(j_common_ptr cinfo, int level) {
  if (level >= 0) return;
  switch (cinfo->err->msg_code) {
    case JWRN_ARITH_BAD_CODE:
    case JWRN_BOGUS_PROGRESSION:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_JPEG_EOF:
    case JWRN_MUST_RESYNC:
      ErrorExit(cinfo);
      break;
    default:
      ++cinfo->err->num_warnings;
  }
}

void OutputMessage(j_common_ptr) {}

// The format's own limit, which libjpeg checks before anybody else.
absl::Status TooLarge(const jpeg_decompress_struct& cinfo) {
  return base::MakeError(
      absl::StatusCode::kInvalidArgument,
      fmt::format("the image is {}x{} pixels; width and height of a JPEG are limited to {}",
                  cinfo.image_width, cinfo.image_height, JPEG_MAX_DIMENSION),
      {.reason = "IMAGE_TOO_LARGE",
       .metadata = {{"limit", std::to_string(JPEG_MAX_DIMENSION)},
                    {"actual", std::to_string(std::max(cinfo.image_width, cinfo.image_height))}}});
}

}  // namespace

jpeg_error_mgr* InitJpegErrors(JpegErrors& errors) {
  jpeg_std_error(&errors.manager);
  errors.manager.error_exit = ErrorExit;
  errors.manager.emit_message = EmitMessage;
  errors.manager.output_message = OutputMessage;
  return &errors.manager;
}

void FailJpeg(j_common_ptr cinfo, absl::Status status) {
  auto* errors = reinterpret_cast<JpegErrors*>(cinfo->err);
  errors->status = std::move(status);
  longjmp(errors->jump, 1);
}

absl::Status JpegStatus(j_common_ptr cinfo) {
  auto* errors = reinterpret_cast<JpegErrors*>(cinfo->err);
  if (!errors->status.ok()) return std::exchange(errors->status, absl::OkStatus());
  if (cinfo->err->msg_code == JERR_IMAGE_TOO_BIG && cinfo->is_decompressor)
    return TooLarge(*reinterpret_cast<j_decompress_ptr>(cinfo));
  char text[JMSG_LENGTH_MAX] = "";
  cinfo->err->format_message(cinfo, text);
  const char* reason = "IMAGE_CORRUPT";
  absl::StatusCode code = absl::StatusCode::kInvalidArgument;
  switch (cinfo->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JERR_INPUT_EOF:
    case JERR_INPUT_EMPTY:
      reason = "IMAGE_TRUNCATED";
      break;
    case JERR_ARITH_NOTIMPL:
    case JERR_BAD_PRECISION:
    case JERR_CCIR601_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_NOTIMPL:
    case JERR_SOF_UNSUPPORTED:
    case JERR_COMPONENT_COUNT:
    case JERR_BAD_J_COLORSPACE:
      reason = "UNSUPPORTED_FORMAT";
      break;
    case JERR_OUT_OF_MEMORY:
      reason = "OUT_OF_MEMORY";
      code = absl::StatusCode::kResourceExhausted;
      break;
    default:
      break;
  }
  return base::MakeError(
      code,
      fmt::format("the JPEG cannot be {}: {}", cinfo->is_decompressor ? "read" : "written", text),
      {.reason = reason});
}

}  // namespace histeq::codec
