#pragma once

#include "net/context.hpp"
#include "services/transport_discovery/traffic.hpp"

#include <chrono>
#include <cstdint>
#include <utility>
#include <vector>

/// What the feed of all transports says of a transport beside its entry: spec/cxo.md section 10,
/// "all-transports", which names the members and leaves open what they are. Here:
///
/// - latency: the mean round trip of the last sample that has one, of whichever edge told later;
/// - bandwidth: what went over it today (UTC), both directions, as /bandwidth/transport has it;
/// - throughput: what the edges say goes over it each second, of both the larger number.
///
/// Only of transports of which an edge has told something new in the last ten minutes, which is how
/// long the network's own service remembers the counters of an edge.
namespace skywire::tpd {

/// A number that is 0 was not told.
struct Figures {
    /// Microseconds.
    std::uint32_t latency = 0;
    /// Bytes.
    std::uint64_t bandwidth = 0;
    /// As visors tell it, in whole numbers.
    std::uint64_t throughput = 0;

    bool any() const noexcept { return latency != 0 || bandwidth != 0 || throughput != 0; }
    bool operator==(const Figures&) const noexcept = default;
};

/// What edges have told since then, in Unix seconds; `days` are in order of dates and not empty.
Figures figures_of(const TransportDays& days, services::Date today, std::int64_t since);

/// The figures as they were when they were last read: they change all the time, and the list they
/// stand in has a pace of its own.
class LiveFigures {
 public:
    static constexpr std::chrono::minutes kStale{10};

    /// `traffic` outlives it.
    LiveFigures(const net::Context& context, Traffic& traffic)
        : context_(context), traffic_(traffic) {}

    /// Reads them again; true: some are other ones now. Errors are the store's.
    Task<Result<bool>> refresh();

    /// Null where nothing was told, or long ago; valid until the next `refresh`.
    const Figures* find(const transport::TransportId& id) const;

 private:
    using Row = std::pair<transport::TransportId, Figures>;

    net::Context context_;
    Traffic& traffic_;
    /// In order of ids.
    std::vector<Row> rows_;
};

}  // namespace skywire::tpd
