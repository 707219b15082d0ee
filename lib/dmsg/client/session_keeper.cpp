#include "dmsg/client/session_keeper.hpp"

#include "dmsg/detail/backoff.hpp"
#include "net/deadline.hpp"

#include <algorithm>
#include <utility>

#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>

namespace skywire::dmsg::detail {
namespace {

using namespace std::chrono_literals;

constexpr Backoff kDialBackoff{1s, 1.5, 60s};
constexpr Backoff kListBackoff{1s, 1.3, 20s};
/// How often lists are read where a session with every server is wanted, and there is one with all
/// that are known; or with some.
constexpr Duration kListEvery = 10min;
constexpr Duration kListSoon = 1min;
/// Lists are not read more often than this, whatever happens.
constexpr Duration kListPause = 1s;
constexpr Duration kListTimeout = 20s;
/// A dial that takes longer no longer keeps others from beginning.
constexpr Duration kSlowDial = 1s;
constexpr std::size_t kDialsMax = 16;
constexpr std::size_t kCandidatesMax = 1024;
/// A session that ended sooner was perhaps taken from us; one that lived longer was not.
constexpr Duration kShortLife = 60s;
constexpr Duration kLongLife = 5min;

}  // namespace

SessionKeeper::SessionKeeper(
    const net::Context& context,
    Options options,
    Directory& directory,
    DiscoveryClient& discovery,
    Links& links,
    ClientCounters& counters
)
    : context_(context),
      options_(std::move(options)),
      directory_(directory),
      discovery_(discovery),
      links_(links),
      counters_(counters),
      wake_(context.loop, context.clock),
      scope_(context.loop) {}

void SessionKeeper::start() {
    for (Entry& entry : shuffled(directory_.configured())) {
        if (!entry.server) continue;
        const std::string& type = entry.server->server_type;
        if (!options_.server_type.empty() && !type.empty() && type != options_.server_type)
            continue;
        if (find(entry.static_key) != nullptr) continue;
        Candidate candidate;
        candidate.entry = std::move(entry);
        candidate.configured = true;
        candidates_.push_back(std::move(candidate));
    }
    started_ = true;
    scope_.spawn("sessions", [this] { return run(); });
}

Task<std::vector<std::string>> SessionKeeper::stop(SteadyTime deadline) {
    started_ = false;
    return scope_.close(context_.clock, context_.clock.now(), deadline);
}

Task<> SessionKeeper::run() {
    while (started_) {
        plan();
        co_await wake_.wait_until(wake_at_);
    }
}

std::size_t SessionKeeper::target() const {
    return options_.sessions_min > 0 ? options_.sessions_min : candidates_.size();
}

bool SessionKeeper::settled() const {
    return !links_.usable().empty() && links_.usable().size() >= target() &&
           (options_.sessions_min > 0 || !options_.use_lists || list_read_);
}

std::string SessionKeeper::trouble() const {
    if (!links_.usable().empty()) return {};
    if (dial_trouble_.empty() && list_trouble_.empty())
        return "no session with a dmsg server: not yet";
    return fmt::format(
        "no session with a dmsg server: {}{}{}",
        dial_trouble_,
        dial_trouble_.empty() || list_trouble_.empty() ? "" : "; ",
        list_trouble_
    );
}

void SessionKeeper::plan() {
    if (!started_) return;
    // What is begun here may end at once and ask for another plan.
    plan_again_ = true;
    if (planning_) return;
    planning_ = true;
    SteadyTime wake_at = SteadyTime::max();
    while (std::exchange(plan_again_, false)) {
        const SteadyTime now = context_.clock.now();
        wake_at = plan_dials(now);
        wake_at = std::min(wake_at, plan_list(now));
    }
    planning_ = false;
    if (wake_at == wake_at_) return;
    wake_at_ = wake_at;
    wake_.cancel();
}

SteadyTime SessionKeeper::plan_dials(SteadyTime now) {
    SteadyTime again = SteadyTime::max();
    std::size_t have = links_.usable().size();
    std::size_t dialling = 0;
    for (const Candidate& candidate : candidates_) {
        if (!candidate.dialling) continue;
        ++dialling;
        if (candidate.dial_began + kSlowDial <= now) continue;
        ++have;
        again = std::min(again, candidate.dial_began + kSlowDial);
    }
    std::vector<Entry> chosen;
    for (Candidate& candidate : candidates_) {
        if (have + chosen.size() >= target()) break;
        const auto& key = candidate.entry.static_key;
        if (candidate.dialling || links_.find(key)) continue;
        if (candidate.next_try > now) {
            again = std::min(again, candidate.next_try);
            continue;
        }
        // When one of them ends there will be another plan.
        if (dialling + chosen.size() >= kDialsMax) break;
        candidate.dialling = true;
        candidate.dial_began = now;
        again = std::min(again, now + kSlowDial);
        chosen.push_back(candidate.entry);
    }
    for (Entry& server : chosen) {
        const auto name = fmt::format("keep a session with {}", server.static_key);
        scope_.spawn(name, [this, server = std::move(server)] { return dial(server); });
    }
    return again;
}

SteadyTime SessionKeeper::plan_list(SteadyTime now) {
    if (!options_.use_lists || reading_) return SteadyTime::max();
    const std::size_t have = links_.usable().size();
    const auto is_coming = [&](const Candidate& candidate) {
        return candidate.dialling && candidate.dial_began + kSlowDial > now;
    };
    const std::size_t coming =
        std::size_t(std::count_if(candidates_.begin(), candidates_.end(), is_coming));
    if (have > 0) list_rounds_ = 0;
    const bool all = options_.sessions_min == 0;
    const bool short_of = have + coming < target();
    SteadyTime due = SteadyTime::max();
    if (!list_read_ || have + coming == 0) {
        if (all || short_of) due = next_list_;
    } else if (all || short_of) {
        due = last_list_ + (short_of ? kListSoon : kListEvery);
        if (list_due_) due = std::min(due, last_list_ + kListPause);
    }
    if (due > now) return due;
    reading_ = true;
    list_due_ = false;
    scope_.spawn("list of servers", [this] { return read_list(); });
    return SteadyTime::max();
}

Task<> SessionKeeper::dial(Entry server) {
    const auto link = co_await links_.connect(server);
    if (!link) dial_trouble_ = link.error().message();
    if (Candidate* candidate = find(server.static_key)) {
        candidate->dialling = false;
        candidate->failed_dials = link ? 0 : candidate->failed_dials + 1;
        if (!link) {
            const Duration wait = kDialBackoff.delay(candidate->failed_dials, context_.random);
            candidate->next_try = std::max(candidate->next_try, context_.clock.now() + wait);
        }
    }
    plan();
}

void SessionKeeper::link_ended(const Link& link) {
    const SteadyTime now = context_.clock.now();
    const std::optional<Error>& end = link.end();
    dial_trouble_ =
        fmt::format("session with {}: {}", link.server(), end ? end->message() : std::string());
    list_due_ = true;
    if (Candidate* candidate = find(link.server())) {
        const Duration lived = now - link.since();
        if (lived >= kLongLife) candidate->short_lives = 0;
        if (lived < kShortLife) ++candidate->short_lives;
        // The first time at once: old servers drop a session now and then right at its beginning.
        candidate->next_try = now;
        if (candidate->short_lives > 1)
            candidate->next_try += kDialBackoff.delay(candidate->short_lives - 1, context_.random);
    }
    plan();
}

void SessionKeeper::server_going_away(const crypto::PublicKey& server) {
    list_due_ = true;
    dial_trouble_ = fmt::format("server {} is going away", server);
    if (Candidate* candidate = find(server))
        candidate->next_try = context_.clock.now() + kDialBackoff.delay(1, context_.random);
    plan();
}

Task<> SessionKeeper::read_list() {
    auto servers = co_await net::with_deadline(
        context_.clock,
        context_.clock.now() + kListTimeout,
        options_.sessions_min == 0 ? discovery_.all_servers() : discovery_.available_servers()
    );
    reading_ = false;
    last_list_ = context_.clock.now();
    next_list_ = last_list_ + kListBackoff.delay(++list_rounds_, context_.random);
    if (servers) {
        take_list(std::move(*servers));
    } else {
        counters_.look_up_failed(reason_of(servers.error()));
        list_trouble_ = "list of servers: " + servers.error().message();
    }
    plan();
}

void SessionKeeper::take_list(std::vector<Entry> servers) {
    std::erase_if(servers, [&](const Entry& entry) {
        if (!entry.server || entry.static_key.is_null()) return true;
        return !options_.server_type.empty() && entry.server->server_type != options_.server_type;
    });
    list_read_ = !servers.empty();
    list_trouble_ = servers.empty() ? "the discovery knows no server" : "";
    for (Candidate& candidate : candidates_)
        candidate.listed = false;
    servers = shuffled(std::move(servers));
    for (const Entry& entry : servers)
        take_listed(entry);
    std::erase_if(candidates_, [&](const Candidate& candidate) {
        return !candidate.configured && !candidate.listed && !candidate.dialling &&
               !links_.find(candidate.entry.static_key);
    });
    directory_.set_listed(std::move(servers));
}

void SessionKeeper::take_listed(const Entry& entry) {
    Candidate* known = find(entry.static_key);
    if (known == nullptr) {
        if (candidates_.size() >= kCandidatesMax) return;
        Candidate candidate;
        candidate.entry = entry;
        candidate.listed = true;
        candidates_.push_back(std::move(candidate));
        return;
    }
    known->listed = true;
    if (known->configured) return;
    const auto& before = known->entry.server;
    const auto& listed = entry.server;
    if (!before || !listed || before->address != listed->address) {
        known->failed_dials = 0;
        known->next_try = {};
    }
    known->entry = entry;
}

SessionKeeper::Candidate* SessionKeeper::find(const crypto::PublicKey& key) {
    const auto found =
        std::find_if(candidates_.begin(), candidates_.end(), [&](const Candidate& candidate) {
            return candidate.entry.static_key == key;
        });
    return found == candidates_.end() ? nullptr : &*found;
}

std::vector<Entry> SessionKeeper::shuffled(std::vector<Entry> servers) {
    for (std::size_t left = servers.size(); left > 1; --left)
        std::swap(servers[left - 1], servers[context_.random.below(left)]);
    return servers;
}

}  // namespace skywire::dmsg::detail
