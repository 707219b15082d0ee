#pragma once

#include "framework/deployment_config.hpp"

/// Types of services for the tests of the file reader: tables like those of the real ones, without
/// any service behind them.
namespace skywire::framework::config_test {

inline FieldTable identity_fields() {
    return {
        {.name = "public_key",
         .kind = FieldKind::public_key,
         .description = "Derived from secret_key."},
        {.name = "secret_key", .kind = FieldKind::secret_key, .description = "The identity."},
    };
}

inline FieldTable discovery_fields() {
    return joined(
        identity_fields(),
        {
            {.name = "addr",
             .kind = FieldKind::address,
             .description = "Where HTTP is served.",
             .default_json = "\":9090\""},
            {.name = "mode",
             .kind = FieldKind::choice,
             .description = "Which listeners there are.",
             .default_json = "\"http\"",
             .choices = {"http", "dmsg", "dmsghttp", "dual", "both"}},
            {.name = "redis", .kind = FieldKind::redis_url, .description = "The store."},
            {.name = "entry_timeout",
             .kind = FieldKind::duration,
             .description = "How long an entry lives.",
             .default_json = "\"60m\"",
             .min = 0},
            {.name = "testing", .kind = FieldKind::boolean, .description = "Memory only."},
            {.name = "test_mode", .alias_of = "testing"},
            {.name = "enable_cxo", .legacy = "belongs to an older vintage"},
            {.name = "whitelist_keys",
             .kind = FieldKind::list,
             .description = "Who may deregister.",
             .element = FieldKind::public_key},
            {.name = "auth_passphrase",
             .kind = FieldKind::string,
             .description = "Shared with official servers.",
             .default_json = "\"hush\"",
             .secret = true},
            {.name = "dmsg",
             .kind = FieldKind::object,
             .description = "The dmsg network.",
             .members =
                 {{.name = "discovery", .kind = FieldKind::url, .description = "Its discovery."},
                  {.name = "sessions_count",
                   .kind = FieldKind::integer,
                   .description = "Fewest sessions.",
                   .default_json = "1",
                   .min = 0,
                   .max = 100},
                  {.name = "servers",
                   .kind = FieldKind::list,
                   .description = "Known servers.",
                   .element = FieldKind::object,
                   .members = {{.name = "static", .kind = FieldKind::public_key, .required = true}},
                   .open = true}}},
        }
    );
}

inline FieldTable server_fields() {
    return joined(
        identity_fields(),
        {
            {.name = "local_address",
             .kind = FieldKind::address,
             .description = "Where sessions are taken.",
             .default_json = "\":8081\""},
            {.name = "max_sessions",
             .kind = FieldKind::integer,
             .description = "Most sessions at a time.",
             .default_json = "2048",
             .min = 1,
             .max = 1'000'000},
            {.name = "dmsg",
             .kind = FieldKind::one_or_list,
             .description = "Networks it serves.",
             .element = FieldKind::object,
             .members =
                 {{.name = "discovery", .kind = FieldKind::url},
                  {.name = "advertised_address", .kind = FieldKind::address}}},
            {.name = "peers",
             .kind = FieldKind::list,
             .description = "Other servers.",
             .element = FieldKind::object,
             .members =
                 {{.name = "public_key", .kind = FieldKind::public_key, .required = true},
                  {.name = "address", .kind = FieldKind::address}}},
            {.name = "config_path",
             .kind = FieldKind::path,
             .description = "A file with these keys.",
             .block_file = true},
            {.name = "ws_url",
             .kind = FieldKind::url,
             .description = "Advertised for WebSocket.",
             .choices = {"ws", "wss"}},
        }
    );
}

inline FieldTable stun_fields() {
    return {
        {.name = "primary_ip",
         .kind = FieldKind::ip,
         .description = "First address.",
         .required = true},
        {.name = "secondary_ip",
         .kind = FieldKind::ip,
         .description = "Second address.",
         .required = true},
        {.name = "port",
         .kind = FieldKind::integer,
         .description = "First port.",
         .default_json = "3478",
         .min = 0,
         .max = 65535},
        {.name = "allowed", .kind = FieldKind::one_or_list, .element = FieldKind::cidr},
        {.name = "weight", .kind = FieldKind::number, .default_json = "0.5", .min = 0, .max = 1},
    };
}

inline void identity_facts(const Block& block, BlockFacts& facts) {
    if (const auto secret = block.secret_key("secret_key")) {
        facts.public_key = crypto::public_key_of(*secret);
    } else if (block.has("public_key")) {
        facts.public_key = block.public_key("public_key");
    }
}

inline BlockFacts discovery_facts(const Block& block, const std::string& role) {
    BlockFacts facts;
    identity_facts(block, facts);
    if (const auto address = block.address("addr"))
        facts.ports.push_back({PortUse::Transport::tcp, *address, "addr"});
    if (block.has("redis")) facts.database = DatabaseUse{block.text("redis"), role, "redis"};
    return facts;
}

inline ServiceType discovery_type(std::string name, std::string role) {
    ServiceType type;
    type.name = std::move(name);
    type.summary = "Keeps a table.";
    type.fields = discovery_fields();
    type.milestones = {"http", "dmsg"};
    type.edges = {{"dmsg", "dmsg-server", "registered"}};
    type.facts = [role](const Block& block) { return discovery_facts(block, role); };
    return type;
}

inline ServiceType server_type() {
    ServiceType type;
    type.name = "dmsg-server";
    type.summary = "Relays streams.";
    type.fields = server_fields();
    type.milestones = {"listening", "registered"};
    type.edges = {{"start", "dmsg-discovery", "http"}};
    type.facts = [](const Block& block) {
        BlockFacts facts;
        identity_facts(block, facts);
        facts.ports.push_back(
            {PortUse::Transport::tcp, *block.address("local_address"), "local_address"}
        );
        return facts;
    };
    return type;
}

inline ServiceType stun_type() {
    ServiceType type;
    type.name = "stun-server";
    type.summary = "Tells clients their address.";
    type.fields = stun_fields();
    type.check = [](const Block& block, Problems& problems) {
        if (block.text("primary_ip") != block.text("secondary_ip")) return;
        problems.push_back(
            block.problem("secondary_ip", "\"secondary_ip\" must differ from \"primary_ip\"")
        );
    };
    type.facts = [](const Block& block) {
        BlockFacts facts;
        const auto port = static_cast<std::uint16_t>(block.integer("port"));
        for (const char* key : {"primary_ip", "secondary_ip"}) {
            const auto address = net::Address::tcp(block.text(key), port);
            facts.ports.push_back({PortUse::Transport::udp, address, key});
        }
        return facts;
    };
    return type;
}

inline ServiceType noop_type() {
    ServiceType type;
    type.name = "noop";
    type.summary = "Does nothing.";
    type.fields = {{.name = "tick_seconds", .kind = FieldKind::integer, .default_json = "30"}};
    return type;
}

inline ServiceRegistry test_registry() {
    ServiceRegistry registry;
    registry.add(discovery_type("dmsg-discovery", ""));
    registry.add(discovery_type("transport-discovery", "transports"));
    registry.add(discovery_type("route-finder", "transports"));
    registry.add(server_type());
    registry.add(stun_type());
    registry.add(noop_type());
    return registry;
}

}  // namespace skywire::framework::config_test
