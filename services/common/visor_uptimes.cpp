#include "services/common/visor_uptimes.hpp"

#include "base/json.hpp"
#include "store/members.hpp"
#include "store/pieces.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace skywire::services {
namespace {

/// Who is remembered between heartbeats; beyond it all are forgotten, which costs a write each.
constexpr std::size_t kSeenMax = 200'000;
constexpr std::size_t kVersionSizeMax = 64;

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

VisorUptimes::VisorUptimes(const net::Context& context, store::Store& store, std::string prefix)
    : context_(context), store_(store), prefix_(std::move(prefix)) {}

std::string VisorUptimes::timeline_key(std::string_view key, Date date) const {
    return fmt::format("{}:uptime:{}:{}:timeline", prefix_, key, date_text(date));
}

std::string VisorUptimes::online_key(Date date) const {
    return fmt::format("{}:uptime:online:{}", prefix_, date_text(date));
}

std::string VisorUptimes::visor_key(const crypto::PublicKey& key) const {
    return fmt::format("{}:visor:{}", prefix_, key);
}

Task<Result<>> VisorUptimes::seen(crypto::PublicKey key, std::string version) {
    if (version.size() > kVersionSizeMax) version.resize(kVersionSizeMax);
    if (seen_.size() >= kSeenMax) seen_.clear();
    const WallTime now = context_.clock.wall();
    const Slot slot = slot_at(now);
    Seen& remembered = seen_[key];
    remembered.at = now;
    if (version.empty()) version = remembered.version;
    if (remembered.slot == slot && remembered.version == version) co_return Result<>();
    const Slot before = remembered.slot;
    remembered = {slot, version, now};

    if (version.empty()) {
        // From before a restart.
        const auto text = co_await store_.get(visor_key(key));
        if (!text) co_return text.error();
        VisorUptime known;
        read_visor(*text, known);
        version = known.version;
        seen_[key].version = version;
    }
    std::string text = R"({"version":)";
    append_json_string(text, version, JsonEscape::plain);
    const auto seconds = std::chrono::floor<std::chrono::seconds>(now.time_since_epoch());
    text += fmt::format(R"(,"last_seen":{}}})", seconds.count());
    store::Batch batch;
    batch.changes.emplace_back(store::SetValue{visor_key(key), std::move(text), kDayLifetime});
    auto marked = co_await mark_slot(key, slot, before, std::move(batch));
    // The next heartbeat tries again.
    if (!marked) seen_.erase(key);
    co_return marked;
}

Task<Result<>> VisorUptimes::mark_slot(
    crypto::PublicKey key, Slot slot, Slot before, store::Batch batch
) {
    const std::string subject = key.to_text();
    const std::string at = timeline_key(subject, date_of(slot));
    const auto stored = co_await store_.get(at);
    if (!stored) co_return stored.error();
    Timeline timeline = Timeline::from_bytes(stored->value_or(""));
    mark(timeline, slot, before);
    batch.changes.emplace_back(store::SetValue{at, timeline.to_bytes(), kDayLifetime});
    batch.changes.emplace_back(store::AddToSet{online_key(date_of(slot)), subject});
    const auto applied = co_await store_.apply(std::move(batch));
    if (!applied) co_return applied.error();
    co_return Result<>();
}

Task<Result<std::map<std::string, Days>>> VisorUptimes::read_days() {
    std::map<std::string, Days> all;
    const Date first = first_day_shown(context_.clock.wall());
    for (int day = 0; day < kDaysShown; ++day) {
        const Date date = first + std::chrono::days(day);
        const auto key_of = [&](std::string_view visor) { return timeline_key(visor, date); };
        const auto take = [&](std::string visor, const std::optional<std::string>& bytes) {
            const Timeline timeline = Timeline::from_bytes(bytes.value_or(""));
            if (!timeline.empty()) all[std::move(visor)][date] = timeline;
        };
        const auto read = co_await store::read_members(store_, online_key(date), key_of, take);
        if (!read) co_return read.error();
    }
    co_return all;
}

Task<Result<VisorUptimes::Visors>> VisorUptimes::visors() {
    const SteadyTime now = context_.clock.now();
    if (visors_ && now - visors_read_ < kAgeMax) co_return visors_;
    auto days = co_await read_days();
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
    for (std::vector<std::string>& piece : store::pieces(std::move(keys))) {
        const auto stored = co_await store_.get_many(std::move(piece));
        if (!stored) co_return stored.error();
        for (const auto& text : *stored)
            read_visor(text, (*made)[at++]);
    }
    visors_ = std::move(made);
    visors_read_ = now;
    co_return visors_;
}

bool VisorUptimes::heard_of(const VisorUptime& visor) const {
    WallTime last = visor.last_seen;
    // What is stored is the first heartbeat of a slot.
    if (const auto found = seen_.find(visor.key); found != seen_.end())
        last = std::max(last, found->second.at);
    // A calendar that was ahead has left times to come.
    return std::chrono::abs(context_.clock.wall() - last) < kHeartbeatOn;
}

Task<Result<>> VisorUptimes::sweep() {
    const Date first = first_day_shown(context_.clock.wall());
    // Two days, since a service may have been down for one.
    for (int back = 1; back <= 2; ++back) {
        const auto forgotten = co_await forget_day(first - std::chrono::days(1 + back));
        if (!forgotten) co_return forgotten.error();
    }
    co_return Result<>();
}

/// The timelines end by themselves, sets do not.
Task<Result<>> VisorUptimes::forget_day(Date date) {
    const std::string set = online_key(date);
    auto members = co_await store_.members(set);
    if (!members) co_return members.error();
    for (std::vector<std::string>& piece : store::pieces(std::move(*members))) {
        store::Batch batch;
        batch.changes.reserve(piece.size());
        for (std::string& subject : piece)
            batch.changes.emplace_back(store::RemoveFromSet{set, std::move(subject)});
        const auto applied = co_await store_.apply(std::move(batch));
        if (!applied) co_return applied.error();
    }
    co_return Result<>();
}

}  // namespace skywire::services
