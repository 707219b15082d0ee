#pragma once

#include "net/context.hpp"
#include "store/memory.hpp"
#include "store/store.hpp"

#include <memory>
#include <string>

namespace skywire::store {

/// What opening a snapshot found.
struct SnapshotReport {
    std::size_t loaded = 0;
    std::size_t expired = 0;
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
/// them at close. Opening loads what is still valid: expiry goes by calendar time, so the time the
/// process was down counts. A file that SQLite or our own check finds damaged is renamed to
/// PATH.corrupt.TIME, counted (store_snapshot_corrupt_total) and begun anew.
/// Errors: the folder cannot be made or written.
Task<Result<std::unique_ptr<SnapshotStore>>> open_snapshot_store(
    const net::Context& context, std::string path, MemoryLimits limits = {}
);

}  // namespace skywire::store
