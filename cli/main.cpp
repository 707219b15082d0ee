#include "cli/cli.hpp"
#include "services/registry.hpp"

int main(int argc, char** argv) {
    return skywire::cli::run_program(argc, argv, skywire::services::all_service_types());
}
