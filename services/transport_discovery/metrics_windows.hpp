#pragma once

#include "crypto/hash.hpp"
#include "cxo/leaf.hpp"
#include "services/common/feed_host.hpp"
#include "services/transport_discovery/traffic.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace skywire::tpd {

/// The older leaves of the feed tpd-metrics, `metrics/days/1`, `/7` and `/30`: what GET /metrics
/// with edges has of so many days, today included, as gzip. spec/cxo.md section 10,
/// spec/services-http.md section 4.4.
///
/// A leaf is made anew when there is something new and it has rested (feed_pace.hpp): at most as
/// long as the network's own publisher takes between two, a minute, five and thirty. They have no
/// parts: one that is too large for a leaf is refused by the feed, and not there.
class MetricsWindows {
 public:
    /// Both outlive it.
    MetricsWindows(
        const net::Context& context,
        Traffic& traffic,
        Transports& transports,
        std::size_t text_max = cxo::kUnpackedMax
    )
        : context_(context), traffic_(traffic), transports_(transports), text_max_(text_max) {}

    /// Adds what has changed since the last time, all of it at first; after an error nothing is
    /// added, and nothing lost. Errors are the store's.
    Task<Result<>> add(std::vector<cxo::Change>& changes);

 private:
    struct Window {
        int days = 0;
        Duration rest_max{0};
        SteadyTime due{};
        /// Of what was told.
        std::vector<TrafficDayPtr> of;
        std::uint64_t table = 0;
        std::optional<crypto::Digest> digest;
    };

    Task<Result<std::vector<TrafficDayPtr>>> days_of(int count);
    Task<Result<>> renew(Window& window, std::vector<cxo::Change>& changes);
    Task<std::optional<std::string>> text_of(std::vector<TrafficDayPtr> days);

    net::Context context_;
    Traffic& traffic_;
    Transports& transports_;
    std::size_t text_max_;
    std::array<Window, 3> windows_{
        Window{1, std::chrono::minutes(1), {}, {}, 0, {}},
        Window{7, std::chrono::minutes(5), {}, {}, 0, {}},
        Window{30, std::chrono::minutes(30), {}, {}, 0, {}},
    };
};

}  // namespace skywire::tpd
