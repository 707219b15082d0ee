#include "services/common/common_fields.hpp"

#include "base/assert.hpp"
#include "services/common/feed_config.hpp"
#include "services/common/service_store.hpp"

#include <cstdlib>

namespace skywire::services {
namespace {

using framework::Block;
using framework::FieldKind;

constexpr const char* kModeVariable = "SKYWIRE_SVC_MODE";
constexpr std::string_view kProfilesMoved =
    "has moved to the admin listener: GET /debug/pprof/profile and /debug/pprof/heap";

std::string trimmed_lower(std::string_view text) {
    const auto first = text.find_first_not_of(" \t\r\n");
    if (first == std::string_view::npos) return {};
    std::string out(text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1));
    for (char& c : out) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return out;
}

std::optional<Mode> parse_mode(std::string_view text) {
    if (text == "http") return Mode::http;
    if (text == "dmsg" || text == "dmsghttp") return Mode::dmsg;
    if (text == "dual" || text == "both") return Mode::dual;
    return std::nullopt;
}

std::string mode_of_environment() {
    const char* value = std::getenv(kModeVariable);
    return value == nullptr ? std::string() : trimmed_lower(value);
}

void check_mode(const Block& block, framework::Problems& problems) {
    const std::string text = mode_of_environment();
    if (text.empty() || parse_mode(text)) return;
    problems.push_back(block.problem(
        "mode",
        fmt::format("{} is {}: neither http, dmsg nor dual", kModeVariable, quote_peer_text(text))
    ));
}

}  // namespace

framework::FieldTable common_fields(const CommonDefaults& defaults) {
    return {
        {.name = "public_key",
         .kind = FieldKind::public_key,
         .description = "The service's key on dmsg; follows from secret_key."},
        {.name = "secret_key",
         .kind = FieldKind::secret_key,
         .description = "The service's secret key; without one it has no dmsg side.",
         .secret = true},
        {.name = "addr",
         .kind = FieldKind::address,
         .description = "Where plain HTTP is served.",
         .default_json = defaults.addr_json},
        {.name = "mode",
         .kind = FieldKind::choice,
         .description = "Which listeners are opened; dual with a secret key, else http. The "
                        "environment variable SKYWIRE_SVC_MODE wins over it.",
         .choices = {"http", "dmsg", "dmsghttp", "dual", "both"}},
        {.name = "dmsg_port",
         .kind = FieldKind::integer,
         .description = "dmsg port of HTTP over dmsg.",
         .default_json = "80",
         .min = 1,
         .max = 65535},
        {.name = "redis",
         .kind = FieldKind::redis_url,
         .description = "Redis to keep the data in: redis://[user:password@]host[:port][/db] or "
                        "unix://PATH[?db=N]. REDIS_PASSWORD of the environment is its password.",
         .secret = true},
        {.name = "redis_pool_size",
         .kind = FieldKind::integer,
         .description = "Connections to Redis.",
         .default_json = "10",
         .min = 0,
         .max = 100000,
         .legacy = "is not needed: all commands share one pipelined connection"},
        {.name = "entry_timeout",
         .kind = FieldKind::duration,
         .description =
             "How long an entry lives without being renewed; 0 is the service's default.",
         .default_json = defaults.entry_timeout_json,
         .min = 0},
        tag_field(),
        health_addr_field(),
        metrics_addr_field(),
        pprof_mode_field(),
        pprof_addr_field(),
        {.name = "testing",
         .kind = FieldKind::boolean,
         .description = "A test deployment: data in memory unless redis is set, loopback addresses "
                        "allowed. Signatures are checked all the same.",
         .default_json = "false"},
        {.name = "test_mode", .kind = FieldKind::boolean, .alias_of = "testing"},
        {.name = "survey_whitelist",
         .kind = FieldKind::list,
         .description = "Keys that may read the debug routes over dmsg.",
         .element = FieldKind::public_key},
        {.name = "test_environment",
         .kind = FieldKind::boolean,
         .description = "Use the embedded test deployment instead of production.",
         .default_json = "false"},
        {.name = "trusted_proxies",
         .kind = FieldKind::list,
         .description =
             "Proxies whose True-Client-IP, X-Real-IP and X-Forwarded-For headers count.",
         .default_json = R"(["127.0.0.0/8","::1"])",
         .element = FieldKind::cidr},
    };
}

framework::Field server_entries_field(std::string_view name, std::string_view description) {
    return {
        .name = name,
        .kind = FieldKind::list,
        .description = description,
        .element = FieldKind::object,
        .members =
            {{.name = "static",
              .kind = FieldKind::public_key,
              .description = "The server's key.",
              .required = true},
             {.name = "server",
              .kind = FieldKind::object,
              .description = "How it is reached.",
              .members =
                  {{.name = "address",
                    .kind = FieldKind::string,
                    .description = "host:port of the dmsg-server."}},
              .open = true}},
        .open = true,
    };
}

framework::Field dmsg_client_field() {
    return {
        .name = "dmsg",
        .kind = FieldKind::object,
        .description = "How this service reaches dmsg.",
        .members =
            {
                {.name = "discovery",
                 .kind = FieldKind::url,
                 .description = "dmsg-discovery over plain HTTP."},
                {.name = "discovery_dmsg",
                 .kind = FieldKind::url,
                 .description = "dmsg-discovery over dmsg: dmsg://KEY:PORT."},
                {.name = "sessions_count",
                 .kind = FieldKind::integer,
                 .description = "Least number of sessions; 0 is one with every server.",
                 .default_json = "0",
                 .min = 0,
                 .max = 1000},
                {.name = "server_type",
                 .kind = FieldKind::string,
                 .description = "Only servers of this type; empty is any."},
                server_entries_field("servers", "Servers known without a look-up."),
            },
    };
}

