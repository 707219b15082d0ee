#include "store/snapshot_file.hpp"

#include "base/assert.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include <boost/crc.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace skywire::store {
namespace {

namespace fs = std::filesystem;

/// "SKYS".
constexpr std::int64_t kApplicationId = 0x534b5953;
constexpr std::int64_t kVersion = 1;
/// An operator's sqlite3 shell may hold a lock for a moment.
constexpr int kBusyTimeoutMs = 1000;

constexpr const char* kTables =
    "BEGIN;"
    "CREATE TABLE entries(key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL,"
    " expires INTEGER NOT NULL, remaining INTEGER NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE members(key BLOB NOT NULL, member BLOB NOT NULL, crc INTEGER NOT NULL,"
    " PRIMARY KEY(key, member)) WITHOUT ROWID;"
    "PRAGMA application_id=1397446995;"
    "PRAGMA user_version=1;"
    "COMMIT";
static_assert(kApplicationId == 1397446995 && kVersion == 1, "kTables says the same");

class RowCrc {
 public:
    RowCrc& add(std::string_view text) {
        add(static_cast<std::int64_t>(text.size()));
        crc_.process_bytes(text.data(), text.size());
        return *this;
    }
    RowCrc& add(std::int64_t number) {
        crc_.process_bytes(&number, sizeof number);
        return *this;
    }
    std::int64_t value() const { return crc_.checksum(); }

 private:
    boost::crc_32_type crc_;
};

bool means_damage(int code) {
    const int primary = code & 0xff;
    return primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB || primary == SQLITE_FORMAT;
}

Result<> make_folder(const fs::path& folder) {
    if (folder.empty()) return {};
    struct stat found{};
    if (::stat(folder.c_str(), &found) == 0) {
        if (S_ISDIR(found.st_mode)) return {};
        return fail(
            errc::unavailable,
            fmt::format("cannot make the folder {}: there is a file", folder.string())
        );
    }
    if (const auto parent = make_folder(folder.parent_path()); !parent) return parent.error();
    if (::mkdir(folder.c_str(), 0700) == 0 || errno == EEXIST) return {};
    return fail(
        errc::unavailable,
        fmt::format("cannot make the folder {}: {}", folder.string(), std::strerror(errno))
    );
}

/// The lock file's descriptor. The lock ends with the process; the file stays.
Result<int> take_lock(const std::string& path) {
    const std::string name = path + ".lock";
    const int fd = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return fail(
            errc::unavailable, fmt::format("cannot open {}: {}", name, std::strerror(errno))
        );
    }
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
        char holder[32] = {};
        const auto size = ::pread(fd, holder, sizeof holder - 1, 0);
        ::close(fd);
        const std::string_view pid(holder, size > 0 ? static_cast<std::size_t>(size) : 0);
        return fail(
            errc::wrong_state,
            fmt::format("{} is in use by another process ({})", path, pid.empty() ? "unknown" : pid)
        );
    }
    const std::string pid = fmt::format("pid {}", ::getpid());
    // Only for the message above: a failure is of no matter.
    if (::ftruncate(fd, 0) == 0 && ::pwrite(fd, pid.data(), pid.size(), 0) < 0) errno = 0;
    return fd;
}

/// Makes the file where there is none: SQLite would do it with the umask's mode. False where it is
/// no database: SQLite takes a file that is shorter than its header for an empty one.
Result<bool> make_file(const std::string& path) {
    constexpr std::string_view kMagic = "SQLite format 3";
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return fail(
            errc::unavailable, fmt::format("cannot open {}: {}", path, std::strerror(errno))
        );
    }
    char begin[kMagic.size()] = {};
    const auto size = ::pread(fd, begin, sizeof begin, 0);
    ::close(fd);
    return size == 0 || std::string_view(begin, sizeof begin) == kMagic;
}

std::int64_t ns_since_epoch(WallTime time) {
    return time.time_since_epoch().count();
}

std::int64_t value_crc(
    std::string_view key, std::string_view value, std::int64_t expires, std::int64_t remaining
) {
    return RowCrc().add(key).add(value).add(expires).add(remaining).value();
}
std::int64_t member_crc(std::string_view key, std::string_view member) {
    return RowCrc().add(key).add(member).value();
}

}  // namespace

