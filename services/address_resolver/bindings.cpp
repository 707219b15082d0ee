#include "services/address_resolver/bindings.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace skywire::resolver {
namespace {

constexpr std::size_t kChunk = 512;

std::string key_of(Type type, std::string_view key) {
    return fmt::format("{}:{}:{}", kPrefix, type_name(type), key);
}

std::string index_of(Type type) {
    return key_of(type, "_index");
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
    batch.changes.reserve(2);
    batch.changes.emplace_back(store::Erase{key_of(type, text)});
    batch.changes.emplace_back(store::RemoveFromSet{index_of(type), text});
    const auto applied = co_await store_.apply(std::move(batch));
    if (!applied) co_return applied.error();
    note(type, key, /*held=*/false);
    co_return Result<>();
}

Task<Result<std::vector<crypto::PublicKey>>> Bindings::list(Type type) {
    const auto members = co_await store_.members(index_of(type));
    if (!members) co_return members.error();
    std::vector<crypto::PublicKey> keys;
    keys.reserve(members->size());
    std::vector<std::string> expired;
    for (std::size_t at = 0; at < members->size(); at += kChunk) {
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
            if (text) keys.push_back(*key);
        }
    }
    if (!expired.empty()) {
        const auto tidied = co_await tidy(type, std::move(expired));
        if (!tidied) co_return tidied.error();
    }
    std::sort(keys.begin(), keys.end());
    co_return keys;
}

Task<Result<>> Bindings::tidy(Type type, std::vector<std::string> expired) {
    for (const std::string& key : expired) {
        // A binding that has come back since stays in the set.
        store::Batch batch;
        batch.expected.push_back({key_of(type, key), std::nullopt});
        batch.changes.emplace_back(store::RemoveFromSet{index_of(type), key});
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
    co_return Result<>();
}

}  // namespace skywire::resolver