framework::Field whitelist_field(std::string_view description) {
    return {
        .name = "whitelist_keys",
        .kind = FieldKind::list,
        .description = description,
        .element = FieldKind::public_key,
    };
}

std::vector<std::string> whitelist_of(const Block& block) {
    const std::vector<crypto::PublicKey> keys = block.public_keys("whitelist_keys");
    std::vector<std::string> texts;
    texts.reserve(keys.size());
    for (const crypto::PublicKey& key : keys)
        if (!key.is_null()) texts.push_back(key.to_text());
    return texts;
}

framework::Field held_timeout_field(std::string_view description) {
    return {
        .name = "held_timeout",
        .kind = FieldKind::duration,
        .description = description,
        .default_json = R"("24h")",
        .min = 0,
    };
}

framework::Field health_addr_field() {
    return {
        .name = "health_addr",
        .kind = FieldKind::address,
        .description =
            "host:port under which other processes and the commands reach this service "
            "and its GET /health, where it listens on every interface of a container; "
            "else they take it to be on this machine.",
    };
}

std::optional<net::Address> health_address_for_others(
    const Block& block, std::optional<net::Address> own
) {
    if (auto given = block.address("health_addr")) return given;
    return own;
}

framework::Field metrics_addr_field() {
    return {
        .name = "metrics_addr",
        .kind = FieldKind::address,
        .description = "Where this service's own series are served at /metrics; empty is off.",
    };
}

framework::Field block_file_field() {
    return {
        .name = "config_path",
        .kind = FieldKind::path,
        .description = "A JSON file with these keys, which win over those of the block.",
        .block_file = true,
    };
}

framework::Field legacy_field(std::string_view name, FieldKind kind, std::string_view why) {
    return {.name = name, .kind = kind, .description = "Not used.", .legacy = why};
}

framework::Field tag_field() {
    return legacy_field(
        "tag", FieldKind::string, "is not needed: log lines carry the block's label"
    );
}

framework::Field pprof_mode_field() {
    return legacy_field("pprof_mode", FieldKind::string, kProfilesMoved);
}

framework::Field pprof_addr_field() {
    return legacy_field("pprof_addr", FieldKind::string, kProfilesMoved);
}

framework::Field charts_field() {
    return legacy_field("charts_addr", FieldKind::string, "names charts, which are not served");
}

std::string_view mode_name(Mode mode) noexcept {
    switch (mode) {
        case Mode::http:
            return "http";
        case Mode::dmsg:
            return "dmsg";
        case Mode::dual:
            return "dual";
    }
    return "http";
}

Mode mode_of(const Block& block) {
    std::string text = mode_of_environment();
    if (text.empty()) text = block.text("mode");
    const bool has_key = block.secret_key("secret_key").has_value();
    return parse_mode(text).value_or(has_key ? Mode::dual : Mode::http);
}

crypto::PublicKey public_key_of_block(const Block& block) {
    if (const auto secret = block.secret_key("secret_key")) return crypto::public_key_of(*secret);
    return block.public_key("public_key");
}

void check_identity(const Block& block, std::string_view what, framework::Problems& problems) {
    // A key file that is not there yet is made at the start.
    if (!block.secret_key("secret_key") && block.text("keyfile").empty()) {
        problems.push_back(
            block.problem("secret_key", fmt::format("{} needs a secret_key, or a keyfile", what))
        );
    }
}

void check_discovery_given(
    const Block& block, std::string_view why, framework::Problems& problems
) {
    const Block dmsg = block.object("dmsg");
    if (dmsg.text("discovery").empty() && dmsg.text("discovery_dmsg").empty())
        problems.push_back(block.problem("dmsg", std::string(why)));
}

void check_common(const Block& block, framework::Problems& problems) {
    check_mode(block, problems);
    check_store(block, problems);
    if (const auto proxies = http::TrustedProxies::parse(block.texts("trusted_proxies")); !proxies)
        problems.push_back(block.problem("trusted_proxies", proxies.error().message()));
}

CommonConfig common_config(const Block& block) {
    CommonConfig config;
    config.secret_key = block.secret_key("secret_key");
    config.public_key = public_key_of_block(block);
    config.mode = mode_of(block);
    if (const auto addr = block.address("addr")) config.addr = *addr;
    config.metrics_addr = block.address("metrics_addr");
    config.entry_timeout = block.duration("entry_timeout");
    config.testing = block.boolean("testing");
    auto proxies = http::TrustedProxies::parse(block.texts("trusted_proxies"));
    SKY_ASSERT(proxies.has_value());
    config.trusted_proxies = std::move(*proxies);
    return config;
}

framework::BlockFacts common_facts(const Block& block, std::string_view role) {
    framework::BlockFacts facts;
    const auto addr = block.address("addr");
    if (addr) {
        facts.ports.push_back({framework::PortUse::Transport::tcp, *addr, "addr"});
        facts.health_address = health_address_for_others(block, addr);
    }
    if (const auto metrics = block.address("metrics_addr"))
        facts.ports.push_back({framework::PortUse::Transport::tcp, *metrics, "metrics_addr"});
    add_feed_ports(block, facts);
    if (const auto key = public_key_of_block(block); !key.is_null()) facts.public_key = key;
    if (block.has("redis")) {
        if (const auto url = store::RedisUrl::parse(block.text("redis")))
            facts.database = {url->to_string(), std::string(role), "redis"};
    }
    return facts;
}

}  // namespace skywire::services
