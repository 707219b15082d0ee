#pragma once

#include "framework/deployment_config.hpp"

#include <string>

namespace skywire::harness {

/// All that there is to say about a deployment file, a line each; empty where all is well.
inline std::string problems_of(
    const framework::ServiceRegistry& types, const std::string& deployment
) {
    std::string all;
    const auto loaded = framework::load_deployment("test.json", deployment, types);
    for (const auto& problem : loaded.problems)
        all += problem.to_string("test.json") + "\n";
    return all;
}

}  // namespace skywire::harness
