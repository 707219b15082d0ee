#include "services/network_visualizer/config.hpp"

#include "services/common/upstream_url.hpp"
#include "services/network_visualizer/upstream.hpp"

namespace skywire::network_visualizer {

using framework::Block;
using framework::FieldKind;

namespace {

/// A block without a key of its own that says where dmsg is gets a new one.
bool wants_key(const Block& block);

constexpr std::array<std::string_view, 3> kUpstreamKeys{
    "service_discovery", "dmsg_discovery", "transport_discovery"
};

framework::Field upstream_field(std::string_view name, std::string_view description) {
    return {.name = name, .kind = FieldKind::url, .description = description};
}

void check_upstream(const Block& block, std::string_view key, framework::Problems& problems) {
    const std::string url = block.text(key);
    if (url.empty()) return;
    const std::string name(key);
    if (const auto parsed = services::parse_upstream_url(url); !parsed) {
        problems.push_back(block.problem(name, parsed.error().message()));
    } else if (url.starts_with("dmsg://") && !block.secret_key("secret_key") &&
               block.text("keyfile").empty() && !wants_key(block)) {
        problems.push_back(block.problem(
            name, "a URL of dmsg needs dmsg.discovery, or a secret_key to dial it with"
        ));
    }
}

bool wants_key(const Block& block) {
    if (block.secret_key("secret_key")) return false;
    const Block dmsg = block.object("dmsg");
    return dmsg.has("discovery") || dmsg.has("discovery_dmsg") || dmsg.has("servers");
}

}  // namespace

framework::FieldTable config_fields() {
    return framework::joined(
        services::common_fields(
            {.addr_json = R"("127.0.0.1:8080")", .entry_timeout_json = R"("0s")"}
        ),
        {
            upstream_field(
                "service_discovery",
                "Where the services are listed, http:// or dmsg://; empty: the block beside."
            ),
            upstream_field(
                "dmsg_discovery",
                "Where dmsg-servers and their clients are listed; empty: the block beside."
            ),
            upstream_field(
                "transport_discovery",
                "Where the transports are listed, unless a transport-discovery runs in this "
                "process; empty: the block beside."
            ),
            {.name = "refresh",
             .kind = FieldKind::duration,
             .description = "How often these lists are asked for.",
             .default_json = R"("10s")",
             .min = 0.1},
            {.name = "enable_cxo",
             .kind = FieldKind::boolean,
             .description = "Whether feeds are read, over dmsg, and lists asked for only where "
                            "there are none; needs dmsg.discovery.",
             .default_json = "true"},
            services::dmsg_client_field(),
        }
    );
}

void check_config(const Block& block, framework::Problems& problems) {
    services::check_common(block, problems);
    services::check_dmsg(block, problems);
    for (const std::string_view key : kUpstreamKeys)
        check_upstream(block, key, problems);
}

Config read_config(const Block& block, Random& random) {
    Config config;
    config.common = services::common_config(block);
    if (wants_key(block)) {
        const crypto::KeyPair keys = crypto::generate_key_pair(random);
        config.common.public_key = keys.public_key;
        config.common.secret_key = keys.secret_key;
    }
    config.dmsg = services::dmsg_config(block, config.common);
    config.service_discovery = block.text("service_discovery");
    config.dmsg_discovery = block.text("dmsg_discovery");
    config.transport_discovery = block.text("transport_discovery");
    config.refresh = block.duration("refresh");
    config.feeds = config.dmsg && block.boolean("enable_cxo");
    return config;
}

}  // namespace skywire::network_visualizer
