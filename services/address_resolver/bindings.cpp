#include "services/address_resolver/bindings.hpp"

#include <algorithm>

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>

namespace skywire::resolver {
namespace {

constexpr std::size_t kChunk = 256;
constexpr std::string_view kSession = "session";

std::string key_of(std::string_view kind, std::string_view key) {
    return fmt::format("{}:{}:{}", kPrefix, kind, key);
}

std::string key_of(Type type, std::string_view key) {
    return key_of(type_name(type), key);
}

std::string index_of(std::string_view kind) {
    return key_of(kind, "_index");
}

std::string index_of(Type type) {
    return index_of(type_name(type));
}

}  // namespace

Bindings::Bindings(store::Store& store, Options options)
    : store_(store), options_(options), shared_(store.kind() == "redis") {}

Duration Bindings::lifetime_of(const Binding& binding) const {
    if (!binding.held) return options_.entry_timeout;
    return shared_ ? options_.held_timeout : Duration(0);
}

void Bindings::note(Type type, const crypto::PublicKey& key, bool held) {
    const auto found = held_.find(key);
    if (found == held_.end() && !held) return;
    std::set<Type>& types = held_[key];
    const bool changed = held ? types.insert(type).second : types.erase(type) > 0;
    const std::size_t count = types.size();
    if (count == 0) held_.erase(key);
    if (changed && on_held_) on_held_(key, count);
}

Task<Result<>> Bindings::open() {
    for (const Type type : kHttpTypes) {
        const auto listed = co_await list(type);
        if (!listed) co_return listed.error();
    }
    co_return Result<>();
}

Task<Result<>> Bindings::put(Type type, crypto::PublicKey key, Binding binding, Duration lifetime) {
    const std::string text = key.to_text();
    if (lifetime == Duration(0)) lifetime = lifetime_of(binding);
    store::Batch batch;
    batch.changes.reserve(2);
    batch.changes.emplace_back(store::SetValue{key_of(type, text), to_text(binding), lifetime});
    batch.changes.emplace_back(store::AddToSet{index_of(type), text});
    const auto applied = co_await store_.apply(std::move(batch));
    if (!applied) co_return applied.error();
    note(type, key, binding.held);
    tell_written(key);
    co_return Result<>();
}

Task<Result<std::optional<Binding>>> Bindings::get(Type type, crypto::PublicKey key) {
    const auto stored = co_await store_.get(key_of(type, key.to_text()));
    if (!stored) co_return stored.error();
    const std::optional<std::string>& text = *stored;
    if (!text) {
        note(type, key, /*held=*/false);
        co_return std::optional<Binding>();
    }
    auto binding = parse_binding(*text);
    if (!binding) co_return std::optional<Binding>();
    note(type, key, binding->held);
    co_return std::optional<Binding>(std::move(*binding));
}

Task<Result<>> Bindings::erase(Type type, crypto::PublicKey key) {
    const std::string text = key.to_text();
    store::Batch batch;
    batch.changes.reserve(4);
    batch.changes.emplace_back(store::Erase{key_of(type, text)});
    batch.changes.emplace_back(store::RemoveFromSet{index_of(type), text});
    if (type == Type::sudph) {
        batch.changes.emplace_back(store::Erase{key_of(kSession, text)});
        batch.changes.emplace_back(store::RemoveFromSet{index_of(kSession), text});
    }
    const auto applied = co_await store_.apply(std::move(batch));
    if (!applied) co_return applied.error();
    note(type, key, /*held=*/false);
    tell_written(key);
    co_return Result<>();
}

Task<Result<>> Bindings::put_session(crypto::PublicKey key, KeptSession session) {
    const std::string text = key.to_text();
    store::Batch batch;
    batch.changes.reserve(4);
    batch.changes.emplace_back(
        store::SetValue{key_of(Type::sudph, text), to_text(session.binding), kStoreLifetime}
    );
    batch.changes.emplace_back(store::AddToSet{index_of(Type::sudph), text});
    if (options_.keep_sessions) {
        batch.changes.emplace_back(
            store::SetValue{key_of(kSession, text), to_text(session), kSessionTimeout}
        );
        batch.changes.emplace_back(store::AddToSet{index_of(kSession), text});
    }
    const auto applied = co_await store_.apply(std::move(batch));
    if (!applied) co_return applied.error();
    tell_written(key);
    co_return Result<>();
}

Task<Result<std::optional<KeptSession>>> Bindings::session(crypto::PublicKey key) {
    const auto stored = co_await store_.get(key_of(kSession, key.to_text()));
    if (!stored) co_return stored.error();
    auto session = parse_kept_session(stored->value_or(""));
    if (!session) co_return std::optional<KeptSession>();
    co_return std::optional<KeptSession>(std::move(*session));
}

Task<Result<Bindings::Sessions>> Bindings::sessions(std::size_t count_max) {
    const auto members = co_await store_.members(index_of(kSession));
    if (!members) co_return members.error();
    Sessions sessions;
    std::vector<std::string> expired;
    for (std::size_t at = 0; at < members->size() && sessions.size() < count_max; at += kChunk) {
        const std::size_t end = std::min(at + kChunk, members->size());
        std::vector<std::string> names;
        names.reserve(end - at);
        for (std::size_t i = at; i < end; ++i)
            names.push_back(key_of(kSession, (*members)[i]));
        const auto texts = co_await store_.get_many(std::move(names));
        if (!texts) co_return texts.error();
        for (std::size_t i = at; i < end; ++i) {
            const auto& text = (*texts)[i - at];
            if (!text) expired.push_back((*members)[i]);
            const auto key = crypto::PublicKey::from_text_not_null((*members)[i]);
            auto session = parse_kept_session(text.value_or(""));
            if (key && session && sessions.size() < count_max)
                sessions.emplace_back(*key, std::move(*session));
        }
    }
    const auto tidied = co_await tidy(kSession, std::move(expired));
    if (!tidied) co_return tidied.error();
    co_return sessions;
}

Task<Result<std::vector<crypto::PublicKey>>> Bindings::list(Type type) {
    std::vector<crypto::PublicKey> keys;
    const auto done = co_await read(
        type, [&keys](const crypto::PublicKey& key, const std::string&) { keys.push_back(key); }
    );
    if (!done) co_return done.error();
    std::sort(keys.begin(), keys.end());
    co_return keys;
}

Task<Result<Bindings::All>> Bindings::all(Type type) {
    All all;
    const auto done =
        co_await read(type, [&all](const crypto::PublicKey& key, const std::string& text) {
            auto binding = parse_binding(text);
            if (binding) all.emplace_back(key, std::move(*binding));
        });
    if (!done) co_return done.error();
    co_return all;
}

Task<Result<>> Bindings::read(Type type, Take take) {
    const auto members = co_await store_.members(index_of(type));
    if (!members) co_return members.error();
    std::vector<std::string> expired;
    for (std::size_t at = 0; at < members->size(); at += kChunk) {
        // A memory store answers without a wait.
        if (at > 0) co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
        const std::size_t end = std::min(at + kChunk, members->size());
        std::vector<std::string> names;
        names.reserve(end - at);
        for (std::size_t i = at; i < end; ++i)
            names.push_back(key_of(type, (*members)[i]));
        const auto texts = co_await store_.get_many(std::move(names));
        if (!texts) co_return texts.error();
        for (std::size_t i = at; i < end; ++i) {
            const auto& text = (*texts)[i - at];
            const auto key = crypto::PublicKey::from_text_not_null((*members)[i]);
            if (!text) expired.push_back((*members)[i]);
            if (!key) continue;
            const bool held = text && text->find(R"("held":true)") != std::string::npos;
            note(type, *key, held);
            if (text) take(*key, *text);
        }
    }
    if (expired.empty()) co_return Result<>();
    co_return co_await tidy(type_name(type), std::move(expired));
}

Task<Result<>> Bindings::tidy(std::string_view kind, std::vector<std::string> expired) {
    for (const std::string& key : expired) {
        // A binding that has come back since stays in the set.
        store::Batch batch;
        batch.expected.push_back({key_of(kind, key), std::nullopt});
        batch.changes.emplace_back(store::RemoveFromSet{index_of(kind), key});
        const auto applied = co_await store_.apply(std::move(batch));
        if (!applied) co_return applied.error();
    }
    co_return Result<>();
}

Task<Result<>> Bindings::renew(crypto::PublicKey owner) {
    if (!shared_) co_return Result<>();
    for (const Type type : kHttpTypes) {
        const std::string key = key_of(type, owner.to_text());
        const auto stored = co_await store_.get(key);
        if (!stored) co_return stored.error();
        const std::optional<std::string>& text = *stored;
        if (!text) continue;
        const auto binding = parse_binding(*text);
        if (!binding || !binding->held) continue;
        store::Batch batch;
        batch.expected.push_back({key, text});
        batch.changes.emplace_back(store::SetValue{key, *text, options_.held_timeout});
        const auto applied = co_await store_.apply(std::move(batch));
        if (!applied) co_return applied.error();
    }
    co_return Result<>();
}

Task<Result<>> Bindings::drop(crypto::PublicKey owner) {
    const std::string text = owner.to_text();
    for (const Type type : kHttpTypes) {
        const std::string key = key_of(type, text);
        const auto stored = co_await store_.get(key);
        if (!stored) co_return stored.error();
        const std::optional<std::string>& value = *stored;
        const auto binding = parse_binding(value.value_or(""));
        if (binding && !binding->held) {
            note(type, owner, /*held=*/false);
            continue;
        }
        // What was written again meanwhile stays.
        store::Batch batch;
        batch.expected.push_back({key, value});
        batch.changes.reserve(2);
        batch.changes.emplace_back(store::Erase{key});
        batch.changes.emplace_back(store::RemoveFromSet{index_of(type), text});
        const auto applied = co_await store_.apply(std::move(batch));
        if (!applied) co_return applied.error();
        if (*applied) note(type, owner, /*held=*/false);
    }
    tell_written(owner);
    co_return Result<>();
}

}  // namespace skywire::resolver
