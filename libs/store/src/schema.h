#pragma once

#include <string>

#include "absl/status/status.h"
#include "sqlite_db.h"

namespace histeq::store {

// Makes the tables of an empty database, or brings those of an older version up to this one.
// - FAILED_PRECONDITION SCHEMA_TOO_NEW.
// - DATA_LOSS CATALOG_DAMAGED: a database of something else.
absl::Status MigrateSchema(Database& db, const std::string& file);

// Makes the connection keep count of the jobs that are not final, in memory and by transaction:
// counting a million queued jobs for every new one would take longer than queueing it. All changes
// must come by this connection.
absl::Status CountLiveJobs(Database& db);

}  // namespace histeq::store
