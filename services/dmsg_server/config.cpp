#include "services/dmsg_server/config.hpp"

#include "base/assert.hpp"
#include "http/client.hpp"
#include "services/common/common_fields.hpp"

#include <boost/asio/ip/address.hpp>

namespace skywire::dmsg_server {
namespace {

using framework::Block;
using framework::Field;
using framework::FieldKind;
using framework::FieldTable;
using services::legacy_field;

constexpr double kCountMax = 10'000'000;

Field limit(std::string_view name, std::string_view description, std::string_view default_json) {
    return {
        .name = name,
        .kind = FieldKind::integer,
        .description = description,
        .default_json = default_json,
        .min = 0,
        .max = kCountMax,
    };
}

constexpr std::string_view kNoCarrier = "belongs to a carrier that is not offered";
constexpr std::string_view kNoAnnounce =
    "is not offered: name peers on both sides in `peers` instead";
constexpr std::string_view kNoDht = "belongs to the DHT, which is gone";

FieldTable identity_fields() {
    return {
        {.name = "public_key",
         .kind = FieldKind::public_key,
         .description = "The server's key on dmsg; follows from secret_key."},
        {.name = "secret_key",
         .kind = FieldKind::secret_key,
         .description = "The server's secret key.",
         .secret = true},
        {.name = "discovery",
         .kind = FieldKind::url,
         .description = "dmsg-discovery over plain HTTP, where the server registers.",
         .choices = {"http"}},
        legacy_field(
            "discovery_dmsg", FieldKind::string, "is not needed: servers register over plain HTTP"
        ),
        {.name = "dmsg",
         .kind = FieldKind::one_or_list,
         .description = "Deployments to register with; the first one counts.",
         .element = FieldKind::object,
         .members =
             {{.name = "discovery",
               .kind = FieldKind::url,
               .description = "dmsg-discovery over plain HTTP.",
               .choices = {"http"}},
              {.name = "advertised_address",
               .kind = FieldKind::address,
               .description = "Where clients find the server."},
              {.name = "advertised_address_v6",
               .kind = FieldKind::address,
               .description = "The same over IPv6."}},
         .open = true},
        {.name = "auth_passphrase",
         .kind = FieldKind::string,
         .description = "The text by which the discovery takes the server for an official one.",
         .secret = true},
        {.name = "update_interval",
         .kind = FieldKind::duration,
         .description = "How often the entry in the discovery is renewed at least; 0 is a minute.",
         .default_json = R"("1m")",
         .min = 0},
    };
}

FieldTable address_fields() {
    return {
        {.name = "local_address",
         .kind = FieldKind::address,
         .description = "Where sessions are taken.",
         .default_json = R"(":8081")"},
        {.name = "public_address",
         .kind = FieldKind::address,
         .description = "Where clients find the server; empty is local_address as bound."},
        {.name = "public_address_v6",
         .kind = FieldKind::address,
         .description = "The same over IPv6."},
        {.name = "ws_address",
         .kind = FieldKind::address,
         .description = "A listener for WebSockets alone, which local_address takes, too."},
        {.name = "public_address_ws",
         .kind = FieldKind::string,
         .description = "Where browsers find the server: a ws or wss URL that ends in /dmsg."},
        {.name = "health_endpoint_address",
         .kind = FieldKind::address,
         .description = "Where GET /health is answered; empty is the port above local_address."},
        services::health_addr_field(),
        services::metrics_addr_field(),
        {.name = "accept_proxy_header",
         .kind = FieldKind::boolean,
         .description = "A connection may begin with a PROXY header, which names the peer. Turn it "
                        "off where clients connect directly and limits per IP matter.",
         .default_json = "true"},
        {.name = "peers",
         .kind = FieldKind::list,
         .description = "Servers to keep a session with, so that each reaches the other's clients.",
         .element = FieldKind::object,
         .members =
             {{.name = "public_key",
               .kind = FieldKind::public_key,
               .description = "The other server's key.",
               .required = true},
              {.name = "address",
               .kind = FieldKind::address,
               .description = "host:port of the other server.",
               .required = true}}},
    };
}

FieldTable limit_fields() {
    return {
        {.name = "max_sessions",
         .kind = FieldKind::integer,
         .description = "Sessions of clients.",
         .default_json = "2048",
         .min = 1,
         .max = kCountMax},
        limit("max_sessions_per_ip", "Connections of one IP address; 0 is no limit.", "1024"),
        limit(
            "max_new_sessions_per_ip",
            "New connections of one IP address in a minute; 0 is no limit.",
            "2400"
        ),
        limit(
            "max_new_sessions_per_key", "New sessions of one key in a minute; 0 is no limit.", "60"
        ),
        {.name = "max_handshakes",
         .kind = FieldKind::integer,
         .description = "Connections whose session has not begun yet.",
         .default_json = "1024",
         .min = 1,
         .max = kCountMax},
        {.name = "max_handshakes_per_ip",
         .kind = FieldKind::integer,
         .description = "The same of one IP address.",
         .default_json = "256",
         .min = 1,
         .max = kCountMax},
        {.name = "max_streams_per_session",
         .kind = FieldKind::integer,
         .description = "Streams of one session at one time.",
         .default_json = "2048",
         .min = 1,
         .max = 1'000'000},
        {.name = "max_setups_per_session",
         .kind = FieldKind::integer,
         .description = "Streams of one session that are being set up.",
         .default_json = "256",
         .min = 1,
         .max = 1'000'000},
        {.name = "stream_idle_timeout",
         .kind = FieldKind::duration,
         .description = "A stream without a byte in either direction for this long is closed.",
         .default_json = R"("24h")",
         .min = 1},
    };
}

FieldTable legacy_fields() {
    return {
        services::block_file_field(),
        legacy_field(
            "enable_route_setup",
            FieldKind::boolean,
            "is not offered: run a setup-node block instead"
        ),
        legacy_field("announce_as_peer", FieldKind::boolean, kNoAnnounce),
        legacy_field("accept_peer_announcements", FieldKind::boolean, kNoAnnounce),
        legacy_field("accepted_peer_pks", FieldKind::any, kNoAnnounce),
        legacy_field("wt_address", FieldKind::string, kNoCarrier),
        legacy_field("public_address_wt", FieldKind::string, kNoCarrier),
        legacy_field("disable_wt", FieldKind::boolean, kNoCarrier),
        legacy_field("wss_domain_suffix", FieldKind::string, kNoCarrier),
        legacy_field("ws_tls_address", FieldKind::string, kNoCarrier),
        legacy_field("ws_tls_cache_dir", FieldKind::string, kNoCarrier),
        legacy_field("enable_dht", FieldKind::boolean, kNoDht),
        legacy_field("redis_addr", FieldKind::string, kNoDht),
        legacy_field("persist_path", FieldKind::string, kNoDht),
        services::pprof_mode_field(),
        services::pprof_addr_field(),
        services::tag_field(),
    };
}

/// The deployment that counts, if the block names any.
std::optional<Block> deployment_of(const Block& block) {
    std::vector<Block> deployments = block.objects("dmsg");
    if (deployments.empty()) return std::nullopt;
    return std::move(deployments.front());
}

/// A key of the deployment, or the older one of the block.
std::string text_of(const Block& block, std::string_view newer, std::string_view older) {
    if (const auto deployment = deployment_of(block); deployment && deployment->has(newer))
        return deployment->text(newer);
    return block.text(older);
}

net::Address health_address(const Block& block, const net::Address& local) {
    if (const auto given = block.address("health_endpoint_address")) return *given;
    // Port 0 stays 0: a free one.
    const int above = local.port == 0 ? 0 : local.port + 1;
    return net::Address::tcp(local.host, static_cast<std::uint16_t>(above));
}

net::Address local_address(const Block& block) {
    const auto local = block.address("local_address");
    SKY_ASSERT(local.has_value());
    return *local;
}

std::size_t count_of(const Block& block, std::string_view key) {
    return static_cast<std::size_t>(block.integer(key));
}

dmsg::ServerLimits limits_of(const Block& block) {
    dmsg::ServerLimits limits;
    limits.sessions_max = count_of(block, "max_sessions");
    limits.sessions_per_ip_max = count_of(block, "max_sessions_per_ip");
    limits.new_sessions_per_ip_per_minute = count_of(block, "max_new_sessions_per_ip");
    limits.new_sessions_per_key_per_minute = count_of(block, "max_new_sessions_per_key");
    limits.handshakes_max = count_of(block, "max_handshakes");
    limits.handshakes_per_ip_max = count_of(block, "max_handshakes_per_ip");
    limits.streams_per_session_max = count_of(block, "max_streams_per_session");
    limits.setups_per_session_max = count_of(block, "max_setups_per_session");
    return limits;
}

void check_discovery(const Block& block, framework::Problems& problems) {
    const std::string url = text_of(block, "discovery", "discovery");
    if (url.empty()) {
        problems.push_back(block.problem(
            "discovery", "a dmsg-server needs `discovery`: the dmsg-discovery over plain HTTP"
        ));
    } else if (const auto parsed = http::Url::parse(url); !parsed) {
        problems.push_back(block.problem(
            "discovery",
            fmt::format("discovery {}: {}", quote_peer_text(url), parsed.error().message())
        ));
    }
    if (block.objects("dmsg").size() > 1) {
        problems.push_back(
            block.warning("dmsg", "the server registers with the first deployment of `dmsg` alone")
        );
    }
}

/// An address that says no host cannot be dialled by anybody.
void check_public_address(const Block& block, framework::Problems& problems) {
    const std::string given = text_of(block, "advertised_address", "public_address");
    if (given.empty()) {
        if (!local_address(block).host.empty()) return;
        problems.push_back(block.warning(
            "public_address",
            fmt::format(
                "without public_address clients are told local_address, and {} names no host",
                block.text("local_address")
            )
        ));
        return;
    }
    const auto parsed = net::Address::parse(given);
    if (parsed && !parsed->host.empty() && parsed->port != 0) return;
    problems.push_back(block.problem(
        "public_address",
        fmt::format("public_address {} needs a host and a port", quote_peer_text(given))
    ));
}

void check_peers(const Block& block, framework::Problems& problems) {
    const auto secret = block.secret_key("secret_key");
    for (const Block& peer : block.objects("peers")) {
        // The table has seen to it that there is one.
        const crypto::PublicKey key = peer.public_key("public_key");
        if (secret && key == crypto::public_key_of(*secret))
            problems.push_back(peer.problem("public_key", "the server is no peer of its own"));
    }
}

}  // namespace

FieldTable config_fields() {
    return framework::joined(
        framework::joined(identity_fields(), address_fields()),
        framework::joined(limit_fields(), legacy_fields())
    );
}

void check_config(const Block& block, framework::Problems& problems) {
    services::check_identity(block, "a dmsg-server", problems);
    check_discovery(block, problems);
    check_public_address(block, problems);
    check_peers(block, problems);
    const std::string websocket = block.text("public_address_ws");
    const bool is_url = websocket.starts_with("ws://") || websocket.starts_with("wss://");
    if (!websocket.empty() && !is_url) {
        problems.push_back(block.problem(
            "public_address_ws",
            fmt::format("public_address_ws {} is no ws or wss URL", quote_peer_text(websocket))
        ));
    }
}

Config read_config(const Block& block) {
    const auto secret = block.secret_key("secret_key");
    SKY_ASSERT(secret.has_value());
    dmsg::ServerOptions options({crypto::public_key_of(*secret), *secret});
    options.address = text_of(block, "advertised_address", "public_address");
    options.address_v6 = text_of(block, "advertised_address_v6", "public_address_v6");
    options.address_ws = block.text("public_address_ws");
    options.auth_passphrase = block.text("auth_passphrase");
    if (const Duration interval = block.duration("update_interval"); interval > Duration(0))
        options.update_interval = interval;
    options.accept_proxy_header = block.boolean("accept_proxy_header");
    for (const Block& peer : block.objects("peers")) {
        // The table has seen to it that there is one.
        const auto address = peer.address("address");
        SKY_ASSERT(address.has_value());
        options.peers.push_back({peer.public_key("public_key"), *address});
    }
    options.limits = limits_of(block);
    options.idle_timeout = block.duration("stream_idle_timeout");

    Config config(std::move(options));
    config.discovery = text_of(block, "discovery", "discovery");
    config.local_address = local_address(block);
    config.ws_address = block.address("ws_address");
    config.health_address = health_address(block, config.local_address);
    config.metrics_address = block.address("metrics_addr");
    return config;
}

framework::BlockFacts config_facts(const Block& block) {
    framework::BlockFacts facts;
    const auto use = [&facts](const net::Address& address, std::string key) {
        facts.ports.push_back({framework::PortUse::Transport::tcp, address, std::move(key)});
    };
    const net::Address local = local_address(block);
    const net::Address health = health_address(block, local);
    facts.health_address = services::health_address_for_others(block, health);
    use(local, "local_address");
    use(health, "health_endpoint_address");
    if (const auto websocket = block.address("ws_address")) use(*websocket, "ws_address");
    if (const auto metrics = block.address("metrics_addr")) use(*metrics, "metrics_addr");
    const crypto::PublicKey key = services::public_key_of_block(block);
    if (!key.is_null()) facts.public_key = key;
    facts.advertised_address = text_of(block, "advertised_address", "public_address");
    return facts;
}

}  // namespace skywire::dmsg_server
