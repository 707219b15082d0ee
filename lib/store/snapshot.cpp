#include "store/snapshot.hpp"

#include "net/event.hpp"
#include "net/scope.hpp"
#include "net/timer.hpp"
#include "store/snapshot_file.hpp"
#include "store/table_store.hpp"

#include <fmt/format.h>

namespace skywire::store {
namespace {

using namespace std::chrono_literals;

/// From the first change to the begin of its flush: the rest of the second is for the disk.
constexpr Duration kFlushDelay = 500ms;
constexpr Duration kRetryDelay = 1s;
/// At close, while the workers have no room.
constexpr Duration kBusyDelay = 5ms;
/// Beyond the deadline of close, for a write that is about to end.
constexpr Duration kEndingTime = 1s;

SteadyTime later(SteadyTime now, Duration by) {
    return by >= SteadyTime::max() - now ? SteadyTime::max() : now + by;
}

/// Notes what a Table tells as changes to be written.
class ChangeWriter final : public TableObserver {
 public:
    ChangeWriter(SnapshotChanges& changes, Clock& clock) : changes_(changes), clock_(clock) {}

    void value_set(const std::string& key, const std::string& value, SteadyTime expires) override {
        StoredLifetime lifetime;
        if (expires != SteadyTime::max()) {
            lifetime.remaining = expires - clock_.now();
            lifetime.expires = clock_.wall() + lifetime.remaining;
        }
        changes_.set_value(key, value, lifetime);
    }
    void erased(const std::string& key) override { changes_.erase(key); }
    void member_added(const std::string& key, const std::string& member) override {
        changes_.set_member(key, member, true);
    }
    void member_removed(const std::string& key, const std::string& member) override {
        changes_.set_member(key, member, false);
    }

 private:
    SnapshotChanges& changes_;
    Clock& clock_;
};

class SqliteStore final : public TableStore<SnapshotStore>, private TableObserver {
 public:
    SqliteStore(const net::Context& context, MemoryLimits limits, std::string path)
        : TableStore(context, limits, std::move(path)),
          pending_max_(limits.entries_max),
          writer_(pending_, context_.clock),
          flush_timer_(context_.loop, context_.clock),
          close_timer_(context_.loop, context_.clock),
          flushed_(context_.loop),
          corrupt_(context_.metrics.counter(
              "store_snapshot_corrupt_total", "Damaged snapshot files that were set aside"
          )),
          flush_errors_(context_.metrics.counter(
              "store_snapshot_flush_errors_total", "Writes to the snapshot that failed"
          )),
          scope_(context_.loop) {}

    Task<Result<>> open();
    SnapshotReport report() const override;
    Task<Result<>> save() override;
    std::string_view kind() const noexcept override { return "memory+sqlite"; }
    Task<Result<>> close(SteadyTime deadline) override;

 private:
    /// What one flush writes; the worker holds it, too.
    struct Job {
        std::shared_ptr<SnapshotFile> file;
        SnapshotChanges changes;
        bool rewrite = false;
    };

    void value_set(const std::string& key, const std::string& value, SteadyTime expires) override {
        writer_.value_set(key, value, expires);
        changed();
    }
    void erased(const std::string& key) override {
        writer_.erased(key);
        changed();
    }
    void member_added(const std::string& key, const std::string& member) override {
        writer_.member_added(key, member);
        changed();
    }
    void member_removed(const std::string& key, const std::string& member) override {
        writer_.member_removed(key, member);
        changed();
    }

    bool dirty() const noexcept { return rewrite_ || !pending_.empty(); }
    void changed();
    void take_over(SnapshotRows rows);
    Task<> flush_loop();
    Task<Result<>> flush();
    Task<Result<>> replace_damaged(Error why);
    void note_set_aside(const std::string& where, const Error& why);

