#include "dmsg/client/entry_keeper.hpp"

#include "dmsg/detail/backoff.hpp"
#include "dmsg/error.hpp"
#include "net/deadline.hpp"

#include <algorithm>

#include <boost/asio/this_coro.hpp>

namespace skywire::dmsg::detail {
namespace {

using namespace std::chrono_literals;

/// How long a change waits for others: servers come one after another.
constexpr Duration kFirstWait = 50ms;
constexpr Duration kWait = 1s;
constexpr Backoff kBackoff{1s, 2.0, 30s};
/// Where another writer of the same entry is faster than we are.
constexpr int kTriesMax = 5;
constexpr Backoff kConflictBackoff{100ms, 2.0, 2s};
constexpr Duration kCallTimeout = 20s;

bool is_code(const Error& error, errc code) {
    return error == make_error_code(code);
}

bool is_unreachable(const Error& error) {
    return error == make_error_code(skywire::errc::unavailable);
}

}  // namespace

EntryKeeper::EntryKeeper(
    const net::Context& context,
    Options options,
    DiscoveryClient& discovery,
    ClientCounters& counters,
    std::function<void()> on_written
)
    : context_(context),
      options_(std::move(options)),
      discovery_(discovery),
      counters_(counters),
      on_written_(std::move(on_written)),
      wake_(context.loop, context.clock),
      scope_(context.loop) {}

void EntryKeeper::start() {
    // A server learns the multiplexer of our choice from the entry: it must be there before us.
    if (!options_.protocol.empty()) {
        dirty_ = true;
        due_ = context_.clock.now();
    }
    scope_.spawn("entry", [this] { return run(); });
}

void EntryKeeper::set_servers(std::vector<crypto::PublicKey> servers, bool settled) {
    std::sort(servers.begin(), servers.end());
    const SteadyTime now = context_.clock.now();
    const bool changed = servers != servers_;
    if (!changed && settled == settled_) return;
    servers_ = std::move(servers);
    settled_ = settled;
    if (changed && !dirty_) {
        dirty_ = true;
        due_ = now + (written_ ? kWait : kFirstWait);
    }
    // After a failure the next try has its time already.
    if (!written_ && settled && dirty_ && failures_ == 0) due_ = std::min(due_, now);
    wake_.cancel();
}

Task<> EntryKeeper::wait_due() {
    while (context_.clock.now() < due_)
        co_await wake_.wait_until(due_);
}

Task<> EntryKeeper::run() {
    while (!stopping_) {
        co_await wait_due();
        dirty_ = false;
        const auto servers = servers_;
        const auto outcome = co_await write(servers);
        written(outcome, !servers.empty());
    }
}

void EntryKeeper::written(const Result<>& outcome, bool names_server) {
    const SteadyTime now = context_.clock.now();
    counters_.entry_written(outcome ? std::string_view("ok") : reason_of(outcome.error()));
    if (!outcome) {
        trouble_ = "entry in the discovery: " + outcome.error().message();
        log::debug(context_.logger, "dmsg.entry.failed", log::kv("error", trouble_));
        // The next one to answer may be a newer discovery.
        if (is_unreachable(outcome.error())) plain_ = false;
        dirty_ = true;
        due_ = now + kBackoff.delay(++failures_, context_.random);
        return;
    }
    failures_ = 0;
    trouble_.clear();
    if (names_server) written_ = true;
    // Changes that came while we wrote have waited long enough to be written together.
    if (!dirty_) due_ = now + options_.refresh;
    on_written_();
}

Task<Result<>> EntryKeeper::write(std::vector<crypto::PublicKey> servers) {
    std::optional<Error> conflict;
    std::int64_t tried_timestamp = 0;
    for (int tried = 0; tried < kTriesMax; ++tried) {
        auto stored = co_await read();
        if (!stored) co_return stored.error();
        if (conflict && stored->timestamp > tried_timestamp) {
            // Theirs is the newer word. Ours may be old by the time it would be written.
            posted_.reset();
            co_return conflict->within("another process writes the entry of our key");
        }
        Entry entry = next(*stored, servers);
        tried_timestamp = entry.timestamp;
        const auto posted = co_await post(std::move(entry));
        if (posted) co_return posted;
        const Error error = posted.error();
        if (!is_code(error, errc::wrong_sequence) && !is_code(error, errc::older_timestamp))
            co_return error;
        conflict = error;
        const Duration wait = kConflictBackoff.delay(unsigned(tried) + 1, context_.random);
        co_await net::sleep_for(context_.clock, wait);
    }
    co_return *conflict;
}

/// The stored entry; a blank one, whose version is empty, where there is none.
Task<Result<Entry>> EntryKeeper::read() {
    auto stored = co_await net::with_deadline(
        context_.clock,
        context_.clock.now() + kCallTimeout,
        discovery_.entry(options_.keys.public_key)
    );
    if (!stored && is_code(stored.error(), errc::entry_not_found)) co_return Entry();
    co_return stored;
}

Entry EntryKeeper::next(const Entry& stored, const std::vector<crypto::PublicKey>& servers) const {
    Entry entry = stored;
    const bool first = stored.version.empty();
    const std::int64_t now = context_.clock.wall().time_since_epoch().count();
    entry.version = kEntryVersion;
    entry.static_key = options_.keys.public_key;
    entry.sequence = first ? 0 : stored.sequence + 1;
    // A clock that was set back must not shut us out.
    entry.timestamp = first ? now : std::max(now, stored.timestamp);
    entry.client = ClientInfo{servers};
    entry.client_type = options_.client_type;
    entry.protocol = options_.protocol;
    return entry;
}

Task<Result<>> EntryKeeper::post(Entry entry) {
    const bool has_extras = !entry.client_type.empty() || !entry.protocol.empty();
    while (true) {
        if (plain_) {
            entry.client_type.clear();
            entry.protocol.clear();
        }
        sign_entry(entry, options_.keys.secret_key);
        posted_ = entry;
        const auto posted = co_await net::with_deadline(
            context_.clock, context_.clock.now() + kCallTimeout, discovery_.post(entry)
        );
        if (posted) co_return posted;
        const Error error = posted.error();
        // An older discovery signs and checks only the members it knows.
        const bool again = is_code(error, errc::invalid_signature) && has_extras && !plain_;
        if (!again) co_return error;
        plain_ = true;
    }
}

Task<std::vector<std::string>> EntryKeeper::stop(SteadyTime deadline) {
    stopping_ = true;
    auto late = co_await scope_.close(context_.clock, context_.clock.now(), deadline);
    if (!posted_) co_return late;
    const auto erased =
        co_await net::with_deadline(context_.clock, deadline, discovery_.erase(*posted_));
    if (!erased) {
        log::debug(
            context_.logger, "dmsg.entry.not_erased", log::kv("error", erased.error().message())
        );
    }
    co_return late;
}

}  // namespace skywire::dmsg::detail
