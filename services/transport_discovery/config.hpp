#pragma once

#include "framework/block.hpp"
#include "framework/schema.hpp"
#include "services/common/common_fields.hpp"
#include "services/common/dmsg_presence.hpp"
#include "services/common/feed_config.hpp"
#include "services/common/service_store.hpp"
#include "services/transport_discovery/rate_limit.hpp"
#include "services/transport_discovery/table.hpp"

#include <optional>
#include <string>
#include <vector>

namespace skywire::tpd {

/// A block of type transport-discovery, decoded. spec/framework.md section 3.3,
/// spec/services-http.md sections 12 and 13.
struct Config {
    services::CommonConfig common;
    services::StoreConfig store;
    /// Nothing without a secret key.
    std::optional<services::DmsgConfig> dmsg;
    /// Texts of the keys that may deregister.
    std::vector<std::string> whitelist_keys;
    /// entry_timeout and held_timeout.
    Lifetimes lifetimes;
    RateLimit::Options rate_limit;
    /// Nothing: not published.
    std::optional<services::FeedConfig> transports_feed;
    std::optional<services::FeedConfig> uptime_feed;
    std::optional<services::FeedConfig> metrics_feed;
    /// Where visors publish lists of their transports; 0: nowhere.
    std::uint16_t feed_in_port = 0;
    /// What they list is taken again so often.
    Duration list_renewal{0};
    /// Where they publish traffic and latency; 0: nowhere.
    std::uint16_t telemetry_port = 0;
    /// Days of that which are kept, and how much of it.
    int metrics_days = 0;
    std::size_t metrics_reports_max = 0;
};

framework::FieldTable config_fields();
void check_config(const framework::Block& block, framework::Problems& problems);
/// Decodes a block that check_config has passed.
Config read_config(const framework::Block& block);

}  // namespace skywire::tpd
