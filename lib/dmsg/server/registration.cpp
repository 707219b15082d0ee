#include "dmsg/server/registration.hpp"

#include "dmsg/entry_rules.hpp"
#include "net/deadline.hpp"
#include "net/timer.hpp"

#include <algorithm>

namespace skywire::dmsg::detail {
namespace {

constexpr Duration kRetryMin = std::chrono::seconds(1);
constexpr Duration kRetryMax = std::chrono::seconds(20);
constexpr std::chrono::seconds kDebounce{1};
// The discovery's time is known to the second.
constexpr std::chrono::seconds kClockSlack{2};
// Somebody else writes our entry, too: after this many tries he may.
constexpr int kSequenceTries = 5;
constexpr Duration kSequencePause = std::chrono::milliseconds(100);

std::string_view outcome_of(const ErrorCode& code) {
    if (code.category() == dmsg_category()) return reason(static_cast<dmsg::errc>(code.value()));
    if (code == make_error_code(skywire::errc::timed_out)) return "timed_out";
    return "unavailable";
}

}  // namespace

Registration::Registration(
    const net::Context& context,
    Options options,
    DiscoveryClient& discovery,
    std::function<std::size_t()> available
)
    : context_(context),
      options_(std::move(options)),
      discovery_(discovery),
      available_(std::move(available)),
      news_(context.loop),
      scope_(context.loop) {}

void Registration::start(std::function<void()> on_registered) {
    on_registered_ = std::move(on_registered);
    scope_.spawn("registration", [this] { return keep(); });
}

void Registration::changed() {
    changed_ = true;
    news_.notify();
}

void Registration::count(std::string_view outcome) {
    context_.metrics
        .counter(
            "dmsg_server_registrations_total",
            "Entries posted to the discovery: ok, or why not.",
            {{"outcome", std::string(outcome)}}
        )
        .add();
}

Task<> Registration::keep() {
    Duration pause = kRetryMin;
    for (;;) {
        changed_ = false;
        const auto posted = co_await post();
        count(posted ? "ok" : outcome_of(posted.error().code()));
        if (posted) {
            trouble_.clear();
            pause = kRetryMin;
            if (!std::exchange(registered_, true) && on_registered_) on_registered_();
            co_await wait_for_news();
            continue;
        }
        if (trouble_ != posted.error().message()) {
            trouble_ = posted.error().message();
            log::warn(context_.logger, "dmsg.entry.not_posted", log::kv("reason", trouble_));
        }
        if (!co_await net::sleep_for(context_.clock, pause)) co_return;
        pause = std::min(kRetryMax, pause * 13 / 10);
    }
}

Task<Result<>> Registration::news() {
    co_await news_.wait();
    co_return Result<>();
}

/// Until the entry is due: the interval is over, or the sessions have changed and a moment passed.
Task<> Registration::wait_for_news() {
    const SteadyTime due = context_.clock.now() + options_.update_interval;
    if (!changed_) {
        const auto told = co_await net::with_deadline(context_.clock, due, news());
        if (!told) co_return;
    }
    co_await net::sleep_until(context_.clock, std::min(due, context_.clock.now() + kDebounce));
}

Task<Result<>> Registration::post() {
    Duration pause = kSequencePause;
    for (int tries = 1;; ++tries) {
        if (!read_) {
            const auto known = co_await read_own();
            if (!known) co_return known.error();
        }
        auto posted = co_await post_once();
        if (posted || tries == kSequenceTries) co_return posted;
        if (posted.error() == make_error_code(dmsg::errc::outdated_timestamp)) {
            const auto followed = co_await follow_clock();
            if (!followed) co_return posted;
            continue;
        }
        const bool stale = posted.error() == make_error_code(dmsg::errc::wrong_sequence) ||
                           posted.error() == make_error_code(dmsg::errc::older_timestamp);
        if (!stale) co_return posted;
        read_ = false;
        if (!co_await net::sleep_for(context_.clock, pause)) co_return posted;
        pause *= 2;
    }
}

Task<Result<>> Registration::read_own() {
    auto entry = co_await discovery_.entry(options_.keys.public_key);
    if (entry) {
        stored_ = std::move(*entry);
    } else if (entry.error() == make_error_code(dmsg::errc::entry_not_found)) {
        stored_.reset();
    } else {
        co_return entry.error();
    }
    read_ = true;
    co_return Result<>();
}

Task<Result<>> Registration::post_once() {
    Entry entry = next_entry();
    auto posted = co_await discovery_.post(entry);
    if (!posted && posted.error() == make_error_code(dmsg::errc::invalid_signature) &&
        !options_.server.address_ws.empty()) {
        // A discovery of an older vintage signs only what it knows.
        options_.server.address_ws.clear();
        entry = next_entry();
        posted = co_await discovery_.post(entry);
    }
    if (posted) stored_ = std::move(entry);
    co_return posted;
}

/// After a refusal for the time of an entry. Errors: there is nothing to be done about it.
Task<Result<>> Registration::follow_clock() {
    const auto ahead = discovery_.clock_ahead();
    if (!ahead) co_return fail(skywire::errc::unavailable, "the discovery tells no time");
    if (std::chrono::abs(clock_ahead_ - *ahead) > kClockSlack) {
        log::warn(
            context_.logger,
            "dmsg.entry.clock_differs",
            log::kv("discovery_ahead", format_duration(*ahead))
        );
    }
    clock_ahead_ = *ahead;
    const bool from_later =
        stored_ && stored_->timestamp > (now() + kEntryAheadMax).time_since_epoch().count();
    if (!from_later) co_return Result<>();
    // No entry may be older than the one before, and none as new as that would be taken.
    stored_.reset();
    co_return co_await discovery_.erase(next_entry());
}

/// By the discovery's clock.
WallTime Registration::now() const {
    return context_.clock.wall() + clock_ahead_;
}

Entry Registration::next_entry() const {
    Entry entry;
    entry.version = kEntryVersion;
    entry.static_key = options_.keys.public_key;
    entry.server = options_.server;
    entry.server->available_sessions = static_cast<std::int64_t>(available_());
    entry.timestamp = now().time_since_epoch().count();
    if (stored_) {
        entry.sequence = stored_->sequence + 1;
        // A clock that was set back must not lock us out.
        entry.timestamp = std::max(entry.timestamp, stored_->timestamp);
    }
    sign_entry(entry, options_.keys.secret_key);
    return entry;
}

Task<> Registration::withdraw(SteadyTime deadline) {
    if (std::exchange(withdrawn_, true)) co_return;
    Clock& clock = context_.clock;
    co_await scope_.close(clock, clock.now(), deadline);
    if (!stored_) co_return;
    registered_ = false;
    Entry entry = next_entry();
    const auto erased =
        co_await net::with_deadline(clock, deadline, discovery_.erase(std::move(entry)));
    count(erased ? "deleted" : "not_deleted");
    if (!erased) {
        log::warn(
            context_.logger, "dmsg.entry.not_deleted", log::kv("reason", erased.error().message())
        );
    }
}

Task<std::vector<std::string>> Registration::close(SteadyTime deadline) {
    Clock& clock = context_.clock;
    co_return co_await scope_.close(clock, clock.now(), deadline);
}

}  // namespace skywire::dmsg::detail
