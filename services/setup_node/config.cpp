#include "services/setup_node/config.hpp"

#include "base/assert.hpp"
#include "http/client.hpp"
#include "services/common/common_fields.hpp"

namespace skywire::setup_node {
namespace {

using framework::Block;
using framework::FieldKind;
using framework::FieldTable;

constexpr std::string_view kDmsgScheme = "dmsg://";

FieldTable own_fields() {
    return {
        services::block_file_field(),
        {.name = "public_key",
         .kind = FieldKind::public_key,
         .description = "The setup-node's key on dmsg; follows from secret_key."},
        {.name = "secret_key",
         .kind = FieldKind::secret_key,
         .description = "The setup-node's secret key.",
         .secret = true},
        services::dmsg_client_field(),
        {.name = "dmsg_port",
         .kind = FieldKind::integer,
         .description = "dmsg port of GET /health and GET /stats.",
         .default_json = "80",
         .min = 1,
         .max = 65535},
        {.name = "transport_discovery",
         .kind = FieldKind::url,
         .description = "Where it is looked up whether a route's far end has its transport, "
                        "http:// or dmsg://; used where no transport-discovery runs in this "
                        "process."},
        {.name = "transport_discovery_dmsg",
         .kind = FieldKind::url,
         .description = "The same over dmsg, where transport_discovery is not set.",
         .choices = {"dmsg"}},
        services::metrics_addr_field(),
        {.name = "max_setups",
         .kind = FieldKind::integer,
         .description = "Routes that are set up or unwound at one time.",
         .default_json = "512",
         .min = 1,
         .max = 100'000},
        {.name = "max_setups_per_visor",
         .kind = FieldKind::integer,
         .description = "The same for one visor that asks.",
         .default_json = "16",
         .min = 1,
         .max = 100'000},
        {.name = "max_hops",
         .kind = FieldKind::integer,
         .description = "Hops of a route, one way.",
         .default_json = "50",
         .min = 1,
         .max = 100},
        {.name = "request_timeout",
         .kind = FieldKind::duration,
         .description = "For a route to be set up.",
         .default_json = R"("30s")",
         .min = 1},
    };
}

FieldTable legacy_fields() {
    return {
        services::pprof_mode_field(),
        services::pprof_addr_field(),
        services::tag_field(),
        services::legacy_field(
            "transport", FieldKind::any, "belongs to set-up over transports, which is not offered"
        ),
        services::legacy_field(
            "cascade", FieldKind::any, "belongs to cascaded set-up, which is not offered"
        ),
    };
}

}  // namespace

FieldTable config_fields() {
    return framework::joined(own_fields(), legacy_fields());
}

void check_config(const Block& block, framework::Problems& problems) {
    services::check_identity(block, "a setup-node", problems);
    services::check_dmsg(block, problems);
    services::check_discovery_given(
        block, "a setup-node needs dmsg.discovery, where visors look it up", problems
    );
    const std::string url = block.text("transport_discovery");
    if (!url.empty() && !url.starts_with(kDmsgScheme)) {
        if (const auto parsed = http::Url::parse(url); !parsed)
            problems.push_back(block.problem("transport_discovery", parsed.error().message()));
    }
}

Config read_config(const Block& block) {
    services::CommonConfig common;
    common.secret_key = block.secret_key("secret_key");
    common.public_key = services::public_key_of_block(block);
    auto dmsg = services::dmsg_config(block, common);
    SKY_ASSERT(dmsg.has_value());
    Config config(std::move(*dmsg));
    config.transport_discovery = block.text("transport_discovery");
    if (config.transport_discovery.empty())
        config.transport_discovery = block.text("transport_discovery_dmsg");
    config.metrics_addr = block.address("metrics_addr");
    config.options.setups_max = static_cast<std::size_t>(block.integer("max_setups"));
    config.options.setups_per_caller_max =
        static_cast<std::size_t>(block.integer("max_setups_per_visor"));
    config.options.route.hops_max = static_cast<std::size_t>(block.integer("max_hops"));
    config.options.request_timeout =
        std::chrono::duration_cast<std::chrono::milliseconds>(block.duration("request_timeout"));
    return config;
}

framework::BlockFacts config_facts(const Block& block) {
    framework::BlockFacts facts;
    if (const auto metrics = block.address("metrics_addr"))
        facts.ports.push_back({framework::PortUse::Transport::tcp, *metrics, "metrics_addr"});
    if (const auto key = services::public_key_of_block(block); !key.is_null())
        facts.public_key = key;
    return facts;
}

}  // namespace skywire::setup_node
