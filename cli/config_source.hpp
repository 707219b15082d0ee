#pragma once

#include "cli/command.hpp"
#include "framework/deployment_config.hpp"

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace skywire::cli {

/// The word that stands for the built-in file in the place of a path ("./default" is a file).
inline constexpr std::string_view kBuiltInName = "default";

/// In the place of its path, where a process that runs it is looked for.
inline constexpr std::string_view kBuiltInAdminPath = "/built-in/deployment.json";

/// configs/deployment.json as it was when this binary was built.
std::string_view built_in_deployment() noexcept;

/// Reads a deployment file, or the built-in one.
framework::LoadedConfig load_config(
    const std::string& file, const framework::ServiceRegistry& registry
);

/// A line per problem: "FILE:LINE:COLUMN: error: ...".
void print_problems(std::ostream& to, const std::string& file, const framework::Problems& problems);

/// The option that all commands about a file have.
Option config_option(std::string& into, const std::string& help);
/// --only LABEL,...
Option only_option(std::vector<std::string>& into, const std::string& help);

/// "registered service types:" and a line each, sorted.
void print_types(Session& session);

std::set<std::string> as_set(const std::vector<std::string>& labels);

}  // namespace skywire::cli
