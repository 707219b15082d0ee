#include "services/service_discovery/config.hpp"

#include "cxo/known_feeds.hpp"

#include <utility>

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
    framework::FieldTable own = framework::joined(
        services::common_fields({.addr_json = R"(":9098")", .entry_timeout_json = R"("5m")"}),
        {
            services::whitelist_field("Keys whose holders may deregister entries (header NM-PK)."),
            {.name = "geoip",
             .kind = FieldKind::url,
             .description = "Geo service that is asked, as URL/?ip=IP, for the place of entries "
                            "that have none; empty is off."},
            default_geo_field(),
            services::held_timeout_field(
                "How long an entry that its visor does not renew lives after the "
                "visor's last sign of life; 0 is for ever."
            ),
            services::dmsg_client_field(),
            services::feed_in_port_field(
                "68",
                "dmsg port where visors publish their services instead of posting them; 0 is "
                "nowhere."
            ),
            services::feed_layout_field(
                "Leaves of the feed: newest (a list for each type), old (one for each entry, for "
                "readers from before mid-2026) or both.",
                /*both=*/true
            ),
        }
    );
    return framework::joined(std::move(own), services::feed_fields("53"));
}

void check_config(const Block& block, framework::Problems& problems) {
    services::check_common(block, problems);
    services::check_dmsg(block, problems);
    services::check_feed_ports(block, {"cxo_port", "cxo_in_port"}, problems);
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
    config.whitelist = services::whitelist_of(block);
    config.geo.url = block.text("geoip");
    if (block.has("default_geo")) {
        const Block place = block.object("default_geo");
        config.geo.fallback = Geo{
            place.number("lat"), place.number("lon"), place.text("country"), place.text("region")
        };
    }
    config.held_timeout = block.duration("held_timeout");
    config.feed = services::feed_config(block, cxo::kServicesFeed);
    config.feed_in_port = services::feed_in_port(block);
    return config;
}

}  // namespace skywire::service_discovery
