#pragma once

#include "net/context.hpp"
#include "store/memory.hpp"
#include "store/store.hpp"

#include <memory>
#include <string>

namespace skywire::store {

/// What opening a snapshot found, and how it is now.
struct SnapshotReport {
    /// Values and set members.
    std::size_t loaded = 0;
    /// Values whose time had ended.
    std::size_t expired = 0;
    /// Changes that are not on disk yet.
    std::size_t pending = 0;
    /// Where a damaged file was set aside ("PATH.corrupt.TIME"), else empty.
    std::string set_aside;
    /// A write-behind that failed and is retried; empty while all is well. For health.
    std::string write_error;
};

class SnapshotStore : public Store {
 public:
    virtual SnapshotReport report() const = 0;
};

/// A memory store whose changes are written behind to an SQLite file: within a second, and all of
/// them at close; until then they are gone with the process. Changes of one key are written once
/// per flush. Opening loads what is still valid: expiry goes by calendar time, so the time the
/// process was down counts.
///
/// A file that SQLite or our own check finds damaged is renamed to PATH.corrupt.TIME, counted
/// (store_snapshot_corrupt_total) and begun anew, when opening and while running. A flush that
/// fails (disk full) is kept and tried again each second, counted
/// (store_snapshot_flush_errors_total) and said in report(). Where more changes than entries_max
/// pile up meanwhile, the next flush that succeeds writes the whole store instead.
///
/// Errors of opening: errc::unavailable (the folder or the file cannot be made or written),
/// errc::wrong_state (another process has the file open). Errors of close: errc::unavailable (the
/// last changes could not be written), errc::timed_out (the disk had not finished by the deadline:
/// the store must live until it has). Fault points: "store" fails the calls, "disk" the flushes;
/// subject: the path.
Task<Result<std::unique_ptr<SnapshotStore>>> open_snapshot_store(
    net::Context context, std::string path, MemoryLimits limits = {}
);

}  // namespace skywire::store
