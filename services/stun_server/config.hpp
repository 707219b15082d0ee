#pragma once

#include "framework/block.hpp"
#include "framework/schema.hpp"
#include "framework/service_type.hpp"
#include "services/stun_server/stun_message.hpp"

#include <array>
#include <cstdint>

namespace skywire::stun {

/// A block of type stun-server, decoded. spec/framework.md section 3.3.
struct Config {
    /// Primary and secondary: two addresses of this machine.
    std::array<std::array<std::uint8_t, 4>, 2> ips{};
    /// port and alt_port; 0 picks a free one, the same on both addresses.
    std::array<std::uint16_t, 2> ports{};
};

/// The keys of a block, from which its check, its schema and its reference follow.
framework::FieldTable config_fields();

/// Rules between the keys: both addresses IPv4 and distinct, the ports distinct.
void check_config(const framework::Block& block, framework::Problems& problems);

/// Decodes a block that `check_config` has passed.
Config read_config(const framework::Block& block);

/// The four UDP sockets of the block.
framework::BlockFacts config_facts(const framework::Block& block);

}  // namespace skywire::stun
