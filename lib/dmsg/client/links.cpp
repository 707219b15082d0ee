#include "dmsg/client/links.hpp"

#include "base/assert.hpp"
#include "net/deadline.hpp"

#include <algorithm>

#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>

namespace skywire::dmsg::detail {
namespace {

using namespace std::chrono_literals;

constexpr Duration kDialTimeout = 10s;
/// Old servers drop a connection whose first bytes of the multiplexer come together with the last
/// handshake message: spec/dmsg.md section 4.
constexpr Duration kPause = 100ms;
constexpr Duration kTick = 250ms;
/// Between measurements of the round trip.
constexpr Duration kMeasureEvery = 60s;
constexpr Duration kMeasureLimit = 15s;
/// For servers to take what was written before the end.
constexpr Duration kLastWords = 2s;
/// For a session that is not wanted and carries nothing.
constexpr Duration kIdleMax = 5min;

Task<bool> is_cancelled() {
    const auto state = co_await asio::this_coro::cancellation_state;
    co_return state.cancelled() != asio::cancellation_type::none;
}

/// Where a server listens: its addresses in the order in which to try them.
Result<std::vector<net::Address>> addresses_of(const Entry& server) {
    if (!server.server) {
        return Error(
            Code::entry_not_of_server,
            fmt::format(
                "{}: {}", make_error_code(Code::entry_not_of_server).message(), server.static_key
            )
        );
    }
    std::vector<net::Address> addresses;
    std::string wrong;
    for (const std::string& text : {server.server->address, server.server->address_v6}) {
        if (text.empty()) continue;
        auto address = net::Address::parse(text);
        if (address && address->kind == net::Address::Kind::tcp && !address->host.empty()) {
            addresses.push_back(std::move(*address));
        } else {
            wrong = text;
        }
    }
    if (!addresses.empty()) return addresses;
    return fail(
        skywire::errc::malformed,
        fmt::format("the address {} is not host:port", quote_peer_text(wrong))
    );
}

}  // namespace

void Link::on_stream(Session& session, std::unique_ptr<mux::Stream> stream) {
    links_.owner_.on_incoming(shared_from_this(), session, std::move(stream));
}

void Link::on_go_away(Session&) {
    links_.on_go_away(*this);
}

void Link::on_end(Session&, const Error& reason) {
    links_.on_end(*this, reason);
}

Links::Links(const net::Context& context, Options options, ClientCounters& counters, Owner& owner)
    : context_(context),
      options_(std::move(options)),
      counters_(counters),
      owner_(owner),
      scope_(context.loop) {}

void Links::start() {
    scope_.spawn("tick", [this] { return tick(); });
}

Task<std::vector<std::string>> Links::stop(SteadyTime deadline) {
    const auto links = all();
    for (const LinkPtr& link : links)
        link->session().mux().go_away();
    // Streams were closed with bytes on their way: a server that answers has taken them. One that
    // does not must leave us the time to end in order.
    const SteadyTime now = context_.clock.now();
    const SteadyTime until = now + std::min<Duration>(kLastWords, (deadline - now) / 2);
    for (const LinkPtr& link : links) {
        (void)co_await net::with_deadline(context_.clock, until, link->session().mux().ping());
    }
    co_return co_await scope_.close(context_.clock, context_.clock.now(), deadline);
}

LinkPtr Links::find(const crypto::PublicKey& server) const {
    const auto found = std::find_if(usable_.begin(), usable_.end(), [&](const LinkPtr& link) {
        return link->server() == server;
    });
    return found == usable_.end() ? nullptr : *found;
}

std::vector<crypto::PublicKey> Links::kept() const {
    std::vector<crypto::PublicKey> keys;
    for (const LinkPtr& link : usable_) {
        if (options_.kept != 0 && keys.size() == options_.kept) break;
        keys.push_back(link->server());
    }
    return keys;
}

bool Links::is_kept(const Link& link) const {
    if (options_.kept == 0) return true;
    const auto end = usable_.begin() + std::ptrdiff_t(std::min(options_.kept, usable_.size()));
    return std::any_of(usable_.begin(), end, [&](const LinkPtr& kept) {
        return kept.get() == &link;
    });
}

Task<Result<LinkPtr>> Links::connect(Entry server) {
    if (auto link = find(server.static_key)) co_return link;
    std::shared_ptr<Connecting> connecting;
    if (const auto found = connecting_.find(server.static_key); found != connecting_.end()) {
        connecting = found->second;
    } else {
        connecting = std::make_shared<Connecting>(context_.loop);
        connecting_.emplace(server.static_key, connecting);
        const auto name = fmt::format("session with {}", server.static_key);
        const bool started =
            scope_.spawn(name, [this, connecting, server] { return run(connecting, server); });
        if (!started) {
            connecting_.erase(server.static_key);
            co_return fail(skywire::errc::closed, "the dmsg client has stopped");
        }
    }
    while (!connecting->result) {
        const bool notified = co_await connecting->ended.wait();
        if (!notified) co_return fail(skywire::errc::cancelled, {});
    }
    const auto& result = connecting->result;
    SKY_ASSERT(result);
    co_return *result;
}

Task<> Links::run(std::shared_ptr<Connecting> connecting, Entry server) {
    // What has begun must be ended in order, cancelled or not.
    co_await asio::this_coro::throw_if_cancelled(false);
    auto link = co_await begin(server);
    const auto outcome = link ? std::string_view("ok") : reason_of(link.error());
    counters_.session_dialled(outcome);
    connecting_.erase(server.static_key);
    connecting->result =
        link ? link
             : Result<LinkPtr>(link.error().within(fmt::format("session with {}", server.static_key)
               ));
    connecting->ended.notify();
    if (!link) {
        log::debug(
            context_.logger,
            "dmsg.session.failed",
            log::kv("server", server.static_key),
            log::kv("error", link.error().message())
        );
        co_return;
    }
    add(*link);
    co_await attend(*link);
    co_await end(*link);
}

Task<Result<Handshaken>> Links::dial(Entry server) {
    const auto addresses = addresses_of(server);
    if (!addresses) co_return addresses.error();
    std::optional<Error> last;
    for (const net::Address& address : *addresses) {
        auto stream = co_await net::with_deadline(
            context_.clock,
            context_.clock.now() + kDialTimeout,
            context_.network.dial(context_.loop, address)
        );
        // The cancellation may have come when the connection already stood: the handshake would
        // not hear of it any more.
        const bool cancelled_meanwhile = co_await is_cancelled();
        if (cancelled_meanwhile) co_return fail(skywire::errc::cancelled, {});
        if (stream) {
            auto handshaken = co_await handshake_as_client(
                context_, std::move(*stream), options_.keys, server.static_key
            );
            if (handshaken) co_return handshaken;
            last = handshaken.error().within(fmt::format("handshake at {}", address.to_string()));
        } else {
            last = stream.error().within(fmt::format("dial {}", address.to_string()));
        }
        const bool cancelled = co_await is_cancelled();
        if (cancelled) break;
    }
    SKY_ASSERT(last);
    co_return *last;
}

Task<Result<LinkPtr>> Links::begin(Entry server) {
    // An end right behind the handshake is what old servers do now and then: tried once more.
    for (int attempt = 0;; ++attempt) {
        const SteadyTime began = context_.clock.now();
        auto handshaken = co_await dial(server);
        if (!handshaken) co_return handshaken.error();
        const auto link =
            std::make_shared<Link>(*this, server.static_key, context_.clock.now(), context_);
        Session::Options options;
        options.role = mux::Role::client;
        options.protocol = options_.protocol;
        options.streams_max = options_.streams_max;
        // One round trip for the connection, one for the handshake.
        link->round_trip_ = (context_.clock.now() - began) / 2;
        Session::Owner& owner = *link;
        link->session_.emplace(context_, std::move(*handshaken), options, owner);
        if (!options_.prompt_servers.contains(server.static_key)) co_await pause(link);
        const bool cancelled = co_await is_cancelled();
        if (!link->ended() && !cancelled) co_return link;
        const Error reason = link->end().value_or(fail(skywire::errc::cancelled, {}));
        co_await link->session().mux().close();
        if (attempt > 0 || cancelled) co_return reason.within("right after the handshake");
    }
}

Task<> Links::pause(LinkPtr link) {
    const SteadyTime until = context_.clock.now() + kPause;
    while (!link->ended() && context_.clock.now() < until) {
        const bool cancelled = co_await is_cancelled();
        if (cancelled) co_return;
        co_await link->wake_.wait_until(until);
    }
}

Task<> Links::attend(LinkPtr link) {
    SteadyTime measure = context_.clock.now();
    bool measurable = true;
    while (!link->ended() && link->closing_.empty()) {
        const bool cancelled = co_await is_cancelled();
        if (cancelled) co_return;
        if (measurable && context_.clock.now() >= measure) {
            // A server that speaks and does not answer must not keep us from seeing its end.
            const auto took = co_await net::with_deadline(
                context_.clock, context_.clock.now() + kMeasureLimit, link->session().mux().ping()
            );
            if (took) link->round_trip_ = *took;
            measurable = took.has_value();
            measure = context_.clock.now() + kMeasureEvery;
            continue;
        }
        co_await link->wake_.wait_until(measurable ? measure : SteadyTime::max());
    }
}

Task<> Links::end(LinkPtr link) {
    const bool was_usable = remove(*link);
    std::string_view reason = link->closing_;
    const std::optional<Error>& why = link->end();
    if (reason.empty()) reason = why ? reason_of(*why) : "stopped";
    counters_.session_ended(reason);
    counters_.sessions.add(-1);
    log::debug(
        context_.logger,
        "dmsg.session.ended",
        log::kv("server", link->server()),
        log::kv("reason", why ? why->message() : std::string(reason))
    );
    if (was_usable) owner_.on_links_changed();
    co_await link->session().mux().close();
}

void Links::add(const LinkPtr& link) {
    counters_.sessions.add(1);
    log::debug(context_.logger, "dmsg.session.began", log::kv("server", link->server()));
    if (link->draining_) {
        draining_.push_back(link);
        return;
    }
    usable_.push_back(link);
    owner_.on_links_changed();
}

bool Links::remove(const Link& link) {
    const auto is_link = [&](const LinkPtr& each) { return each.get() == &link; };
    std::erase_if(draining_, is_link);
    return std::erase_if(usable_, is_link) > 0;
}

void Links::on_go_away(Link& link) {
    if (link.draining_) return;
    link.draining_ = true;
    log::debug(context_.logger, "dmsg.session.going_away", log::kv("server", link.server()));
    const auto found = std::find_if(usable_.begin(), usable_.end(), [&](const LinkPtr& each) {
        return each.get() == &link;
    });
    if (found == usable_.end()) return;
    draining_.push_back(*found);
    usable_.erase(found);
    owner_.on_server_going_away(link.server());
    owner_.on_links_changed();
}

void Links::on_end(Link& link, const Error& reason) {
    link.end_ = reason;
    link.wake_.cancel();
    if (!link.closing_.empty()) return;
    const bool was_draining = link.draining_;
    const bool was_usable = remove(link);
    if (was_usable || was_draining) owner_.on_link_ended(link);
    if (was_usable) owner_.on_links_changed();
}

std::vector<LinkPtr> Links::all() const {
    auto links = usable_;
    links.insert(links.end(), draining_.begin(), draining_.end());
    return links;
}

Task<> Links::tick() {
    net::Timer timer(context_.loop, context_.clock);
    while (co_await timer.wait_for(kTick)) {
        const SteadyTime now = context_.clock.now();
        for (const LinkPtr& link : all())
            tick(*link, now);
    }
}

void Links::tick(Link& link, SteadyTime now) {
    link.session().mux().tick(now);
    if (link.ended()) return;
    const bool busy = link.session().mux().streams() > 0 || link.pending + link.incoming > 0;
    if (busy) {
        link.used_ = now;
        return;
    }
    if (link.draining_) {
        link.closing_ = "go_away";
    } else if (now - link.used_ >= kIdleMax && !is_kept(link)) {
        link.closing_ = "idle";
    } else {
        return;
    }
    link.wake_.cancel();
}

}  // namespace skywire::dmsg::detail
