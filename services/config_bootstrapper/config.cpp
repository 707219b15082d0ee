#include "services/config_bootstrapper/config.hpp"

#include <cstdlib>

#include <fmt/format.h>

namespace skywire::config_bootstrapper {

using framework::Block;
using framework::FieldKind;

framework::FieldTable config_fields() {
    framework::FieldTable fields = framework::joined(
        services::common_fields({.addr_json = R"(":9082")", .entry_timeout_json = R"("0s")"}),
        {
            {.name = "config_path",
             .kind = FieldKind::path,
             .description =
                 "A JSON file with stun_servers, route_setup_nodes, survey_whitelist and "
                 "transport_setup, which win over those of the block; it may be missing."},
            {.name = "domain",
             .kind = FieldKind::string,
             .description = "Where the services are that neither the block nor the file name: "
                            "http://tpd.DOMAIN and so on.",
             .default_json = R"("skywire.skycoin.com")"},
            {.name = "route_setup_nodes",
             .kind = FieldKind::list,
             .description = "Keys of the setup-nodes; empty: those of the file.",
             .element = FieldKind::public_key},
            {.name = "transport_setup",
             .kind = FieldKind::list,
             .description = "Keys of the transport-setup services; empty: those of the file.",
             .element = FieldKind::public_key},
            {.name = "stun_servers",
             .kind = FieldKind::list,
             .description = "host:port of the STUN servers; empty: those of the file.",
             .element = FieldKind::address},
            {.name = "dns_server",
             .kind = FieldKind::string,
             .description = "The DNS server that VPN clients are to use.",
             .default_json = R"("1.1.1.1")"},
            services::server_entries_field(
                "dmsg_servers", "dmsg-servers; empty: those of the file, or of the discovery."
            ),
            services::dmsg_client_field(),
        }
    );
    // Names of string constants: a field keeps views.
    constexpr std::array kNames{
        "dmsg_discovery",
        "transport_discovery",
        "address_resolver",
        "route_finder",
        "uptime_tracker",
        "service_discovery",
        "dmsg_discovery_dmsg",
        "transport_discovery_dmsg",
        "address_resolver_dmsg",
        "route_finder_dmsg",
        "uptime_tracker_dmsg",
        "service_discovery_dmsg",
    };
    for (const std::string_view name : kNames) {
        const bool dmsg = name.ends_with("_dmsg");
        fields.push_back(
            {.name = name,
             .kind = FieldKind::url,
             .description = dmsg
                                ? "The same over dmsg, dmsg://KEY:PORT."
                                : "URL that visors are told; empty: that of the block beside, else "
                                  "by the domain."}
        );
    }
    return fields;
}

void check_config(const Block& block, framework::Problems& problems) {
    services::check_common(block, problems);
    services::check_dmsg(block, problems);
    for (const Part part : kParts) {
        const std::string key = std::string(member(part)) + "_dmsg";
        const std::string url = block.text(key);
        if (!url.empty() && !url.starts_with("dmsg://"))
            problems.push_back(block.problem(key, key + " is not of the form dmsg://KEY:PORT"));
    }
}

namespace {

/// A block without a key, and without a word against dmsg, that says where dmsg is.
bool wants_key(const Block& block) {
    if (block.secret_key("secret_key")) return false;
    if (services::mode_of(block) != services::Mode::http) return true;
    const char* mode = std::getenv("SKYWIRE_SVC_MODE");
    if (block.has("mode") || (mode != nullptr && *mode != '\0')) return false;
    const Block dmsg = block.object("dmsg");
    return dmsg.has("discovery") || dmsg.has("discovery_dmsg") || dmsg.has("servers");
}

}  // namespace

Config read_config(const Block& block, Random& random) {
    Config config;
    config.common = services::common_config(block);
    if (wants_key(block)) {
        const crypto::KeyPair keys = crypto::generate_key_pair(random);
        config.common.public_key = keys.public_key;
        config.common.secret_key = keys.secret_key;
        if (config.common.mode == services::Mode::http) config.common.mode = services::Mode::dual;
    }
    config.dmsg = services::dmsg_config(block, config.common);
    config.domain = block.text("domain");
    if (config.domain.empty()) config.domain = kDefaultDomain;
    config.config_path = block.text("config_path");
    Document& said = config.said;
    for (const Part part : kParts) {
        said.url(part) = block.text(member(part));
        said.dmsg_url(part) = block.text(std::string(member(part)) + "_dmsg");
    }
    said.route_setup_nodes = block.public_keys("route_setup_nodes");
    said.transport_setup = block.public_keys("transport_setup");
    said.survey_whitelist = block.public_keys("survey_whitelist");
    said.stun_servers = block.texts("stun_servers");
    said.dns_server = block.text("dns_server");
    for (const dmsg::Entry& entry : services::server_entries(block, "dmsg_servers")) {
        const std::optional<dmsg::ServerInfo>& server = entry.server;
        if (server) said.dmsg_servers.push_back({entry.static_key, server->address});
    }
    return config;
}

}  // namespace skywire::config_bootstrapper
