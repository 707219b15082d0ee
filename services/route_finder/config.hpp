#pragma once

#include "framework/block.hpp"
#include "framework/schema.hpp"
#include "framework/service_type.hpp"
#include "services/common/common_fields.hpp"
#include "services/common/dmsg_presence.hpp"
#include "services/common/service_store.hpp"

#include <optional>
#include <string>

namespace skywire::route_finder {

/// A block of type route-finder, decoded. spec/services-http.md sections 7 and 12. The
/// entry_timeout of the block is how long the last list answers after its source has failed.
struct Config {
    services::CommonConfig common;
    /// Set where the block names a Redis.
    std::optional<services::StoreConfig> store;
    std::optional<services::DmsgConfig> dmsg;
    /// "http://..." or "dmsg://..."; empty: none.
    std::string transport_discovery;
    Duration refresh{0};
};

framework::FieldTable config_fields();
void check_config(const framework::Block& block, framework::Problems& problems);
Config read_config(const framework::Block& block);

}  // namespace skywire::route_finder
