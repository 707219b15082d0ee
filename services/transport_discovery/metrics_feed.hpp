#pragma once

#include "crypto/hash.hpp"
#include "services/common/feed_host.hpp"
#include "services/transport_discovery/feed_pace.hpp"
#include "services/transport_discovery/metrics_windows.hpp"
#include "services/transport_discovery/traffic.hpp"

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

/// The content of the feed tpd-metrics: spec/cxo.md section 10.
namespace skywire::tpd {

/// `metrics/day/DATE` for today and the 29 days before, as far as something was told of them, and
/// for today always: what GET /metrics with edges has of that day, as gzip; where that is more than
/// `leaf_max`, as `metrics/day/DATE/part/0000` and so on. Days that are over do not change any
/// more, so on them nothing is `live`. In the old layout instead, and with both beside that, the
/// leaves of MetricsWindows.
class MetricsContent final : public services::FeedContent {
 public:
    static constexpr int kDays = 30;
    /// Above it readers of the network expect parts.
    static constexpr std::size_t kLeafMax = std::size_t{12} << 20;

    /// Both outlive it.
    MetricsContent(
        const net::Context& context,
        Traffic& traffic,
        Transports& transports,
        services::FeedLayout layout = services::FeedLayout::newest,
        std::size_t leaf_max = kLeafMax
    );

    Task<Result<std::vector<cxo::Change>>> changes() override;
    /// Transports end without a note, and others write the store.
    Duration period() const override { return std::chrono::seconds(30); }
    /// All of today is sent again with each version: the larger it is, the longer.
    Duration pause() const override;

 private:
    /// A day as it was told.
    struct Told {
        TrafficDayPtr day;
        /// Of today: which transports there were.
        std::uint64_t table = 0;
        bool was_today = false;
        /// Of its text.
        crypto::Digest digest{};
        std::vector<std::string> paths;
    };
    using Days = std::map<services::Date, Told>;

    Task<Result<>> add_days(Days& told, std::vector<cxo::Change>& changes);
    Task<Result<>> add_day(services::Date date, Days& told, std::vector<cxo::Change>& changes);
    Task<std::string> text_of(TrafficDayPtr day, std::size_t from, std::size_t to, bool live);
    Task<Result<std::vector<Bytes>>> pack(TrafficDayPtr day, std::string text, bool live);

    net::Context context_;
    Traffic& traffic_;
    Transports& transports_;
    services::FeedLayout layout_;
    std::size_t leaf_max_;
    Days told_;
    /// Of today's leaves.
    LeafCost cost_;
    /// Of the old layout.
    std::optional<MetricsWindows> windows_;
};

}  // namespace skywire::tpd
