#pragma once

#include "services/common/timeline.hpp"
#include "services/transport_discovery/table.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What visors tell of the traffic of their transports, as it is stored. The values and their keys
/// are ours: the network's hashes, one for each transport, edge and day, would be more keys than a
/// store has, and an edge alone writes what is under its key.
namespace skywire::tpd {

/// The network's readers know signed numbers of 64 bits.
inline constexpr std::uint64_t kTrafficMax = (std::uint64_t{1} << 63) - 1;

/// Adds without ever passing kTrafficMax.
constexpr std::uint64_t added(std::uint64_t a, std::uint64_t b) noexcept {
    return b > kTrafficMax || a > kTrafficMax - b ? kTrafficMax : a + b;
}

/// Round trips in microseconds, of a number of samples; none: nobody measured.
struct Latency {
    std::uint32_t min = 0;
    std::uint32_t max = 0;
    /// Of the samples' means.
    std::uint64_t sum = 0;
    std::uint32_t samples = 0;

    std::uint32_t mean() const noexcept {
        return samples == 0 ? 0 : static_cast<std::uint32_t>(sum / samples);
    }
    void add(const Latency& other) noexcept;
    bool operator==(const Latency&) const noexcept = default;
};

/// A transport as its edge `reporter` sees it; the edge itself is in the key.
struct Seen {
    transport::TransportId id;
    /// The other edge.
    EdgeKey other;
    std::string type;

    bool operator==(const Seen&) const = default;
};

/// What an edge has told of a transport in one day.
struct DayReport {
    Seen transport;
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    Latency latency;
    /// Unix seconds of the last sample, by our clock.
    std::uint32_t updated = 0;
    /// Of the last sample: what goes over it each second, as the edge tells it, and the mean round
    /// trip in microseconds; 0: not told.
    std::uint64_t throughput = 0;
    std::uint32_t latency_last = 0;

    bool operator==(const DayReport&) const = default;
};

/// The counters that an edge told last: the next ones are compared with them.
struct LastCounters {
    Seen transport;
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    /// Unix seconds by the visor's clock; part of what makes a sample a new one.
    std::uint32_t sampled = 0;
    /// The same by ours.
    std::uint32_t seen = 0;

    bool operator==(const LastCounters&) const = default;
};

/// In order of ids.
using DayReports = std::vector<DayReport>;
using LastList = std::vector<LastCounters>;

/// A version byte (of reports 2, of counters 1), then the elements, numbers little-endian. Reports
/// of version 1 are read, too: what the last sample told is not in them.
std::string write_traffic(const DayReports& reports);
std::string write_traffic(const LastList& list);
/// Nothing for what is damaged or not in order.
std::optional<DayReports> day_reports_of(std::string_view bytes);
std::optional<LastList> last_list_of(std::string_view bytes);

/// `:traffic:KEY:DATE`
std::string traffic_key(std::string_view edge, services::Date date);
/// `:traffic:KEY`
std::string last_counters_key(std::string_view edge);
/// `:traffic:on:DATE`: the set of edges that told something.
std::string traffic_set_key(services::Date date);

}  // namespace skywire::tpd
