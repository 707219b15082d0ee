#include "services/registry.hpp"

#include "base/test.hpp"
#include "framework/deployment_config.hpp"

#include <map>
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
            "network-visualizer",
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

TEST_CASE("registry: what is wrong with a common key is said once") {
    const auto registry = all_service_types();
    const std::string members = fmt::format(
        R"("redis":"rediss://host","secret_key":"{:064x}","public_key":"{}")",
        1,
        crypto::deterministic_key_pair("another").public_key
    );
    for (const auto& [name, type] : registry.types()) {
        if (framework::find_field(type.fields, "redis") == nullptr) continue;
        INFO(name);
        const std::string file =
            fmt::format(R"({{"services":[{{"type":"{}",{}}}]}})", name, members);
        const auto loaded = framework::load_deployment("test.json", file, registry);
        std::map<std::string, int> said;
        for (const framework::Problem& problem : loaded.problems)
            ++said[problem.message];
        CHECK(said.size() >= 2);
        for (const auto& [message, times] : said) {
            INFO(message);
            CHECK(times == 1);
        }
    }
}

}  // namespace skywire::services
