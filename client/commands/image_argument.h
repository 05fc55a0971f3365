#pragma once

// Images on the command line: an id, or a file of this machine.

#include <string>

#include "absl/status/statusor.h"
#include "commands/session.h"
#include "histeq/v1/frontend.pb.h"

namespace histeq::client {

// Uploads the file at `path` under its own name; `operation`, when given, is queued with it.
absl::StatusOr<v1::UploadImageResponse> UploadPath(const Session& session, const std::string& path,
                                                   const v1::Operation* operation,
                                                   Display::Item& item);

// The id of the image that `argument` names: the argument itself when it looks like an id and no
// file has that name, else that of the file, which is uploaded.
absl::StatusOr<std::string> ImageIdOf(const Session& session, const std::string& argument,
                                      Display::Item& item);

}  // namespace histeq::client
