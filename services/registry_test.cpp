#include "services/registry.hpp"

#include "base/test.hpp"
#include "framework/deployment_config.hpp"

#include <set>

namespace skywire::services {

TEST_CASE("registry: every type is complete, and no key of a type is named twice") {
    const auto registry = all_service_types();
    CHECK(
        registry.names() ==
        std::vector<std::string_view>{
            "address-resolver",
            "config-bootstrapper",
            "dmsg-discovery",
            "dmsg-server",
            "noop",
            "route-finder",
            "service-discovery",
            "setup-node",
            "stun-server",
            "transport-discovery",
            "transport-setup",
        }
    );
    for (const auto& [name, type] : registry.types()) {
        INFO(name);
        CHECK(type.name == name);
        CHECK_FALSE(type.summary.empty());
        CHECK(type.make);
        std::set<std::string_view> keys;
        for (const auto& field : framework::joined(framework::framework_fields(), type.fields)) {
            INFO(field.name);
            CHECK(keys.insert(field.name).second);
            CHECK((!field.description.empty() || !field.alias_of.empty()));
        }
    }
}

}  // namespace skywire::services
