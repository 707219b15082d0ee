#pragma once

#include "framework/block.hpp"
#include "framework/schema.hpp"
#include "framework/service_type.hpp"
#include "services/common/common_fields.hpp"
#include "services/common/dmsg_presence.hpp"

#include <optional>
#include <string>

namespace skywire::network_visualizer {

/// A block of type network-visualizer, decoded.
struct Config {
    services::CommonConfig common;
    /// Nothing: no dmsg, and so only plain HTTP to the discoveries.
    std::optional<services::DmsgConfig> dmsg;
    /// "http://..." or "dmsg://..."; empty: the block beside, if there is one.
    std::string service_discovery;
    std::string dmsg_discovery;
    std::string transport_discovery;
    Duration refresh{0};
    /// Feeds are read.
    bool feeds = false;
};

framework::FieldTable config_fields();
void check_config(const framework::Block& block, framework::Problems& problems);

/// `random` makes the key of a block that has none and says where dmsg is: reading feeds takes one.
Config read_config(const framework::Block& block, Random& random);

}  // namespace skywire::network_visualizer
