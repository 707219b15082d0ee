#include "services/transport_discovery/config.hpp"

namespace skywire::tpd {

using framework::Block;
using framework::FieldKind;

namespace {

constexpr std::chrono::minutes kEntryTimeout{5};

}  // namespace

framework::FieldTable config_fields() {
    return framework::joined(
        services::common_fields({.addr_json = R"(":9091")", .entry_timeout_json = R"("5m")"}),
        {
            {.name = "held_timeout",
             .kind = FieldKind::duration,
             .description = "How long a transport that nobody refreshes is kept after the last "
                            "sign of life of its edges; 0 is until one of them is found gone.",
             .default_json = R"("24h")",
             .min = 0},
            {.name = "whitelist_keys",
             .kind = FieldKind::list,
             .description = "Keys whose holders may deregister transports (header NM-PK).",
             .element = FieldKind::public_key},
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
            {.name = "store_data_path",
             .kind = FieldKind::path,
             .description = "Folder for bandwidth of past days.",
             .legacy = "is for bandwidth data, which is not written to files"},
            {.name = "uptime_db",
             .kind = FieldKind::path,
             .description = "Database of the service's own runs.",
             .legacy = "is for the service's own run history, which the timeline of the admin "
                       "listener has"},
            {.name = "charts_addr",
             .kind = FieldKind::string,
             .description = "Address of the charts page.",
             .legacy = "names charts, which are not served"},
            services::dmsg_client_field(),
        }
    );
}

void check_config(const Block& block, framework::Problems& problems) {
    services::check_common(block, problems);
    services::check_store(block, problems);
    services::check_dmsg(block, problems);
}

Config read_config(const Block& block) {
    Config config;
    config.common = services::common_config(block);
    config.store = services::store_config(block);
    config.dmsg = services::dmsg_config(block, config.common);
    for (const auto& key : block.public_keys("whitelist_keys"))
        if (!key.is_null()) config.whitelist_keys.push_back(key.to_text());
    config.lifetimes.refreshing = config.common.entry_timeout;
    if (config.lifetimes.refreshing == Duration(0)) config.lifetimes.refreshing = kEntryTimeout;
    config.lifetimes.held = block.duration("held_timeout");
    config.rate_limit.per_minute = static_cast<std::size_t>(block.integer("rate_limit_per_minute"));
    config.rate_limit.burst = static_cast<std::size_t>(block.integer("rate_limit_burst"));
    return config;
}

}  // namespace skywire::tpd
