#include "log_vfs.h"

#include <sqlite3.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

namespace histeq::store {
namespace {

// 15 pages; much larger writes gain little, and the default VFS takes less than 128 KiB at once.
constexpr size_t kBufferBytes = 64 << 10;

constexpr char kName[] = "histeq-log";

// What SQLite allots for a file; the default VFS's file lies behind it.
struct LogFile {
  sqlite3_file base;
  sqlite3_file* file;
  uint8_t* buffer;
  // Of the file, where the buffer's first byte belongs; and how many there are.
  sqlite3_int64 offset;
  size_t size;
};

LogFile& Log(sqlite3_file* file) { return *reinterpret_cast<LogFile*>(file); }

int Flush(LogFile& log) {
  if (log.size == 0) return SQLITE_OK;
  const int code =
      log.file->pMethods->xWrite(log.file, log.buffer, static_cast<int>(log.size), log.offset);
  // Also after an error, which ends the transaction that wrote this.
  log.size = 0;
  return code;
}

int Write(sqlite3_file* file, const void* bytes, int count, sqlite3_int64 offset) {
  LogFile& log = Log(file);
  const auto size = static_cast<size_t>(count);
  const bool follows = offset == log.offset + static_cast<sqlite3_int64>(log.size);
  if (log.size > 0 && (!follows || log.size + size > kBufferBytes)) {
    if (const int code = Flush(log); code != SQLITE_OK) return code;
  }
  if (size > kBufferBytes) return log.file->pMethods->xWrite(log.file, bytes, count, offset);
  if (log.buffer == nullptr) {
    log.buffer = new (std::nothrow) uint8_t[kBufferBytes];
    if (log.buffer == nullptr) return SQLITE_IOERR_NOMEM;
  }
  if (log.size == 0) log.offset = offset;
  std::memcpy(log.buffer + log.size, bytes, size);
  log.size += size;
  return SQLITE_OK;
}

int Read(sqlite3_file* file, void* bytes, int count, sqlite3_int64 offset) {
  LogFile& log = Log(file);
  const int code = Flush(log);
  return code == SQLITE_OK ? log.file->pMethods->xRead(log.file, bytes, count, offset) : code;
}

int Truncate(sqlite3_file* file, sqlite3_int64 size) {
  LogFile& log = Log(file);
  const int code = Flush(log);
  return code == SQLITE_OK ? log.file->pMethods->xTruncate(log.file, size) : code;
}

int Sync(sqlite3_file* file, int flags) {
  LogFile& log = Log(file);
  const int code = Flush(log);
  return code == SQLITE_OK ? log.file->pMethods->xSync(log.file, flags) : code;
}

int FileSize(sqlite3_file* file, sqlite3_int64* size) {
  LogFile& log = Log(file);
  const int code = Flush(log);
  return code == SQLITE_OK ? log.file->pMethods->xFileSize(log.file, size) : code;
}

int Close(sqlite3_file* file) {
  LogFile& log = Log(file);
  const int flushed = Flush(log);
  delete[] log.buffer;
  const int closed = log.file->pMethods->xClose(log.file);
  return closed == SQLITE_OK ? flushed : closed;
}

int Lock(sqlite3_file* file, int level) {
  return Log(file).file->pMethods->xLock(Log(file).file, level);
}

int Unlock(sqlite3_file* file, int level) {
  return Log(file).file->pMethods->xUnlock(Log(file).file, level);
}

int CheckReservedLock(sqlite3_file* file, int* locked) {
  return Log(file).file->pMethods->xCheckReservedLock(Log(file).file, locked);
}

int FileControl(sqlite3_file* file, int operation, void* argument) {
  return Log(file).file->pMethods->xFileControl(Log(file).file, operation, argument);
}

int SectorSize(sqlite3_file* file) { return Log(file).file->pMethods->xSectorSize(Log(file).file); }

int DeviceCharacteristics(sqlite3_file* file) {
  return Log(file).file->pMethods->xDeviceCharacteristics(Log(file).file);
}

// Version 1: a log is neither mapped nor has shared memory of its own.
constexpr sqlite3_io_methods kMethods = {1,
                                         Close,
                                         Read,
                                         Write,
                                         Truncate,
                                         Sync,
                                         FileSize,
                                         Lock,
                                         Unlock,
                                         CheckReservedLock,
                                         FileControl,
                                         SectorSize,
                                         DeviceCharacteristics,
                                         nullptr,
                                         nullptr,
                                         nullptr,
                                         nullptr,
                                         nullptr,
                                         nullptr};

sqlite3_vfs* Default(sqlite3_vfs* vfs) { return static_cast<sqlite3_vfs*>(vfs->pAppData); }

int Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  sqlite3_vfs* const base = Default(vfs);
  if ((flags & SQLITE_OPEN_WAL) == 0) return base->xOpen(base, name, file, flags, out_flags);
  auto* log = new (file) LogFile{};
  log->file = reinterpret_cast<sqlite3_file*>(log + 1);
  const int code = base->xOpen(base, name, log->file, flags, out_flags);
  if (code == SQLITE_OK) {
    log->base.pMethods = &kMethods;
  } else {
    // SQLite closes a file that has methods even when it could not be opened.
    if (log->file->pMethods != nullptr) log->file->pMethods->xClose(log->file);
  }
  return code;
}

const char* Register() {
  sqlite3_vfs* const base = sqlite3_vfs_find(nullptr);
  if (base == nullptr) return nullptr;
  // All but the opening is left to the functions of the default one, which on Unix do not look at
  // the VFS that they are called for.
  static sqlite3_vfs vfs = *base;
  vfs.zName = kName;
  vfs.pNext = nullptr;
  vfs.szOsFile += static_cast<int>(sizeof(LogFile));
  vfs.pAppData = base;
  vfs.xOpen = Open;
  return sqlite3_vfs_register(&vfs, /*makeDflt=*/0) == SQLITE_OK ? kName : nullptr;
}

}  // namespace

const char* LogVfsName() {
  static const char* const name = Register();
  return name;
}

}  // namespace histeq::store
