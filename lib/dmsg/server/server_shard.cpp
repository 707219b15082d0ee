#include "dmsg/server/server_shard.hpp"

#include "dmsg/server/first_bytes.hpp"
#include "http/websocket.hpp"
#include "net/deadline.hpp"
#include "net/forwarding_stream.hpp"

#include <boost/asio/this_coro.hpp>

namespace skywire::dmsg::detail {
namespace {

constexpr std::chrono::milliseconds kSweepInterval{250};
// A half whose other half never came, or never confirmed the end.
constexpr std::chrono::seconds kHalfLimit{15};
// A server of unknown make is left in peace for this long behind the handshake (section 4).
constexpr std::chrono::milliseconds kSilence{100};
constexpr const char* kWebSocketPath = "/dmsg";
constexpr Duration kRedialMin = std::chrono::seconds(5);
constexpr Duration kRedialMax = std::chrono::seconds(60);

/// A connection whose peer is somebody else than its socket says.
class ReaddressedStream final : public net::ForwardingStream {
 public:
    ReaddressedStream(std::unique_ptr<net::Stream> inner, net::Address remote)
        : ForwardingStream(*inner), inner_(std::move(inner)), remote_(std::move(remote)) {}

    const net::Address& remote() const noexcept override { return remote_; }

 private:
    std::unique_ptr<net::Stream> inner_;
    net::Address remote_;
};

/// What a connection turned out to be.
struct Opening {
    FirstBytes first;
    /// All that was read, the PROXY header left out.
    Bytes received;
};

Task<Result<Opening>> read_opening(net::Stream& stream, bool accept_proxy_header) {
    Opening opening;
    for (;;) {
        const std::size_t before = opening.received.size();
        opening.received.resize(kFirstBytesMax);
        const auto size = co_await stream.read_some(std::span(opening.received).subspan(before));
        if (!size) co_return size.error();
        opening.received.resize(before + *size);
        if (*size == 0) co_return fail(skywire::errc::closed, "closed before its first bytes");
        auto first = look_at_first_bytes(opening.received, accept_proxy_header);
        if (!first) co_return first.error();
        if (first->kind == FirstBytes::Kind::need_more) continue;
        const auto begin = opening.received.begin();
        opening.received.erase(begin, begin + static_cast<std::ptrdiff_t>(first->skip));
        opening.first = std::move(*first);
        co_return opening;
    }
}

std::string_view handshake_reason(const ErrorCode& code) {
    if (code == make_error_code(skywire::errc::timed_out)) return "handshake_timed_out";
    if (code == make_error_code(skywire::errc::closed)) return "closed";
    if (code == make_error_code(skywire::errc::malformed)) return "malformed";
    if (code.category() == noise::noise_category())
        return noise::reason(static_cast<noise::errc>(code.value()));
    return "connection_lost";
}

SessionDirectory& directory_of(ServerCore& core, ServerSession::Kind kind) {
    switch (kind) {
        case ServerSession::Kind::client:
            return core.clients;
        case ServerSession::Kind::accepted_peer:
            return core.accepted_peers;
        case ServerSession::Kind::dialed_peer:
            return core.dialed_peers;
    }
    return core.clients;
}

}  // namespace

/// Who waits for a job's outcome, findable for as long as it waits.
class Shard::Waiting {
 public:
    Waiting(Shard& shard, std::uint64_t id)
        : shard_(shard), id_(id), timer_(shard.context_.loop, shard.context_.clock) {
        shard_.waiting_.emplace(id_, this);
    }
    ~Waiting() { shard_.waiting_.erase(id_); }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

    void come(ForwardOutcome outcome) {
        outcome_ = std::move(outcome);
        timer_.cancel();
    }

    Task<ForwardOutcome> wait(SteadyTime deadline) {
        if (!outcome_) co_await timer_.wait_until(deadline);
        if (outcome_) co_return std::move(*outcome_);
        co_return refusal_name(StreamRefusal::destination_silent);
    }

