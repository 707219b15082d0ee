#pragma once

#include "framework/block.hpp"
#include "framework/schema.hpp"
#include "framework/service_type.hpp"
#include "services/common/common_fields.hpp"
#include "services/common/dmsg_presence.hpp"
#include "services/config_bootstrapper/document.hpp"

#include <optional>
#include <string>

namespace skywire::config_bootstrapper {

/// A block of type config-bootstrapper, decoded. spec/services-http.md sections 10 and 12.
struct Config {
    services::CommonConfig common;
    /// Nothing: no dmsg. A block without a key that names a way to dmsg gets a new key.
    std::optional<services::DmsgConfig> dmsg;
    /// What the block says of the deployment.
    Document said;
    std::string domain;
    /// Empty: none.
    std::string config_path;
};

framework::FieldTable config_fields();
void check_config(const framework::Block& block, framework::Problems& problems);

/// `random` makes the key of a block that has none.
Config read_config(const framework::Block& block, Random& random);

}  // namespace skywire::config_bootstrapper
