#pragma once

// Fewer and larger writes of SQLite's write-ahead log.

namespace histeq::store {

// The name of a VFS of SQLite, registered by the first call, that is the default one but for the
// log: what is written to it piece by piece, a head and a page at a time, is put together until the
// log is read or synced. Only for connections that sync with each transaction (synchronous = FULL):
// others would show their changes before they are in the file. Null: it cannot be registered.
const char* LogVfsName();

}  // namespace histeq::store
