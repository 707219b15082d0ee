#pragma once

#include "framework/block.hpp"
#include "framework/schema.hpp"
#include "framework/service_type.hpp"
#include "services/common/common_fields.hpp"
#include "services/common/dmsg_presence.hpp"
#include "services/common/feed_config.hpp"
#include "services/common/service_store.hpp"

#include <optional>
#include <set>
#include <string>
#include <vector>

namespace skywire::discovery {

/// A block of type dmsg-discovery, decoded. spec/framework.md section 3.3.
struct Config {
    services::CommonConfig common;
    services::StoreConfig store;
    /// Nothing without a secret key.
    std::optional<services::DmsgConfig> dmsg;
    /// A server that registers with this text as its serverType is official.
    std::string auth_passphrase;
    /// Servers that are official whatever they send.
    std::set<crypto::PublicKey> official_servers;
    /// Who may deregister clients, as the texts that NM-PK is compared with.
    std::vector<std::string> whitelist_keys;
    /// No signature, timestamp and sequence checks.
    bool load_testing = false;
    /// Nothing: not published.
    std::optional<services::FeedConfig> feed;
    /// Where visors publish their entries; 0: nowhere.
    std::uint16_t feed_in_port = 0;
};

framework::FieldTable config_fields();
void check_config(const framework::Block& block, framework::Problems& problems);
Config read_config(const framework::Block& block);

}  // namespace skywire::discovery
