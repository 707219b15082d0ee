#include "services/address_resolver/sudph.hpp"

#include "net/deadline.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace skywire::resolver {
namespace {

/// Introductions that wait for the store.
constexpr std::size_t kIntroductionsMax = 1000;

constexpr std::array<std::string_view, 8> kReasons{
    "handshake_malformed",
    "handshake_forged",
    "handshake_destination",
    "handshake_timeout",
    "handshake_evicted",
    "sessions_of_ip",
    "no_bind",
    "not_resumed"
};
constexpr std::array<std::string_view, 5> kKinds{
    "bind", "heartbeat", "del_bind", "resolve", "unknown"
};

Counter& notices(Metrics& metrics, std::string outcome) {
    return metrics.counter(
        "address_resolver_notices_total",
        "Visors to be told that they are about to be dialled, by outcome.",
        {{"outcome", std::move(outcome)}}
    );
}

net::KcpSocketOptions socket_options(std::size_t sessions_max) {
    net::KcpSocketOptions options;
    options.sessions_max = sessions_max;
    options.idle_timeout = kSessionTimeout;
    options.outgoing_max = 8192;
    // A flood's sessions go when they are told to.
    options.linger = Duration(0);
    // A visor that sleeps does not acknowledge, and its next heartbeat brings it back.
    options.kcp.dead_link = 0;
    return options;
}

}  // namespace

class Sudph::Entry {
 public:
    Entry(Sudph& owner, SessionPtr session) : owner_(owner), session_(std::move(session)) {
        ++owner_.accepted_;
    }
    ~Entry() {
        session_->stream->close();
        std::erase(owner_.handshakes_, session_);
        if (owner_.current(*session_)) owner_.forget(*session_);
        owner_.clients_.set(static_cast<double>(owner_.sessions_.size()));
        ++owner_.closed_;
    }
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

 private:
    Sudph& owner_;
    SessionPtr session_;
};

Sudph::Sudph(const net::Context& context, Bindings& bindings, SudphOptions options)
    : context_(context),
      bindings_(bindings),
      options_(std::move(options)),
      resumption_(bindings, context.clock, options_.sessions_max),
      notices_sent_(notices(context.metrics, "sent")),
      notices_dropped_(notices(context.metrics, "dropped")),
      notices_elsewhere_(notices(context.metrics, "no_session")),
      echoes_late_(context.metrics.counter(
          "address_resolver_udp_echoes_late_total",
          "Heartbeats without an echo, as the visor does not take what was sent before."
      )),
      resumed_(context.metrics.counter(
          "address_resolver_udp_resumed_total",
          "Visors whose UDP session went on from the time before a restart."
      )),
      store_failures_(context.metrics.counter(
          "address_resolver_udp_store_failures_total",
          "Calls of the store for visors' UDP sessions that failed."
      )),
      clients_(context.metrics.gauge("address_resolver_clients_count", "Visors with a UDP session.")
      ),
      scope_(context.loop) {
    for (std::size_t i = 0; i < kReasons.size(); ++i) {
        refused_[i] = &context.metrics.counter(
            "address_resolver_udp_refused_total",
            "UDP sessions that came to nothing, by reason.",
            {{"reason", std::string(kReasons[i])}}
        );
    }
    for (std::size_t i = 0; i < kKinds.size(); ++i) {
        messages_[i] = &context.metrics.counter(
            "address_resolver_udp_messages_total",
            "Messages of visors over UDP, by kind.",
            {{"kind", std::string(kKinds[i])}}
        );
    }
}

Sudph::~Sudph() = default;

Result<> Sudph::bind() {
    for (const UdpAddress& each : options_.addresses) {
        auto socket = context_.network.bind_udp(context_.loop, each.address);
        if (!socket) {
            sockets_.clear();
            return socket.error().within(each.key);
        }
        net::KcpSocketOptions options = socket_options(options_.sessions_max);
        options.may_resume = [this](const net::Address& from, std::uint32_t conversation) {
            return may_resume(from, conversation);
        };
        sockets_.push_back(
            std::make_unique<net::KcpSocket>(context_, std::move(*socket), std::move(options))
        );
    }
    return {};
}

void Sudph::start() {
    serving_ = true;
    for (const auto& socket : sockets_) {
        socket->start();
        scope_.spawn("sudph accept", [this, at = socket.get()] { return accept(*at); });
    }
}

std::vector<net::Address> Sudph::addresses() const {
    std::vector<net::Address> bound;
    bound.reserve(sockets_.size());
    for (const auto& socket : sockets_)
        bound.push_back(socket->local());
    return bound;
}

