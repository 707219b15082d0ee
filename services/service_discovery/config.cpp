#include "services/service_discovery/config.hpp"

namespace skywire::service_discovery {

using framework::Block;
using framework::Field;
using framework::FieldKind;

namespace {

constexpr std::chrono::minutes kEntryTimeout{5};

Field default_geo_field() {
    return {
        .name = "default_geo",
        .kind = FieldKind::object,
        .description =
            "Where a visor is that does not say so and whose address the geo service "
            "does not know: for closed networks. Without it such a visor is listed "
            "without a place, and refused as type visor.",
        .members =
            {{.name = "lat",
              .kind = FieldKind::number,
              .description = "Degrees north.",
              .min = -90,
              .max = 90},
             {.name = "lon",
              .kind = FieldKind::number,
              .description = "Degrees east.",
              .min = -180,
              .max = 180},
             {.name = "country", .kind = FieldKind::string, .description = "Two letters: \"DE\"."},
             {.name = "region", .kind = FieldKind::string, .description = "Of the country."}}
    };
}

}  // namespace

framework::FieldTable config_fields() {
    return framework::joined(
        services::common_fields({.addr_json = R"(":9098")", .entry_timeout_json = R"("5m")"}),
        {
            {.name = "whitelist_keys",
             .kind = FieldKind::list,
             .description = "Keys whose holders may deregister entries (header NM-PK).",
             .element = FieldKind::public_key},
            {.name = "geoip",
             .kind = FieldKind::url,
             .description = "Geo service that is asked, as URL/?ip=IP, for the place of entries "
                            "that have none; empty is off."},
            default_geo_field(),
            {.name = "held_timeout",
             .kind = FieldKind::duration,
             .description = "How long an entry that its visor does not renew lives after the "
                            "visor's last sign of life; 0 is for ever.",
             .default_json = R"("24h")",
             .min = 0},
            services::dmsg_client_field(),
            {.name = "enable_cxo",
             .kind = FieldKind::boolean,
             .description = "Publish the entries as a feed.",
             .legacy = "asks for the CXO feed, which is not published"},
        }
    );
}

void check_config(const Block& block, framework::Problems& problems) {
    services::check_common(block, problems);
    services::check_store(block, problems);
    services::check_dmsg(block, problems);
    if (!block.has("geoip")) return;
    if (!http::Url::parse(block.text("geoip"))) {
        problems.push_back(block.warning(
            "geoip", "geoip: only http:// is spoken: no address is looked up, see default_geo"
        ));
    }
}

Config read_config(const Block& block) {
    Config config;
    config.common = services::common_config(block);
    if (config.common.entry_timeout == Duration(0)) config.common.entry_timeout = kEntryTimeout;
    config.store = services::store_config(block);
    config.dmsg = services::dmsg_config(block, config.common);
    for (const auto& key : block.public_keys("whitelist_keys"))
        if (!key.is_null()) config.whitelist.push_back(key.to_text());
    config.geo.url = block.text("geoip");
    if (block.has("default_geo")) {
        const Block place = block.object("default_geo");
        config.geo.fallback = Geo{
            place.number("lat"), place.number("lon"), place.text("country"), place.text("region")
        };
    }
    config.held_timeout = block.duration("held_timeout");
    return config;
}

}  // namespace skywire::service_discovery
