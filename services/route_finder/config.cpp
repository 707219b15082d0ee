#include "services/route_finder/config.hpp"

#include "services/common/upstream_url.hpp"
#include "services/route_finder/source.hpp"

namespace skywire::route_finder {

using framework::Block;
using framework::FieldKind;

framework::FieldTable config_fields() {
    return framework::joined(
        services::common_fields({.addr_json = R"(":9092")", .entry_timeout_json = R"("10m")"}),
        {
            {.name = "transport_discovery",
             .kind = FieldKind::url,
             .description = "Where the transports are listed, http:// or dmsg://; used where no "
                            "transport-discovery runs in this process and redis is not set."},
            {.name = "refresh",
             .kind = FieldKind::duration,
             .description = "How often that list, or the one in Redis, is looked at.",
             .default_json = R"("1s")",
             .min = 0.1},
            services::dmsg_client_field(),
            services::charts_field(),
        }
    );
}

void check_config(const Block& block, framework::Problems& problems) {
    services::check_common(block, problems);
    services::check_dmsg(block, problems);
    const std::string url = block.text("transport_discovery");
    if (url.empty()) return;
    if (const auto parsed = services::parse_upstream_url(url); !parsed) {
        problems.push_back(block.problem("transport_discovery", parsed.error().message()));
    } else if (url.starts_with("dmsg://") && !block.secret_key("secret_key") &&
               block.text("keyfile").empty()) {
        problems.push_back(block.problem(
            "transport_discovery", "a transport_discovery over dmsg needs a secret_key or a keyfile"
        ));
    }
}

Config read_config(const Block& block) {
    Config config;
    config.common = services::common_config(block);
    if (block.has("redis")) config.store = services::store_config(block);
    config.dmsg = services::dmsg_config(block, config.common);
    config.transport_discovery = block.text("transport_discovery");
    config.refresh = block.duration("refresh");
    return config;
}

}  // namespace skywire::route_finder
