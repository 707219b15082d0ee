#include "dmsg/server/server_session.hpp"

#include "base/counted.hpp"
#include "dmsg/server/server_shard.hpp"
#include "mux/smux.hpp"
#include "mux/yamux.hpp"
#include "net/deadline.hpp"
#include "net/timer.hpp"

#include <array>

#include <boost/asio/ip/address.hpp>

namespace skywire::dmsg::detail {
namespace {

// A client that has not said a byte: after this long its multiplexer is looked up, so that it can
// be pinged.
constexpr std::chrono::seconds kSilentAtFirst{5};
// For a job on another loop: its own limits come first, but for a loop that hangs.
constexpr std::chrono::seconds kOutcomeGrace{3};
// For what we answer to be taken: less than a relay's half waits for the other one.
constexpr std::chrono::seconds kAnswerLimit{10};
// For a request to be taken: a client of 2025 gives its session up where one takes longer.
constexpr std::chrono::seconds kRequestLimit{20};
// Asking one peer server after another ends here.
constexpr std::chrono::seconds kPeersLimit{10};

/// Tells the dialer's shard what became of its job, whatever ends the coroutine that has it.
class OutcomeDuty {
 public:
    OutcomeDuty(Shard& shard, RelayRef dialer) : shard_(shard), dialer_(dialer) {}
    ~OutcomeDuty() {
        if (owed_) shard_.send_outcome(dialer_, refusal_name(StreamRefusal::destination_lost));
    }
    OutcomeDuty(const OutcomeDuty&) = delete;
    OutcomeDuty& operator=(const OutcomeDuty&) = delete;

    void fulfil(ForwardOutcome outcome) {
        owed_ = false;
        shard_.send_outcome(dialer_, std::move(outcome));
    }

 private:
    Shard& shard_;
    RelayRef dialer_;
    bool owed_ = true;
};

/// Ends the half that waits on the destination's side unless it was started.
class StartDuty {
 public:
    StartDuty(Shard& shard, RelayRef half) : shard_(shard), half_(half) {}
    ~StartDuty() {
        if (owed_) tell(RelayMail::Kind::finish);
    }
    StartDuty(const StartDuty&) = delete;
    StartDuty& operator=(const StartDuty&) = delete;

    void fulfil() {
        owed_ = false;
        tell(RelayMail::Kind::start);
    }

 private:
    void tell(RelayMail::Kind kind) { shard_.tell(half_.shard, {kind, half_.id, 0, {}}); }

