#pragma once

#include "framework/block.hpp"
#include "framework/schema.hpp"
#include "framework/service_type.hpp"
#include "services/common/common_fields.hpp"
#include "services/common/dmsg_presence.hpp"
#include "services/common/feed_config.hpp"
#include "services/common/service_store.hpp"

#include <optional>
#include <string>
#include <vector>

namespace skywire::resolver {

/// A block of type address-resolver, decoded. spec/framework.md section 3.3.
struct Config {
    services::CommonConfig common;
    services::StoreConfig store;
    /// Nothing without a secret key.
    std::optional<services::DmsgConfig> dmsg;
    net::Address udp_addr;
    /// What /health tells visors that come over dmsg; empty: nothing.
    std::string public_udp_addr;
    /// Who may deregister, as the texts that NM-PK is compared with.
    std::vector<std::string> whitelist_keys;
    Duration held_timeout{0};
    std::size_t udp_sessions_max = 0;
    /// Nothing: not published.
    std::optional<services::FeedConfig> feed;
    /// Where visors publish their bindings; 0: nowhere.
    std::uint16_t feed_in_port = 0;

    /// Where the UDP side listens: at `udp_addr` and, where the port of `addr` is another one,
    /// there as well, since visors of 2024 send to the port of the URL.
    struct Udp {
        std::string_view key;
        net::Address address;
    };
    std::vector<Udp> udp() const;
};

framework::FieldTable config_fields();
void check_config(const framework::Block& block, framework::Problems& problems);
Config read_config(const framework::Block& block);
framework::BlockFacts config_facts(const framework::Block& block);

}  // namespace skywire::resolver
