#pragma once

#include "base/clock.hpp"
#include "base/metrics.hpp"
#include "crypto/keys.hpp"

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace skywire::setup_node {

/// Why a route was not set up. The names are members of /stats and values of a counter's label.
enum class Reason {
    /// The request is no route that can be set up, or its caller may not ask for it.
    invalid_route,
    rule_generation,
    id_reservation,
    /// The visor that asks cannot be reached.
    source_unreachable,
    intermediary_rules,
    destination_rules,
    context_deadline,
    /// The caller went away.
    context_canceled,
    concurrency_limit,
    /// The destination has failed too often lately.
    circuit_open,
    unknown,
};

inline constexpr std::size_t kReasonCount = 11;

std::string_view reason_name(Reason reason) noexcept;

/// What has become of requests so far, for GET /stats and /metrics. spec/visor.md section 10.5.
class Stats {
 public:
    static constexpr std::size_t kLatenciesMax = 1024;
    static constexpr std::size_t kFailuresMax = 128;
    static constexpr std::size_t kDestinationsMax = 512;

    Stats(Metrics& metrics, const Clock& clock);

    /// A request that has ended; keys are null where it did not tell them.
    struct Request {
        crypto::PublicKey source;
        crypto::PublicKey destination;
        std::size_t hops = 0;
        Duration took{0};
    };

    void begun();
    void succeeded(const Request& request);
    void failed(const Request& request, Reason reason, std::string error);

    std::uint64_t active() const noexcept { return active_; }

    /// The body of GET /stats. It is public: all keys are blanked. `open` tells which destinations
    /// are left in peace.
    std::string json(const std::function<bool(const crypto::PublicKey&)>& open) const;

 private:
    struct Failure {
        WallTime at;
        std::size_t hops = 0;
        Reason reason = Reason::unknown;
        std::string error;
        Duration took{0};
    };
    struct Destination {
        std::uint64_t total = 0;
        std::uint64_t failed = 0;
        /// Counts requests, to forget the one that was asked for longest ago.
        std::uint64_t last = 0;
    };

    void ended(const Request& request, bool failed);
    std::string latency_json() const;
    std::string destinations_json(
        bool by_failures, const std::function<bool(const crypto::PublicKey&)>& open
    ) const;

    const Clock& clock_;
    WallTime started_at_;
    SteadyTime started_;
    std::uint64_t total_ = 0;
    std::uint64_t successful_ = 0;
    std::uint64_t active_ = 0;
    std::array<std::uint64_t, kReasonCount> by_reason_{};
    std::deque<Duration> latencies_;
    std::deque<Failure> failures_;
    std::map<std::size_t, std::uint64_t> route_lengths_;
    std::map<crypto::PublicKey, Destination> destinations_;
    std::optional<WallTime> last_success_;
    std::optional<WallTime> last_failure_;
    Counter& success_counter_;
    std::array<Counter*, kReasonCount> failure_counters_{};
    Histogram& seconds_;
};

/// The text with everything that looks like a key left out.
std::string without_keys(std::string_view text);

}  // namespace skywire::setup_node
