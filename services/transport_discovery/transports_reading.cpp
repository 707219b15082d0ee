#include "services/transport_discovery/detail/store_layout.hpp"
#include "services/transport_discovery/transports.hpp"
#include "store/pieces.hpp"

#include <algorithm>
#include <unordered_set>

namespace skywire::tpd {
namespace {

using namespace std::chrono_literals;
using namespace detail;
using transport::TransportId;

constexpr std::uint64_t kChangesReadMax = 1000;
/// For a number that was taken and not written yet.
constexpr Duration kMissingLifetime = 10s;
constexpr Duration kReadAllInterval = 30s;
/// More writes than are under way at any time.
constexpr std::uint64_t kUnderWayMax = 256;

}  // namespace

Task<Result<>> Transports::open() {
    co_return co_await load_all();
}

Task<Result<>> Transports::sync() {
    if (!options_.shared) co_return Result<>();
    const auto counter = co_await store_.get(changes_key());
    if (!counter) co_return counter.error();
    const std::uint64_t newest = number_of(*counter);
    if (newest == seen_ && missing_.empty()) co_return Result<>();
    // A counter that went back is another database, or one that was emptied.
    const bool all = newest < seen_ || newest - seen_ > kChangesReadMax;
    if (all) co_return co_await load_all();
    co_return co_await read_changes(newest);
}

Task<Result<>> Transports::read_changes(std::uint64_t newest) {
    std::vector<std::uint64_t> numbers;
    numbers.reserve(missing_.size() + static_cast<std::size_t>(newest - std::min(newest, seen_)));
    for (const auto& [number, until] : missing_)
        numbers.push_back(number);
    for (std::uint64_t number = seen_ + 1; number <= newest; ++number)
        numbers.push_back(number);
    std::vector<std::string> keys;
    keys.reserve(numbers.size());
    for (const std::uint64_t number : numbers)
        keys.push_back(change_key(number));
    const auto changes = co_await store_.get_many(std::move(keys));
    if (!changes) co_return changes.error();

    const SteadyTime now = context_.clock.now();
    Ids ids;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        const std::optional<std::string>& text = (*changes)[i];
        if (text) {
            add_ids(*text, ids);
            missing_.erase(numbers[i]);
            continue;
        }
        // Taken by a writer whose batch is still to come, or who has died.
        const auto at = missing_.try_emplace(numbers[i], now + kMissingLifetime).first;
        if (at->second <= now) missing_.erase(at);
    }
    if (const auto read = co_await read_anew(std::move(ids)); !read) co_return read.error();
    seen_ = std::max(seen_, newest);
    co_return Result<>();
}

Task<Result<>> Transports::load_all() {
    read_all_at_ = context_.clock.now() + kReadAllInterval;
    std::uint64_t newest = 0;
    if (options_.shared) {
        const auto counter = co_await store_.get(changes_key());
        if (!counter) co_return counter.error();
        newest = number_of(*counter);
        if (const auto noted = co_await note_under_way(newest); !noted) co_return noted.error();
    }
    Ids unlisted = table_.ids();
    const auto members = co_await store_.members(index_key());
    if (!members) co_return members.error();
    Ids ids;
    ids.reserve(members->size());
    for (const std::string& member : *members)
        if (const auto id = TransportId::from_text(member)) ids.push_back(*id);
    const std::unordered_set<TransportId> listed(ids.begin(), ids.end());
    std::erase_if(unlisted, [&](const TransportId& id) { return listed.contains(id); });
    if (const auto read = co_await read_anew(ids); !read) co_return read.error();
    // Written by others without the index, or while it was read.
    if (const auto read = co_await read_anew(std::move(unlisted)); !read) co_return read.error();
    if (options_.shared) seen_ = std::max(seen_, newest);
    co_return co_await forget(std::move(ids));
}

/// Before everything is read: writers take their number first and write then, so what they write
/// may be too late for this reading. Their changes are looked for again.
Task<Result<>> Transports::note_under_way(std::uint64_t newest) {
    if (newest < seen_) {
        // Another database, or one that was emptied.
        seen_ = 0;
        missing_.clear();
    }
    const std::uint64_t known = std::max(seen_, newest - std::min(newest, kUnderWayMax));
    std::vector<std::string> keys;
    keys.reserve(static_cast<std::size_t>(newest - known));
    for (std::uint64_t number = known + 1; number <= newest; ++number)
        keys.push_back(change_key(number));
    if (keys.empty()) co_return Result<>();
    const auto changes = co_await store_.get_many(std::move(keys));
    if (!changes) co_return changes.error();
    const SteadyTime until = context_.clock.now() + kMissingLifetime;
    for (std::size_t i = 0; i < changes->size(); ++i)
        if (!(*changes)[i]) missing_.try_emplace(known + 1 + i, until);
    co_return Result<>();
}

/// Takes ids without a value off the index.
Task<Result<>> Transports::forget(Ids ids) {
    std::erase_if(ids, [this](const TransportId& id) { return table_.find(id) != nullptr; });
    for (const TransportId& id : ids) {
        store::Batch batch;
        batch.expected.push_back({transport_key(id), std::nullopt});
        batch.changes.emplace_back(store::RemoveFromSet{index_key(), id.to_text()});
        const auto applied = co_await store_.apply(std::move(batch));
        if (!applied) co_return applied.error();
    }
    co_return Result<>();
}

Task<Result<>> Transports::read_anew(Ids ids) {
    for (const Ids& piece : store::pieces(std::move(ids))) {
        const auto values = co_await store_.get_many(keys_of(piece));
        if (!values) co_return values.error();
        for (std::size_t i = 0; i < piece.size(); ++i)
            take(piece[i], (*values)[i]);
        // A memory store answers without a wait: others have their turn between pieces.
        co_await pause();
    }
    co_return Result<>();
}

void Transports::take(const TransportId& id, const std::optional<std::string>& text) {
    if (!text) {
        table_.erase(id);
        return;
    }
    const auto stored = stored_transport(*text);
    if (!stored || stored->entry.id != id) {
        unreadable_.add();
        table_.erase(id);
        return;
    }
    const Duration age = context_.clock.wall() - stored->last_update;
    const SteadyTime last_sign = context_.clock.now() - std::max(Duration(0), age);
    table_.put(stored->entry, stored->held, last_sign);
}

}  // namespace skywire::tpd
