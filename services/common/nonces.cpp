#include "services/common/nonces.hpp"

#include "base/counted.hpp"
#include "store/snapshot.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>
#include <vector>

#include <boost/asio/post.hpp>

namespace skywire::services {
namespace {

/// More than any key can use up between two flushes of a snapshot.
constexpr std::uint64_t kStartStep = std::uint64_t{1} << 20U;
/// Keys of one call of the store; between two calls the loop serves others.
constexpr std::size_t kChunk = 512;

std::uint64_t plus(std::uint64_t value, std::uint64_t by) {
    return value + std::min(by, std::numeric_limits<std::uint64_t>::max() - value);
}

/// 0 where the text is no number, as the reference reads it.
std::uint64_t number_of(const std::optional<std::string>& text) {
    std::uint64_t value = 0;
    if (!text) return value;
    const char* const end = text->data() + text->size();
    const auto [stop, ec] = std::from_chars(text->data(), end, value);
    return ec == std::errc() && stop == end ? value : 0;
}

std::uint64_t unix_seconds(WallTime time) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch());
    return static_cast<std::uint64_t>(std::max<std::int64_t>(seconds.count(), 0));
}

}  // namespace

Nonces::Nonces(const net::Context& context, store::Store& store, Options options)
    : context_(context),
      store_(store),
      options_(std::move(options)),
      own_(store.kind() != "redis"),
      set_(options_.prefix + ":nonces"),
      floor_key_(set_ + ":floor") {}

std::string Nonces::key_of(const crypto::PublicKey& key) const {
    return set_ + ":" + key.to_text();
}

Task<Result<>> Nonces::open() {
    if (!own_) co_return Result<>();
    if (store_.kind() != "memory") co_return co_await open_snapshot();
    floor_ = options_.testing ? 0 : unix_seconds(context_.clock.wall());
    highest_ = floor_;
    co_return Result<>();
}

Task<Result<>> Nonces::open_snapshot() {
    const auto floor = co_await store_.get(floor_key_);
    if (!floor) co_return floor.error();
    const auto highest = co_await highest_stored();
    if (!highest) co_return highest.error();
    std::uint64_t raised = 0;
    if (*floor || *highest > 0) raised = plus(std::max(number_of(*floor), *highest), kStartStep);
    // What was set aside as damaged held numbers that nobody knows any more.
    const auto* const snapshot = dynamic_cast<const store::SnapshotStore*>(&store_);
    if (snapshot != nullptr && !snapshot->report().set_aside.empty()) {
        const std::uint64_t now = unix_seconds(context_.clock.wall());
        raised = std::max(raised, now * kStartStep);
    }
    const auto forgotten = co_await raise_floor(raised);
    if (!forgotten) co_return forgotten.error();
    co_return co_await store_.save();
}

Task<Result<std::uint64_t>> Nonces::highest_stored() {
    const auto members = co_await store_.members(set_);
    if (!members) co_return members.error();
    std::uint64_t highest = 0;
    for (std::size_t at = 0; at < members->size(); at += kChunk) {
        const std::size_t end = std::min(at + kChunk, members->size());
        std::vector<std::string> keys;
        keys.reserve(end - at);
        for (std::size_t i = at; i < end; ++i)
            keys.push_back(set_ + ":" + (*members)[i]);
        const auto values = co_await store_.get_many(std::move(keys));
        if (!values) co_return values.error();
        for (const auto& value : *values)
            highest = std::max(highest, number_of(value));
    }
    co_return highest;
}

/// Keys below the floor have its number whether they are kept or not. Others have their turn
/// between chunks: who has used the floor's number meanwhile is kept, or it would be due again.
Task<Result<>> Nonces::raise_floor(std::uint64_t to) {
    const auto members = co_await store_.members(set_);
    if (!members) co_return members.error();
    floor_ = to;
    highest_ = std::max(highest_, to);
    store::Batch first;
    first.changes.emplace_back(store::SetValue{floor_key_, std::to_string(to)});
    const auto written = co_await store_.apply(std::move(first));
    if (!written) co_return written.error();
    for (std::size_t at = 0; at < members->size(); at += kChunk) {
        const std::size_t end = std::min(at + kChunk, members->size());
        const auto erased = co_await forget({members->data() + at, end - at}, to);
        if (!erased) co_return erased.error();
        co_await asio::post(context_.loop, asio::use_awaitable);
    }
    co_return Result<>();
}

/// Those of them that are not above `floor`. A store of our own answers without a wait: no number
/// moves between the look and the end.
Task<Result<>> Nonces::forget(std::span<const std::string> members, std::uint64_t floor) {
    std::vector<std::string> keys;
    keys.reserve(members.size());
    for (const std::string& member : members)
        keys.push_back(set_ + ":" + member);
    const auto values = co_await store_.get_many(keys);
    if (!values) co_return values.error();
    store::Batch batch;
    batch.changes.reserve(2 * members.size());
    for (std::size_t i = 0; i < members.size(); ++i) {
        if (number_of((*values)[i]) > floor) continue;
        batch.changes.emplace_back(store::Erase{std::move(keys[i])});
        batch.changes.emplace_back(store::RemoveFromSet{set_, members[i]});
    }
    const auto erased = co_await store_.apply(std::move(batch));
    if (!erased) co_return erased.error();
    co_return Result<>();
}

Task<Result<Nonces::Due>> Nonces::due(crypto::PublicKey key) {
    auto stored = co_await store_.get(key_of(key));
    if (!stored) co_return stored.error();
    Due due;
    due.stored = std::move(*stored);
    due.number = std::max(floor_, number_of(due.stored));
    co_return due;
}

Task<Result<>> Nonces::make_room() {
    const auto count = co_await store_.count(set_);
    if (!count) co_return count.error();
    if (*count < options_.keys_max) co_return Result<>();
    // However it ends: the next one must be able to begin.
    const Counted making_room(making_room_);
    log::warn(context_.logger, "nonces.forgotten", log::kv("keys", *count));
    co_return co_await raise_floor(highest_);
}

Task<Result<bool>> Nonces::advance(crypto::PublicKey key, Due due) {
    const std::uint64_t next = plus(due.number, 1);
    highest_ = std::max(highest_, next);
    std::string name = key_of(key);
    store::Batch batch;
    if (own_ && !due.stored && making_room_ == 0) {
        const auto room = co_await make_room();
        if (!room) co_return room.error();
    }
    // Only a store that others share can hold anything else than what was read, but for a key that
    // was forgotten meanwhile.
    if (!own_) batch.expected.push_back({name, std::move(due.stored)});
    batch.changes.reserve(2);
    batch.changes.emplace_back(store::AddToSet{set_, key.to_text()});
    batch.changes.emplace_back(store::SetValue{std::move(name), std::to_string(next)});
    co_return co_await store_.apply(std::move(batch));
}

Task<Result<>> Nonces::give_back(crypto::PublicKey key, Due due) {
    std::string name = key_of(key);
    store::Batch batch;
    batch.expected.push_back({name, std::to_string(plus(due.number, 1))});
    batch.changes.reserve(2);
    if (due.stored) {
        batch.changes.emplace_back(store::SetValue{std::move(name), std::move(*due.stored)});
    } else {
        batch.changes.emplace_back(store::Erase{std::move(name)});
        batch.changes.emplace_back(store::RemoveFromSet{set_, key.to_text()});
    }
    const auto given = co_await store_.apply(std::move(batch));
    if (!given) co_return given.error();
    co_return Result<>();
}

}  // namespace skywire::services
