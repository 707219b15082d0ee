#include "services/transport_discovery/live_figures.hpp"

#include <algorithm>
#include <utility>

#include <boost/asio/post.hpp>

namespace skywire::tpd {
namespace {

using services::Date;
using transport::TransportId;

/// Transports between two turns of others.
constexpr std::size_t kTransportsOfATurn = 5'000;

}  // namespace

Figures figures_of(const TransportDays& days, Date today, std::int64_t since) {
    Figures figures;
    bool told = false;
    std::uint32_t latency_at = 0;
    for (std::size_t i = 0; i < 2; ++i) {
        // Of each edge the last day on which it told something.
        const auto last = std::find_if(days.rbegin(), days.rend(), [i](const auto& each) {
            return each.second->traffic[i].told;
        });
        if (last == days.rend()) continue;
        const EdgeTraffic& edge = last->second->traffic[i];
        if (edge.updated < since) continue;
        told = true;
        figures.throughput = std::max(figures.throughput, edge.throughput);
        if (edge.latency == 0 || edge.updated < latency_at) continue;
        latency_at = edge.updated;
        figures.latency = edge.latency;
    }
    const auto& [date, day] = days.back();
    if (told && date == today) figures.bandwidth = day->carried();
    return figures;
}

Task<Result<bool>> LiveFigures::refresh() {
    const Date today = traffic_.today();
    const WallTime since = context_.clock.wall() - kStale;
    std::vector<TrafficDayPtr> days;
    days.reserve(2);
    // Soon after midnight the last word of most is of the day before.
    for (Date date = since < today ? today - std::chrono::days(1) : today; date <= today;
         date += std::chrono::days(1)) {
        auto day = co_await traffic_.day(date);
        if (!day) co_return day.error();
        days.push_back(std::move(*day));
    }
    const auto seconds = std::chrono::floor<std::chrono::seconds>(since.time_since_epoch());
    TrafficWalk walk(std::move(days));
    std::vector<Row> rows;
    rows.reserve(rows_.size());
    std::size_t turn = 0;
    while (true) {
        const TransportDays& transport = walk.next();
        if (transport.empty()) break;
        if (++turn % kTransportsOfATurn == 0)
            co_await asio::post(context_.loop, asio::use_awaitable);
        const Figures figures = figures_of(transport, today, seconds.count());
        if (figures.any()) rows.emplace_back(transport.back().second->id, figures);
    }
    if (rows == rows_) co_return false;
    rows_ = std::move(rows);
    co_return true;
}

const Figures* LiveFigures::find(const TransportId& id) const {
    const auto found = std::ranges::lower_bound(rows_, id, {}, &Row::first);
    return found != rows_.end() && found->first == id ? &found->second : nullptr;
}

}  // namespace skywire::tpd