void SnapshotChanges::set_value(
    const std::string& key, const std::string& value, StoredLifetime lifetime
) {
    keys_[key].value = Value{value, lifetime};
}

void SnapshotChanges::erase(const std::string& key) {
    Key& change = keys_[key];
    members_ -= change.members.size();
    change.cleared = true;
    change.value.reset();
    change.members.clear();
}

void SnapshotChanges::set_member(const std::string& key, const std::string& member, bool present) {
    const auto [place, added] = keys_[key].members.insert_or_assign(member, present);
    members_ += added;
}

void SnapshotChanges::follow_with(SnapshotChanges later) {
    for (auto& [key, change] : later.keys_) {
        if (change.cleared) erase(key);
        Key& ours = keys_[key];
        if (change.value) ours.value = std::move(change.value);
        for (const auto& [member, present] : change.members) {
            members_ += ours.members.insert_or_assign(member, present).second;
        }
    }
}

void SnapshotChanges::clear() {
    keys_ = {};
    members_ = 0;
}

/// A prepared statement. Views bound to it must live until `step` has returned.
class SnapshotFile::Statement {
 public:
    Statement(sqlite3* database, const char* sql) {
        code_ =
            sqlite3_prepare_v3(database, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement_, nullptr);
    }
    ~Statement() { sqlite3_finalize(statement_); }
    Statement(const Statement&) = delete;
    Statement& operator=(const Statement&) = delete;

    bool ready() const { return code_ == SQLITE_OK; }

    Statement& bind(int at, std::string_view bytes) {
        // A null pointer would be NULL, not an empty value.
        const char* data = bytes.empty() ? "" : bytes.data();
        sqlite3_bind_blob64(statement_, at, data, bytes.size(), SQLITE_STATIC);
        return *this;
    }
    Statement& bind(int at, std::int64_t number) {
        sqlite3_bind_int64(statement_, at, number);
        return *this;
    }

    int step() { return sqlite3_step(statement_); }

    /// Runs it to its end and makes it ready for the next time.
    bool run() {
        const int code = step();
        sqlite3_reset(statement_);
        return code == SQLITE_DONE;
    }

    std::string bytes(int column) const {
        const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_, column));
        const int size = sqlite3_column_bytes(statement_, column);
        return data == nullptr ? std::string() : std::string(data, static_cast<std::size_t>(size));
    }
    std::int64_t number(int column) const { return sqlite3_column_int64(statement_, column); }

 private:
    sqlite3_stmt* statement_ = nullptr;
    int code_ = SQLITE_OK;
};

Result<std::unique_ptr<SnapshotFile>> SnapshotFile::open(std::string path) {
    std::error_code failed;
    const fs::path absolute = fs::absolute(path, failed);
    if (failed) return fail(errc::unavailable, fmt::format("{}: {}", path, failed.message()));
    if (const auto made = make_folder(absolute.parent_path()); !made) return made.error();
    const auto lock = take_lock(absolute.string());
    if (!lock) return lock.error();
    return std::unique_ptr<SnapshotFile>(new SnapshotFile(absolute.string(), *lock));
}

SnapshotFile::SnapshotFile(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}

SnapshotFile::~SnapshotFile() {
    disconnect();
    if (lock_ >= 0) ::close(lock_);
}

void SnapshotFile::close() {
    disconnect();
    if (lock_ >= 0) ::close(std::exchange(lock_, -1));
}

void SnapshotFile::disconnect() {
    put_value_.reset();
    delete_value_.reset();
    put_member_.reset();
    delete_member_.reset();
    delete_members_.reset();
    // The last connection folds the WAL into the file.
    sqlite3_close(std::exchange(database_, nullptr));
}

Error SnapshotFile::damaged(std::string_view why) const {
    return fail(errc::malformed, fmt::format("{} is damaged: {}", path_, why));
}

Error SnapshotFile::last_error(std::string_view doing) const {
    const int code = database_ == nullptr ? SQLITE_NOMEM : sqlite3_errcode(database_);
    const char* text = database_ == nullptr ? "out of memory" : sqlite3_errmsg(database_);
    if (means_damage(code)) return damaged(text);
    return fail(errc::unavailable, fmt::format("{}: cannot {}: {}", path_, doing, text));
}

