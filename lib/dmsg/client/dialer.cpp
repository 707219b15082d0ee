#include "dmsg/client/dialer.hpp"

#include "dmsg/error.hpp"
#include "dmsg/stream.hpp"
#include "net/deadline.hpp"
#include "net/scope.hpp"
#include "net/timer.hpp"

#include <algorithm>

#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>

namespace skywire::dmsg::detail {
namespace {

using namespace std::chrono_literals;

/// A try that has not answered for so long gets company,
constexpr Duration kCompanyAfter = 250ms;
/// of at most so many at a time,
constexpr std::size_t kTriesAtOnce = 3;
/// not counting those that are as old as this: an old server leaves us waiting where it does not
/// know the destination (spec/dmsg.md section 9).
constexpr Duration kOldTry = 5s;
constexpr std::size_t kRoutesMax = 16;
/// Sessions made for one dial.
constexpr std::size_t kNewSessionsMax = 2;

Error code_error(Code code, std::string_view what) {
    return Error(code, fmt::format("{}: {}", make_error_code(code).message(), what));
}

/// An operation on a link under way keeps it from being idle.
struct Pending {
    explicit Pending(LinkPtr link_in) : link(std::move(link_in)) { ++link->pending; }
    ~Pending() { --link->pending; }
    Pending(const Pending&) = delete;
    Pending& operator=(const Pending&) = delete;
    LinkPtr link;
};

bool contains(const std::vector<crypto::PublicKey>& keys, const crypto::PublicKey& key) {
    return std::find(keys.begin(), keys.end(), key) != keys.end();
}

}  // namespace

/// Tries of one dial that are under way.
struct Dialer::Race {
    Race(const net::Context& context, SteadyTime now)
        : clock(context.clock),
          next_at(now),
          wake(context.loop, context.clock),
          tries(context.loop) {}

    /// Tries that are younger than kOldTry.
    std::size_t young(SteadyTime now) const {
        return std::size_t(std::count_if(begun.begin(), begun.end(), [&](SteadyTime at) {
            return at + kOldTry > now;
        }));
    }

    void failed(const crypto::PublicKey& server, const Error& error) {
        if (!failures.empty()) failures += "; ";
        failures += fmt::format("through {}: {}", server, error.message());
        last = error.code();
        next_at = clock.now();
    }

