#pragma once

#include "http/router.hpp"
#include "services/transport_discovery/routes.hpp"

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

/// The routes that tell of transports and visors in numbers: totals, uptimes, versions, bandwidth.
/// spec/services-http.md section 4.2. Names of members that the spec does not give are ours.
///
/// Bandwidth and latency reach a transport-discovery by feeds alone, which ours does not read yet:
/// those routes answer what they answer without data.
namespace skywire::tpd {

class Reports {
 public:
    /// All outlive the reports.
    struct Parts {
        const net::Context& context;
        Transports& transports;
        Uptimes& uptimes;
        Answers& answers;
    };

    explicit Reports(const Parts& parts);

    /// The routes outlive the router.
    void add_to(http::Router& router);

 private:
    /// What an uptime question asks for.
    struct Question {
        /// v1 tells who is on, v2 also the days, v3 also their timelines.
        int version = 1;
        /// Empty: all.
        std::set<std::string, std::less<>> keys;
        std::set<std::string, std::less<>> ids;
        std::string type;
        bool edges = false;
    };

    Task<http::Response> stats_of_key(http::Request& request);
    Task<http::Response> stats(http::Request& request);
    Task<http::Response> stats_per_key(http::Request& request);
    Task<http::Response> uptimes(http::Request& request);
    Task<http::Response> post_uptimes(http::Request& request);
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

    std::optional<Question> read_question(
        const http::Request& request, http::Response& refusal, bool of_transports
    );
    std::optional<Question> read_body(const http::Request& request, http::Response& refusal);
    std::optional<int> read_version(std::string_view text, http::Response& refusal);
    Task<http::Response> answer_visors(Question question);
    Task<http::Response> answer_transports(Question question);
    Task<http::Response> no_bandwidth(const http::Request& request);
    http::Response refused(Refused why, unsigned status, std::string_view text);

    bool visor_on(const VisorUptime& visor) const;
    bool transport_on(const Record& record) const;
    void add_snapshot_headers(http::Response& response, WallTime at, std::size_t count) const;

    net::Context context_;
    Transports& transports_;
    Uptimes& uptimes_;
    Answers& answers_;
    /// Of /all-transports/per-key-stats.
    std::shared_ptr<const std::string> per_key_;
    SteadyTime per_key_made_{};
    WallTime per_key_at_{};
    std::size_t per_key_transports_ = 0;
};

}  // namespace skywire::tpd
