#pragma once

#include "framework/block.hpp"
#include "framework/schema.hpp"
#include "framework/service_type.hpp"
#include "services/common/dmsg_presence.hpp"
#include "services/setup_node/setup_node.hpp"

#include <optional>
#include <string>

namespace skywire::setup_node {

/// A block of type setup-node, decoded. spec/framework.md section 3.3.
struct Config {
    explicit Config(services::DmsgConfig dmsg_in) : dmsg(std::move(dmsg_in)) {}

    services::DmsgConfig dmsg;
    /// "http://host:port" or "dmsg://KEY:PORT"; empty: none.
    std::string transport_discovery;
    std::optional<net::Address> metrics_addr;
    Options options;
};

framework::FieldTable config_fields();

/// Rules between the keys: an identity, a way to the discovery.
void check_config(const framework::Block& block, framework::Problems& problems);

/// Decodes a block that `check_config` has passed.
Config read_config(const framework::Block& block);

framework::BlockFacts config_facts(const framework::Block& block);

}  // namespace skywire::setup_node
