#include "services/dmsg_discovery/config.hpp"

namespace skywire::discovery {

using framework::Block;
using framework::FieldKind;

framework::FieldTable config_fields() {
    return framework::joined(
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
            {.name = "whitelist_keys",
             .kind = FieldKind::list,
             .description = "Keys whose holders may deregister clients (header NM-PK).",
             .element = FieldKind::public_key},
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
            {.name = "charts_addr",
             .kind = FieldKind::string,
             .description = "Address of the charts page.",
             .legacy = "names charts, which are not served"},
        }
    );
}

void check_config(const Block& block, framework::Problems& problems) {
    services::check_common(block, problems);
    services::check_dmsg(block, problems);
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
    for (const auto& key : block.public_keys("whitelist_keys"))
        if (!key.is_null()) config.whitelist_keys.insert(key.to_text());
    config.load_testing = block.boolean("enable_load_testing");
    return config;
}

}  // namespace skywire::discovery
