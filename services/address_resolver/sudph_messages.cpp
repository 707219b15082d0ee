// What visors say over their UDP session, from the bind on.

#include "net/deadline.hpp"
#include "services/address_resolver/sudph.hpp"

#include <utility>

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

namespace skywire::resolver {
namespace {

/// Longer messages come out as several, which mean nothing.
constexpr std::size_t kMessageBytesMax = 4096;
constexpr std::string_view kHeartbeat = "heartbeat";
constexpr std::string_view kDelBind = "delBind";

}  // namespace

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

Task<Result<>> Sudph::serve_from_bind(SessionPtr session) {
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
    co_return co_await serve_messages(session);
}

Task<Result<>> Sudph::serve_messages(SessionPtr session) {
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
        const auto echoed = co_await write(session, std::move(text));
        // What waits before it is still on its way: the visor's link is slow, and it lives.
        if (echoed || echoed.error() != make_error_code(errc::timed_out)) co_return echoed;
        echoes_late_.add();
        co_return Result<>();
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
    KeptSession kept;
    kept.from = session->stream->remote();
    kept.conversation = session->conversation;
    kept.binding = session->binding;
    const auto stored = co_await bindings_.put_session(session->key, std::move(kept));
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

}  // namespace skywire::resolver
