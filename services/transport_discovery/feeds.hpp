#pragma once

#include "crypto/hash.hpp"
#include "services/common/feed_host.hpp"
#include "services/transport_discovery/feed_pace.hpp"
#include "services/transport_discovery/live_figures.hpp"
#include "services/transport_discovery/reports.hpp"
#include "services/transport_discovery/transports.hpp"
#include "services/transport_discovery/uptimes.hpp"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

/// The contents of the feeds of transports and uptimes: spec/cxo.md section 10. That of metrics is
/// in metrics_feed.hpp.
namespace skywire::tpd {

/// tpd-all-transports: `transports/all/with-self` and `transports/all/without-self`, arrays of
/// entries as gzip, without their ids, which follow from the rest, and with what visors tell of
/// them: `latency_ms`, `bandwidth` and `throughput_bps`, each where there is something to tell
/// (live_figures.hpp). The same in each layout.
///
/// Both are made anew when a list has changed; in a large network seldom enough to cost a twentieth
/// of the loop's time. Figures alone, which change all the time, are looked at by the pace of large
/// leaves (feed_pace.hpp); between two looks those of the last one are told.
class TransportsContent final : public services::FeedContent {
 public:
    /// Both outlive it.
    TransportsContent(const net::Context& context, Transports& transports, Traffic& traffic)
        : context_(context), transports_(transports), figures_(context, traffic) {}

    Task<Result<std::vector<cxo::Change>>> changes() override;
    Duration pause() const override;

 private:
    struct Lists {
        std::string with_self;
        std::string without_self;
    };
    Task<Result<>> look_at_figures();
    Task<Lists> render();

    net::Context context_;
    Transports& transports_;
    LiveFigures figures_;
    SteadyTime figures_due_{};
    /// Figures that were not told yet.
    bool figures_changed_ = false;
    /// Of the lists that were told.
    std::optional<std::uint64_t> told_;
    LeafCost cost_;
};

/// tpd-uptime: `uptimes/days/WINDOW/KEY` for the windows of 1, 7 and 30 days, a JSON object for
/// each visor. Once a minute, what has changed. (Days before the last seven are not kept.)
///
/// In the old layout `uptimes/days/WINDOW`, a list of all visors as GET /uptimes?v=v3 has it. A
/// leaf cannot stand where there is a directory: `both` is the newest.
class UptimeContent final : public services::FeedContent {
 public:
    using IsOn = std::function<bool(const VisorUptime&)>;

    /// `uptimes` outlives it; `is_on` as in the answers of HTTP.
    UptimeContent(
        const net::Context& context,
        Transports& transports,
        Uptimes& uptimes,
        IsOn is_on,
        services::FeedLayout layout = services::FeedLayout::newest
    );

    Task<Result<std::vector<cxo::Change>>> changes() override;
    Duration period() const override { return std::chrono::minutes(1); }

 private:
    using Visors = services::VisorUptimes::Visors;
    /// Digests of leaves by their paths.
    using Told = std::map<std::string, crypto::Digest>;

    Task<> add_leaves(Visors visors, Told& told, std::vector<cxo::Change>& changes);
    Task<> add_lists(Visors visors, Told& told, std::vector<cxo::Change>& changes);
    void add(std::string path, Bytes leaf, Told& told, std::vector<cxo::Change>& changes) const;
    Task<std::string> list_of(Visors visors, Date first);

    net::Context context_;
    Transports& transports_;
    Uptimes& uptimes_;
    IsOn is_on_;
    services::FeedLayout layout_;
    Told told_;
};

}  // namespace skywire::tpd