Result<> SnapshotFile::execute(const char* sql) {
    if (sqlite3_exec(database_, sql, nullptr, nullptr, nullptr) == SQLITE_OK) return {};
    return last_error(std::string_view(sql).substr(0, 40));
}

/// The first column of the first row, which must be there.
Result<std::int64_t> SnapshotFile::pragma(const char* sql) {
    Statement statement(database_, sql);
    if (!statement.ready() || statement.step() != SQLITE_ROW) return last_error(sql);
    return statement.number(0);
}

Result<> SnapshotFile::connect() {
    const auto made = make_file(path_);
    if (!made) return made.error();
    if (!*made) return damaged("it is no SQLite database");
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    if (sqlite3_open_v2(path_.c_str(), &database_, flags, nullptr) != SQLITE_OK) {
        return last_error("open it");
    }
    sqlite3_busy_timeout(database_, kBusyTimeoutMs);
    // Soft state: a power cut may cost the last flushes, never the file (WAL with NORMAL).
    for (const char* sql :
         {"PRAGMA journal_mode=WAL",
          "PRAGMA synchronous=NORMAL",
          "PRAGMA journal_size_limit=16777216",
          "PRAGMA trusted_schema=OFF"}) {
        if (const auto done = execute(sql); !done) return done.error();
    }
    if (const auto ours = check_identity(); !ours) return ours.error();
    {
        Statement check(database_, "PRAGMA quick_check(1)");
        if (!check.ready() || check.step() != SQLITE_ROW) return last_error("check it");
        if (const std::string verdict = check.bytes(0); verdict != "ok") return damaged(verdict);
    }
    return prepare();
}

/// Whether the file is one of ours; an empty one becomes so.
Result<> SnapshotFile::check_identity() {
    const auto application = pragma("PRAGMA application_id");
    if (!application) return application.error();
    const auto version = pragma("PRAGMA user_version");
    if (!version) return version.error();
    const auto tables = pragma("SELECT count(*) FROM sqlite_master");
    if (!tables) return tables.error();
    if (*application == 0 && *version == 0 && *tables == 0) return create_tables();
    if (*application != kApplicationId) return damaged("it belongs to another application");
    if (*version != kVersion) {
        return damaged(fmt::format("its version is {}, not {}", *version, kVersion));
    }
    return {};
}

Result<> SnapshotFile::create_tables() {
    const auto made = execute(kTables);
    if (!made) sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr);
    return made;
}

Result<> SnapshotFile::prepare() {
    const auto make = [this](const char* sql) {
        return std::make_unique<Statement>(database_, sql);
    };
    put_value_ = make("INSERT OR REPLACE INTO entries VALUES(?1, ?2, ?3, ?4, ?5)");
    delete_value_ = make("DELETE FROM entries WHERE key = ?1");
    put_member_ = make("INSERT OR REPLACE INTO members VALUES(?1, ?2, ?3)");
    delete_member_ = make("DELETE FROM members WHERE key = ?1 AND member = ?2");
    delete_members_ = make("DELETE FROM members WHERE key = ?1");
    for (const auto* statement :
         {&put_value_, &delete_value_, &put_member_, &delete_member_, &delete_members_}) {
        // Our identity without our tables.
        if (!(*statement)->ready()) return damaged(sqlite3_errmsg(database_));
    }
    return {};
}

Result<std::string> SnapshotFile::begin_anew(WallTime now) {
    disconnect();
    std::string time = format_rfc3339(std::chrono::floor<std::chrono::seconds>(now));
    std::erase_if(time, [](char c) { return c == '-' || c == ':'; });
    const std::string base = fmt::format("{}.corrupt.{}", path_, time);
    std::string target = base;
    for (int i = 1; fs::exists(target); ++i)
        target = fmt::format("{}.{}", base, i);
    for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
        std::error_code failed;
        fs::rename(path_ + suffix, target + suffix, failed);
        if (failed && failed != std::errc::no_such_file_or_directory) {
            return fail(
                errc::unavailable,
                fmt::format("cannot rename the damaged {}{}: {}", path_, suffix, failed.message())
            );
        }
    }
    if (const auto connected = connect(); !connected) return connected.error();
    return target;
}

