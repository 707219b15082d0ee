#pragma once

#include "cxo/telemetry.hpp"
#include "net/context.hpp"
#include "services/transport_discovery/traffic_day.hpp"
#include "services/transport_discovery/transports.hpp"

#include <array>
#include <functional>
#include <map>
#include <vector>

/// Traffic and latency of transports by days, as their edges tell them: which samples are taken,
/// what becomes of them, how long they are kept. spec/services-http.md sections 4.2 to 4.4.
///
/// A sample has the counters of an edge since it began to count. What they have grown by since its
/// last one belongs to the day on which it came; counters that are lower began anew, and count
/// whole, as those of an edge do that has told nothing for a week. Counters and days lie in the
/// store side by side, written together and by the edge they are of alone, so that nothing is
/// counted twice: not after a restart, and not where several of these services share a store and
/// the edge speaks to more than one.
namespace skywire::tpd {

/// What came of a sample.
enum class SampleOutcome {
    taken,
    /// Told before.
    same,
    /// By the visor's clock from before its last one: what is late, or said again by somebody who
    /// has not heard the newer.
    older,
    /// Twice in one list.
    duplicate,
    /// More than a day from now, by the visor's clock.
    wrong_time,
    /// Not registered, and never told of before.
    unknown_transport,
    /// The visor is no edge of it.
    not_an_edge,
    /// The visor has too many transports.
    too_many,
    /// Too much is kept for today.
    full,
};
inline constexpr std::array kSampleOutcomes{
    SampleOutcome::taken,
    SampleOutcome::same,
    SampleOutcome::older,
    SampleOutcome::duplicate,
    SampleOutcome::wrong_time,
    SampleOutcome::unknown_transport,
    SampleOutcome::not_an_edge,
    SampleOutcome::too_many,
    SampleOutcome::full,
};
std::string_view name_of(SampleOutcome outcome) noexcept;

/// Used on the store's event loop. All errors are the store's.
class Traffic {
 public:
    static constexpr int kDaysMax = 35;
    /// Transports of one edge.
    static constexpr std::size_t kTransportsMax = 2048;
    /// Edges that tell something on one day. Those that did in the week before may have all of it,
    /// others half.
    static constexpr std::size_t kEdgesMax = 4096;

    struct Options {
        /// Kept, today included; at most kDaysMax.
        int days = kDaysMax;
        /// An edge's word of a transport on a day is a report: the most that are kept. The oldest
        /// days go first; today may have half of it, and where half of that is there an edge may
        /// have its part, the same for kEdgesMax of them.
        std::size_t reports_max = 1'000'000;
        /// Other processes write the store, too.
        bool shared = false;
    };

    /// All outlive it.
    Traffic(
        const net::Context& context, store::Store& store, Transports& transports, Options options
    );

    /// Told when there is something new of today.
    void on_change(std::function<void()> changed) { changed_ = std::move(changed); }

    struct Taken {
        /// Transports with a new sample.
        std::vector<transport::TransportId> fresh;
        /// One at least was this edge's to tell.
        bool known = false;
        /// Some are to be offered again: they may be registered a little later.
        bool again = false;
        /// Nothing was taken: somebody else tells of the same edge at the same time.
        bool contended = false;
    };
    /// All that an edge has to tell, in any order.
    Task<Result<Taken>> take(crypto::PublicKey edge, std::vector<cxo::TelemetryRow> rows);

    /// A day of those that are kept; an empty one of others. Today's is some seconds old at most,
    /// half a minute where others write the store.
    Task<Result<TrafficDayPtr>> day(services::Date date);
    /// With all that was told here, for a caller who has a pace of his own.
    Task<Result<TrafficDayPtr>> newest(services::Date date);
    /// The last days, today included, in order; 0: all.
    Task<Result<std::vector<TrafficDayPtr>>> last_days(int count);

    services::Date today() const;
    int days() const noexcept { return options_.days; }

    /// Takes days off that are over their time or their number; once an hour.
    Task<Result<>> sweep();

 private:
    struct Sample {
        cxo::TelemetryRow row;
        /// Nothing where the transport is not registered.
        std::optional<Seen> transport;
    };
    struct Held {
        TrafficDayPtr day;
        SteadyTime read_at{};
        WallTime read_wall{};
        /// Written since it was read.
        bool changed = false;
        /// Numbers those who read it: only who began last knows it.
        std::uint64_t reading = 0;
        std::size_t reports = 0;
        std::size_t edges = 0;
    };
    class Reading;
    /// What an edge has told already.
    struct Edge {
        bool told_today = false;
        bool told_before = false;
        /// Today, and how many of them are not stored yet.
        std::size_t reports = 0;
        std::size_t more = 0;
    };
    using Tally = std::array<std::uint64_t, kSampleOutcomes.size()>;
    /// What an edge has in the store, on the way to be written again.
    struct Ledger {
        std::map<transport::TransportId, LastCounters> last;
        std::map<transport::TransportId, DayReport> day;
        std::size_t reports_before = 0;
    };

    std::vector<Sample> judge(
        const crypto::PublicKey& edge, const std::vector<cxo::TelemetryRow>& rows, Tally& tally
    ) const;
    Task<Result<bool>> add(
        crypto::PublicKey edge, std::vector<Sample> samples, Taken& taken, Tally& tally
    );
    Ledger read(const std::optional<std::string>& last, const std::optional<std::string>& day);
    SampleOutcome add_sample(Ledger& ledger, const Sample& sample, bool full);
    void trim(LastList& last) const;
    bool is_full(services::Date date, const Edge& edge) const;
    bool is_kept(services::Date date) const;
    bool is_fresh(services::Date date, const Held& held) const;
    Task<Result<TrafficDayPtr>> read_day(services::Date date);
    Task<Result<TrafficDayPtr>> load(services::Date date);
    Task<Result<>> forget_day(services::Date date);
    std::uint32_t unix_now() const;

    net::Context context_;
    store::Store& store_;
    Transports& transports_;
    Options options_;
    std::function<void()> changed_;
    std::map<services::Date, Held> days_;
    std::array<Counter*, kSampleOutcomes.size()> outcomes_{};
    Counter& wrong_latency_;
    Counter& unreadable_;
    Gauge& reports_;
};

}  // namespace skywire::tpd
