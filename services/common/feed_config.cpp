#include "services/common/feed_config.hpp"

#include "cxo/known_feeds.hpp"
#include "dmsg/control.hpp"

#include <map>
#include <string>

#include <fmt/format.h>

namespace skywire::services {
namespace {

using framework::Block;
using framework::FieldKind;

constexpr std::string_view kEnabled = "enable_cxo";
constexpr std::string_view kTcp = "cxo_tcp_addr";
constexpr std::string_view kIn = "cxo_in_port";
constexpr std::string_view kLayout = "feed_layout";
constexpr std::string_view kNewest = "newest";
constexpr std::string_view kOld = "old";
constexpr std::string_view kBoth = "both";

/// Newest where the service knows no other.
FeedLayout layout_of(const Block& block) {
    if (!block.knows(kLayout)) return FeedLayout::newest;
    const std::string text = block.text(kLayout);
    if (text == kOld) return FeedLayout::old;
    return text == kBoth ? FeedLayout::both : FeedLayout::newest;
}

}  // namespace

framework::Field feed_port_field(
    std::string_view key, std::string_view port_json, std::string_view description
) {
    return {
        .name = key,
        .kind = FieldKind::integer,
        .description = description,
        .default_json = port_json,
        .min = 0,
        .max = 65535
    };
}

framework::Field feed_in_port_field(std::string_view port_json, std::string_view description) {
    return feed_port_field(kIn, port_json, description);
}

framework::FieldTable feed_fields(std::string_view port_json) {
    return {
        {.name = kEnabled,
         .kind = FieldKind::boolean,
         .description = "Publish what the service knows as feeds (CXO), to who subscribes.",
         .default_json = "true"},
        feed_port_field(
            "cxo_port",
            port_json,
            "dmsg port of the feed; readers of the existing network know no other than the "
            "default. 0 is not over dmsg."
        ),
        {.name = kTcp,
         .kind = FieldKind::address,
         .description = "Where the same feed is served over plain TCP, for readers that are not on "
                        "dmsg; nobody there proves who he is. Empty is off."},
    };
}

framework::Field feed_layout_field(std::string_view description, bool both) {
    framework::Field field{
        .name = kLayout,
        .kind = FieldKind::choice,
        .description = description,
        .default_json = R"("newest")",
        .choices = {kNewest, kOld}
    };
    if (both) field.choices.push_back(kBoth);
    return field;
}

void check_feed_ports(
    const Block& block, std::initializer_list<std::string_view> keys, framework::Problems& problems
) {
    std::map<std::int64_t, std::string_view> taken{
        {block.integer("dmsg_port"), "HTTP (dmsg_port)"}, {dmsg::kControlPort, "control messages"}
    };
    for (const std::string_view key : keys) {
        const std::int64_t port = block.integer(key);
        if (port == 0) continue;
        const auto [at, free] = taken.emplace(port, key);
        if (free) continue;
        problems.push_back(
            block.problem(key, fmt::format("{}: dmsg port {} is that of {}", key, port, at->second))
        );
    }
}

std::optional<FeedConfig> feed_config(const Block& block, std::string_view feed) {
    const cxo::KnownFeed& known = cxo::known_feed(feed);
    if (!block.boolean(kEnabled) || !block.secret_key("secret_key")) return std::nullopt;
    FeedConfig config;
    config.port = static_cast<std::uint16_t>(block.integer(known.port_key));
    if (known.port_key == "cxo_port") config.tcp = block.address(kTcp);
    if (config.port == 0 && !config.tcp) return std::nullopt;
    config.layout = layout_of(block);
    return config;
}

std::uint16_t feed_in_port(const Block& block) {
    if (!block.boolean(kEnabled) || !block.secret_key("secret_key")) return 0;
    return static_cast<std::uint16_t>(block.integer(kIn));
}

void add_feed_ports(const Block& block, framework::BlockFacts& facts) {
    if (!block.knows(kTcp) || !block.has(kTcp)) return;
    if (const auto address = block.address(kTcp))
        facts.ports.push_back({framework::PortUse::Transport::tcp, *address, std::string(kTcp)});
}

}  // namespace skywire::services
