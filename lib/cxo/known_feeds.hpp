#pragma once

#include <cstdint>
#include <span>
#include <string_view>

/// The feeds that the services of a deployment publish, each under the service's own key:
/// spec/cxo.md section 10.
namespace skywire::cxo {

struct KnownFeed {
    /// What consumers call it: "sd-services".
    std::string_view name;
    /// The type of the service whose key signs it.
    std::string_view publisher;
    /// The dmsg port, where the service's block says nothing else.
    std::uint16_t port = 0;
    /// The member of the block that says so.
    std::string_view port_key;
    /// All its leaves lie below; "" where they begin at the top.
    std::string_view prefix;
    /// For people, one line.
    std::string_view what;
};

inline constexpr std::string_view kServicesFeed = "sd-services";
inline constexpr std::string_view kClientsFeed = "dmsgd-clients-by-server";
inline constexpr std::string_view kTransportsFeed = "tpd-all-transports";
inline constexpr std::string_view kUptimeFeed = "tpd-uptime";
inline constexpr std::string_view kMetricsFeed = "tpd-metrics";
inline constexpr std::string_view kBindingsFeed = "ar-bindings";

std::span<const KnownFeed> known_feeds() noexcept;

/// Null where there is none of that name.
const KnownFeed* find_known_feed(std::string_view name) noexcept;

/// One of the constants above: SKY_ASSERT.
const KnownFeed& known_feed(std::string_view name) noexcept;

}  // namespace skywire::cxo