SudphReport Sudph::report() const {
    SudphReport report;
    report.accepted = accepted_;
    report.closed = closed_;
    for (const auto& socket : sockets_)
        report.open += socket->sessions();
    report.bound = sessions_.size();
    return report;
}

Task<std::vector<std::string>> Sudph::stop(SteadyTime deadline) {
    serving_ = false;
    std::vector<std::string> late;
    for (const auto& socket : sockets_)
        socket->close();
    for (std::string& name : co_await scope_.close(context_.clock, context_.clock.now(), deadline))
        late.push_back(std::move(name));
    for (const auto& socket : sockets_)
        for (std::string& name : co_await socket->stop(deadline))
            late.push_back(std::move(name));
    co_return late;
}

// --- sessions

Task<> Sudph::accept(net::KcpSocket& socket) {
    while (true) {
        auto accepted = co_await socket.accept_session();
        if (!accepted) co_return;
        auto session = std::make_shared<Session>();
        session->stream = std::move(accepted->stream);
        session->conversation = accepted->conversation;
        if (accepted->resumed) {
            scope_.spawn("sudph session", [this, session] { return serve_resumed(session); });
        } else {
            admit(session);
            scope_.spawn("sudph session", [this, session] { return serve(session); });
        }
    }
}

bool Sudph::may_resume(const net::Address& from, std::uint32_t conversation) {
    if (resumption_.holds(from, conversation)) return true;
    // The visor of another resolver, which is gone, perhaps: its next datagram will tell.
    if (resumption_.outdated())
        scope_.spawn("sudph sessions", [this] { return read_sessions_again(); });
    return false;
}

Task<> Sudph::read_sessions_again() {
    const auto loaded = co_await resumption_.load();
    if (!loaded) store_failed({}, loaded.error());
}

void Sudph::admit(const SessionPtr& session) {
    const std::string& ip = session->stream->remote().host;
    std::size_t of_ip = 0;
    auto oldest = handshakes_.end();
    for (auto at = handshakes_.begin(); at != handshakes_.end(); ++at) {
        if ((*at)->stream->remote().host != ip) continue;
        if (of_ip++ == 0) oldest = at;
    }
    const bool full = handshakes_.size() >= kHandshakesMax;
    if (of_ip >= kHandshakesOfIpMax || full) {
        const auto evicted = of_ip >= kHandshakesOfIpMax ? oldest : handshakes_.begin();
        refuse(Reason::evicted);
        (*evicted)->stream->close();
        handshakes_.erase(evicted);
    }
    handshakes_.push_back(session);
}

Task<> Sudph::serve(SessionPtr session) {
    const Entry entry(*this, session);
    const auto shaken = co_await shake_hands(session);
    std::erase(handshakes_, session);
    if (!shaken) co_return;
    if (!room_for(*session)) {
        refuse(Reason::sessions_of_ip);
        co_return;
    }
    adopt(session);
    note_end(*session, co_await serve_from_bind(session));
}

Task<> Sudph::serve_resumed(SessionPtr session) {
    const Entry entry(*this, session);
    auto taken = co_await resumption_.take(session->stream->remote(), session->conversation);
    if (!taken) {
        store_failed({}, taken.error());
        co_return;
    }
    std::optional<Resumption::Found>& found = *taken;
    // Who has shaken hands since is the same visor, started again.
    if (!found || sessions_.contains(found->key)) {
        refuse(Reason::not_resumed);
        co_return;
    }
    session->key = found->key;
    session->binding = std::move(found->binding);
    session->bound = true;
    adopt(session);
    resumed_.add();
    note_end(*session, co_await serve_messages(session));
}

void Sudph::note_end(const Session& session, const Result<>& ended) {
    // The visor does not see the end of a session, and goes on in it when its link is back.
    if (session.bound && serving_ && current(session))
        resumption_.hold(session.stream->remote(), session.conversation, session.key);
    log::debug(
        context_.logger,
        "sudph.session_ended",
        log::kv("pk", session.key),
        log::kv("error", ended.has_error() ? ended.error().message() : "")
    );
}

Result<> Sudph::judge(const transport::RawHello& hello) {
    // A line that a visor signed for another visor, which hands it on, is no word to us.
    const crypto::PublicKey& to = hello.destination.key;
    if (to.is_null() || (to == options_.own_key && !options_.own_key.is_null())) return {};
    return fail(errc::forbidden, "the handshake is for another key");
}

