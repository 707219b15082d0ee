#pragma once

#include "framework/block.hpp"
#include "framework/schema.hpp"
#include "services/common/common_fields.hpp"
#include "services/common/dmsg_presence.hpp"
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
};

framework::FieldTable config_fields();
void check_config(const framework::Block& block, framework::Problems& problems);
/// Decodes a block that check_config has passed.
Config read_config(const framework::Block& block);

}  // namespace skywire::tpd
