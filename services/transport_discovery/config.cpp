#include "services/transport_discovery/config.hpp"

#include "cxo/known_feeds.hpp"
#include "services/transport_discovery/traffic.hpp"

#include <algorithm>
#include <utility>

namespace skywire::tpd {

using framework::Block;
using framework::FieldKind;

namespace {

constexpr std::chrono::minutes kEntryTimeout{5};
/// Where feeds of visors renew what ends by then.
constexpr std::chrono::seconds kEntryTimeoutMin{3};
/// As often as visors of 2026 register over HTTP.
constexpr std::chrono::seconds kListRenewal{90};
constexpr std::string_view kTelemetryPort = "cxo_telemetry_port";
constexpr std::string_view kMetricsDays = "metrics_days";
constexpr std::string_view kMetricsReports = "metrics_reports_max";

}  // namespace

framework::FieldTable config_fields() {
    framework::FieldTable own = framework::joined(
        services::common_fields({.addr_json = R"(":9091")", .entry_timeout_json = R"("5m")"}),
        {
            services::held_timeout_field(
                "How long a transport that nobody refreshes is kept after the last "
                "sign of life of its edges; 0 is until one of them is found gone."
            ),
            services::whitelist_field("Keys whose holders may deregister transports (header NM-PK)."
            ),
            {.name = "rate_limit_per_minute",
             .kind = FieldKind::integer,
             .description = "Requests a minute of one caller (its key over dmsg, its address "
                            "else); 0 is without a limit. The network's own is 30.",
             .default_json = "0",
             .min = 0,
             .max = 1'000'000},
            {.name = "rate_limit_burst",
             .kind = FieldKind::integer,
             .description = "Requests of one caller at once, with rate_limit_per_minute.",
             .default_json = "10",
             .min = 1,
             .max = 1'000'000},
            services::legacy_field(
                "store_data_path",
                FieldKind::path,
                "is for bandwidth data, which is not written to files"
            ),
            services::legacy_field(
                "uptime_db",
                FieldKind::path,
                "is for the service's own run history, which the timeline of the admin listener has"
            ),
            services::charts_field(),
            services::dmsg_client_field(),
            services::feed_in_port_field(
                "69",
                "dmsg port where visors publish lists of their transports instead of registering "
                "them; 0 is nowhere."
            ),
            services::feed_port_field(
                kTelemetryPort,
                "50",
                "dmsg port where visors publish the traffic and latency of their transports; 0 is "
                "nowhere."
            ),
            {.name = kMetricsDays,
             .kind = FieldKind::integer,
             .description = "Days for which traffic and latency are kept, today included.",
             .default_json = "35",
             .min = 1,
             .max = Traffic::kDaysMax},
            {.name = kMetricsReports,
             .kind = FieldKind::integer,
             .description = "How much of that is kept: what one visor tells of one transport on "
                            "one day counts as one, some 300 bytes of memory. The oldest days go "
                            "first; today may have half of it.",
             .default_json = "1000000",
             .min = 1'000,
             .max = 100'000'000},
            services::feed_layout_field(
                "Leaves of the feeds: newest (traffic a leaf for each day, uptimes one for each "
                "visor), old (of both one for each window of days, for readers from before "
                "mid-2026) or both. Of uptimes both is the newest alone, since the list of a "
                "window stands where the newest layout has a directory. All transports are the "
                "same in each.",
                /*both=*/true
            ),
            services::feed_port_field(
                "cxo_uptime_port", "52", "dmsg port of the feed of uptimes. 0 is not published."
            ),
            services::feed_port_field(
                "cxo_metrics_port",
                "51",
                "dmsg port of the feed of traffic and latency. 0 is not published."
            ),
        }
    );
    return framework::joined(std::move(own), services::feed_fields("55"));
}

void check_config(const Block& block, framework::Problems& problems) {
    services::check_common(block, problems);
    services::check_dmsg(block, problems);
    services::check_feed_ports(
        block,
        {"cxo_port", "cxo_uptime_port", "cxo_metrics_port", "cxo_in_port", kTelemetryPort},
        problems
    );
    const Duration timeout = block.duration("entry_timeout");
    if (services::feed_in_port(block) == 0 || timeout == Duration(0)) return;
    if (timeout < kEntryTimeoutMin) {
        problems.push_back(block.problem(
            "entry_timeout",
            "entry_timeout: at least 3s, since the feeds of visors (cxo_in_port) are to renew "
            "their transports in time"
        ));
    }
}

Config read_config(const Block& block) {
    Config config;
    config.common = services::common_config(block);
    config.store = services::store_config(block);
    config.dmsg = services::dmsg_config(block, config.common);
    config.whitelist_keys = services::whitelist_of(block);
    config.lifetimes.refreshing = config.common.entry_timeout;
    if (config.lifetimes.refreshing == Duration(0)) config.lifetimes.refreshing = kEntryTimeout;
    config.transports_feed = services::feed_config(block, cxo::kTransportsFeed);
    config.uptime_feed = services::feed_config(block, cxo::kUptimeFeed);
    config.feed_in_port = services::feed_in_port(block);
    config.list_renewal = std::min<Duration>(kListRenewal, config.lifetimes.refreshing / 3);
    // The same things switch both off.
    if (block.boolean("enable_cxo") && block.secret_key("secret_key"))
        config.telemetry_port = static_cast<std::uint16_t>(block.integer(kTelemetryPort));
    config.metrics_days = static_cast<int>(block.integer(kMetricsDays));
    config.metrics_reports_max = static_cast<std::size_t>(block.integer(kMetricsReports));
    config.metrics_feed = services::feed_config(block, cxo::kMetricsFeed);
    config.lifetimes.held = block.duration("held_timeout");
    config.rate_limit.per_minute = static_cast<std::size_t>(block.integer("rate_limit_per_minute"));
    config.rate_limit.burst = static_cast<std::size_t>(block.integer("rate_limit_burst"));
    return config;
}

}  // namespace skywire::tpd
