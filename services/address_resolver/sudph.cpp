#include "services/address_resolver/sudph.hpp"

#include "net/deadline.hpp"

#include <algorithm>
#include <utility>

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

namespace skywire::resolver {
namespace {

/// Longer messages come out as several, which mean nothing.
constexpr std::size_t kMessageBytesMax = 4096;
/// Introductions that wait for the store.
constexpr std::size_t kIntroductionsMax = 1000;
constexpr std::string_view kHeartbeat = "heartbeat";
constexpr std::string_view kDelBind = "delBind";

constexpr std::array<std::string_view, 6> kReasons{
    "handshake_malformed",
    "handshake_forged",
    "handshake_destination",
    "handshake_timeout",
    "handshake_evicted",
    "no_bind"
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
    Entry(Sudph& owner, SessionPtr session) : owner_(owner), session_(std::move(session)) {}
    ~Entry() {
        session_->stream->close();
        std::erase(owner_.handshakes_, session_);
        if (owner_.current(*session_)) owner_.sessions_.erase(session_->key);
        owner_.clients_.set(static_cast<double>(owner_.sessions_.size()));
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
      notices_sent_(notices(context.metrics, "sent")),
      notices_dropped_(notices(context.metrics, "dropped")),
      notices_elsewhere_(notices(context.metrics, "no_session")),
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
        sockets_.push_back(std::make_unique<net::KcpSocket>(
            context_, std::move(*socket), socket_options(options_.sessions_max)
        ));
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
        auto stream = co_await socket.accept();
        if (!stream) co_return;
        auto session = std::make_shared<Session>();
        session->stream = std::move(*stream);
        admit(session);
        scope_.spawn("sudph session", [this, session] { return serve(session); });
    }
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
    adopt(session);
    const auto ended = co_await serve_messages(session);
    log::debug(
        context_.logger,
        "sudph.session_ended",
        log::kv("pk", session->key),
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

void Sudph::adopt(const SessionPtr& session) {
    session->heard = context_.clock.now();
    SessionPtr& place = sessions_[session->key];
    // The old session's coroutine notices the end of its stream.
    if (place) place->stream->close();
    place = session;
    clients_.set(static_cast<double>(sessions_.size()));
}

bool Sudph::current(const Session& session) const {
    const auto found = sessions_.find(session.key);
    return found != sessions_.end() && found->second.get() == &session;
}

bool Sudph::silent(const crypto::PublicKey& key) const {
    const auto found = sessions_.find(key);
    if (found == sessions_.end()) return false;
    return context_.clock.now() - found->second->heard >= kSilenceMax;
}

// --- messages

Task<Result<std::string>> Sudph::read(SessionPtr session) {
    // Nothing is held for the many sessions that wait.
    const auto ready = co_await session->stream->wait_readable();
    if (!ready) co_return ready.error();
    std::string message(kMessageBytesMax, '\0');
    const auto size = co_await session->stream->read_some(
        std::as_writable_bytes(std::span(message.data(), message.size()))
    );
    if (!size) co_return size.error();
    message.resize(*size);
    co_return message;
}

Task<Result<>> Sudph::write(SessionPtr session, std::string text) {
    co_return co_await net::with_deadline(
        context_.clock, context_.clock.now() + kWriteTimeout, session->stream->write(as_bytes(text))
    );
}

Task<Result<>> Sudph::serve_messages(SessionPtr session) {
    auto first = co_await net::with_deadline(
        context_.clock, context_.clock.now() + kBindTimeout, read(session)
    );
    if (!first) {
        if (first.error() == make_error_code(errc::timed_out)) refuse(Reason::no_bind);
        co_return first.error();
    }
    const auto request = parse_bind_request(*first);
    if (!request || request->port.empty()) {
        refuse(Reason::no_bind);
        co_return fail(errc::malformed, "the first message is no bind");
    }
    if (const auto bound = co_await on_bind(session, *request); !bound) co_return bound.error();
    while (true) {
        auto message = co_await read(session);
        if (!message) co_return message.error();
        if (!current(*session)) co_return fail(errc::closed, {});
        session->heard = context_.clock.now();
        const auto done = co_await on_message(session, std::move(*message));
        if (!done) co_return done.error();
    }
}

Task<Result<>> Sudph::on_message(SessionPtr session, std::string text) {
    if (text == kHeartbeat) {
        count(Kind::heartbeat);
        if (const auto kept = co_await refresh(session); !kept) co_return kept.error();
        co_return co_await write(session, std::move(text));
    }
    if (text == kDelBind) {
        count(Kind::del_bind);
        session->bound = false;
        // Where that fails the binding ends with its lifetime in the store.
        const auto erased = co_await bindings_.erase(Type::sudph, session->key);
        if (!erased) store_failed(session->key, erased.error());
        co_return fail(errc::closed, "the visor has unbound");
    }
    const auto value = parse_json(text);
    const auto* object = value ? value->if_object() : nullptr;
    if (object != nullptr && object->contains("resolve"))
        co_return co_await on_resolve(session, *object);
    if (object != nullptr) {
        const auto request = bind_request_of(*value);
        if (request && !request->port.empty()) co_return co_await on_bind(session, *request);
    }
    count(Kind::unknown);
    co_return Result<>();
}

Task<Result<>> Sudph::on_bind(SessionPtr session, const BindRequest& request) {
    count(Kind::bind);
    const net::Address& from = session->stream->remote();
    session->binding = sudph_binding(request, from.host, from.port);
    session->bound = true;
    co_return co_await store(session);
}

Task<Result<>> Sudph::refresh(SessionPtr session) {
    const bool due = context_.clock.now() - session->stored >= kStoreInterval;
    if (!session->bound || !due) co_return Result<>();
    co_return co_await store(session);
}

Task<Result<>> Sudph::store(SessionPtr session) {
    if (!current(*session)) co_return fail(errc::closed, {});
    session->stored = context_.clock.now();
    const auto stored =
        co_await bindings_.put(Type::sudph, session->key, session->binding, kStoreLifetime);
    if (stored) co_return Result<>();
    // The session goes on: the next heartbeat tries again.
    session->stored = SteadyTime();
    store_failed(session->key, stored.error());
    co_return Result<>();
}

void Sudph::store_failed(const crypto::PublicKey& key, const Error& error) {
    store_failures_.add();
    log::debug(
        context_.logger, "sudph.store_failed", log::kv("pk", key), log::kv("error", error.message())
    );
    if (options_.on_store_failure) options_.on_store_failure(error);
}

Task<Result<>> Sudph::on_resolve(SessionPtr session, const json::object& message) {
    count(Kind::resolve);
    const json::value* id = message.if_contains("id");
    const json::value& wanted = message.at("resolve");
    const std::string number = id != nullptr && id->is_number() ? json::serialize(*id) : "0";
    std::string answer = fmt::format(R"({{"resolved":{})", number);
    const auto key = wanted.is_string() ? crypto::PublicKey::from_text_not_null(wanted.get_string())
                                        : Result<crypto::PublicKey>(fail(errc::malformed, {}));
    if (!key) {
        co_return co_await write(session, answer + R"(,"err":"Invalid public key"})");
    }
    const auto found = co_await lookup(*key);
    if (!found) {
        store_failed(*key, found.error());
        co_return co_await write(session, answer + R"(,"err":"internal error"})");
    }
    const std::optional<Binding>& binding = *found;
    if (binding) answer += R"(,"found":true,"data":)" + to_answer(*binding);
    answer += '}';
    if (const auto sent = co_await write(session, std::move(answer)); !sent) co_return sent.error();
    if (binding) introduce(*key, session->key);
    co_return Result<>();
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
    const bool busy = scope_.size() > 3 * options_.sessions_max + kIntroductionsMax;
    if (busy || found->second->notices >= kNoticesMax) {
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