    std::shared_ptr<SnapshotFile> file_;
    SnapshotReport report_;
    SnapshotChanges pending_;
    std::size_t pending_max_;
    /// The next flush writes the whole table, and `pending_` says nothing.
    bool rewrite_ = false;
    bool flushing_ = false;
    /// `save` waits: no delay before the next flush.
    bool hurry_ = false;
    /// Flushes begun, ended, and the last one of those that succeeded.
    std::uint64_t flushes_begun_ = 0;
    std::uint64_t flushes_ended_ = 0;
    std::uint64_t last_flush_good_ = 0;
    std::size_t being_written_ = 0;
    SteadyTime close_deadline_ = SteadyTime::max();
    ChangeWriter writer_;
    net::Timer flush_timer_;
    net::Timer close_timer_;
    net::Event flushed_;
    Counter& corrupt_;
    Counter& flush_errors_;
    net::Scope scope_;
};

SnapshotReport SqliteStore::report() const {
    SnapshotReport report = report_;
    report.pending = (rewrite_ ? table_.size() : pending_.size()) + being_written_;
    return report;
}

Task<Result<>> SqliteStore::open() {
    struct Opened {
        std::shared_ptr<SnapshotFile> file;
        SnapshotRows rows;
    };
    const auto work = [path = subject_, now = context_.clock.wall()]() -> Result<Opened> {
        auto file = SnapshotFile::open(path);
        if (!file) return file.error();
        auto rows = (*file)->load(now);
        if (!rows) return rows.error();
        return Opened{std::move(*file), std::move(*rows)};
    };
    auto opened = co_await context_.workers.run(work);
    if (!opened) co_return opened.error();
    file_ = std::move(opened->file);
    table_.set_observer(this);
    take_over(std::move(opened->rows));
    co_return Result<>();
}

void SqliteStore::take_over(SnapshotRows rows) {
    const SteadyTime now = context_.clock.now();
    report_.loaded = rows.values.size() + rows.members.size();
    report_.expired = rows.expired.size();
    for (auto& row : rows.values) {
        table_.restore_value(std::move(row.key), std::move(row.value), later(now, row.remaining));
    }
    for (auto& [key, member] : rows.members) {
        table_.restore_member(std::move(key), std::move(member));
    }
    for (const std::string& key : rows.expired)
        erased(key);
    if (!rows.set_aside.empty()) {
        note_set_aside(rows.set_aside, fail(errc::malformed, "found damaged when opened"));
    }
}

void SqliteStore::note_set_aside(const std::string& where, const Error& why) {
    corrupt_.add();
    report_.set_aside = where;
    log::error(
        context_.logger,
        "snapshot.corrupt",
        log::kv("path", subject_),
        log::kv("set_aside", where),
        log::kv("error", why.message())
    );
}

void SqliteStore::changed() {
    if (rewrite_ || pending_.size() > pending_max_) {
        rewrite_ = true;
        pending_.clear();
    }
    if (flushing_) return;
    flushing_ = scope_.spawn("snapshot.flush", [this] { return flush_loop(); });
}

/// Runs while there is something to write: between flushes of an idle store nothing runs.
Task<> SqliteStore::flush_loop() {
    Duration delay = kFlushDelay;
    while (dirty()) {
        if (!closed_ && !hurry_) co_await flush_timer_.wait_for(delay);
        delay = kFlushDelay;
        hurry_ = false;
        ++flushes_begun_;
        const auto flushed = co_await flush();
        flushes_ended_ = flushes_begun_;
        if (flushed) last_flush_good_ = flushes_ended_;
        flushed_.notify();
        if (flushed) {
            report_.write_error.clear();
            continue;
        }
        flush_errors_.add();
        if (report_.write_error.empty()) {
            log::error(
                context_.logger,
                "snapshot.write_failed",
                log::kv("path", subject_),
                log::kv("error", flushed.error().message())
            );
        }
        report_.write_error = flushed.error().message();
        delay = kRetryDelay;
        if (!closed_) continue;
        // The last try. Only workers without room are worth another.
        const bool full = flushed.error().code() == errc::limit_reached;
        if (!full || context_.clock.now() >= close_deadline_) break;
        co_await flush_timer_.wait_for(kBusyDelay);
    }
    flushing_ = false;
    close_timer_.cancel();
    flushed_.notify();
}

Task<Result<>> SqliteStore::save() {
    if (closed_) co_return fail(errc::closed, subject_);
    if (!flushing_) co_return Result<>();
    // A flush under way does not have what was changed since it began.
    const std::uint64_t needed = dirty() ? flushes_begun_ + 1 : flushes_begun_;
    if (dirty()) {
        hurry_ = true;
        flush_timer_.cancel();
    }
    while (flushing_ && flushes_ended_ < needed) {
        const bool notified = co_await flushed_.wait();
        if (!notified) co_return fail(errc::cancelled, subject_);
    }
    if (last_flush_good_ >= needed) co_return Result<>();
    co_return fail(errc::unavailable, fmt::format("{}: {}", subject_, report_.write_error));
}

Task<Result<>> SqliteStore::flush() {
    if (const auto sound = context_.faults.check("disk", subject_); !sound) co_return sound;
    const auto job = std::make_shared<Job>();
    job->file = file_;
    job->rewrite = std::exchange(rewrite_, false);
    if (job->rewrite) {
        ChangeWriter everything(job->changes, context_.clock);
        table_.visit(everything, context_.clock.now());
    } else {
        std::swap(job->changes, pending_);
    }
    being_written_ = job->changes.size();
    const auto written = co_await context_.workers.run([job] {
        return job->file->write(job->changes, job->rewrite);
    });
    being_written_ = 0;
    if (written) co_return written;
    if (written.error().code() == errc::malformed)
        co_return co_await replace_damaged(written.error());
    // What was changed since goes on top of what was not written.
    if (job->rewrite || rewrite_) {
        rewrite_ = true;
        pending_.clear();
    } else {
        job->changes.follow_with(std::move(pending_));
        pending_ = std::move(job->changes);
    }
    co_return written;
}

/// The file turned out to be damaged while running: memory has everything, write it anew.
Task<Result<>> SqliteStore::replace_damaged(Error why) {
    rewrite_ = true;
    pending_.clear();
    const auto work = [file = file_, now = context_.clock.wall()] { return file->begin_anew(now); };
    const auto set_aside = co_await context_.workers.run(work);
    if (!set_aside) co_return set_aside.error();
    note_set_aside(*set_aside, why);
    co_return Result<>();
}

Task<Result<>> SqliteStore::close(SteadyTime deadline) {
    const bool again = closed_;
    closed_ = true;
    close_deadline_ = deadline;
    flush_timer_.cancel();
    while (flushing_ && context_.clock.now() < deadline) {
        co_await close_timer_.wait_until(deadline);
    }
    const SteadyTime patience = std::max(deadline, context_.clock.now() + kEndingTime);
    const auto late = co_await scope_.close(context_.clock, patience, patience);
    if (!late.empty()) {
        co_return fail(
            errc::timed_out, fmt::format("{}: the disk has not finished writing", subject_)
        );
    }
    if (!again) {
        co_await context_.workers.run([file = file_]() -> Result<> {
            file->close();
            return {};
        });
    }
    if (!dirty()) co_return Result<>();
    co_return fail(
        errc::unavailable, fmt::format("the last changes are lost: {}", report_.write_error)
    );
}

}  // namespace

Task<Result<std::unique_ptr<SnapshotStore>>> open_snapshot_store(
    net::Context context, std::string path, MemoryLimits limits
) {
    auto store = std::make_unique<SqliteStore>(context, limits, std::move(path));
    const auto opened = co_await store->open();
    if (!opened) co_return opened.error();
    co_return std::unique_ptr<SnapshotStore>(std::move(store));
}

}  // namespace skywire::store
