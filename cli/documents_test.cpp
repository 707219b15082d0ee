#include "base/test.hpp"
#include "cli/cli.hpp"
#include "cli/config_source.hpp"
#include "framework/deployment_config.hpp"
#include "services/registry.hpp"

namespace skywire::cli {

// Made anew with: skywire svc schema > configs/deployment.schema.json
//                 skywire svc reference > docs/configuration.md

TEST_CASE("documents: the committed JSON Schema is that of the tables") {
    const auto registry = services::all_service_types();
    CHECK(
        test::read_file("configs/deployment.schema.json") ==
        framework::deployment_json_schema(registry)
    );
}

TEST_CASE("documents: the committed reference is that of the tables") {
    const auto registry = services::all_service_types();
    CHECK(test::read_file("docs/configuration.md") == framework::deployment_reference(registry));
}

TEST_CASE("documents: the built-in deployment is configs/deployment.json, without any problem") {
    CHECK(built_in_deployment() == test::read_file("configs/deployment.json"));
    const auto loaded = load_config(std::string(kBuiltInName), services::all_service_types());
    CHECK(loaded.problems.empty());
    REQUIRE(loaded.config);
    for (const auto& block : loaded.config->blocks) {
        for (const auto& port : block.facts.ports) {
            CHECK(port.address.host.starts_with("127.0.0."));
        }
    }
}

}  // namespace skywire::cli