Task<Result<>> Sudph::shake_hands(SessionPtr session) {
    transport::RawNonce nonce{};
    context_.random.fill(nonce);
    bool refused = false;
    const auto hello = co_await net::with_deadline(
        context_.clock,
        context_.clock.now() + kHandshakeTimeout,
        transport::accept_raw(
            *session->stream,
            nonce,
            [this, &refused](const transport::RawHello& said) {
                const auto welcome = judge(said);
                refused = welcome.has_error();
                return welcome;
            }
        )
    );
    if (hello) {
        session->key = hello->source.key;
        co_return Result<>();
    }
    const Error error = hello.error();
    if (refused) {
        refuse(Reason::destination);
    } else if (error == make_error_code(errc::timed_out)) {
        refuse(Reason::timeout);
    } else if (error == make_error_code(errc::forbidden)) {
        refuse(Reason::forged);
    } else if (error != make_error_code(errc::closed) &&
               error != make_error_code(errc::cancelled)) {
        refuse(Reason::malformed);
    }
    co_return error;
}

bool Sudph::room_for(const Session& session) const {
    if (sessions_.contains(session.key)) return true;
    const auto found = sessions_of_ip_.find(session.stream->remote().host);
    const std::size_t max = std::max(kSessionsOfIpMin, options_.sessions_max / kPartOfIp);
    return found == sessions_of_ip_.end() || found->second < max;
}

void Sudph::forget(const Session& session) {
    const auto of_ip = sessions_of_ip_.find(session.stream->remote().host);
    if (of_ip != sessions_of_ip_.end() && --of_ip->second == 0) sessions_of_ip_.erase(of_ip);
    sessions_.erase(session.key);
}

void Sudph::adopt(const SessionPtr& session) {
    session->heard = context_.clock.now();
    if (const auto found = sessions_.find(session->key); found != sessions_.end()) {
        const SessionPtr old = found->second;
        forget(*old);
        // Its coroutine notices the end of its stream.
        old->stream->close();
    }
    sessions_.emplace(session->key, session);
    ++sessions_of_ip_[session->stream->remote().host];
    clients_.set(static_cast<double>(sessions_.size()));
}

bool Sudph::current(const Session& session) const {
    const auto found = sessions_.find(session.key);
    return found != sessions_.end() && found->second.get() == &session;
}

bool Sudph::silent(const crypto::PublicKey& key) const {
    const auto found = sessions_.find(key);
    if (found == sessions_.end()) return false;
    // Where what this resolver wrote has expired, a binding in the store is another resolver's.
    const SteadyTime now = context_.clock.now();
    const Session& session = *found->second;
    return now - session.heard >= kSilenceMax && now - session.stored < kStoreLifetime;
}

// --- for HTTP

Task<Result<std::optional<Binding>>> Sudph::lookup(crypto::PublicKey key) {
    if (silent(key)) co_return std::optional<Binding>();
    co_return co_await bindings_.get(Type::sudph, key);
}

Task<Result<std::vector<crypto::PublicKey>>> Sudph::list() {
    auto keys = co_await bindings_.list(Type::sudph);
    if (!keys) co_return keys.error();
    std::erase_if(*keys, [this](const crypto::PublicKey& key) { return silent(key); });
    co_return std::move(*keys);
}

void Sudph::introduce(const crypto::PublicKey& resolved, const crypto::PublicKey& caller) {
    const auto found = sessions_.find(resolved);
    if (found == sessions_.end()) {
        notices_elsewhere_.add();
        return;
    }
    // The session's own coroutines are in the scope, too.
    const bool silent = context_.clock.now() - found->second->heard >= kNoticeSilence;
    const bool busy = scope_.size() > 3 * options_.sessions_max + kIntroductionsMax;
    if (silent || busy || found->second->notices >= kNoticesMax) {
        notices_dropped_.add();
        return;
    }
    scope_.spawn("sudph notice", [this, resolved, caller] {
        return introduce_later(resolved, caller);
    });
}

Task<> Sudph::introduce_later(crypto::PublicKey resolved, crypto::PublicKey caller) {
    const auto looked = co_await lookup(caller);
    if (!looked) {
        notices_dropped_.add();
        store_failed(caller, looked.error());
        co_return;
    }
    const std::optional<Binding>& binding = *looked;
    // Nobody asks for a way back where the caller has none.
    if (!binding) co_return;
    const auto found = sessions_.find(resolved);
    if (found == sessions_.end()) co_return;
    const SessionPtr session = found->second;
    ++session->notices;
    std::string notice = fmt::format(R"({{"PK":"{}","Addr":)", caller);
    append_json_string(notice, binding->remote_addr, JsonEscape::html);
    notice += '}';
    const auto sent = co_await write(session, std::move(notice));
    --session->notices;
    (sent ? notices_sent_ : notices_dropped_).add();
}

Task<Result<>> Sudph::deregister(crypto::PublicKey key) {
    if (const auto found = sessions_.find(key); found != sessions_.end())
        found->second->bound = false;
    co_return co_await bindings_.erase(Type::sudph, key);
}

}  // namespace skywire::resolver
