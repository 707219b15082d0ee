#pragma once

#include "framework/block.hpp"
#include "framework/schema.hpp"
#include "framework/service_type.hpp"
#include "services/common/common_fields.hpp"
#include "services/common/dmsg_presence.hpp"

#include <optional>
#include <set>

namespace skywire::transport_setup {

/// A block of type transport-setup, decoded. spec/framework.md section 3.3.
struct Config {
    /// `mode` is dmsg where there is no plain HTTP.
    services::CommonConfig common;
    services::DmsgConfig dmsg;
    /// Who may ask over dmsg; empty: nobody.
    std::set<crypto::PublicKey> whitelist;
    /// Plain HTTP is served on all interfaces, by `port` alone.
    bool every_interface = false;
};

framework::FieldTable config_fields();

/// Rules between the keys: an identity, a way to the discovery.
void check_config(const framework::Block& block, framework::Problems& problems);

/// Decodes a block that `check_config` has passed.
Config read_config(const framework::Block& block);

framework::BlockFacts config_facts(const framework::Block& block);

}  // namespace skywire::transport_setup
