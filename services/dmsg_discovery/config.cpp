#include "services/dmsg_discovery/config.hpp"

#include "cxo/known_feeds.hpp"

#include <utility>

namespace skywire::discovery {

using framework::Block;
using framework::FieldKind;

framework::FieldTable config_fields() {
    framework::FieldTable own = framework::joined(
        services::common_fields({.addr_json = R"(":9090")", .entry_timeout_json = R"("0s")"}),
        {
            {.name = "auth_passphrase",
             .kind = FieldKind::string,
             .description =
                 "A server that sends this text as its serverType is listed as official.",
             .secret = true},
            {.name = "official_servers",
             .kind = FieldKind::list,
             .description = "Keys of servers that are listed as official whatever they send.",
             .element = FieldKind::public_key},
            services::whitelist_field("Keys whose holders may deregister clients (header NM-PK)."),
            {.name = "enable_load_testing",
             .kind = FieldKind::boolean,
             .description = "Accept entries without looking at signature, timestamp and sequence.",
             .default_json = "false"},
            services::server_entries_field(
                "dmsg_servers", "Servers that the service's own dmsg side connects to."
            ),
            {.name = "dmsg_server_type",
             .kind = FieldKind::string,
             .description = "The service's own dmsg side connects to servers of this type alone."},
            services::dmsg_client_field(),
            services::charts_field(),
            services::feed_in_port_field(
                "67",
                "dmsg port where visors publish their entries instead of posting them; 0 is "
                "nowhere."
            ),
            services::feed_layout_field(
                "Leaves of the feed: newest (a list for each server) or old (one for each client "
                "of a server, for readers from before mid-2026). Not both: the list of a server "
                "stands where the old layout has a directory.",
                /*both=*/false
            ),
        }
    );
    return framework::joined(std::move(own), services::feed_fields("54"));
}

void check_config(const Block& block, framework::Problems& problems) {
    services::check_common(block, problems);
    services::check_dmsg(block, problems);
    services::check_feed_ports(block, {"cxo_port", "cxo_in_port"}, problems);
    if (services::mode_of(block) == services::Mode::dmsg) {
        problems.push_back(block.problem(
            "mode",
            "mode=dmsg is refused: dmsg-servers and clients without a session reach the discovery "
            "over plain HTTP"
        ));
    }
    if (block.boolean("enable_load_testing")) {
        problems.push_back(block.warning(
            "enable_load_testing",
            "enable_load_testing: anybody can overwrite any entry, since signatures are not checked"
        ));
    }
}

Config read_config(const Block& block) {
    Config config;
    config.common = services::common_config(block);
    config.store = services::store_config(block);
    config.dmsg = services::dmsg_config(block, config.common);
    if (config.dmsg) {
        for (dmsg::Entry& entry : services::server_entries(block, "dmsg_servers"))
            config.dmsg->servers.push_back(std::move(entry));
        if (const std::string type = block.text("dmsg_server_type"); !type.empty())
            config.dmsg->server_type = type;
    }
    config.auth_passphrase = block.text("auth_passphrase");
    for (const auto& key : block.public_keys("official_servers"))
        if (!key.is_null()) config.official_servers.insert(key);
    config.whitelist_keys = services::whitelist_of(block);
    config.load_testing = block.boolean("enable_load_testing");
    config.feed = services::feed_config(block, cxo::kClientsFeed);
    config.feed_in_port = services::feed_in_port(block);
    return config;
}

}  // namespace skywire::discovery
