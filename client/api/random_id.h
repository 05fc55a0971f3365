#pragma once

#include <string>

namespace histeq::client {

// A random UUID, 36 characters: an upload_id or request_id that nobody else has.
std::string RandomId();

}  // namespace histeq::client