 private:
    Shard& shard_;
    std::uint64_t id_;
    net::Timer timer_;
    std::optional<ForwardOutcome> outcome_;
};

Shard::Shard(const net::Context& context, std::shared_ptr<ServerCore> core, std::uint32_t index)
    : context_(context),
      core_(std::move(core)),
      index_(index),
      now_(context.clock.now()),
      session_gone_(context.loop),
      scope_(context.loop) {}

Shard::~Shard() = default;

void Shard::start() {
    scope_.spawn("sweep", [this] { return sweep(); });
}

void Shard::connect(std::unique_ptr<net::Stream> stream, Admission::Place place, bool websocket) {
    const auto held = std::make_shared<std::pair<std::unique_ptr<net::Stream>, Admission::Place>>(
        std::move(stream), std::move(place)
    );
    scope_.spawn("connection", [this, held, websocket] {
        return serve(std::move(held->first), std::move(held->second), websocket);
    });
}

Task<> Shard::serve(std::unique_ptr<net::Stream> stream, Admission::Place place, bool websocket) {
    auto handshaken = co_await shake_hands(std::move(stream), place, websocket);
    if (!handshaken) co_return;
    const bool is_peer = core_->peer_keys.contains(handshaken->remote);
    const auto kind = is_peer ? ServerSession::Kind::accepted_peer : ServerSession::Kind::client;
    const SteadyTime now = context_.clock.now();
    const bool replaces = core_->clients.find(handshaken->remote).has_value();
    if (is_peer) {
        // Named in the configuration, and so few that they need no limits.
        place = Admission::Place();
    } else {
        const Refusal refusal =
            core_->admission.authenticated(place, handshaken->remote, replaces, now);
        if (refusal != Refusal::none) {
            handshaken->carrier->close();
            core_->counters.refused(refusal);
            co_return;
        }
    }
    begin(std::move(*handshaken), kind, std::move(place));
}

/// Everything before the session, whatever the connection begins with. Refusals are counted.
Task<Result<Handshaken>> Shard::shake_hands(
    std::unique_ptr<net::Stream> stream, Admission::Place& place, bool websocket
) {
    const SteadyTime begun = context_.clock.now();
    const auto refused = [this](std::string_view reason) {
        core_->counters.refused_session(reason);
        return fail(skywire::errc::forbidden, std::string(reason));
    };
    auto opening = co_await net::with_deadline(
        context_.clock,
        begun + kHandshakeTimeout,
        read_opening(*stream, core_->options.accept_proxy_header)
    );
    if (!opening) {
        stream->close();
        co_return refused(handshake_reason(opening.error().code()));
    }
    if (const auto& source = opening->first.source; source.has_value())
        stream = std::make_unique<ReaddressedStream>(std::move(stream), *source);
    const Refusal refusal = core_->admission.addressed(place, stream->remote(), begun);
    if (refusal != Refusal::none) {
        stream->close();
        co_return refused(refusal_name(refusal));
    }
    const bool upgrade = opening->first.kind == FirstBytes::Kind::websocket;
    if (!upgrade && (websocket || opening->first.kind != FirstBytes::Kind::handshake)) {
        stream->close();
        co_return refused("unknown_protocol");
    }
    if (upgrade) {
        auto upgraded = co_await net::with_deadline(
            context_.clock,
            begun + kHandshakeTimeout,
            http::accept_websocket(
                context_, std::move(stream), std::exchange(opening->received, {}), kWebSocketPath
            )
        );
        if (!upgraded) co_return refused("websocket");
        stream = std::move(*upgraded);
    }
    auto handshaken = co_await handshake_as_server(
        context_, std::move(stream), core_->options.keys, std::move(opening->received)
    );
    if (!handshaken) co_return refused(handshake_reason(handshaken.error().code()));
    co_return handshaken;
}

std::uint64_t Shard::begin(
    Handshaken handshaken, ServerSession::Kind kind, Admission::Place place
) {
    const crypto::PublicKey key = handshaken.remote;
    const std::uint64_t id = ++last_session_;
    if (closing_) {
        handshaken.carrier->close();
        return id;
    }
    core_->counters.session_began();
    core_->counters.active_sessions.add(1);
    (kind == ServerSession::Kind::client ? core_->counters.clients : core_->counters.peers).add(1);
    auto session =
        std::make_unique<ServerSession>(*this, id, std::move(handshaken), kind, std::move(place));
    sessions_.emplace(id, std::move(session));
    if (core_->draining.load(std::memory_order_relaxed)) sessions_[id]->go_away();
    // A full server lets a key in that is there already, which then has no second session.
    const bool full = core_->admission.sessions() > core_->options.limits.sessions_max;
    const auto replaced = directory_of(*core_, kind).put(key, {index_, id}, full);
    if (replaced) {
        core_->counters.replaced.add();
        other(replaced->shard).post([old = replaced->id](Shard& shard) { shard.replace(old); });
    }
    if (core_->sessions_changed)
        other(0).post([](Shard& first) { first.core().sessions_changed(); });
    return id;
}

ServerSession* Shard::session(std::uint64_t id) {
    const auto found = sessions_.find(id);
    return found == sessions_.end() ? nullptr : found->second.get();
}

void Shard::replace(std::uint64_t id) {
    if (ServerSession* old = session(id))
        old->abort(fail(skywire::errc::limit_reached, "a newer session of the same key"));
}

void Shard::session_over(ServerSession& session) {
    const SessionRef ref{index_, session.id()};
    directory_of(*core_, session.kind()).remove(session.remote(), ref);
    core_->counters.active_sessions.add(-1);
    (session.is_peer() ? core_->counters.peers : core_->counters.clients).add(-1);
    if (core_->sessions_changed && !closing_)
        other(0).post([](Shard& first) { first.core().sessions_changed(); });
    session_gone_.notify();
    scope_.spawn("session's end", [this, id = session.id()] { return bury(id); });
}

/// Takes a session that has ended down, outside of its own calls.
Task<> Shard::bury(std::uint64_t id) {
    // Whoever stops the shard waits for this.
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await asio::post(context_.loop, asio::use_awaitable);
    const auto found = sessions_.find(id);
    if (found == sessions_.end()) co_return;
    const std::unique_ptr<ServerSession> session = std::move(found->second);
    sessions_.erase(found);
    co_await session->close();
}

void Shard::go_away() {
    for (const auto& [id, session] : sessions_)
        session->go_away();
}

Task<ForwardOutcome> Shard::forward(SessionRef to, ForwardJob job, SteadyTime deadline) {
    Waiting waiting(*this, job.dialer.id);
    const auto hand_over = [id = to.id](Shard& shard, ForwardJob handed) {
        ServerSession* session = shard.session(id);
        if (session != nullptr) return session->forward(std::move(handed));
        shard.send_outcome(handed.dialer, refusal_name(StreamRefusal::destination_lost));
    };
    if (to.shard == index_) {
        hand_over(*this, std::move(job));
    } else {
        other(to.shard).post([hand_over, job = std::move(job)](Shard& shard) mutable {
            hand_over(shard, std::move(job));
        });
    }
    co_return co_await waiting.wait(deadline);
}

void Shard::send_outcome(RelayRef dialer, ForwardOutcome outcome) {
    if (dialer.shard == index_) return outcome_came(dialer.id, std::move(outcome));
    other(dialer.shard).post([id = dialer.id, outcome = std::move(outcome)](Shard& shard) mutable {
        shard.outcome_came(id, std::move(outcome));
    });
}

void Shard::outcome_came(std::uint64_t dialer, ForwardOutcome outcome) {
    if (const auto found = waiting_.find(dialer); found != waiting_.end())
        return found->second->come(std::move(outcome));
    // The dialer has gone.
    if (const auto* forwarded = std::get_if<Forwarded>(&outcome))
        tell(
            forwarded->destination.shard,
            {RelayMail::Kind::finish, forwarded->destination.id, 0, {}}
        );
}

RelayHalf& Shard::add_relay(
    std::uint64_t id,
    std::unique_ptr<mux::Stream> stream,
    RelayRef other,
    RelayHalf::Side side,
    bool by_peer
) {
    if (side == RelayHalf::Side::dialer) {
        core_->relays.fetch_add(1, std::memory_order_relaxed);
        core_->streams_relayed.fetch_add(1, std::memory_order_relaxed);
        core_->counters.active_streams.add(1);
    }
    auto half = std::make_unique<RelayHalf>(*this, id, std::move(stream), other, side, by_peer);
    return *relays_.emplace(id, std::move(half)).first->second;
}

void Shard::tell(std::uint32_t shard, RelayMail mail) {
    if (shard == index_) {
        if (RelayHalf* half = relay(mail.to)) half->receive(std::move(mail));
        return;
    }
    std::vector<RelayMail>& out = mail_[shard];
    out.push_back(std::move(mail));
    if (out.size() > 1) return;
    // Behind what the loop has to do now, which may have more to say: waking another loop for each
    // word costs more than the word.
    post([shard](Shard& self) { self.send_mail(shard); });
}

void Shard::send_mail(std::uint32_t shard) {
    other(shard).post([mails = std::exchange(mail_[shard], {})](Shard& there) mutable {
        for (RelayMail& mail : mails)
            if (RelayHalf* half = there.relay(mail.to)) half->receive(std::move(mail));
    });
}

RelayHalf* Shard::relay(std::uint64_t id) {
    const auto found = relays_.find(id);
    return found == relays_.end() ? nullptr : found->second.get();
}

void Shard::retire(std::uint64_t id) {
    const auto found = relays_.find(id);
    if (found == relays_.end()) return;
    const bool counted = found->second->side() == RelayHalf::Side::dialer;
    if (retired_.empty()) {
        asio::post(context_.loop, [self = shared_from_this()] { self->retired_.clear(); });
    }
    retired_.push_back(std::move(found->second));
    relays_.erase(found);
    if (!counted) return;
    core_->counters.active_streams.add(-1);
    const std::size_t before = core_->relays.fetch_sub(1, std::memory_order_relaxed);
    if (before != 1 || !core_->draining.load(std::memory_order_relaxed)) return;
    other(0).post([](Shard& first) {
        if (first.core().relays_gone) first.core().relays_gone();
    });
}

void Shard::count_relayed(RelayHalf::Side side, std::size_t bytes) noexcept {
    // This loop alone writes them.
    auto& sum = side == RelayHalf::Side::dialer ? bytes_up_ : bytes_down_;
    sum.store(sum.load(std::memory_order_relaxed) + bytes, std::memory_order_relaxed);
    packets_.store(packets_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

Task<> Shard::sweep() {
    std::size_t round = 0;
    while (co_await net::sleep_for(context_.clock, kSweepInterval)) {
        now_ = context_.clock.now();
        for (const auto& [id, session] : sessions_)
            session->tick(now_);
        if (++round % 4 == 0) sweep_relays();
        flush_counts();
        if (index_ == 0)
            core_->counters.handshakes.set(static_cast<double>(core_->admission.handshakes()));
    }
}

void Shard::sweep_relays() {
    std::vector<RelayHalf*> overdue;
    for (const auto& [id, half] : relays_) {
        const bool alone = !half->started() || half->ending();
        const Duration limit = alone ? Duration(kHalfLimit) : core_->options.idle_timeout;
        if (now_ - half->last_used() >= limit) overdue.push_back(half.get());
    }
    for (RelayHalf* half : overdue) {
        // One of a pair may have ended the other by now.
        if (half->started() && !half->ending()) core_->counters.idle_relays.add();
        half->give_up();
    }
}

void Shard::flush_counts() {
    const std::uint64_t up = bytes_up();
    const std::uint64_t down = bytes_down();
    core_->counters.bytes_up.add(up - std::exchange(counted_up_, up));
    core_->counters.bytes_down.add(down - std::exchange(counted_down_, down));
}

Task<std::vector<std::string>> Shard::close(SteadyTime deadline) {
    closing_ = true;
    for (const auto& [id, session] : sessions_)
        session->abort(fail(skywire::errc::cancelled, "the server stops"));
    std::vector<std::uint64_t> halves;
    halves.reserve(relays_.size());
    for (const auto& [id, half] : relays_)
        halves.push_back(id);
    for (const std::uint64_t id : halves)
        if (RelayHalf* half = relay(id)) half->give_up();
    auto late = co_await scope_.close(context_.clock, context_.clock.now(), deadline);
    // Those that ended too late for the scope.
    while (late.empty() && !sessions_.empty()) {
        const auto session = std::move(sessions_.begin()->second);
        sessions_.erase(sessions_.begin());
        co_await session->close();
    }
    flush_counts();
    closed_ = late.empty();
    co_return late;
}

void Shard::keep_peer(ServerPeer peer) {
    scope_.spawn("peer " + peer.key.to_text(), [this, peer] { return peer_loop(peer); });
}

/// A session with another server, again and again.
Task<> Shard::peer_loop(ServerPeer peer) {
    Duration pause = kRedialMin;
    for (;;) {
        const SteadyTime begun = context_.clock.now();
        const auto ended = co_await peer_session(peer);
        if (!ended) {
            log::info(
                context_.logger,
                "dmsg.peer.unreachable",
                log::kv("peer", peer.key),
                log::kv("address", peer.address.to_string()),
                log::kv("reason", ended.error().message())
            );
        }
        if (context_.clock.now() - begun > kRedialMax) pause = kRedialMin;
        if (!co_await net::sleep_for(context_.clock, pause)) co_return;
        pause = std::min(kRedialMax, pause * 3 / 2);
    }
}

/// One session with it, to its end.
Task<Result<>> Shard::peer_session(ServerPeer peer) {
    auto dialed = co_await net::with_deadline(
        context_.clock,
        context_.clock.now() + kHandshakeTimeout,
        context_.network.dial(context_.loop, peer.address)
    );
    if (!dialed) co_return dialed.error();
    auto handshaken =
        co_await handshake_as_client(context_, std::move(*dialed), core_->options.keys, peer.key);
    if (!handshaken) co_return handshaken.error();
    co_await net::sleep_for(context_.clock, kSilence);
    const std::uint64_t id =
        begin(std::move(*handshaken), ServerSession::Kind::dialed_peer, Admission::Place());
    for (;;) {
        const ServerSession* begun = session(id);
        // It is told of an end before the session is taken down.
        if (begun == nullptr || begun->ended()) break;
        if (!co_await session_gone_.wait()) break;
    }
    co_return Result<>();
}

}  // namespace skywire::dmsg::detail
