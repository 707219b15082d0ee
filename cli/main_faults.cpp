#include "cli/cli.hpp"
#include "framework/harness/test_services.hpp"
#include "services/registry.hpp"

/// `skywire` with the services that fail as told: what tests of whole processes run.
int main(int argc, char** argv) {
    auto registry = skywire::services::all_service_types();
    registry.add(skywire::harness::test_service_type());
    return skywire::cli::run_program(argc, argv, registry);
}
