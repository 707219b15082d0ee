#include "services/transport_setup/config.hpp"

#include "base/assert.hpp"

namespace skywire::transport_setup {
namespace {

using framework::Block;
using framework::FieldKind;

constexpr std::string_view kVisorsRegister =
    "is not needed: visors register their transports themselves";

/// Where plain HTTP is served; nothing: it is not.
std::optional<net::Address> http_address(const Block& block) {
    if (const auto addr = block.address("addr")) return addr;
    const auto port = static_cast<std::uint16_t>(block.integer("port"));
    if (port == 0) return std::nullopt;
    return net::Address::tcp("", port);
}

}  // namespace

framework::FieldTable config_fields() {
    return {
        services::block_file_field(),
        {.name = "public_key",
         .kind = FieldKind::public_key,
         .description = "The service's key on dmsg, by which visors know it; follows from "
                        "secret_key."},
        {.name = "secret_key",
         .kind = FieldKind::secret_key,
         .description = "The service's secret key.",
         .secret = true},
        {.name = "addr",
         .kind = FieldKind::address,
         .description = "Where plain HTTP is served. It asks nobody who they are, so keep it to "
                        "loopback or a private network."},
        {.name = "port",
         .kind = FieldKind::integer,
         .description = "The same by a port alone, on all interfaces; 0 is no plain HTTP. `addr` "
                        "wins over it.",
         .default_json = "0",
         .min = 0,
         .max = 65535},
        services::dmsg_client_field(),
        {.name = "dmsg_port",
         .kind = FieldKind::integer,
         .description = "dmsg port of HTTP over dmsg, beside port 48.",
         .default_json = "80",
         .min = 1,
         .max = 65535},
        {.name = "dmsg_whitelist",
         .kind = FieldKind::list,
         .description = "Keys that may ask for transports over dmsg; others get 403.",
         .element = FieldKind::public_key},
        services::health_addr_field(),
        services::metrics_addr_field(),
        services::legacy_field("transport_discovery", FieldKind::url, kVisorsRegister),
        services::legacy_field("transport_discovery_dmsg", FieldKind::url, kVisorsRegister),
        services::tag_field(),
    };
}

void check_config(const Block& block, framework::Problems& problems) {
    services::check_identity(block, "a transport-setup", problems);
    services::check_dmsg(block, problems);
    services::check_discovery_given(
        block, "a transport-setup needs dmsg.discovery, where it finds the visors", problems
    );
    if (!block.address("addr") && block.public_keys("dmsg_whitelist").empty() &&
        block.integer("port") == 0) {
        problems.push_back(
            block.warning("port", "nobody can ask: neither addr, port nor dmsg_whitelist is set")
        );
    }
}

Config read_config(const Block& block) {
    services::CommonConfig common;
    common.secret_key = block.secret_key("secret_key");
    common.public_key = services::public_key_of_block(block);
    common.metrics_addr = block.address("metrics_addr");
    const auto address = http_address(block);
    common.mode = address ? services::Mode::dual : services::Mode::dmsg;
    if (address) common.addr = *address;
    auto dmsg = services::dmsg_config(block, common);
    SKY_ASSERT(dmsg.has_value());
    Config config{std::move(common), std::move(*dmsg), {}};
    for (const auto& key : block.public_keys("dmsg_whitelist"))
        if (!key.is_null()) config.whitelist.insert(key);
    config.every_interface = address && address->host.empty();
    return config;
}

framework::BlockFacts config_facts(const Block& block) {
    framework::BlockFacts facts;
    if (const auto address = http_address(block)) {
        const char* const key = block.address("addr") ? "addr" : "port";
        facts.ports.push_back({framework::PortUse::Transport::tcp, *address, key});
        facts.health_address = services::health_address_for_others(block, address);
    }
    if (const auto metrics = block.address("metrics_addr"))
        facts.ports.push_back({framework::PortUse::Transport::tcp, *metrics, "metrics_addr"});
    if (const auto key = services::public_key_of_block(block); !key.is_null())
        facts.public_key = key;
    return facts;
}

}  // namespace skywire::transport_setup
