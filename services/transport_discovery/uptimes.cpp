#include "services/transport_discovery/uptimes.hpp"

#include "services/transport_discovery/record.hpp"
#include "store/members.hpp"
#include "store/pieces.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace skywire::tpd {
namespace {

using transport::TransportId;

/// Those that are remembered between heartbeats; beyond it all are forgotten, which costs a write
/// each.
constexpr std::size_t kSeenMax = 200'000;

std::string transport_days_key(std::string_view id) {
    return fmt::format("{}:tp-uptime:{}", kPrefix, id);
}

std::string transports_key() {
    return fmt::format("{}:tp-uptime:_index", kPrefix);
}

}  // namespace

bool has_heartbeats(std::string_view type) noexcept {
    return type == transport::kStcpr || type == transport::kSudph;
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
    for (int day = 0; day <= kDaysShown && bytes.size() >= Timeline::kSize; ++day) {
        const Timeline timeline = Timeline::from_bytes(bytes.substr(0, Timeline::kSize));
        const bool ours = date >= first && date < first + std::chrono::days(kDaysShown);
        if (ours && !timeline.empty()) days[date] = timeline;
        bytes.remove_prefix(Timeline::kSize);
        date += std::chrono::days(1);
    }
    return days;
}

Uptimes::Uptimes(const net::Context& context, store::Store& store, Limits limits)
    : context_(context),
      store_(store),
      limits_(limits),
      visors_(context, store, std::string(kPrefix)),
      left_out_(context.metrics.counter(
          "transport_discovery_uptime_left_out_total",
          "Heartbeats of new transports that were not kept: too many of a visor, or in all."
      )) {}

Task<Result<>> Uptimes::transports_seen(std::vector<TransportId> ids, crypto::PublicKey visor) {
    const Slot slot = services::slot_at(context_.clock.wall());
    if (transports_seen_.size() + ids.size() >= kSeenMax) transports_seen_.clear();
    std::vector<Beat> beats;
    for (const TransportId& id : ids) {
        Slot& seen = transports_seen_[id];
        if (seen == slot) continue;
        beats.push_back({id, slot, seen});
        seen = slot;
    }
    for (std::vector<Beat>& piece : store::pieces(std::move(beats))) {
        auto marked = co_await mark_transports(std::move(piece), visor);
        if (marked) continue;
        // The next heartbeat tries again.
        for (const TransportId& id : ids)
            transports_seen_.erase(id);
        co_return marked;
    }
    co_return Result<>();
}

Task<Result<std::size_t>> Uptimes::room_for(crypto::PublicKey visor) {
    const auto kept = co_await store_.count(transports_key());
    if (!kept) co_return kept.error();
    if (*kept >= limits_.transports_max) co_return 0;
    const Date today = services::date_of(services::slot_at(context_.clock.wall()));
    if (new_on_ != today) new_.clear();
    new_on_ = today;
    const bool scarce = *kept >= limits_.transports_max / 2;
    const std::size_t may = scarce ? limits_.new_scarce : limits_.new_max;
    const auto found = new_.find(visor);
    const std::size_t told = found == new_.end() ? 0 : found->second;
    co_return std::min<std::size_t>(may - std::min(may, told), limits_.transports_max - *kept);
}

Task<Result<>> Uptimes::mark_transports(std::vector<Beat> beats, crypto::PublicKey visor) {
    std::vector<std::string> keys;
    keys.reserve(beats.size());
    for (const Beat& beat : beats)
        keys.push_back(transport_days_key(beat.id.to_text()));
    const auto stored = co_await store_.get_many(keys);
    if (!stored) co_return stored.error();
    std::size_t room = 0;
    const auto is_kept = [](const auto& value) { return value.has_value(); };
    if (!std::ranges::all_of(*stored, is_kept)) {
        const auto found = co_await room_for(visor);
        if (!found) co_return found.error();
        room = *found;
    }
    std::size_t added = 0;
    store::Batch batch;
    batch.changes.reserve(beats.size() * 2);
    for (std::size_t i = 0; i < beats.size(); ++i) {
        const Beat& beat = beats[i];
        if (!(*stored)[i] && added == room) {
            left_out_.add();
            continue;
        }
        Days days =
            days_of((*stored)[i].value_or(""), services::first_day_shown(context_.clock.wall()));
        services::mark(days[services::date_of(beat.slot)], beat.slot, beat.before);
        batch.changes.emplace_back(store::SetValue{keys[i], to_bytes(days), services::kDayLifetime}
        );
        if ((*stored)[i]) continue;
        batch.changes.emplace_back(store::AddToSet{transports_key(), beat.id.to_text()});
        ++added;
    }
    if (batch.changes.empty()) co_return Result<>();
    // Before the wait: who tells more meanwhile has no more than this leaves.
    if (added > 0) new_[visor] += added;
    const Date counted_on = new_on_;
    const auto applied = co_await store_.apply(std::move(batch));
    if (applied) co_return Result<>();
    if (added > 0 && counted_on == new_on_) not_kept(visor, added);
    co_return applied.error();
}

/// They were counted, and the store has not taken them.
void Uptimes::not_kept(const crypto::PublicKey& visor, std::size_t count) {
    const auto found = new_.find(visor);
    if (found == new_.end()) return;
    found->second -= std::min(found->second, count);
    if (found->second == 0) new_.erase(found);
}

Task<Result<Uptimes::Transports>> Uptimes::transports() {
    const SteadyTime now = context_.clock.now();
    if (transports_ && now - transports_read_ < kAgeMax) co_return transports_;
    auto made = std::make_shared<std::vector<TransportUptime>>();
    const auto take = [&](const std::string& text, const std::optional<std::string>& bytes) {
        const Date first = services::first_day_shown(context_.clock.wall());
        Days days = days_of(bytes.value_or(""), first);
        const auto id = TransportId::from_text(text);
        if (id && !days.empty()) made->push_back({*id, std::move(days)});
    };
    const auto read =
        co_await store::read_members(store_, transports_key(), transport_days_key, take);
    if (!read) co_return read.error();
    std::sort(made->begin(), made->end(), [](const auto& a, const auto& b) { return a.id < b.id; });
    transports_ = std::move(made);
    transports_read_ = now;
    co_return transports_;
}

Task<Result<>> Uptimes::sweep() {
    const auto swept = co_await visors_.sweep();
    if (!swept) co_return swept.error();
    const auto left = co_await store::sweep_members(store_, transports_key(), transport_days_key);
    if (!left) co_return left.error();
    co_return Result<>();
}

}  // namespace skywire::tpd
