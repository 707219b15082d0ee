#pragma once

#include "base/temporary_folder.hpp"
#include "cli/cli.hpp"
#include "framework/harness/test_services.hpp"
#include "services/registry.hpp"

#include <sstream>
#include <string>
#include <vector>

/// Running command lines inside a test.
namespace skywire::cli {

/// All types, with those for tests.
inline framework::ServiceRegistry test_types() {
    auto registry = services::all_service_types();
    registry.add(harness::test_service_type());
    return registry;
}

struct Ran {
    int code = 0;
    std::string out;
    std::string err;
};

inline Ran run_line(const std::vector<std::string>& line) {
    std::ostringstream out;
    std::ostringstream err;
    const int code = run_cli(line, test_types(), {out, err});
    return {code, out.str(), err.str()};
}

using test::TemporaryFolder;

}  // namespace skywire::cli
