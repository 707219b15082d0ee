#pragma once

#include "framework/block.hpp"
#include "framework/schema.hpp"
#include "services/common/common_fields.hpp"
#include "services/common/dmsg_presence.hpp"
#include "services/common/feed_config.hpp"
#include "services/common/service_store.hpp"
#include "services/service_discovery/geo.hpp"

#include <optional>
#include <string>
#include <vector>

namespace skywire::service_discovery {

/// A block of type service-discovery, decoded. spec/framework.md section 3.3.
struct Config {
    services::CommonConfig common;
    services::StoreConfig store;
    /// Nothing without a secret key.
    std::optional<services::DmsgConfig> dmsg;
    /// Who may deregister entries, as the texts that NM-PK is compared with.
    std::vector<std::string> whitelist;
    Locator::Options geo;
    /// Nothing: not published.
    std::optional<services::FeedConfig> feed;
    /// Where visors publish their services; 0: nowhere.
    std::uint16_t feed_in_port = 0;
    /// Zero: never.
    Duration held_timeout{0};
};

framework::FieldTable config_fields();
void check_config(const framework::Block& block, framework::Problems& problems);
Config read_config(const framework::Block& block);

}  // namespace skywire::service_discovery
