#include "services/transport_discovery/traffic_day.hpp"

#include <algorithm>

namespace skywire::tpd {
namespace {

using transport::TransportId;

/// What `edge` has told.
TransportDay day_of(const EdgeKey& edge, DayReport report) {
    TransportDay day;
    day.id = report.transport.id;
    const EdgeKey& other = report.transport.other;
    const bool first = edge <= other;
    day.edges = first ? std::array{edge, other} : std::array{other, edge};
    day.type = std::move(report.transport.type);
    day.traffic[first ? 0 : 1] = {
        true, report.sent, report.received, report.throughput, report.latency_last, report.updated
    };
    day.latency = report.latency;
    day.updated = report.updated;
    return day;
}

/// Of the same transport.
void merge(TransportDay& into, const TransportDay& other) {
    // Ids follow from edges: only what was damaged in a store is different here.
    if (into.edges != other.edges) return;
    for (std::size_t i = 0; i < into.traffic.size(); ++i)
        if (!into.traffic[i].told) into.traffic[i] = other.traffic[i];
    into.latency.add(other.latency);
    into.updated = std::max(into.updated, other.updated);
}

}  // namespace

std::uint64_t TransportDay::carried() const noexcept {
    const auto& [a, b] = traffic;
    return added(std::max(a.sent, b.received), std::max(b.sent, a.received));
}

const TransportDay* TrafficDay::find(const TransportId& id) const {
    const auto found = std::lower_bound(
        transports.begin(),
        transports.end(),
        id,
        [](const TransportDay& day, const TransportId& wanted) { return day.id < wanted; }
    );
    return found != transports.end() && found->id == id ? &*found : nullptr;
}

TrafficDayPtr make_traffic_day(services::Date date, std::vector<EdgeReports> told) {
    auto made = std::make_shared<TrafficDay>();
    made->date = date;
    for (const auto& [edge, reports] : told) {
        made->reports += reports.size();
        made->edges += reports.empty() ? 0 : 1;
    }
    std::vector<TransportDay> all;
    all.reserve(made->reports);
    for (auto& [edge, reports] : told)
        for (DayReport& report : reports)
            all.push_back(day_of(edge, std::move(report)));
    std::sort(all.begin(), all.end(), [](const TransportDay& a, const TransportDay& b) {
        return a.id < b.id;
    });
    for (TransportDay& day : all) {
        if (!made->transports.empty() && made->transports.back().id == day.id) {
            merge(made->transports.back(), day);
        } else {
            made->transports.push_back(std::move(day));
        }
    }
    made->transports.shrink_to_fit();
    return made;
}

TrafficWalk::TrafficWalk(std::vector<TrafficDayPtr> days)
    : days_(std::move(days)), at_(days_.size(), 0) {}

const TransportDays& TrafficWalk::next() {
    current_.clear();
    const TransportId* id = nullptr;
    for (std::size_t i = 0; i < days_.size(); ++i) {
        if (at_[i] == days_[i]->transports.size()) continue;
        const TransportId& here = days_[i]->transports[at_[i]].id;
        if (id == nullptr || here < *id) id = &here;
    }
    if (id == nullptr) return current_;
    for (std::size_t i = 0; i < days_.size(); ++i) {
        if (at_[i] == days_[i]->transports.size()) continue;
        const TransportDay& here = days_[i]->transports[at_[i]];
        if (here.id != *id) continue;
        current_.emplace_back(days_[i]->date, &here);
        ++at_[i];
    }
    return current_;
}

}  // namespace skywire::tpd
