#pragma once

// Where the bytes of an image are, as the catalog looks at it. No storage.

#include <string>

#include "store/records.h"

namespace histeq::store {

// The storage root where the image lies; empty: the frontend has it.
std::string StorageOf(const ImageRecord& image);

// The lower, the surer that the bytes are there: the frontend's own store, then a file that it
// reads, then a file in a storage root, which comes and goes.
int PlaceRank(const ImageRecord& image);

// Whether a job that failed for this reason could succeed with the same bytes from another place.
bool IsFailureOfPlace(const std::string& reason);

}  // namespace histeq::store
