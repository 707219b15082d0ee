#include "services/transport_discovery/uptimes.hpp"

#include "services/transport_discovery/detail/store_layout.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>

namespace skywire::tpd {
namespace {

using transport::TransportId;

constexpr std::chrono::minutes kSlotLength{5};
constexpr Duration kLifetime = std::chrono::days(8);
/// Missed slots of the same day that a heartbeat fills in.
constexpr std::int64_t kFilledMax = 6;
/// Who is remembered between heartbeats; beyond it all are forgotten, which costs a write each.
constexpr std::size_t kSeenMax = 200'000;
constexpr std::size_t kVersionSizeMax = 64;

std::string timeline_key(std::string_view key, Date date) {
    return fmt::format("{}:uptime:{}:{}:timeline", kPrefix, key, date_text(date));
}

std::string online_key(Date date) {
    return fmt::format("{}:uptime:online:{}", kPrefix, date_text(date));
}

std::string transport_days_key(std::string_view id) {
    return fmt::format("{}:tp-uptime:{}", kPrefix, id);
}

std::string transports_key() {
    return fmt::format("{}:tp-uptime:_index", kPrefix);
}

std::string visor_key(const crypto::PublicKey& key) {
    return fmt::format("{}:visor:{}", kPrefix, key);
}

Date today(const Clock& clock) {
    return std::chrono::floor<std::chrono::days>(clock.wall());
}

Date date_of(std::int64_t slot) {
    return Date(std::chrono::days(slot / static_cast<std::int64_t>(Timeline::kSlots)));
}

std::size_t place_of(std::int64_t slot) {
    return static_cast<std::size_t>(slot % static_cast<std::int64_t>(Timeline::kSlots));
}

/// Sets the slot, and those that were missed since a heartbeat not long before on the same day.
void mark(Timeline& timeline, std::int64_t slot, std::int64_t before) {
    timeline.set(place_of(slot));
    if (date_of(before) != date_of(slot) || slot - before > kFilledMax + 1) return;
    for (std::int64_t missed = before + 1; missed < slot; ++missed)
        timeline.set(place_of(missed));
}

void read_visor(const std::optional<std::string>& text, VisorUptime& into) {
    if (!text) return;
    const auto parsed = parse_json(*text);
    if (!parsed || !parsed->is_object()) return;
    const json::object& object = parsed->get_object();
    if (const json::value* version = object.if_contains("version"); version && version->is_string())
        into.version = version->get_string();
    if (const json::value* seen = object.if_contains("last_seen"); seen && seen->is_int64())
        into.last_seen = WallTime(
            std::chrono::seconds(std::clamp<std::int64_t>(seen->get_int64(), 0, 9'000'000'000))
        );
}

}  // namespace

bool has_heartbeats(std::string_view type) noexcept {
    return type == transport::kStcpr || type == transport::kSudph;
}

std::string date_text(Date date) {
    const std::chrono::year_month_day day(date);
    return fmt::format(
        "{:04}-{:02}-{:02}",
        static_cast<int>(day.year()),
        static_cast<unsigned>(day.month()),
        static_cast<unsigned>(day.day())
    );
}

void Timeline::set(std::size_t slot) noexcept {
    bytes[slot / 8] |= static_cast<unsigned char>(0x80U >> (slot % 8));
}

bool Timeline::seen(std::size_t slot) const noexcept {
    return (bytes[slot / 8] & (0x80U >> (slot % 8))) != 0;
}

std::size_t Timeline::count() const noexcept {
    std::size_t count = 0;
    for (const unsigned char byte : bytes)
        count += static_cast<std::size_t>(std::popcount(byte));
    return count;
}

Timeline Timeline::from_bytes(std::string_view bytes) {
    Timeline timeline;
    std::memcpy(timeline.bytes.data(), bytes.data(), std::min(bytes.size(), timeline.bytes.size()));
    return timeline;
}

std::string Timeline::to_bytes() const {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string Timeline::to_text() const {
    std::string text(kSlots, ' ');
    for (std::size_t slot = 0; slot < kSlots; ++slot)
        if (seen(slot)) text[slot] = '.';
    return text;
}

std::string Timeline::percentage() const {
    return fmt::format("{:.2f}", 100.0 * static_cast<double>(count()) / kSlots);
}

std::string to_bytes(const Days& days) {
    if (days.empty()) return {};
    const Date first = days.begin()->first;
    const auto number = static_cast<std::uint32_t>(first.time_since_epoch().count());
    std::string bytes;
    for (int shift = 24; shift >= 0; shift -= 8)
        bytes += static_cast<char>(number >> static_cast<unsigned>(shift) & 0xffU);
    for (Date date = first; date <= days.rbegin()->first; date += std::chrono::days(1)) {
        const auto found = days.find(date);
        bytes += (found == days.end() ? Timeline() : found->second).to_bytes();
    }
    return bytes;
}

Days days_of(std::string_view bytes, Date first) {
    Days days;
    if (bytes.size() < 4) return days;
    std::uint32_t number = 0;
    for (const char byte : bytes.substr(0, 4))
        number = number << 8U | static_cast<unsigned char>(byte);
    bytes.remove_prefix(4);
    // A date that is none of ours would make a value of any length.
    Date date{std::chrono::days(number)};
    for (int day = 0; day <= kDaysShown && bytes.size() >= Timeline::kSlots / 8; ++day) {
        const Timeline timeline = Timeline::from_bytes(bytes.substr(0, Timeline::kSlots / 8));
        const bool ours = date >= first && date < first + std::chrono::days(kDaysShown);
        if (ours && !timeline.empty()) days[date] = timeline;
        bytes.remove_prefix(Timeline::kSlots / 8);
        date += std::chrono::days(1);
    }
    return days;
}

Uptimes::Uptimes(const net::Context& context, store::Store& store)
    : context_(context), store_(store) {}

Uptimes::Slot Uptimes::slot_now() const {
    return context_.clock.wall().time_since_epoch() / kSlotLength;
}

Date Uptimes::first_day() const {
    return today(context_.clock) - std::chrono::days(kDaysShown - 1);
}

Task<Result<>> Uptimes::visor_seen(crypto::PublicKey key, std::string version) {
    if (version.size() > kVersionSizeMax) version.resize(kVersionSizeMax);
    if (visors_seen_.size() >= kSeenMax) visors_seen_.clear();
    Seen& seen = visors_seen_[key];
    if (version.empty()) version = seen.version;
    const Slot slot = slot_now();
    if (seen.slot == slot && seen.version == version) co_return Result<>();
    const Slot slot_before = seen.slot;
    seen = {slot, version};

    if (version.empty()) {
        // From before a restart.
        const auto text = co_await store_.get(visor_key(key));
        if (!text) co_return text.error();
        VisorUptime known;
        read_visor(*text, known);
        version = known.version;
        visors_seen_[key].version = version;
    }
    const auto now =
        std::chrono::floor<std::chrono::seconds>(context_.clock.wall().time_since_epoch());
    std::string text = R"({"version":)";
    append_json_string(text, version, JsonEscape::plain);
    text += fmt::format(R"(,"last_seen":{}}})", now.count());
    store::Batch batch;
    batch.changes.emplace_back(store::SetValue{visor_key(key), std::move(text), kLifetime});
    auto marked = co_await mark_visor(key, slot, slot_before, std::move(batch));
    // The next heartbeat tries again.
    if (!marked) visors_seen_.erase(key);
    co_return marked;
}

Task<Result<>> Uptimes::mark_visor(
    crypto::PublicKey key, Slot slot, Slot before, store::Batch batch
) {
    const std::string subject = key.to_text();
    const std::string at = timeline_key(subject, date_of(slot));
    const auto stored = co_await store_.get(at);
    if (!stored) co_return stored.error();
    Timeline timeline = Timeline::from_bytes(stored->value_or(""));
    mark(timeline, slot, before);
    batch.changes.emplace_back(store::SetValue{at, timeline.to_bytes(), kLifetime});
    batch.changes.emplace_back(store::AddToSet{online_key(date_of(slot)), subject});
    const auto applied = co_await store_.apply(std::move(batch));
    if (!applied) co_return applied.error();
    co_return Result<>();
}

Task<Result<>> Uptimes::transports_seen(std::vector<TransportId> ids) {
    const Slot slot = slot_now();
    if (transports_seen_.size() + ids.size() >= kSeenMax) transports_seen_.clear();
    std::vector<Beat> beats;
    for (const TransportId& id : ids) {
        Slot& seen = transports_seen_[id];
        if (seen == slot) continue;
        beats.push_back({id, slot, seen});
        seen = slot;
    }
    for (std::vector<Beat>& piece : detail::pieces(std::move(beats))) {
        auto marked = co_await mark_transports(std::move(piece));
        if (marked) continue;
        // The next heartbeat tries again.
        for (const TransportId& id : ids)
            transports_seen_.erase(id);
        co_return marked;
    }
    co_return Result<>();
}

Task<Result<>> Uptimes::mark_transports(std::vector<Beat> beats) {
    std::vector<std::string> keys;
    keys.reserve(beats.size());
    for (const Beat& beat : beats)
        keys.push_back(transport_days_key(beat.id.to_text()));
    const auto stored = co_await store_.get_many(keys);
    if (!stored) co_return stored.error();
    store::Batch batch;
    batch.changes.reserve(beats.size() * 2);
    for (std::size_t i = 0; i < beats.size(); ++i) {
        const Beat& beat = beats[i];
        Days days = days_of((*stored)[i].value_or(""), first_day());
        mark(days[date_of(beat.slot)], beat.slot, beat.before);
        batch.changes.emplace_back(store::SetValue{keys[i], to_bytes(days), kLifetime});
        if (!(*stored)[i])
            batch.changes.emplace_back(store::AddToSet{transports_key(), beat.id.to_text()});
    }
    const auto applied = co_await store_.apply(std::move(batch));
    if (!applied) co_return applied.error();
    co_return Result<>();
}

Task<Result<std::map<std::string, Days>>> Uptimes::read_visors() {
    std::map<std::string, Days> all;
    for (int day = 0; day < kDaysShown; ++day) {
        const Date date = first_day() + std::chrono::days(day);
        auto members = co_await store_.members(online_key(date));
        if (!members) co_return members.error();
        for (const std::vector<std::string>& piece : detail::pieces(std::move(*members))) {
            std::vector<std::string> keys;
            keys.reserve(piece.size());
            for (const std::string& subject : piece)
                keys.push_back(timeline_key(subject, date));
            const auto stored = co_await store_.get_many(std::move(keys));
            if (!stored) co_return stored.error();
            for (std::size_t i = 0; i < piece.size(); ++i) {
                const Timeline timeline = Timeline::from_bytes((*stored)[i].value_or(""));
                if (!timeline.empty()) all[piece[i]][date] = timeline;
            }
        }
    }
    co_return all;
}

Task<Result<Uptimes::Visors>> Uptimes::visors() {
    const SteadyTime now = context_.clock.now();
    if (visors_ && now - visors_read_ < kAgeMax) co_return visors_;
    auto days = co_await read_visors();
    if (!days) co_return days.error();
    auto made = std::make_shared<std::vector<VisorUptime>>();
    made->reserve(days->size());
    std::vector<std::string> keys;
    keys.reserve(days->size());
    for (auto& [subject, of_visor] : *days) {
        const auto key = crypto::PublicKey::from_text_not_null(subject);
        if (!key) continue;
        keys.push_back(visor_key(*key));
        made->push_back({*key, {}, {}, std::move(of_visor)});
    }
    std::size_t at = 0;
    for (std::vector<std::string>& piece : detail::pieces(std::move(keys))) {
        const auto stored = co_await store_.get_many(std::move(piece));
        if (!stored) co_return stored.error();
        for (const auto& text : *stored)
            read_visor(text, (*made)[at++]);
    }
    visors_ = std::move(made);
    visors_read_ = now;
    co_return visors_;
}

Task<Result<Uptimes::Transports>> Uptimes::transports() {
    const SteadyTime now = context_.clock.now();
    if (transports_ && now - transports_read_ < kAgeMax) co_return transports_;
    auto members = co_await store_.members(transports_key());
    if (!members) co_return members.error();
    auto made = std::make_shared<std::vector<TransportUptime>>();
    made->reserve(members->size());
    std::sort(members->begin(), members->end());
    for (const std::vector<std::string>& piece : detail::pieces(std::move(*members))) {
        std::vector<std::string> keys;
        keys.reserve(piece.size());
        for (const std::string& id : piece)
            keys.push_back(transport_days_key(id));
        const auto stored = co_await store_.get_many(std::move(keys));
        if (!stored) co_return stored.error();
        for (std::size_t i = 0; i < piece.size(); ++i) {
            Days days = days_of((*stored)[i].value_or(""), first_day());
            const auto id = TransportId::from_text(piece[i]);
            if (id && !days.empty()) made->push_back({*id, std::move(days)});
        }
        // A memory store answers without a wait: others have their turn between pieces.
        co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
    }
    transports_ = std::move(made);
    transports_read_ = now;
    co_return transports_;
}

Task<Result<>> Uptimes::sweep() {
    // Two days, since a service may have been down for one.
    for (int back = 1; back <= 2; ++back) {
        const auto forgotten = co_await forget_day(first_day() - std::chrono::days(1 + back));
        if (!forgotten) co_return forgotten.error();
    }
    co_return co_await forget_transports();
}

/// The timelines end by themselves, sets do not.
Task<Result<>> Uptimes::forget_day(Date date) {
    const std::string set = online_key(date);
    auto members = co_await store_.members(set);
    if (!members) co_return members.error();
    for (std::vector<std::string>& piece : detail::pieces(std::move(*members))) {
        store::Batch batch;
        batch.changes.reserve(piece.size());
        for (std::string& subject : piece)
            batch.changes.emplace_back(store::RemoveFromSet{set, std::move(subject)});
        const auto applied = co_await store_.apply(std::move(batch));
        if (!applied) co_return applied.error();
    }
    co_return Result<>();
}

Task<Result<>> Uptimes::forget_transports() {
    auto members = co_await store_.members(transports_key());
    if (!members) co_return members.error();
    for (const std::vector<std::string>& piece : detail::pieces(std::move(*members))) {
        std::vector<std::string> keys;
        keys.reserve(piece.size());
        for (const std::string& id : piece)
            keys.push_back(transport_days_key(id));
        const auto stored = co_await store_.get_many(std::move(keys));
        if (!stored) co_return stored.error();
        store::Batch batch;
        for (std::size_t i = 0; i < piece.size(); ++i)
            if (!(*stored)[i])
                batch.changes.emplace_back(store::RemoveFromSet{transports_key(), piece[i]});
        co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
        if (batch.changes.empty()) continue;
        const auto applied = co_await store_.apply(std::move(batch));
        if (!applied) co_return applied.error();
    }
    co_return Result<>();
}

}  // namespace skywire::tpd
