#pragma once

#include "framework/service_type.hpp"

#include <ostream>
#include <string>
#include <vector>

/// The `skywire` command, as a library: cli/README.md.
namespace skywire::cli {

/// Where a command prints: what was asked for, and what went wrong.
struct Io {
    std::ostream& out;
    std::ostream& err;
};

/// What a command ends with.
inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
/// The command line makes no sense.
inline constexpr int kUsage = 2;

/// Runs one command line, without the program's name. `svc run` returns when the deployment is
/// down.
int run_cli(std::vector<std::string> arguments, const framework::ServiceRegistry& registry, Io io);

/// The whole of a program: prepares the process (SIGPIPE ignored, as many descriptors as it may
/// have) and runs the command line on standard output and error.
int run_program(int argc, char** argv, const framework::ServiceRegistry& registry);

}  // namespace skywire::cli
