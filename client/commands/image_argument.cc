#include "commands/image_argument.h"

#include <filesystem>

#include "api/local_file.h"
#include "api/upload.h"
#include "base/status_macros.h"
#include "commands/output_path.h"

namespace histeq::client {

absl::StatusOr<v1::UploadImageResponse> UploadPath(const Session& session, const std::string& path,
                                                   const v1::Operation* operation,
                                                   Display::Item& item) {
  HISTEQ_ASSIGN_OR_RETURN(const LocalFile file, LocalFile::Open(path));
  UploadOptions options;
  options.name = FileName(path);
  if (operation != nullptr) options.operation = *operation;
  options.sent = [&item](uint64_t sent, uint64_t size) { item.Uploading(sent, size); };
  return UploadFile(session.client, file, options, session.Control(item));
}

absl::StatusOr<std::string> ImageIdOf(const Session& session, const std::string& argument,
                                      Display::Item& item) {
  std::error_code error;
  const bool could_be_id =
      argument.size() <= 64 &&
      argument.find_first_not_of(
          "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-") == std::string::npos;
  if (could_be_id && !std::filesystem::exists(argument, error)) return argument;
  HISTEQ_ASSIGN_OR_RETURN(const v1::UploadImageResponse response,
                          UploadPath(session, argument, nullptr, item));
  return response.image().id();
}

}  // namespace histeq::client
