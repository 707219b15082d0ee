#pragma once

#include "crypto/keys.hpp"
#include "net/address.hpp"

#include <optional>
#include <string>
#include <vector>

namespace skywire::framework {

/// A bound of one address by a block: cross-block checks look for two of the same.
struct PortUse {
    enum class Transport { tcp, udp };
    Transport transport = Transport::tcp;
    net::Address address;
    /// The key of the block that says so.
    std::string key;
};

/// A part of a database that a block owns.
struct DatabaseUse {
    /// "redis://host:6379/0", without a password.
    std::string database;
    /// Blocks that share a role may share the database (transport-discovery and route-finder).
    std::string role;
    std::string key;
};

/// What a block is and needs, read off its configuration without I/O.
struct BlockFacts {
    std::vector<PortUse> ports;
    std::optional<crypto::PublicKey> public_key;
    std::optional<DatabaseUse> database;
    /// Where another process finds GET /health of this block, if anywhere.
    std::optional<net::Address> health_address;
    /// What peers are told to dial, where the block says so: a dmsg-server's "host:port".
    std::string advertised_address;
};

/// One block of the deployment file as the others see it.
struct DeploymentBlock {
    std::string label;
    /// The name of its type.
    std::string type;
    BlockFacts facts;
};

}  // namespace skywire::framework
