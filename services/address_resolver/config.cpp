#include "services/address_resolver/config.hpp"

#include "cxo/known_feeds.hpp"

#include <utility>

namespace skywire::resolver {

using framework::Block;
using framework::FieldKind;

framework::FieldTable config_fields() {
    framework::FieldTable own = framework::joined(
        services::common_fields({.addr_json = R"(":9093")", .entry_timeout_json = R"("5m")"}),
        {
            {.name = "udp_addr",
             .kind = FieldKind::address,
             .description = "Where visors behind NAT bind (KCP over UDP); an IP or none, and a "
                            "port. Where `addr` has another port, UDP is served there as well.",
             .default_json = R"(":30178")"},
            {.name = "public_udp_addr",
             .kind = FieldKind::string,
             .description = "The UDP address as visors reach it, host:port, told in /health; "
                            "without it visors that come over dmsg have no sudph."},
            services::whitelist_field("Keys whose holders may deregister visors (header NM-PK)."),
            services::held_timeout_field(
                "How long a binding that its visor does not renew outlives the visor's "
                "last sign of life; 0 is for ever."
            ),
            {.name = "udp_sessions_max",
             .kind = FieldKind::integer,
             .description = "UDP sessions that are held at each UDP address.",
             .default_json = "20000",
             .min = 1,
             .max = 1'000'000},
            services::dmsg_client_field(),
            services::charts_field(),
            services::feed_in_port_field(
                "66",
                "dmsg port where visors publish their bindings instead of sending them; 0 is "
                "nowhere."
            ),
        }
    );
    return framework::joined(std::move(own), services::feed_fields("56"));
}

void check_config(const Block& block, framework::Problems& problems) {
    services::check_common(block, problems);
    services::check_dmsg(block, problems);
    services::check_feed_ports(block, {"cxo_port", "cxo_in_port"}, problems);
    const std::string advertised = block.text("public_udp_addr");
    if (!advertised.empty() && advertised.find("://") != std::string::npos) {
        problems.push_back(block.problem(
            "public_udp_addr",
            fmt::format(
                "public_udp_addr {} is a URL; host:port is meant", quote_peer_text(advertised)
            )
        ));
    }
    if (services::mode_of(block) == services::Mode::dmsg && advertised.empty()) {
        problems.push_back(block.warning(
            "public_udp_addr",
            "public_udp_addr is not set: with mode=dmsg no visor learns where the UDP side is, so "
            "none has sudph"
        ));
    }
}

Config read_config(const Block& block) {
    Config config;
    config.common = services::common_config(block);
    config.store = services::store_config(block);
    config.dmsg = services::dmsg_config(block, config.common);
    if (const auto address = block.address("udp_addr")) config.udp_addr = *address;
    config.public_udp_addr = block.text("public_udp_addr");
    config.whitelist_keys = services::whitelist_of(block);
    config.held_timeout = block.duration("held_timeout");
    config.feed = services::feed_config(block, cxo::kBindingsFeed);
    config.feed_in_port = services::feed_in_port(block);
    config.udp_sessions_max = static_cast<std::size_t>(block.integer("udp_sessions_max"));
    return config;
}

std::vector<Config::Udp> Config::udp() const {
    std::vector<Udp> sockets{{"udp_addr", udp_addr}};
    const bool over_http = common.mode != services::Mode::dmsg;
    if (over_http && common.addr.port != udp_addr.port) sockets.push_back({"addr", common.addr});
    return sockets;
}

framework::BlockFacts config_facts(const Block& block) {
    framework::BlockFacts facts = services::common_facts(block, "address-resolver");
    const Config config = read_config(block);
    for (const Config::Udp& udp : config.udp()) {
        if (udp.address.port == 0) continue;
        facts.ports.push_back(
            {framework::PortUse::Transport::udp, udp.address, std::string(udp.key)}
        );
    }
    return facts;
}

}  // namespace skywire::resolver
