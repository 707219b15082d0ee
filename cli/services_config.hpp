#pragma once

#include "framework/deployment_config.hpp"
#include "services/config_bootstrapper/document.hpp"

#include <string>

namespace skywire::cli {

/// The services config of a deployment: {"prod":DOCUMENT,"test":DOCUMENT} with a newline. What its
/// config-bootstrapper block says wins, its input file included; keys of key files that are there
/// count. Errors: the input file makes no sense.
Result<std::string> services_config(
    const framework::DeploymentConfig& config, config_bootstrapper::Ways ways
);

}  // namespace skywire::cli