    Shard& shard_;
    RelayRef half_;
    bool owed_ = true;
};

Session::Options options_of(ServerSession::Kind kind, const ServerOptions& options) {
    Session::Options made;
    made.streams_max = options.limits.streams_per_session_max;
    made.role = mux::Role::server;
    made.protocol = std::nullopt;
    switch (kind) {
        case ServerSession::Kind::client:
            break;
        case ServerSession::Kind::accepted_peer:
            made.protocol = mux::Protocol::yamux;
            break;
        case ServerSession::Kind::dialed_peer:
            made.role = mux::Role::client;
            made.protocol = mux::Protocol::yamux;
            break;
    }
    return made;
}

std::string_view end_reason(const ErrorCode& code) {
    if (code.category() == mux::mux_category())
        return mux::reason(static_cast<mux::errc>(code.value()));
    if (code == make_error_code(skywire::errc::closed)) return "closed";
    if (code == make_error_code(skywire::errc::limit_reached)) return "replaced";
    if (code == make_error_code(skywire::errc::cancelled)) return "stopped";
    return "connection_lost";
}

StreamRefusal first_object_refusal(const ErrorCode& code) {
    if (code == make_error_code(skywire::errc::timed_out)) return StreamRefusal::no_request;
    if (code == make_error_code(skywire::errc::closed)) return StreamRefusal::dialer_lost;
    if (code.category() == mux::mux_category()) return StreamRefusal::dialer_lost;
    return StreamRefusal::unreadable_request;
}

StreamRefusal response_refusal(const ErrorCode& code) {
    if (code == make_error_code(skywire::errc::timed_out)) return StreamRefusal::destination_silent;
    if (code == make_error_code(skywire::errc::closed)) return StreamRefusal::destination_refused;
    if (code == mux::make_error_code(mux::errc::reset)) return StreamRefusal::destination_refused;
    if (code.category() == mux::mux_category()) return StreamRefusal::destination_lost;
    return StreamRefusal::unreadable_response;
}

/// The 4 or 16 bytes of an IP literal; none for another host.
Bytes ip_bytes(const std::string& host) {
    boost::system::error_code ec;
    const auto address = asio::ip::make_address(host, ec);
    if (ec) return {};
    const auto copy = [](const auto& bytes) {
        const auto view = std::as_bytes(std::span(bytes));
        return Bytes(view.begin(), view.end());
    };
    if (address.is_v4()) return copy(address.to_v4().to_bytes());
    return copy(address.to_v6().to_bytes());
}

}  // namespace

ServerSession::ServerSession(
    Shard& shard, std::uint64_t id, Handshaken handshaken, Kind kind, Admission::Place place
)
    : shard_(shard),
      id_(id),
      kind_(kind),
      began_(shard.context().clock.now()),
      place_(std::move(place)),
      session_(
          shard.context(), std::move(handshaken), options_of(kind, shard.core().options), *this
      ),
      scope_(shard.context().loop) {}

ServerSession::~ServerSession() = default;

void ServerSession::on_stream(Session&, std::unique_ptr<mux::Stream> stream) {
    const ServerLimits& limits = shard_.core().options.limits;
    if (setups_ >= limits.setups_per_session_max)
        return refuse(*stream, refusal_name(StreamRefusal::too_many_setups));
    if (shard_.core().draining.load(std::memory_order_relaxed))
        return refuse(*stream, refusal_name(StreamRefusal::draining));
    // Kept in the callable, which the scope keeps as long as the coroutine.
    const auto held = std::make_shared<std::unique_ptr<mux::Stream>>(std::move(stream));
    scope_.spawn("stream set-up", [this, held] { return set_up(std::move(*held)); });
}

void ServerSession::on_refused(Session&, std::size_t streams) {
    const bool draining = shard_.core().draining.load(std::memory_order_relaxed);
    const auto why = draining ? StreamRefusal::draining : StreamRefusal::too_many_streams;
    shard_.core().counters.refused_stream(refusal_name(why), streams);
}

void ServerSession::on_go_away(Session&) {}

void ServerSession::on_end(Session&, const Error& reason) {
    ended_ = true;
    place_ = {};
    ServerCore& core = shard_.core();
    core.counters.session_ended(end_reason(reason.code()));
    log::debug(
        shard_.context().logger,
        "dmsg.session.ended",
        log::kv("remote", session_.remote()),
        log::kv("reason", reason.message())
    );
    shard_.session_over(*this);
}

void ServerSession::refuse(mux::Stream& stream, std::string_view reason) {
    stream.close();
    shard_.core().counters.refused_stream(reason);
    log::debug(
        shard_.context().logger,
        "dmsg.stream.refused",
        log::kv("remote", session_.remote()),
        log::kv("reason", reason)
    );
}

Task<> ServerSession::set_up(std::unique_ptr<mux::Stream> stream) {
    const Counted counted(setups_);
    const SteadyTime began = shard_.context().clock.now();
    auto first =
        co_await session_.receive_first(*stream, began + shard_.core().options.request_timeout);
    if (!first) {
        refuse(*stream, refusal_name(first_object_refusal(first.error().code())));
        co_return;
    }
    if (std::holds_alternative<Session::Nothing>(*first)) {
        stream->close();
        co_return;
    }
    if (std::holds_alternative<Session::PingMarker>(*first)) {
        co_await answer_ping(std::move(stream));
        co_return;
    }
    SignedObject object = std::get<SignedObject>(std::move(*first));
    const auto request = decode_request(object.payload());
    // A client of 2025 ends its whole session on a bad request: nothing unverified goes on.
    const auto checked =
        request ? check_request_at_server(
                      object, *request, {.session_key = remote(), .peer_server = is_peer()}
                  )
                : Result<>(request.error());
    if (!checked) {
        refuse(*stream, refusal_reason(checked.error().code()));
        co_return;
    }
    const bool to_us = request->destination.pk == shard_.core().options.keys.public_key;
    if (request->ip_info && to_us && !is_peer()) {
        co_await answer_ip_look_up(std::move(stream), std::move(object));
        co_return;
    }
    co_await bridge(std::move(stream), std::move(object), request->destination.pk, began);
}

Task<> ServerSession::answer_ping(std::unique_ptr<mux::Stream> stream) {
    constexpr std::array<std::byte, 2> kMarker{};
    Clock& clock = shard_.context().clock;
    const auto written =
        co_await net::with_deadline(clock, clock.now() + kAnswerLimit, stream->write(kMarker));
    if (written) shard_.core().counters.pings.add();
    stream->close();
}

Task<> ServerSession::answer_ip_look_up(std::unique_ptr<mux::Stream> stream, SignedObject object) {
    StreamResponse response;
    response.request_hash = object.hash();
    response.accepted = true;
    response.ip = ip_bytes(session_.address().host);
    if (response.ip.empty()) {
        refuse(*stream, refusal_name(StreamRefusal::no_destination));
        co_return;
    }
    const auto answer = SignedObject::sign(
        encode(response, Layout::with_ip), shard_.core().options.keys.secret_key
    );
    const auto sent = co_await send(*stream, answer, kAnswerLimit);
    if (sent) shard_.core().counters.ip_look_ups.add();
    stream->close();
}

Task<> ServerSession::bridge(
    std::unique_ptr<mux::Stream> stream,
    SignedObject object,
    crypto::PublicKey destination,
    SteadyTime began
) {
    const ResponseOrigin origin{.request_hash = object.hash(), .signer = destination};
    auto outcome = co_await ask_sessions({std::move(object), origin, {}}, destination);
    if (const auto* reason = std::get_if<std::string_view>(&outcome)) {
        refuse(*stream, *reason);
        co_return;
    }
    Forwarded& forwarded = std::get<Forwarded>(outcome);
    StartDuty start(shard_, forwarded.destination);
    const auto sent = co_await send(*stream, std::move(forwarded.response), kAnswerLimit);
    if (!sent) {
        refuse(*stream, refusal_name(StreamRefusal::dialer_lost));
        co_return;
    }
    RelayHalf& half = shard_.add_relay(
        forwarded.dialer.id,
        std::move(stream),
        forwarded.destination,
        RelayHalf::Side::dialer,
        is_peer()
    );
    const std::chrono::duration<double> took = shard_.context().clock.now() - began;
    shard_.core().counters.stream_began(took.count());
    start.fulfil();
    half.start();
}

RelayRef ServerSession::new_relay() {
    const bool smux = session_.mux().protocol() == mux::Protocol::smux;
    const std::size_t window = smux ? mux::smux::kWindowBytes : mux::yamux::kWindowBytes;
    return {shard_.index(), shard_.next_relay(), window / 2};
}

/// Offers the job to the destination's session, or to other servers, one after another.
Task<ForwardOutcome> ServerSession::ask_sessions(ForwardJob job, crypto::PublicKey destination) {
    ServerCore& core = shard_.core();
    Clock& clock = shard_.context().clock;
    const SteadyTime begun = clock.now();
    const auto limit = core.options.response_timeout + kOutcomeGrace;
    std::vector<SessionRef> candidates;
    if (const auto local = core.clients.find(destination)) {
        candidates.push_back(*local);
    } else if (!is_peer()) {
        candidates = core.dialed_peers.all();
        for (const SessionRef peer : core.accepted_peers.all())
            candidates.push_back(peer);
    }
    ForwardOutcome outcome = refusal_name(StreamRefusal::no_destination);
    for (const SessionRef candidate : candidates) {
        const SteadyTime now = clock.now();
        if (now - begun > kPeersLimit) break;
        // A late answer to one job must not be taken for one to the next.
        job.dialer = new_relay();
        outcome = co_await shard_.forward(candidate, job, now + limit);
        if (std::holds_alternative<Forwarded>(outcome)) break;
    }
    co_return outcome;
}

void ServerSession::forward(ForwardJob job) {
    const RelayRef dialer = job.dialer;
    if (ended_) {
        shard_.send_outcome(dialer, refusal_name(StreamRefusal::destination_lost));
        return;
    }
    if (forwards_ >= shard_.core().options.limits.setups_per_session_max) {
        shard_.send_outcome(dialer, refusal_name(StreamRefusal::destination_busy));
        return;
    }
    const auto held = std::make_shared<ForwardJob>(std::move(job));
    const bool spawned =
        scope_.spawn("forward", [this, held] { return forward_now(std::move(*held)); });
    if (!spawned) shard_.send_outcome(dialer, refusal_name(StreamRefusal::destination_lost));
}

Task<> ServerSession::forward_now(ForwardJob job) {
    const Counted counted(forwards_);
    OutcomeDuty duty(shard_, job.dialer);
    ForwardOutcome outcome = co_await exchange(std::move(job));
    duty.fulfil(std::move(outcome));
}

/// Request to the peer, response from it; what it says must be right before anybody hears of it.
Task<ForwardOutcome> ServerSession::exchange(ForwardJob job) {
    const bool settled = co_await settle_protocol();
    if (!settled) co_return refusal_name(StreamRefusal::destination_lost);
    auto opened = session_.mux().open();
    if (!opened) co_return refusal_name(StreamRefusal::destination_busy);
    std::unique_ptr<mux::Stream> stream = std::move(*opened);
    const auto sent = co_await send(*stream, std::move(job.request), kRequestLimit);
    if (!sent) co_return refusal_name(StreamRefusal::destination_lost);
    const SteadyTime deadline =
        shard_.context().clock.now() + shard_.core().options.response_timeout;
    auto response = co_await session_.receive(*stream, deadline);
    if (!response) {
        stream->close();
        co_return refusal_name(response_refusal(response.error().code()));
    }
    const auto decoded = decode_response(response->payload());
    const auto checked =
        decoded ? check_response(*response, *decoded, job.origin) : Result<>(decoded.error());
    if (!checked) {
        stream->close();
        co_return refusal_reason(checked.error().code());
    }
    const RelayRef ours = new_relay();
    const auto side = RelayHalf::Side::destination;
    shard_.add_relay(ours.id, std::move(stream), job.dialer, side, is_peer());
    co_return Forwarded{std::move(*response), ours, job.dialer};
}

Task<Result<>> ServerSession::send(mux::Stream& stream, SignedObject object, Duration limit) {
    Clock& clock = shard_.context().clock;
    return net::with_deadline(clock, clock.now() + limit, session_.send(stream, std::move(object)));
}

Task<bool> ServerSession::settle_protocol() {
    if (session_.mux().protocol()) co_return true;
    ask_protocol();
    Clock& clock = shard_.context().clock;
    const SteadyTime until = clock.now() + shard_.core().options.response_timeout;
    if (!settled_) settled_ = std::make_unique<net::Event>(shard_.context().loop);
    while (!session_.mux().protocol() && !ended_ && clock.now() < until)
        if (!co_await settled_->wait()) break;
    co_return session_.mux().protocol().has_value();
}

void ServerSession::ask_protocol() {
    if (std::exchange(asked_protocol_, true)) return;
    Shard& home = shard_.other(0);
    home.post([asker = shard_.index(), id = id_, key = remote()](Shard& first) {
        ProtocolLookup* protocols = first.core().protocols;
        if (protocols == nullptr) return;
        protocols->ask(key, [&first, asker, id](mux::Protocol protocol) {
            first.other(asker).post([id, protocol](Shard& shard) {
                if (ServerSession* session = shard.session(id)) session->decide(protocol);
            });
        });
    });
}

void ServerSession::decide(mux::Protocol protocol) {
    if (ended_) return;
    session_.mux().decide(protocol);
    if (settled_) settled_->notify();
}

void ServerSession::tick(SteadyTime now) {
    if (ended_) return;
    if (!session_.mux().protocol() && now - began_ >= kSilentAtFirst) ask_protocol();
    // Who waits for it sees whether the peer has said it itself.
    if (settled_) settled_->notify();
    session_.mux().tick(now);
}

void ServerSession::go_away() {
    if (!ended_) session_.mux().go_away();
}

void ServerSession::abort(const Error& reason) {
    if (!ended_) session_.mux().abort(reason);
}

Task<> ServerSession::close() {
    if (settled_) settled_->notify();
    co_await session_.mux().close();
    co_await scope_.close(shard_.context().clock);
}

}  // namespace skywire::dmsg::detail
