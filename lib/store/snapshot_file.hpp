#pragma once

#include "base/clock.hpp"
#include "base/result.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

struct sqlite3;

namespace skywire::store {

/// When a value ends, in calendar time, and how long it had when that was noted. The second bounds
/// the first: a calendar that was set back does not make a value live longer than it had.
struct StoredLifetime {
    /// Nothing: until erased.
    std::optional<WallTime> expires;
    Duration remaining{0};
};

/// Changes that wait to be written, at most one per key and per set member: a later one replaces an
/// earlier one.
class SnapshotChanges {
 public:
    struct Value {
        std::string value;
        StoredLifetime lifetime;
    };
    /// Done in this order: all rows of the key go, the value is set, members come and go.
    struct Key {
        bool cleared = false;
        std::optional<Value> value;
        boost::unordered_flat_map<std::string, bool> members;
    };

    void set_value(const std::string& key, const std::string& value, StoredLifetime lifetime);
    void erase(const std::string& key);
    void set_member(const std::string& key, const std::string& member, bool present);

    /// Puts the changes of `later` on top of these.
    void follow_with(SnapshotChanges later);

    void clear();
    bool empty() const noexcept { return keys_.empty(); }
    /// Keys and members to be written.
    std::size_t size() const noexcept { return keys_.size() + members_; }
    const auto& keys() const noexcept { return keys_; }

 private:
    boost::unordered_flat_map<std::string, Key> keys_;
    std::size_t members_ = 0;
};

/// What a snapshot held.
struct SnapshotRows {
    struct Value {
        std::string key;
        std::string value;
        /// Duration::max(): until erased.
        Duration remaining{0};
    };
    std::vector<Value> values;
    std::vector<std::pair<std::string, std::string>> members;
    /// Keys whose time ended while nobody was there.
    std::vector<std::string> expired;
    /// Where a damaged file was set aside, else empty.
    std::string set_aside;
};

/// The SQLite file of a snapshot store: every call blocks and belongs on a worker, one at a time.
///
/// Two tables, `entries` (key, value, expires and remaining in ns, 0 for none) and `members` (key,
/// member), each row with a CRC-32 of its own; application_id "SKYS", user_version 1; WAL. One
/// process at a time: a lock on PATH.lock is held while it is open.
///
/// A file is damaged when SQLite says so (its header, PRAGMA quick_check, any later read or write),
/// when it is another application's or version's, or when a row's CRC is wrong. It is then renamed
/// to PATH.corrupt.TIME, with its -wal and -shm, and a new one is begun.
class SnapshotFile {
 public:
    /// Makes missing folders (0700) and the file (0600). Errors: errc::unavailable (folder, file or
    /// lock cannot be had), errc::wrong_state (another process has it open).
    static Result<std::unique_ptr<SnapshotFile>> open(std::string path);
    ~SnapshotFile();
    SnapshotFile(const SnapshotFile&) = delete;
    SnapshotFile& operator=(const SnapshotFile&) = delete;

    /// Reads everything. A damaged file is set aside: nothing is read then.
    Result<SnapshotRows> load(WallTime now);

    /// Writes all of it in one transaction, or nothing. With `rewrite` the file holds nothing else
    /// afterwards. Errors: errc::malformed (the file is damaged: begin_anew), errc::unavailable
    /// (disk full, no permission; try again later).
    Result<> write(const SnapshotChanges& changes, bool rewrite);

    /// Sets the file aside and begins a new one; where the old one went.
    Result<std::string> begin_anew(WallTime now);

    /// Folds the WAL into the file and closes it.
    void close();

 private:
    class Statement;

    SnapshotFile(std::string path, int lock);

    Result<> connect();
    Result<> check_identity();
    Result<> create_tables();
    Result<> prepare();
    void disconnect();
    Result<> execute(const char* sql);
    Result<std::int64_t> pragma(const char* sql);
    Result<> read_values(SnapshotRows& rows, WallTime now);
    Result<> read_members(SnapshotRows& rows);
    Result<> write_key(const std::string& key, const SnapshotChanges::Key& change);
    Result<> write_all(const SnapshotChanges& changes, bool rewrite);
    Error damaged(std::string_view why) const;
    Error last_error(std::string_view doing) const;

    std::string path_;
    int lock_;
    sqlite3* database_ = nullptr;
    std::unique_ptr<Statement> put_value_;
    std::unique_ptr<Statement> delete_value_;
    std::unique_ptr<Statement> put_member_;
    std::unique_ptr<Statement> delete_member_;
    std::unique_ptr<Statement> delete_members_;
};

}  // namespace skywire::store
