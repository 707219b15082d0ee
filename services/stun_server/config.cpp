#include "services/stun_server/config.hpp"

#include "base/assert.hpp"

#include <optional>

#include <boost/asio/ip/address_v4.hpp>

namespace skywire::stun {
namespace {

using framework::Block;
using framework::FieldKind;

constexpr std::array<std::string_view, 2> kIpKeys{"primary_ip", "secondary_ip"};
constexpr std::array<std::string_view, 2> kPortKeys{"port", "alt_port"};

std::optional<std::array<std::uint8_t, 4>> parse_ipv4(const std::string& text) {
    boost::system::error_code ec;
    const auto address = asio::ip::make_address_v4(text, ec);
    if (ec || address.is_unspecified()) return std::nullopt;
    return address.to_bytes();
}

}  // namespace

framework::FieldTable config_fields() {
    return {
        {.name = "primary_ip",
         .kind = FieldKind::ip,
         .description = "An IPv4 address of this machine.",
         .required = true},
        {.name = "secondary_ip",
         .kind = FieldKind::ip,
         .description = "Another IPv4 address of this machine, from which a client that asks for a "
                        "changed address is answered.",
         .required = true},
        {.name = "port",
         .kind = FieldKind::integer,
         .description = "UDP port on both addresses; 0 picks a free one.",
         .default_json = "3478",
         .min = 0,
         .max = 65535},
        {.name = "alt_port",
         .kind = FieldKind::integer,
         .description = "The other UDP port on both addresses; 0 picks a free one.",
         .default_json = "3479",
         .min = 0,
         .max = 65535},
        {.name = "tag",
         .kind = FieldKind::string,
         .description = "Logger name.",
         .legacy = "is not needed: log lines carry the block's label"},
    };
}

void check_config(const Block& block, framework::Problems& problems) {
    for (const std::string_view key : kIpKeys) {
        if (const std::string text = block.text(key); !parse_ipv4(text)) {
            problems.push_back(block.problem(
                key,
                fmt::format("{} {} is not an IPv4 address of a machine", key, quote_peer_text(text))
            ));
        }
    }
    if (block.text("primary_ip") == block.text("secondary_ip")) {
        problems.push_back(block.problem(
            "secondary_ip",
            "secondary_ip is the same as primary_ip: a client tells kinds of NAT apart by answers "
            "from two addresses"
        ));
    }
    const std::int64_t port = block.integer("port");
    if (port != 0 && port == block.integer("alt_port")) {
        problems.push_back(
            block.problem("alt_port", fmt::format("alt_port is the same as port: {}", port))
        );
    }
}

Config read_config(const Block& block) {
    Config config;
    for (std::size_t i = 0; i < 2; ++i) {
        const auto ip = parse_ipv4(block.text(kIpKeys[i]));
        SKY_ASSERT(ip.has_value());
        config.ips[i] = *ip;
        config.ports[i] = static_cast<std::uint16_t>(block.integer(kPortKeys[i]));
    }
    return config;
}

framework::BlockFacts config_facts(const Block& block) {
    framework::BlockFacts facts;
    for (const std::string_view ip : kIpKeys) {
        for (const std::string_view key : kPortKeys) {
            const auto port = static_cast<std::uint16_t>(block.integer(key));
            if (port == 0) continue;
            facts.ports.push_back(
                {framework::PortUse::Transport::udp,
                 net::Address::tcp(block.text(ip), port),
                 std::string(key)}
            );
        }
    }
    return facts;
}

}  // namespace skywire::stun
