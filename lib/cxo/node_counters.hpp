#pragma once

#include "base/log.hpp"
#include "base/metrics.hpp"
#include "base/result.hpp"

#include <exception>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace skywire::cxo {

/// Why a connection ended or was never made, as a label; for all errors that links, carriers and
/// streams give.
std::string_view end_reason(const Error& error) noexcept;

/// Counters of one metric that differ by one label, whose values are names in our sources.
class CounterFamily {
 public:
    CounterFamily(
        Metrics& metrics, std::string name, std::string help, std::string label = "reason"
    )
        : metrics_(metrics),
          name_(std::move(name)),
          help_(std::move(help)),
          label_(std::move(label)) {}

    void add(std::string_view value, std::uint64_t n = 1);

 private:
    Metrics& metrics_;
    std::string name_;
    std::string help_;
    std::string label_;
    std::map<std::string, Counter*, std::less<>> counters_;
};

/// cxo_* of docs/metrics.md. Nodes, feeds and copies of a service share the series.
struct NodeCounters {
    explicit NodeCounters(Metrics& metrics);

    Gauge& accepted;
    Gauge& dialled;
    Gauge& subscribers;
    Gauge& feeds;
    CounterFamily connections;
    CounterFamily refused;
    CounterFamily ended;
    CounterFamily link;
    CounterFamily subscriptions_refused;
    Counter& evicted;
    Counter& exceptions;
    Counter& subscriptions_dropped;
    Counter& announced;
    Counter& bytes_in;
    Counter& bytes_out;
    Counter& objects_served;
    Counter& objects_unknown;
    Counter& objects_requested;
    Counter& objects_received;
    Counter& objects_unasked;
    Counter& objects_missing;

    // Feeds.
    Counter& versions;
    Counter& changes;
    CounterFamily changes_refused;

    // Copies.
    CounterFamily roots;
    CounterFamily roots_refused;
    CounterFamily fills_failed;
    CounterFamily resubscribes;
    CounterFamily reconnects;
    Counter& restarts;
    Histogram& sync_seconds;
    Histogram& sync_rounds;
};

/// For a coroutine, or a callback of a feed's owner, that threw: counts it, and says where.
/// Called where an exception is caught, and so throws none.
void note_exception(
    const log::Logger& logger,
    NodeCounters& counters,
    std::string_view where,
    const std::exception_ptr& error
) noexcept;

}  // namespace skywire::cxo
