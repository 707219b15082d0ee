#pragma once

#include "services/transport_discovery/traffic_record.hpp"

#include <array>
#include <memory>
#include <utility>
#include <vector>

/// The traffic of one day, of all transports: what both edges of each have told, side by side. In
/// memory, no I/O.
namespace skywire::tpd {

struct EdgeTraffic {
    /// False: this edge told nothing.
    bool told = false;
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    // Of its last sample; 0: not told.
    /// What goes over it each second.
    std::uint64_t throughput = 0;
    /// The mean round trip in microseconds.
    std::uint32_t latency = 0;
    /// Unix seconds.
    std::uint32_t updated = 0;

    std::uint64_t total() const noexcept { return added(sent, received); }
};

struct TransportDay {
    transport::TransportId id;
    /// The smaller first; of a transport to oneself both are the same, and the second tells
    /// nothing.
    std::array<EdgeKey, 2> edges;
    std::string type;
    std::array<EdgeTraffic, 2> traffic;
    Latency latency;
    /// Unix seconds.
    std::uint32_t updated = 0;

    bool has_edge(const EdgeKey& key) const noexcept { return edges[0] == key || edges[1] == key; }

    /// Bytes in both directions, each once: what one edge has sent the other has received, and of
    /// the two figures the larger is taken.
    std::uint64_t carried() const noexcept;
};

struct TrafficDay {
    services::Date date;
    /// In order of ids.
    std::vector<TransportDay> transports;
    /// What was told: up to two for each transport.
    std::size_t reports = 0;
    /// Who told it.
    std::size_t edges = 0;

    /// Null where nothing was told of it.
    const TransportDay* find(const transport::TransportId& id) const;
};
using TrafficDayPtr = std::shared_ptr<const TrafficDay>;

/// An edge and what it told.
using EdgeReports = std::pair<EdgeKey, DayReports>;

TrafficDayPtr make_traffic_day(services::Date date, std::vector<EdgeReports> told);

/// One transport over several days, in order of the days.
using TransportDays = std::vector<std::pair<services::Date, const TransportDay*>>;

/// Goes through the transports of several days in order of their ids.
class TrafficWalk {
 public:
    /// In order of dates; none of them null.
    explicit TrafficWalk(std::vector<TrafficDayPtr> days);

    /// The next transport; empty at the end. Valid until the next call.
    const TransportDays& next();

 private:
    std::vector<TrafficDayPtr> days_;
    std::vector<std::size_t> at_;
    TransportDays current_;
};

}  // namespace skywire::tpd
