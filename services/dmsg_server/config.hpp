#pragma once

#include "dmsg/server_options.hpp"
#include "framework/block.hpp"
#include "framework/schema.hpp"
#include "framework/service_type.hpp"

#include <optional>
#include <string>

namespace skywire::dmsg_server {

/// A block of type dmsg-server, decoded. spec/framework.md section 3.4.
struct Config {
    explicit Config(dmsg::ServerOptions options_in) : options(std::move(options_in)) {}

    /// `loops` is empty, and `address` too where it is the bound one.
    dmsg::ServerOptions options;
    /// "http://host:port" of the dmsg-discovery.
    std::string discovery;
    net::Address local_address;
    std::optional<net::Address> ws_address;
    net::Address health_address;
    std::optional<net::Address> metrics_address;
};

framework::FieldTable config_fields();

/// Rules between the keys: an identity, a discovery over plain HTTP, an address to be found at.
void check_config(const framework::Block& block, framework::Problems& problems);

/// Decodes a block that `check_config` has passed.
Config read_config(const framework::Block& block);

/// Ports, key and health address of the block.
framework::BlockFacts config_facts(const framework::Block& block);

}  // namespace skywire::dmsg_server