Result<SnapshotRows> SnapshotFile::load(WallTime now) {
    SnapshotRows rows;
    Result<> read = connect();
    if (read) read = read_values(rows, now);
    if (read) read = read_members(rows);
    if (read) return rows;
    if (read.error().code() != errc::malformed) return read.error();
    auto set_aside = begin_anew(now);
    if (!set_aside) return set_aside.error();
    rows = {};
    rows.set_aside = std::move(*set_aside);
    return rows;
}

Result<> SnapshotFile::read_values(SnapshotRows& rows, WallTime now) {
    Statement select(database_, "SELECT key, value, expires, remaining, crc FROM entries");
    int code = SQLITE_ROW;
    while ((code = select.step()) == SQLITE_ROW) {
        SnapshotRows::Value row{select.bytes(0), select.bytes(1), Duration::max()};
        const std::int64_t expires = select.number(2);
        const std::int64_t remaining = select.number(3);
        if (select.number(4) != value_crc(row.key, row.value, expires, remaining)) {
            return damaged(fmt::format("the row of key {} is", quote_peer_text(row.key)));
        }
        if (expires == 0) {
            rows.values.push_back(std::move(row));
        } else if (expires <= ns_since_epoch(now)) {
            rows.expired.push_back(std::move(row.key));
        } else {
            row.remaining = Duration(std::min(expires - ns_since_epoch(now), remaining));
            rows.values.push_back(std::move(row));
        }
    }
    if (code != SQLITE_DONE) return last_error("read its entries");
    return {};
}

Result<> SnapshotFile::read_members(SnapshotRows& rows) {
    Statement select(database_, "SELECT key, member, crc FROM members");
    int code = SQLITE_ROW;
    while ((code = select.step()) == SQLITE_ROW) {
        std::pair<std::string, std::string> row(select.bytes(0), select.bytes(1));
        if (select.number(2) != member_crc(row.first, row.second)) {
            return damaged(fmt::format("a row of set {} is", quote_peer_text(row.first)));
        }
        rows.members.push_back(std::move(row));
    }
    if (code != SQLITE_DONE) return last_error("read its sets");
    return {};
}

Result<> SnapshotFile::write(const SnapshotChanges& changes, bool rewrite) {
    // A begin_anew that failed half-way left no connection.
    if (!put_value_) {
        disconnect();
        if (const auto connected = connect(); !connected) return connected.error();
    }
    const auto written = write_all(changes, rewrite);
    if (!written) sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr);
    return written;
}

Result<> SnapshotFile::write_all(const SnapshotChanges& changes, bool rewrite) {
    if (const auto begun = execute("BEGIN IMMEDIATE"); !begun) return begun.error();
    if (rewrite) {
        if (const auto emptied = execute("DELETE FROM entries"); !emptied) return emptied.error();
        if (const auto emptied = execute("DELETE FROM members"); !emptied) return emptied.error();
    }
    for (const auto& [key, change] : changes.keys()) {
        if (const auto written = write_key(key, change); !written) return written.error();
    }
    return execute("COMMIT");
}

Result<> SnapshotFile::write_key(const std::string& key, const SnapshotChanges::Key& change) {
    bool done = true;
    if (change.cleared) {
        done = delete_value_->bind(1, key).run() && delete_members_->bind(1, key).run();
    }
    if (done && change.value) {
        const StoredLifetime& lifetime = change.value->lifetime;
        const std::int64_t expires = lifetime.expires ? ns_since_epoch(*lifetime.expires) : 0;
        const std::int64_t remaining = lifetime.expires ? lifetime.remaining.count() : 0;
        const std::string& value = change.value->value;
        put_value_->bind(1, key).bind(2, value).bind(3, expires).bind(4, remaining);
        done = put_value_->bind(5, value_crc(key, value, expires, remaining)).run();
    }
    for (const auto& [member, present] : change.members) {
        if (!done) break;
        if (present) {
            put_member_->bind(1, key).bind(2, member).bind(3, member_crc(key, member));
            done = put_member_->run();
        } else {
            done = delete_member_->bind(1, key).bind(2, member).run();
        }
    }
    if (!done) return last_error("write it");
    return {};
}

}  // namespace skywire::store
