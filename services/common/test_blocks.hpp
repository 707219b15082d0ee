#pragma once

#include "crypto/keys.hpp"

#include <string>
#include <string_view>

/// For tests of services in a deployment: the dmsg network beside them.
namespace skywire::services {

/// Of the dmsg-server of `dmsg_blocks`.
inline const crypto::KeyPair kDmsgServerKeys = crypto::deterministic_key_pair("server");

/// Two blocks of a deployment: "dmsgd", a dmsg-discovery at 127.0.0.1:9090 that has these further
/// members, and "dmsgs", a dmsg-server.
inline std::string dmsg_blocks(std::string_view discovery_members = {}) {
    std::string blocks =
        R"({"type":"dmsg-discovery","name":"dmsgd","addr":"127.0.0.1:9090","testing":true)";
    blocks += discovery_members;
    blocks += R"(},{"type":"dmsg-server","name":"dmsgs","local_address":"127.0.0.1:8081",)"
              R"("public_address":"127.0.0.1:8081","health_endpoint_address":"127.0.0.1:8082",)"
              R"("discovery":"http://127.0.0.1:9090","secret_key":")" +
              kDmsgServerKeys.secret_key.reveal_text() + R"("})";
    return blocks;
}

}  // namespace skywire::services
