#pragma once

#include "http/router.hpp"
#include "services/common/uptime_answers.hpp"
#include "services/transport_discovery/routes.hpp"
#include "services/transport_discovery/traffic.hpp"

#include <memory>
#include <optional>
#include <string>

/// The routes that tell of transports and visors in numbers: totals, uptimes, versions, bandwidth.
/// spec/services-http.md section 4.2. Names of members that the spec does not give are ours.
///
/// Bandwidth and latency reach a transport-discovery by visors' feeds alone (visor_telemetry.hpp).
/// At most four answers of /metrics are made at a time, none above 32 MiB.
namespace skywire::tpd {

class Reports {
 public:
    /// All outlive the reports.
    struct Parts {
        const net::Context& context;
        Transports& transports;
        Uptimes& uptimes;
        Traffic& traffic;
        Answers& answers;
    };

    explicit Reports(const Parts& parts);

    /// The routes outlive the router.
    void add_to(http::Router& router);

    /// Whether a visor is on, as the answers have it.
    bool visor_on(const VisorUptime& visor) const;

 private:
    Task<http::Response> stats_of_key(http::Request& request);
    Task<http::Response> stats(http::Request& request);
    Task<http::Response> stats_per_key(http::Request& request);
    Task<http::Response> transport_uptimes(http::Request& request);
    Task<http::Response> post_transport_uptimes(http::Request& request);
    Task<http::Response> uptime_totals(http::Request& request);
    Task<http::Response> uptimes_by_ids(http::Request& request);
    Task<http::Response> uptimes_by_visors(http::Request& request);
    Task<http::Response> version_counts(http::Request& request);
    Task<http::Response> versions(http::Request& request);
    Task<http::Response> transport_bandwidth(http::Request& request);
    Task<http::Response> visor_bandwidth(http::Request& request);
    Task<http::Response> metric(http::Request& request);
    Task<http::Response> metric_of_visors(http::Request& request);
    Task<http::Response> metrics(http::Request& request);
    Task<http::Response> answer_metrics(http::Request& request);

    /// How many days of bandwidth are asked for.
    struct Periods {
        std::size_t limit = 0;
    };
    std::optional<Periods> read_periods(const http::Request& request, http::Response& refusal);

    std::optional<services::UptimeQuestion> read_question(
        const http::Request& request, http::Response& refusal
    );
    Task<http::Response> answer_transports(services::UptimeQuestion question);
    http::Response refused(Refused why, unsigned status, std::string_view text);

    bool transport_on(const Record& record) const;
    void add_snapshot_headers(http::Response& response, WallTime at, std::size_t count) const;

    net::Context context_;
    Transports& transports_;
    Uptimes& uptimes_;
    Traffic& traffic_;
    Answers& answers_;
    services::UptimeRoutes visor_routes_;
    /// Of /all-transports/per-key-stats.
    std::shared_ptr<const std::string> per_key_;
    SteadyTime per_key_made_{};
    WallTime per_key_at_{};
    std::size_t per_key_transports_ = 0;
    /// Answers of /metrics under way.
    std::size_t answering_ = 0;
};

}  // namespace skywire::tpd
