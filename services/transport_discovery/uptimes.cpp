#include "services/transport_discovery/uptimes.hpp"

#include "services/transport_discovery/detail/store_layout.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

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

constexpr std::string_view kVisors = "uptime";
constexpr std::string_view kTransports = "tp-uptime";

std::string timeline_key(std::string_view kind, std::string_view subject, Date date) {
    return fmt::format("{}:{}:{}:{}:timeline", kPrefix, kind, subject, date_text(date));
}

std::string online_key(std::string_view kind, Date date) {
    return fmt::format("{}:{}:online:{}", kPrefix, kind, date_text(date));
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

Uptimes::Uptimes(const net::Context& context, store::Store& store)
    : context_(context), store_(store) {}

Uptimes::Slot Uptimes::slot_now() const {
    return context_.clock.wall().time_since_epoch() / kSlotLength;
}

Task<Result<>> Uptimes::visor_seen(crypto::PublicKey key, std::string version) {
    if (version.size() > kVersionSizeMax) version.resize(kVersionSizeMax);
    if (visors_seen_.size() >= kSeenMax) visors_seen_.clear();
    Seen& seen = visors_seen_[key];
    if (version.empty()) version = seen.version;
    const Slot slot = slot_now();
    if (seen.slot == slot && seen.version == version) co_return Result<>();
    Beat beat{kVisors, key.to_text(), slot, seen.slot};
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
    std::vector<Beat> beats;
    beats.push_back(std::move(beat));
    auto marked = co_await mark(std::move(beats), std::move(batch));
    // The next heartbeat tries again.
    if (!marked) visors_seen_.erase(key);
    co_return marked;
}

Task<Result<>> Uptimes::transports_seen(std::vector<TransportId> ids) {
    const Slot slot = slot_now();
    if (transports_seen_.size() + ids.size() >= kSeenMax) transports_seen_.clear();
    std::vector<Beat> beats;
    for (const TransportId& id : ids) {
        Slot& seen = transports_seen_[id];
        if (seen == slot) continue;
        beats.push_back({kTransports, id.to_text(), slot, seen});
        seen = slot;
    }
    for (std::vector<Beat>& piece : detail::pieces(std::move(beats))) {
        auto marked = co_await mark(std::move(piece), {});
        if (marked) continue;
        for (const TransportId& id : ids)
            transports_seen_.erase(id);
        co_return marked;
    }
    co_return Result<>();
}

Task<Result<>> Uptimes::mark(std::vector<Beat> beats, store::Batch batch) {
    std::vector<std::string> keys;
    keys.reserve(beats.size());
    for (const Beat& beat : beats)
        keys.push_back(timeline_key(beat.kind, beat.subject, date_of(beat.slot)));
    const auto stored = co_await store_.get_many(keys);
    if (!stored) co_return stored.error();
    for (std::size_t i = 0; i < beats.size(); ++i) {
        const Beat& beat = beats[i];
        Timeline timeline = Timeline::from_bytes((*stored)[i].value_or(""));
        timeline.set(place_of(beat.slot));
        if (date_of(beat.before) == date_of(beat.slot) && beat.slot - beat.before <= kFilledMax + 1)
            for (Slot missed = beat.before + 1; missed < beat.slot; ++missed)
                timeline.set(place_of(missed));
        batch.changes.emplace_back(store::SetValue{keys[i], timeline.to_bytes(), kLifetime});
        batch.changes.emplace_back(
            store::AddToSet{online_key(beat.kind, date_of(beat.slot)), beat.subject}
        );
    }
    if (batch.changes.empty()) co_return Result<>();
    const auto applied = co_await store_.apply(std::move(batch));
    if (!applied) co_return applied.error();
    co_return Result<>();
}

Task<Result<std::map<std::string, Days>>> Uptimes::read(std::string_view kind) {
    std::map<std::string, Days> all;
    const Date last = today(context_.clock);
    for (int back = 0; back < kDaysShown; ++back) {
        const Date date = last - std::chrono::days(back);
        auto members = co_await store_.members(online_key(kind, date));
        if (!members) co_return members.error();
        for (const std::vector<std::string>& piece : detail::pieces(std::move(*members))) {
            std::vector<std::string> keys;
            keys.reserve(piece.size());
            for (const std::string& subject : piece)
                keys.push_back(timeline_key(kind, subject, date));
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
    auto days = co_await read(kVisors);
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
    auto days = co_await read(kTransports);
    if (!days) co_return days.error();
    auto made = std::make_shared<std::vector<TransportUptime>>();
    made->reserve(days->size());
    for (auto& [subject, of_transport] : *days)
        if (const auto id = TransportId::from_text(subject))
            made->push_back({*id, std::move(of_transport)});
    transports_ = std::move(made);
    transports_read_ = now;
    co_return transports_;
}

Task<Result<>> Uptimes::sweep() {
    const Date last = today(context_.clock);
    // Two days, since a service may have been down for one.
    for (int back = kDaysShown + 1; back < kDaysShown + 3; ++back) {
        for (const std::string_view kind : {kVisors, kTransports}) {
            const auto forgotten = co_await forget_day(kind, last - std::chrono::days(back));
            if (!forgotten) co_return forgotten.error();
        }
    }
    co_return Result<>();
}

/// The timelines end by themselves, sets do not.
Task<Result<>> Uptimes::forget_day(std::string_view kind, Date date) {
    const std::string set = online_key(kind, date);
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

}  // namespace skywire::tpd
