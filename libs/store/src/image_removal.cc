#include "image_removal.h"

#include <algorithm>
#include <utility>

#include "base/status_macros.h"
#include "catalog_rows.h"

namespace histeq::store {

absl::StatusOr<std::optional<std::string>> ImageRemoval::Collect(const std::string& image_id) {
  std::vector<std::string> ids = {image_id};
  for (size_t next = 0; next < ids.size(); ++next) {
    HISTEQ_ASSIGN_OR_RETURN(auto image, FindImage(db_, ids[next]));
    if (!image.has_value()) continue;
    HISTEQ_ASSIGN_OR_RETURN(auto job, FindJobUsing(db_, ids[next]));
    if (!job.has_value() && !image->source_image_id.empty()) {
      HISTEQ_ASSIGN_OR_RETURN(job, FindJobWithResult(db_, image->source_image_id, image->id));
    }
    if (job.has_value()) return job;
    images_.push_back(*std::move(image));
    HISTEQ_ASSIGN_OR_RETURN(Statement row,
                            db_.Prepare("SELECT image_id FROM derivatives WHERE source_image_id = "
                                        "? AND image_id IS NOT NULL"));
    row.Bind(ids[next]);
    while (true) {
      HISTEQ_ASSIGN_OR_RETURN(const bool more, row.Step());
      if (!more) break;
      const std::string id = row.Bytes(0);
      if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
    }
  }
  return std::optional<std::string>();
}

absl::StatusOr<RemovedImages> ImageRemoval::Remove() {
  RemovedImages removed;
  for (const ImageRecord& image : images_) {
    HISTEQ_RETURN_IF_ERROR(DeleteImageRow(db_, image.id));
    for (const char* sql : {"DELETE FROM derivatives WHERE source_image_id = ?",
                            "DELETE FROM derivatives WHERE image_id = ?"}) {
      HISTEQ_ASSIGN_OR_RETURN(Statement statement, db_.Prepare(sql));
      HISTEQ_RETURN_IF_ERROR(statement.Bind(image.id).Run());
    }
  }
  for (const ImageRecord& image : images_) {
    const std::string& location = image.facts.location;
    std::vector<std::string>& freed = removed.freed_locations;
    if (std::find(freed.begin(), freed.end(), location) != freed.end()) continue;
    HISTEQ_ASSIGN_OR_RETURN(Statement row,
                            db_.Prepare("SELECT 1 FROM images WHERE location = ? LIMIT 1"));
    HISTEQ_ASSIGN_OR_RETURN(const bool used, row.Bind(location).Step());
    if (!used) freed.push_back(location);
  }
  removed.images = std::move(images_);
  return removed;
}

absl::StatusOr<uint64_t> DerivedBytes(Database& db) {
  HISTEQ_ASSIGN_OR_RETURN(Statement row,
                          db.Prepare("SELECT bytes FROM derived_bytes WHERE one = 1"));
  HISTEQ_RETURN_IF_ERROR(row.Step().status());
  return static_cast<uint64_t>(std::max<int64_t>(row.Int(0), 0));
}

}  // namespace histeq::store