    Clock& clock;
    /// When each try under way has begun.
    std::vector<SteadyTime> begun;
    /// When the next may begin.
    SteadyTime next_at;
    StreamPtr winner;
    std::string failures;
    ErrorCode last;
    net::Timer wake;
    net::Scope tries;
};

Dialer::Dialer(
    const net::Context& context,
    Options options,
    Directory& directory,
    Links& links,
    std::shared_ptr<Ports> ports,
    std::shared_ptr<OpenStreams> open,
    ClientCounters& counters
)
    : context_(context),
      options_(std::move(options)),
      directory_(directory),
      links_(links),
      ports_(std::move(ports)),
      open_(std::move(open)),
      counters_(counters) {}

Task<Result<std::unique_ptr<net::Stream>>> Dialer::dial(Address to) {
    const SteadyTime began = context_.clock.now();
    auto outcome = co_await find_and_dial(to, began + options_.timeout);
    co_return counted(std::move(outcome), to, began);
}

Task<Result<std::unique_ptr<net::Stream>>> Dialer::dial_through(
    crypto::PublicKey server, Address to
) {
    const SteadyTime began = context_.clock.now();
    Plan only;
    only.routes.push_back(server);
    auto outcome = co_await race(std::move(only), to, began + options_.timeout);
    co_return counted(std::move(outcome), to, began);
}

Result<std::unique_ptr<net::Stream>> Dialer::counted(
    Result<StreamPtr> outcome, const Address& to, SteadyTime began
) {
    if (outcome) {
        counters_.dialled("ok");
        counters_.dial_seconds.observe(
            std::chrono::duration<double>(context_.clock.now() - began).count()
        );
        return outcome;
    }
    const Error error = outcome.error();
    counters_.dialled(reason_of(error));
    return error.within(fmt::format("dmsg dial {}", to));
}

Task<Result<std::unique_ptr<net::Stream>>> Dialer::find_and_dial(Address to, SteadyTime deadline) {
    if (to.port == 0) {
        co_return code_error(Code::request_destination_port, "port 0");
    }
    auto first = co_await plan(to.pk, deadline);
    const bool kept = first.kept;
    const auto routes = first.routes;
    auto outcome = co_await race(std::move(first), to, deadline);
    if (outcome || !kept || context_.clock.now() >= deadline) co_return outcome;
    if (outcome.error() == make_error_code(skywire::errc::cancelled)) co_return outcome;
    // It may have moved since its entry was read.
    directory_.forget(to.pk);
    auto second = co_await plan(to.pk, deadline);
    if (second.routes == routes) co_return outcome;
    co_return co_await race(std::move(second), to, deadline);
}

Task<Dialer::Plan> Dialer::plan(crypto::PublicKey key, SteadyTime deadline) {
    Plan plan;
    const auto servers = co_await delegated(plan, key, deadline);
    plan.routes = in_order(key, servers);
    co_return plan;
}

Task<std::vector<crypto::PublicKey>> Dialer::delegated(
    Plan& plan, crypto::PublicKey key, SteadyTime deadline
) {
    std::vector<crypto::PublicKey> servers;
    if (options_.direct_keys.contains(key)) {
        for (const Entry& server : directory_.configured())
            servers.push_back(server.static_key);
        if (servers.empty()) {
            for (const LinkPtr& link : links_.usable())
                servers.push_back(link->server());
        }
        co_return servers;
    }
    const auto found = co_await net::with_deadline(context_.clock, deadline, directory_.entry(key));
    if (!found) {
        const Error error = found.error();
        const bool unknown = error == make_error_code(errc::entry_not_found);
        plan.why = unknown ? code_error(Code::entry_not_found, key.to_text()) : error;
        co_return servers;
    }
    plan.kept = found->kept;
    if (!found->entry.client) {
        plan.why = code_error(Code::entry_not_of_client, key.to_text());
        co_return servers;
    }
    servers = found->entry.client->delegated_servers.value_or(servers);
    if (servers.empty()) plan.why = code_error(Code::no_delegated_servers, key.to_text());
    co_return servers;
}

/// First the sessions there are with the destination's servers, the nearest first; then in turn
/// another session, whose server may know a way, and a new one to a server of the destination: old
/// servers do not answer where they know no way, so that not all others may come first.
std::vector<crypto::PublicKey> Dialer::in_order(
    const crypto::PublicKey& to, const std::vector<crypto::PublicKey>& delegated
) const {
    auto links = links_.usable();
    std::sort(links.begin(), links.end(), [&](const LinkPtr& a, const LinkPtr& b) {
        if ((a->server() == to) != (b->server() == to)) return a->server() == to;
        return a->round_trip() < b->round_trip();
    });
    std::vector<crypto::PublicKey> routes;
    std::vector<crypto::PublicKey> others;
    for (const LinkPtr& link : links)
        (contains(delegated, link->server()) ? routes : others).push_back(link->server());
    std::vector<crypto::PublicKey> fresh;
    for (const auto& server : delegated) {
        if (fresh.size() == kNewSessionsMax) break;
        if (!contains(routes, server) && !contains(fresh, server)) fresh.push_back(server);
    }
    for (std::size_t i = 0; i < std::max(others.size(), fresh.size()); ++i) {
        if (i < others.size()) routes.push_back(others[i]);
        if (i < fresh.size()) routes.push_back(fresh[i]);
    }
    if (routes.size() > kRoutesMax) routes.resize(kRoutesMax);
    return routes;
}

Task<Result<std::unique_ptr<net::Stream>>> Dialer::race(
    Plan plan, Address to, SteadyTime deadline
) {
    // The tries must have ended before what they refer to dies here.
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto state = co_await asio::this_coro::cancellation_state;
    const auto is_cancelled = [&] { return state.cancelled() != asio::cancellation_type::none; };
    Race race(context_, context_.clock.now());
    std::size_t next = 0;
    bool late = false;
    while (!race.winner && !is_cancelled()) {
        const SteadyTime now = context_.clock.now();
        late = now >= deadline;
        if (late) break;
        const bool all_begun = next == plan.routes.size();
        if (all_begun && race.begun.empty()) break;
        const bool room = race.young(now) < kTriesAtOnce;
        if (!all_begun && room && now >= race.next_at) {
            race.next_at = now + kCompanyAfter;
            const auto server = plan.routes[next++];
            race.tries.spawn(
                fmt::format("through {}", server),
                [this, &race, server, to, deadline] { return run_try(race, server, to, deadline); }
            );
            continue;
        }
        SteadyTime wake = deadline;
        if (!all_begun) {
            SteadyTime room_at = race.next_at;
            if (!room) room_at = *std::min_element(race.begun.begin(), race.begun.end()) + kOldTry;
            wake = std::min(wake, std::max(room_at, race.next_at));
        }
        co_await race.wake.wait_until(wake);
    }
    co_await race.tries.close(context_.clock, context_.clock.now(), SteadyTime::max());
    co_await asio::this_coro::throw_if_cancelled(throws);
    if (race.winner) co_return std::move(race.winner);
    if (is_cancelled()) co_return fail(skywire::errc::cancelled, {});
    const std::string tries = race.failures.empty() ? "" : fmt::format(" ({})", race.failures);
    if (plan.why) co_return Error(plan.why->code(), plan.why->message() + tries);
    if (late) co_return fail(skywire::errc::timed_out, fmt::format("no answer in time{}", tries));
    if (plan.routes.empty())
        co_return code_error(Code::no_delegated_connection, "no dmsg server is known");
    co_return Error(race.last, race.failures);
}

Task<> Dialer::run_try(Race& race, crypto::PublicKey server, Address to, SteadyTime deadline) {
    const SteadyTime began = context_.clock.now();
    race.begun.push_back(began);
    auto stream = co_await open(server, to, deadline);
    race.begun.erase(std::find(race.begun.begin(), race.begun.end(), began));
    if (!stream) {
        const Error error = stream.error();
        if (error != make_error_code(skywire::errc::cancelled))
            counters_.try_failed(reason_of(error));
        race.failed(server, error);
    } else if (!race.winner) {
        race.winner = std::move(*stream);
    }
    race.wake.cancel();
}

Task<Result<std::unique_ptr<net::Stream>>> Dialer::open(
    crypto::PublicKey server, Address to, SteadyTime deadline
) {
    // A new session that ends at once is made again once: spec/dmsg.md section 4.
    for (int attempt = 0;; ++attempt) {
        LinkPtr link = links_.find(server);
        const bool fresh = link == nullptr;
        if (fresh) {
            const auto entry = co_await directory_.server(server);
            if (!entry) co_return entry.error();
            auto made = co_await links_.connect(*entry);
            if (!made) co_return made.error();
            link = std::move(*made);
        }
        auto port = ports_->take_ephemeral();
        if (!port) co_return port.error();
        const Pending pending(link);
        const Address from{options_.keys.public_key, port->port()};
        auto stream =
            co_await open_stream(context_, link->session(), options_.keys, from, to, deadline);
        if (stream) {
            co_return std::make_unique<ClientStream>(open_, std::move(*stream), std::move(*port));
        }
        if (!fresh || attempt > 0 || !link->ended()) co_return stream.error();
    }
}

}  // namespace skywire::dmsg::detail
