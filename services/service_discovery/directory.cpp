#include "services/service_discovery/directory.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>

namespace skywire::service_discovery {
namespace {

using crypto::PublicKey;
using std::chrono::milliseconds;

/// How old the table may be where services write that keep no log.
constexpr std::chrono::seconds kReloadEvery{30};
/// Entries of one call of the store.
constexpr std::size_t kReadChunk = 256;
constexpr std::size_t kWriteChunk = 200;
/// Tries of a write that others are always faster than.
constexpr int kTriesMax = 64;
/// Places written, after which other services on the same Redis are let by: whoever wrote last need
/// not read first, and would be faster for as long as it has something to write.
constexpr std::size_t kInARowMax = 8;
/// Reads for which they are let by; one try of theirs costs two and a write. A read costs little
/// beside a write, which Redis has on disk before it answers.
constexpr std::size_t kReadsToLetBy = 6;
/// Who has written many places in one has others take over as many, and lets them by for longer.
constexpr std::size_t kRoundsMax = 8;

constexpr std::string_view kTypes = "service_types";

/// A type as a part of a key of the store, where ':' divides.
std::string escaped(std::string_view type) {
    std::string text;
    text.reserve(type.size());
    for (const char c : type) {
        if (c == ':') {
            text += "%3A";
        } else if (c == '%') {
            text += "%25";
        } else {
            text += c;
        }
    }
    return text;
}

std::string set_of(std::string_view type) {
    return "service:" + escaped(type);
}
std::string key_of(const Place& place) {
    return set_of(place.type) + ":" + place.key.to_text();
}
std::string types_of(const PublicKey& key) {
    return "sd:visor-svc:" + key.to_text();
}

std::int64_t unix_ms(WallTime time) {
    return std::chrono::duration_cast<milliseconds>(time.time_since_epoch()).count();
}

}  // namespace

Directory::Directory(
    const net::Context& context, services::ServiceStore& store, Options options, OnHeld on_held
)
    : context_(context),
      service_store_(store),
      store_(store.store()),
      options_(options),
      on_held_(std::move(on_held)),
      shared_(store_.kind() == "redis"),
      turns_(context_.loop),
      taken_over_(context_.metrics.counter(
          "service_discovery_taken_over_total",
          "Entries read again because another service on the same Redis has changed them."
      )),
      reloads_(context_.metrics.counter(
          "service_discovery_reloads_total", "Times everything was read from the store."
      )) {}

Directory::~Directory() = default;

Error Directory::failed(Error error) {
    const ErrorCode code = error.code();
    if (code != errc::limit_reached && code != errc::cancelled) service_store_.failed(error);
    return error;
}

Task<Result<>> Directory::open() {
    const auto turn = co_await turns_.take();
    if (!turn) co_return turn.error();
    co_return co_await sync_in_turn();
}

Task<Result<>> Directory::sync() {
    if (!shared_) {
        purge();
        co_return Result<>();
    }
    auto log_text = co_await store_.get(std::string(SharedLog::kKey));
    if (!log_text) co_return failed(log_text.error());
    purge();
    const bool young = !stale_ && context_.clock.now() < reload_at_;
    if (young && *log_text == log_.text()) co_return Result<>();
    const auto turn = co_await turns_.take();
    if (!turn) co_return turn.error();
    co_return co_await take_over(std::move(*log_text));
}

Task<Result<>> Directory::sync_in_turn() {
    purge();
    if (!shared_) {
        if (stale_) co_return co_await take_over(std::nullopt);
        co_return Result<>();
    }
    auto log_text = co_await store_.get(std::string(SharedLog::kKey));
    if (!log_text) co_return failed(log_text.error());
    co_return co_await take_over(std::move(*log_text));
}

Task<Result<>> Directory::take_over(std::optional<std::string> log_text) {
    SharedLog seen = SharedLog::parse(std::move(log_text));
    const bool reload = stale_ || (shared_ && context_.clock.now() >= reload_at_);
    const bool known = seen.covered_by(log_);
    if (known && !reload) co_return Result<>();
    auto changed = seen.since(log_);
    Result<> loaded;
    if (!known) in_a_row_ = 0;
    if (changed && !reload) {
        taken_over_.add(changed->size());
        loaded = co_await load_places(std::move(*changed));
    } else {
        reloads_.add();
        loaded = co_await load_all();
    }
    if (!loaded) {
        stale_ = true;
        co_return failed(loaded.error());
    }
    if (!known) log_ = std::move(seen);
    stale_ = false;
    co_return Result<>();
}

Task<Result<>> Directory::load_all() {
    const auto types = co_await store_.members(std::string(kTypes));
    if (!types) co_return types.error();
    std::set<Place> found;
    for (const std::string& type : *types) {
        const auto loaded = co_await load_type(type, found);
        if (!loaded) co_return loaded.error();
    }
    for (const Place& place : table_.places())
        if (!found.contains(place)) remove_from_table(place);
    reload_at_ = context_.clock.now() + kReloadEvery;
    co_return Result<>();
}

Task<Result<>> Directory::load_type(std::string type, std::set<Place>& found) {
    const auto members = co_await store_.members(set_of(type));
    if (!members) co_return members.error();
    std::vector<Place> places;
    places.reserve(members->size());
    for (const std::string& member : *members) {
        const auto key = PublicKey::from_text_not_null(member);
        if (key) places.push_back({type, *key});
    }
    for (std::size_t at = 0; at < places.size(); at += kReadChunk) {
        const std::size_t end = std::min(at + kReadChunk, places.size());
        std::vector<std::string> keys;
        keys.reserve(end - at);
        for (std::size_t i = at; i < end; ++i)
            keys.push_back(key_of(places[i]));
        const auto texts = co_await store_.get_many(std::move(keys));
        if (!texts) co_return texts.error();
        for (std::size_t i = at; i < end; ++i) {
            if (take_text(places[i], (*texts)[i - at])) {
                found.insert(places[i]);
            } else {
                ended_.insert(places[i]);
            }
        }
    }
    co_return Result<>();
}

Task<Result<>> Directory::load_places(std::vector<Place> places) {
    std::vector<std::string> keys;
    keys.reserve(places.size());
    for (const Place& place : places)
        keys.push_back(key_of(place));
    const auto texts = co_await store_.get_many(std::move(keys));
    if (!texts) co_return texts.error();
    for (std::size_t i = 0; i < places.size(); ++i)
        if (!take_text(places[i], (*texts)[i])) remove_from_table(places[i]);
    co_return Result<>();
}

/// False where there is no entry of that place in the text.
bool Directory::take_text(const Place& place, const std::optional<std::string>& text) {
    if (!text) return false;
    const auto stored = parse_stored(*text);
    if (!stored || stored->entry.key != place.key || stored->entry.type != place.type) return false;
    put_in_table(*stored);
    return true;
}

void Directory::put_in_table(const StoredEntry& stored) {
    const PublicKey key = stored.entry.key;
    const std::size_t before = table_.held_count(key);
    table_.put(stored.entry, stored.held, end_of(stored));
    const std::size_t after = table_.held_count(key);
    if (after != before && on_held_) on_held_(key, after);
}

void Directory::remove_from_table(const Place& place) {
    const std::size_t before = table_.held_count(place.key);
    table_.erase(place);
    const std::size_t after = table_.held_count(place.key);
    if (after != before && on_held_) on_held_(place.key, after);
}

SteadyTime Directory::end_of(const StoredEntry& stored) const {
    if (stored.held) return SteadyTime::max();
    const SteadyTime now = context_.clock.now();
    // Written by a service that does not say: Redis ends it, the next reading of everything tells.
    if (stored.expires_ms == 0 && shared_) return SteadyTime::max();
    const std::int64_t left_ms = stored.expires_ms - unix_ms(context_.clock.wall());
    // Redis still has it: the writer's clock differs from ours.
    if (left_ms <= 0) return shared_ ? SteadyTime::max() : now;
    const auto timeout = std::chrono::duration_cast<milliseconds>(options_.entry_timeout);
    // A calendar set back does not lengthen a life.
    if (left_ms >= timeout.count()) return now + options_.entry_timeout;
    return now + milliseconds(left_ms);
}

void Directory::purge() {
    for (Place& place : table_.end_before(context_.clock.now()))
        ended_.insert(std::move(place));
}

std::vector<Place> Directory::Plan::touched() const {
    std::vector<Place> places;
    places.reserve(put.size() + removed.size());
    for (const StoredEntry& stored : put)
        places.push_back({stored.entry.type, stored.entry.key});
    places.insert(places.end(), removed.begin(), removed.end());
    return places;
}

void Directory::Plan::add(Plan more) {
    std::ranges::move(more.changes, std::back_inserter(changes));
    std::ranges::move(more.put, std::back_inserter(put));
    std::ranges::move(more.removed, std::back_inserter(removed));
}

Directory::Plan Directory::registration(const Entry& entry, bool held) const {
    StoredEntry stored{entry, held, 0};
    // Rounded up: not before its time.
    if (!held) stored.expires_ms = unix_ms(context_.clock.wall() + options_.entry_timeout) + 1;
    const Place place{entry.type, entry.key};
    const std::string key = place.key.to_text();
    Duration ttl = options_.entry_timeout;
    if (held) ttl = shared_ ? options_.held_timeout : Duration(0);
    Plan plan;
    plan.changes.reserve(4);
    plan.changes.emplace_back(store::SetValue{key_of(place), to_stored(stored), ttl});
    plan.changes.emplace_back(store::AddToSet{set_of(place.type), key});
    plan.changes.emplace_back(store::AddToSet{std::string(kTypes), place.type});
    plan.changes.emplace_back(store::AddToSet{types_of(place.key), place.type});
    plan.put.push_back(std::move(stored));
    return plan;
}

Directory::Plan Directory::removal(const std::vector<Place>& places) const {
    Plan plan;
    plan.changes.reserve(3 * places.size());
    plan.removed = places;
    std::map<std::string_view, std::size_t> leaving;
    for (const Place& place : places) {
        plan.changes.emplace_back(store::Erase{key_of(place)});
        plan.changes.emplace_back(store::RemoveFromSet{set_of(place.type), place.key.to_text()});
        plan.changes.emplace_back(store::RemoveFromSet{types_of(place.key), place.type});
        const bool there = table_.find(place.type, place.key) != nullptr;
        leaving[place.type] += there ? 1 : 0;
    }
    for (const auto& [type, count] : leaving) {
        if (table_.count(type) != count) continue;
        plan.changes.emplace_back(store::RemoveFromSet{std::string(kTypes), std::string(type)});
    }
    return plan;
}

void Directory::apply(const Plan& plan) {
    for (const StoredEntry& stored : plan.put)
        put_in_table(stored);
    for (const Place& place : plan.removed)
        remove_from_table(place);
}

Task<Result<>> Directory::commit(MakePlan make) {
    if (shared_) co_return co_await commit_shared(std::move(make));
    co_return co_await commit_own(make());
}

Task<Result<>> Directory::commit_own(Plan plan) {
    if (plan.changes.empty()) co_return Result<>();
    store::Batch batch;
    batch.changes = std::move(plan.changes);
    const auto applied = co_await store_.apply(std::move(batch));
    if (!applied) co_return failed(applied.error());
    apply(plan);
    co_return Result<>();
}

Task<Result<>> Directory::let_others_by() {
    const std::size_t rounds = std::min(in_a_row_ / kInARowMax, kRoundsMax);
    if (rounds == 0) co_return Result<>();
    in_a_row_ = 0;
    for (std::size_t i = 0; i < rounds * kReadsToLetBy; ++i) {
        const auto read = co_await store_.get(std::string(SharedLog::kKey));
        if (!read) co_return failed(read.error());
    }
    co_return Result<>();
}

Task<Result<>> Directory::commit_shared(MakePlan make) {
    const auto let = co_await let_others_by();
    if (!let) co_return let.error();
    for (int tries = 0; tries < kTriesMax; ++tries) {
        if (stale_ || tries > 0) {
            const auto synced = co_await sync_in_turn();
            if (!synced) co_return synced.error();
        }
        Plan plan = make();
        if (plan.changes.empty()) co_return Result<>();
        const std::vector<Place> touched = plan.touched();
        SharedLog next = log_.after(touched, context_.random);
        store::Batch batch;
        batch.expected.push_back({std::string(SharedLog::kKey), log_.text()});
        batch.changes = std::move(plan.changes);
        batch.changes.emplace_back(
            store::SetValue{std::string(SharedLog::kKey), next.text().value_or("")}
        );
        const auto applied = co_await store_.apply(std::move(batch));
        if (!applied) {
            // It may have happened.
            stale_ = true;
            co_return failed(applied.error());
        }
        if (!*applied) continue;
        log_ = std::move(next);
        in_a_row_ += touched.size();
        apply(plan);
        co_return Result<>();
    }
    co_return fail(errc::unavailable, "other writers were always faster");
}

Task<Result<>> Directory::put(Entry entry, bool held) {
    const auto turn = co_await turns_.take();
    if (!turn) co_return turn.error();
    entry.info.reset();
    const bool first = table_.find(entry.type, entry.key) == nullptr;
    if (first && table_.types_of(entry.key) >= options_.types_per_key_max)
        co_return fail(errc::limit_reached, "a key has services of so many types already");
    const auto make = [this, &entry, held] { return registration(entry, held); };
    co_return co_await commit(make);
}

Directory::Plan Directory::exchange_plan(const Exchange& wanted, Types& left_out) const {
    Plan plan;
    std::size_t types = table_.types_of(wanted.key);
    for (const Entry& entry : wanted.put) {
        const bool first = table_.find(entry.type, wanted.key) == nullptr;
        if (first && types >= options_.types_per_key_max) {
            left_out.insert(entry.type);
            continue;
        }
        if (first) ++types;
        plan.add(registration(entry, /*held=*/false));
    }
    std::vector<Place> places;
    places.reserve(wanted.erase.size());
    for (const std::string& type : wanted.erase) {
        // In Redis there may be one that this table does not know of yet.
        if (shared_ || table_.find(type, wanted.key) != nullptr)
            places.push_back({type, wanted.key});
    }
    plan.add(removal(places));
    return plan;
}

Task<Result<Directory::Types>> Directory::exchange(Exchange wanted) {
    const auto turn = co_await turns_.take();
    if (!turn) co_return turn.error();
    purge();
    for (Entry& entry : wanted.put)
        entry.info.reset();
    Types left_out;
    const auto exchanged = co_await commit([this, &wanted, &left_out] {
        left_out.clear();
        return exchange_plan(wanted, left_out);
    });
    if (exchanged) co_return left_out;
    const bool full = exchanged.error() == make_error_code(errc::limit_reached);
    // A Redis that is full takes no part of it, either.
    if (!full || shared_) co_return exchanged.error();
    co_return co_await exchange_by_parts(std::move(wanted));
}

/// What there is goes on, and of the new ones there are those that have room.
Task<Result<Directory::Types>> Directory::exchange_by_parts(Exchange wanted) {
    std::vector<Entry> fresh;
    Exchange known{wanted.key, {}, std::move(wanted.erase)};
    for (Entry& entry : wanted.put) {
        const bool there = table_.find(entry.type, entry.key) != nullptr;
        (there ? known.put : fresh).push_back(std::move(entry));
    }
    Types left_out;
    const auto kept =
        co_await commit([this, &known, &left_out] { return exchange_plan(known, left_out); });
    if (!kept) co_return kept.error();
    for (Entry& entry : fresh) {
        const std::string type = entry.type;
        Exchange one{wanted.key, {}, {}};
        one.put.push_back(std::move(entry));
        const auto put =
            co_await commit([this, &one, &left_out] { return exchange_plan(one, left_out); });
        if (put) continue;
        if (put.error() != make_error_code(errc::limit_reached)) co_return put.error();
        left_out.insert(type);
    }
    co_return left_out;
}

Task<Result<>> Directory::erase(std::string type, std::vector<PublicKey> keys) {
    const auto turn = co_await turns_.take();
    if (!turn) co_return turn.error();
    purge();
    for (std::size_t at = 0; at < keys.size(); at += kWriteChunk) {
        const std::size_t end = std::min(at + kWriteChunk, keys.size());
        const auto make = [this, &type, &keys, at, end] {
            std::vector<Place> places;
            places.reserve(end - at);
            for (std::size_t i = at; i < end; ++i) {
                // In Redis there may be one that this table does not know of yet.
                if (shared_ || table_.find(type, keys[i]) != nullptr)
                    places.push_back({type, keys[i]});
            }
            return removal(places);
        };
        const auto erased = co_await commit(make);
        if (!erased) co_return erased.error();
    }
    co_return Result<>();
}

Task<Result<std::shared_ptr<Listing>>> Directory::list(std::string type) {
    const auto synced = co_await sync();
    if (!synced) co_return synced.error();
    co_return table_.listing(type);
}

Task<Result<std::set<Place>>> Directory::changed() {
    const auto synced = co_await sync();
    if (!synced) co_return synced.error();
    co_return table_.take_changed();
}

std::shared_ptr<const std::string> Directory::body(std::string_view type) {
    return table_.of_type(type) == nullptr ? nullptr : table_.listing(type)->body;
}

Task<Result<std::string>> Directory::find(Filter filter) {
    const auto synced = co_await sync();
    if (!synced) co_return synced.error();
    std::vector<const Table::Record*> found;
    const Table::Records* const records = table_.of_type(filter.type);
    if (records == nullptr) co_return list_body(found);
    found.reserve(records->size());
    for (const auto& [key, record] : *records) {
        const Entry& entry = record.entry;
        if (!filter.version.empty() && entry.version != filter.version) continue;
        const bool there =
            filter.country.empty() || (entry.geo && entry.geo->country == filter.country);
        if (there) found.push_back(&record);
    }
    const auto wanted = static_cast<std::uint64_t>(std::max<std::int64_t>(filter.quantity, 0));
    if (wanted > 0 && wanted < found.size()) {
        for (std::size_t i = 0; i < wanted; ++i)
            std::swap(found[i], found[i + context_.random.below(found.size() - i)]);
        found.resize(wanted);
    }
    co_return list_body(found);
}

Task<Result<std::optional<Entry>>> Directory::get(std::string type, PublicKey key) {
    const auto synced = co_await sync();
    if (!synced) co_return synced.error();
    std::optional<Entry> entry;
    if (const Table::Record* const record = table_.find(type, key)) entry = record->entry;
    co_return entry;
}

Task<> Directory::renew(PublicKey owner) {
    if (!shared_ || options_.held_timeout <= Duration(0)) co_return;
    std::vector<std::string> keys;
    for (const Place& place : table_.held_by(owner))
        keys.push_back(key_of(place));
    if (keys.empty()) co_return;
    const auto texts = co_await store_.get_many(keys);
    if (!texts) co_return;
    for (std::size_t i = 0; i < keys.size(); ++i) {
        const auto& text = (*texts)[i];
        if (!text) continue;
        const auto stored = parse_stored(*text);
        if (!stored || !stored->held) continue;
        store::Batch batch;
        batch.expected.push_back({keys[i], text});
        batch.changes.emplace_back(store::SetValue{keys[i], *text, options_.held_timeout});
        const auto renewed = co_await store_.apply(std::move(batch));
        if (!renewed) service_store_.failed(renewed.error());
    }
}

Task<> Directory::drop_held(PublicKey owner) {
    const auto turn = co_await turns_.take();
    if (!turn) co_return;
    const auto synced = co_await sync_in_turn();
    if (!synced) co_return;
    // A failure is told again by who asked for it.
    const auto dropped = co_await commit([this, &owner] { return removal(table_.held_by(owner)); });
    if (!dropped) {
        log::debug(
            context_.logger, "held.not_dropped", log::kv("error", dropped.error().message())
        );
    }
}

Task<Result<std::vector<Place>>> Directory::still_absent(std::vector<Place> places) {
    std::vector<Place> absent;
    absent.reserve(places.size());
    if (!shared_) {
        for (Place& place : places)
            if (table_.find(place.type, place.key) == nullptr) absent.push_back(std::move(place));
        co_return absent;
    }
    std::vector<std::string> keys;
    keys.reserve(places.size());
    for (const Place& place : places)
        keys.push_back(key_of(place));
    const auto texts = co_await store_.get_many(std::move(keys));
    if (!texts) co_return texts.error();
    for (std::size_t i = 0; i < places.size(); ++i)
        if (!(*texts)[i]) absent.push_back(std::move(places[i]));
    co_return absent;
}

Task<Result<>> Directory::sweep() {
    const auto turn = co_await turns_.take();
    if (!turn) co_return turn.error();
    const auto synced = co_await sync_in_turn();
    if (!synced) co_return synced.error();
    while (!ended_.empty()) {
        std::vector<Place> places;
        places.reserve(kWriteChunk);
        for (auto at = ended_.begin(); at != ended_.end() && places.size() < kWriteChunk; ++at)
            places.push_back(*at);
        const auto absent = co_await still_absent(places);
        if (!absent) co_return failed(absent.error());
        const auto tidied = co_await commit([this, &absent] {
            // Registered anew by another service while this tried.
            std::vector<Place> gone;
            gone.reserve(absent->size());
            for (const Place& place : *absent)
                if (table_.find(place.type, place.key) == nullptr) gone.push_back(place);
            return removal(gone);
        });
        if (!tidied) co_return tidied.error();
        for (const Place& place : places)
            ended_.erase(place);
    }
    co_return Result<>();
}

}  // namespace skywire::service_discovery
