#include "cxo/known_feeds.hpp"

#include "base/assert.hpp"

#include <algorithm>
#include <array>

namespace skywire::cxo {
namespace {

constexpr std::array<KnownFeed, 6> kFeeds{{
    {kServicesFeed, "service-discovery", 53, "cxo_port", "services", "services by their type"},
    {kClientsFeed,
     "dmsg-discovery",
     54,
     "cxo_port",
     "clients-by-server",
     "dmsg clients by their servers, and the servers"},
    {kTransportsFeed, "transport-discovery", 55, "cxo_port", "transports/all", "all transports"},
    {kUptimeFeed,
     "transport-discovery",
     52,
     "cxo_uptime_port",
     "uptimes/days",
     "which visors were there when"},
    {kMetricsFeed,
     "transport-discovery",
     51,
     "cxo_metrics_port",
     "metrics/day",
     "traffic and latency of transports, by day"},
    {kBindingsFeed, "address-resolver", 56, "cxo_port", "", "where visors can be dialled"},
}};

}  // namespace

std::span<const KnownFeed> known_feeds() noexcept {
    return kFeeds;
}

const KnownFeed* find_known_feed(std::string_view name) noexcept {
    const auto found = std::find_if(kFeeds.begin(), kFeeds.end(), [name](const KnownFeed& feed) {
        return feed.name == name;
    });
    return found == kFeeds.end() ? nullptr : &*found;
}

const KnownFeed& known_feed(std::string_view name) noexcept {
    const KnownFeed* const feed = find_known_feed(name);
    SKY_ASSERT(feed != nullptr);
    return *feed;
}

}  // namespace skywire::cxo
