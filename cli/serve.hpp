#pragma once

#include "cli/command.hpp"
#include "framework/deployment.hpp"

#include <string>

namespace skywire::cli {

/// Where a service manager says state belongs (the first of its list), else the usual place.
std::string default_state_dir();

/// Runs a deployment in this process until a signal or its own end; the exit code. A second signal,
/// or a shutdown that does not end, ends the process where it stands.
int serve(
    Session& session,
    const Command& command,
    framework::DeploymentConfig config,
    framework::Deployment::Options options
);

}  // namespace skywire::cli
