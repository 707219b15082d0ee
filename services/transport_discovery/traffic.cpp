#include "services/transport_discovery/traffic.hpp"

#include "store/members.hpp"
#include "store/pieces.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

namespace skywire::tpd {
namespace {

using namespace std::chrono_literals;
using cxo::TelemetryRow;
using services::Date;
using transport::TransportId;

constexpr int kAttempts = 3;
/// Of a visor's clock against ours. A sample that is older is of another day, and would be counted
/// as of today.
constexpr std::int64_t kTimeOffMax = 24 * 3600;
/// A day is read again at most so often: all of it costs tens of milliseconds in a large network.
constexpr Duration kAgeMin = 5s;
/// Others' writes are seen so much later.
constexpr Duration kSharedAgeMax = 30s;
/// What was begun before midnight is written by then.
constexpr Duration kDayOver = 2min;
/// Of counters of an edge that tells nothing: what there is of many that came once ends by itself.
constexpr Duration kLastLifetime = std::chrono::days(7);
/// So many reports are put together by a worker.
constexpr std::size_t kOwnLoopMax = 5'000;
/// In milliseconds; above it is no round trip.
constexpr float kLatencyMax = 3'600'000;

std::uint32_t microseconds(float milliseconds) {
    const double value = std::round(static_cast<double>(milliseconds) * 1000);
    // What was measured is not nothing.
    return static_cast<std::uint32_t>(std::max(value, 1.0));
}

/// Nothing where it is impossible; no samples where nothing was measured.
std::optional<Latency> latency_of(const TelemetryRow& row) {
    if (row.latency_avg == 0) return Latency();
    // Older builds tell the mean alone.
    const float min = row.latency_min == 0 ? row.latency_avg : row.latency_min;
    const float max = row.latency_max == 0 ? row.latency_avg : row.latency_max;
    if (min > row.latency_avg || max < row.latency_avg || max > kLatencyMax) return std::nullopt;
    return Latency{microseconds(min), microseconds(max), microseconds(row.latency_avg), 1};
}

/// In whole numbers; more than any transport carries is cut.
std::uint64_t throughput_of(const TelemetryRow& row) {
    constexpr double kMax = 1e15;
    const double told = std::min(static_cast<double>(row.throughput), kMax);
    return static_cast<std::uint64_t>(std::llround(told));
}

/// What a counter has grown by.
std::uint64_t grown(std::uint64_t now, std::uint64_t before) noexcept {
    return now < before ? now : now - before;
}

Counter& outcome_counter(Metrics& metrics, SampleOutcome outcome) {
    return metrics.counter(
        "transport_discovery_telemetry_samples_total",
        "Samples of traffic in feeds of visors, by what came of them.",
        {{"outcome", std::string(name_of(outcome))}}
    );
}

template <class Element>
std::vector<Element> values_of(std::map<TransportId, Element> map) {
    std::vector<Element> values;
    values.reserve(map.size());
    for (auto& [id, value] : map)
        values.push_back(std::move(value));
    return values;
}

}  // namespace

std::string_view name_of(SampleOutcome outcome) noexcept {
    switch (outcome) {
        case SampleOutcome::taken:
            return "taken";
        case SampleOutcome::same:
            return "same";
        case SampleOutcome::older:
            return "older";
        case SampleOutcome::duplicate:
            return "duplicate";
        case SampleOutcome::wrong_time:
            return "wrong_time";
        case SampleOutcome::unknown_transport:
            return "unknown_transport";
        case SampleOutcome::not_an_edge:
            return "not_an_edge";
        case SampleOutcome::too_many:
            return "too_many";
        case SampleOutcome::full:
            return "full";
    }
    return "unknown";
}

Traffic::Traffic(
    const net::Context& context, store::Store& store, Transports& transports, Options options
)
    : context_(context),
      store_(store),
      transports_(transports),
      options_(options),
      wrong_latency_(context.metrics.counter(
          "transport_discovery_telemetry_wrong_latency_total",
          "Samples whose latency cannot be; the rest of them was taken."
      )),
      unreadable_(context.metrics.counter(
          "transport_discovery_traffic_unreadable_total",
          "Stored figures of traffic that could not be read and were passed over."
      )),
      reports_(context.metrics.gauge(
          "transport_discovery_traffic_reports",
          "What edges have told of transports, each for a day: how much of it is kept."
      )) {
    options_.days = std::clamp(options_.days, 1, kDaysMax);
    for (const SampleOutcome outcome : kSampleOutcomes)
        outcomes_[static_cast<std::size_t>(outcome)] = &outcome_counter(context.metrics, outcome);
}

Date Traffic::today() const {
    return std::chrono::floor<std::chrono::days>(context_.clock.wall());
}

std::uint32_t Traffic::unix_now() const {
    const auto since = std::chrono::floor<std::chrono::seconds>(context_.clock.wall());
    return static_cast<std::uint32_t>(
        std::clamp<std::int64_t>(since.time_since_epoch().count(), 0, 0xffff'ffff)
    );
}

// ---------------------------------------------------------------- taking

std::vector<Traffic::Sample> Traffic::judge(
    const crypto::PublicKey& edge, const std::vector<TelemetryRow>& rows, Tally& tally
) const {
    const auto count = [&](SampleOutcome outcome) { ++tally[static_cast<std::size_t>(outcome)]; };
    const std::int64_t now = unix_now();
    std::vector<Sample> samples;
    samples.reserve(std::min(rows.size(), kTransportsMax));
    std::set<TransportId> seen;
    for (const TelemetryRow& row : rows) {
        if (!seen.insert(TransportId{row.transport}).second) {
            count(SampleOutcome::duplicate);
            continue;
        }
        if (row.sampled != 0 && std::abs(now - std::int64_t{row.sampled}) > kTimeOffMax) {
            count(SampleOutcome::wrong_time);
            continue;
        }
        Sample sample{row, std::nullopt};
        const Record* record = transports_.table().find(TransportId{row.transport});
        if (record != nullptr) {
            const transport::Entry& entry = record->entry;
            if (!entry.has_edge(edge)) {
                count(SampleOutcome::not_an_edge);
                continue;
            }
            const std::size_t other = entry.edges[0] == edge ? 1 : 0;
            sample.transport = Seen{entry.id, EdgeKey(entry.edges[other]), entry.type};
        }
        if (samples.size() == kTransportsMax) {
            count(SampleOutcome::too_many);
            continue;
        }
        samples.push_back(std::move(sample));
    }
    return samples;
}

Task<Result<Traffic::Taken>> Traffic::take(crypto::PublicKey edge, std::vector<TelemetryRow> rows) {
    if (const auto synced = co_await transports_.sync(); !synced) co_return synced.error();
    Tally judged{};
    const std::vector<Sample> samples = judge(edge, rows, judged);
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
        Taken taken;
        Tally tally = judged;
        const auto written = co_await add(edge, samples, taken, tally);
        if (!written) co_return written.error();
        if (!*written) continue;
        for (std::size_t i = 0; i < tally.size(); ++i)
            outcomes_[i]->add(tally[i]);
        if (!taken.fresh.empty() && changed_) changed_();
        co_return taken;
    }
    Taken taken;
    taken.contended = true;
    co_return taken;
}

Traffic::Ledger Traffic::read(
    const std::optional<std::string>& last, const std::optional<std::string>& day
) {
    Ledger ledger;
    auto counters = last ? last_list_of(*last) : LastList();
    auto reports = day ? day_reports_of(*day) : DayReports();
    unreadable_.add((counters ? 0U : 1U) + (reports ? 0U : 1U));
    if (counters)
        for (LastCounters& each : *counters)
            ledger.last.emplace(each.transport.id, std::move(each));
    if (reports)
        for (DayReport& each : *reports)
            ledger.day.emplace(each.transport.id, std::move(each));
    ledger.reports_before = ledger.day.size();
    return ledger;
}

SampleOutcome Traffic::add_sample(Ledger& ledger, const Sample& sample, bool full) {
    const TelemetryRow& row = sample.row;
    const TransportId id{row.transport};
    const auto known = ledger.last.find(id);
    const bool told = known != ledger.last.end();
    // One that is not registered any more was once, by this edge.
    if (!sample.transport && !told) return SampleOutcome::unknown_transport;
    LastCounters last = told ? known->second : LastCounters();
    if (sample.transport) last.transport = *sample.transport;
    if (told && last.sent == row.sent && last.received == row.received &&
        last.sampled == row.sampled)
        return SampleOutcome::same;
    if (told && row.sampled != 0 && row.sampled < last.sampled) return SampleOutcome::older;
    if (full && !ledger.day.contains(id)) return SampleOutcome::full;
    DayReport& report = ledger.day[id];
    report.transport = last.transport;
    report.sent = added(report.sent, grown(row.sent, last.sent));
    report.received = added(report.received, grown(row.received, last.received));
    report.updated = unix_now();
    report.throughput = throughput_of(row);
    report.latency_last = 0;
    const auto latency = latency_of(row);
    if (latency) {
        report.latency.add(*latency);
        report.latency_last = latency->mean();
    } else {
        wrong_latency_.add();
    }
    last.sent = row.sent;
    last.received = row.received;
    last.sampled = row.sampled;
    last.seen = report.updated;
    ledger.last[id] = std::move(last);
    return SampleOutcome::taken;
}

/// The newest of them.
void Traffic::trim(LastList& last) const {
    if (last.size() <= kTransportsMax) return;
    std::sort(last.begin(), last.end(), [](const LastCounters& a, const LastCounters& b) {
        return a.seen > b.seen;
    });
    last.resize(kTransportsMax);
    std::sort(last.begin(), last.end(), [](const LastCounters& a, const LastCounters& b) {
        return a.transport.id < b.transport.id;
    });
}

bool Traffic::is_full(Date date, const Edge& edge) const {
    const auto found = days_.find(date);
    const std::size_t edges = found == days_.end() ? 0 : found->second.edges;
    const std::size_t held = found == days_.end() ? 0 : found->second.reports;
    const std::size_t edges_max = edge.told_before ? kEdgesMax : kEdgesMax / 2;
    if (!edge.told_today && edges >= edges_max) return true;
    // Of the second half of today's room each edge may have an equal part: who comes late has it
    // all the same.
    const std::size_t room = options_.reports_max / 2;
    const std::size_t reports = held + edge.more;
    if (reports < room / 2) return false;
    return reports >= room || edge.reports >= std::max<std::size_t>(room / 2 / kEdgesMax, 1);
}

Task<Result<bool>> Traffic::add(
    crypto::PublicKey edge, std::vector<Sample> samples, Taken& taken, Tally& tally
) {
    const std::string name = edge.to_text();
    const Date date = today();
    const std::string last_key = last_counters_key(name);
    const std::string day_key = traffic_key(name, date);
    const auto stored = co_await store_.get_many({last_key, day_key});
    if (!stored) co_return stored.error();
    Ledger ledger = read((*stored)[0], (*stored)[1]);
    const bool known_edge = (*stored)[1].has_value();
    for (const Sample& sample : samples) {
        const std::size_t reports = ledger.day.size();
        const std::size_t more = reports - ledger.reports_before;
        const Edge known{known_edge, (*stored)[0].has_value(), reports, more};
        const bool full = is_full(date, known) || more >= kTransportsMax;
        const SampleOutcome outcome = add_sample(ledger, sample, full);
        ++tally[static_cast<std::size_t>(outcome)];
        if (outcome == SampleOutcome::taken || outcome == SampleOutcome::same ||
            outcome == SampleOutcome::older)
            taken.known = true;
        if (outcome == SampleOutcome::taken) taken.fresh.push_back({sample.row.transport});
        if (outcome == SampleOutcome::unknown_transport) taken.again = true;
    }
    if (taken.fresh.empty()) co_return true;

    const std::size_t more = ledger.day.size() - ledger.reports_before;
    LastList last = values_of(std::move(ledger.last));
    trim(last);
    store::Batch batch;
    batch.expected.push_back({last_key, (*stored)[0]});
    batch.expected.push_back({day_key, (*stored)[1]});
    batch.changes.reserve(3);
    batch.changes.emplace_back(store::SetValue{last_key, write_traffic(last), kLastLifetime});
    batch.changes.emplace_back(store::SetValue{
        day_key,
        write_traffic(values_of(std::move(ledger.day))),
        std::chrono::days(options_.days + 1)
    });
    if (!known_edge) batch.changes.emplace_back(store::AddToSet{traffic_set_key(date), name});
    const auto applied = co_await store_.apply(std::move(batch));
    if (!applied || !*applied) co_return applied;
    Held& held = days_[date];
    held.changed = true;
    held.reports += more;
    held.edges += known_edge ? 0 : 1;
    co_return true;
}

// ---------------------------------------------------------------- reading

bool Traffic::is_kept(Date date) const {
    const Date last = today();
    // A calendar that was ahead has left days to come.
    return date <= last && date > last - std::chrono::days(options_.days);
}

bool Traffic::is_fresh(Date date, const Held& held) const {
    if (!held.day) return false;
    if (!held.changed && held.read_wall >= date + std::chrono::days(1) + kDayOver) return true;
    const Duration age = context_.clock.now() - held.read_at;
    if (age < kAgeMin) return true;
    return !held.changed && (!options_.shared || age < kSharedAgeMax);
}

Task<Result<TrafficDayPtr>> Traffic::day(Date date) {
    if (!is_kept(date)) co_return make_traffic_day(date, {});
    const auto found = days_.find(date);
    if (found != days_.end() && is_fresh(date, found->second)) co_return found->second.day;
    co_return co_await read_day(date);
}

Task<Result<TrafficDayPtr>> Traffic::newest(Date date) {
    const auto found = days_.find(date);
    if (found == days_.end() || !found->second.changed) co_return co_await day(date);
    co_return co_await read_day(date);
}

/// A reading of a day: until it is done there is something new of that day, however it ends.
class Traffic::Reading {
 public:
    Reading(Traffic& traffic, Date date) : traffic_(traffic), date_(date) {
        Held& held = traffic_.days_[date_];
        // Those who ask meanwhile get the one before.
        held.changed = false;
        held.read_at = traffic_.context_.clock.now();
        held.read_wall = traffic_.context_.clock.wall();
        number_ = ++held.reading;
    }
    ~Reading() {
        if (Held* const held = newest()) held->changed = true;
    }
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;

    /// Null where another one has begun since, or this one is done.
    Held* newest() const {
        const auto found = traffic_.days_.find(date_);
        const bool last = found != traffic_.days_.end() && found->second.reading == number_;
        return last && !done_ ? &found->second : nullptr;
    }
    void done() noexcept { done_ = true; }

 private:
    Traffic& traffic_;
    Date date_;
    std::uint64_t number_ = 0;
    bool done_ = false;
};

Task<Result<TrafficDayPtr>> Traffic::read_day(Date date) {
    Reading reading(*this, date);
    auto day = co_await load(date);
    Held* const held = reading.newest();
    if (!day || held == nullptr) co_return day;
    held->reports = held->changed ? std::max(held->reports, (*day)->reports) : (*day)->reports;
    held->edges = held->changed ? std::max(held->edges, (*day)->edges) : (*day)->edges;
    held->day = *day;
    reading.done();
    co_return day;
}

Task<Result<TrafficDayPtr>> Traffic::load(Date date) {
    std::vector<EdgeReports> told;
    std::size_t count = 0;
    const auto key_of = [date](std::string_view edge) { return traffic_key(edge, date); };
    const auto take = [&](const std::string& name, const std::optional<std::string>& bytes) {
        if (!bytes) return;
        const auto edge = EdgeKey::from_text(name);
        auto reports = day_reports_of(*bytes);
        if (!edge || !reports) {
            unreadable_.add();
            return;
        }
        count += reports->size();
        told.emplace_back(*edge, std::move(*reports));
    };
    const auto read = co_await store::read_members(store_, traffic_set_key(date), key_of, take);
    if (!read) co_return read.error();
    if (count <= kOwnLoopMax) co_return make_traffic_day(date, std::move(told));
    co_return co_await context_.workers.run(
        [date, told = std::move(told)]() mutable -> Result<TrafficDayPtr> {
            return make_traffic_day(date, std::move(told));
        }
    );
}

Task<Result<std::vector<TrafficDayPtr>>> Traffic::last_days(int count) {
    if (count <= 0 || count > options_.days) count = options_.days;
    std::vector<TrafficDayPtr> all;
    all.reserve(static_cast<std::size_t>(count));
    const Date last = today();
    for (int back = count - 1; back >= 0; --back) {
        auto one = co_await day(last - std::chrono::days(back));
        if (!one) co_return one.error();
        all.push_back(std::move(*one));
    }
    co_return all;
}

// ---------------------------------------------------------------- forgetting

Task<Result<>> Traffic::forget_day(Date date) {
    const std::string set = traffic_set_key(date);
    auto members = co_await store_.members(set);
    if (!members) co_return members.error();
    for (std::vector<std::string>& piece : store::pieces(std::move(*members))) {
        store::Batch batch;
        batch.changes.reserve(2 * piece.size());
        for (std::string& name : piece) {
            batch.changes.emplace_back(store::Erase{traffic_key(name, date)});
            batch.changes.emplace_back(store::RemoveFromSet{set, std::move(name)});
        }
        const auto applied = co_await store_.apply(std::move(batch));
        if (!applied) co_return applied.error();
    }
    days_.erase(date);
    co_return Result<>();
}

Task<Result<>> Traffic::sweep() {
    const Date last = today();
    // Those of a longer time that was configured before, too; a service may have been down.
    for (int back = options_.days; back < kDaysMax + 3; ++back) {
        const auto forgotten = co_await forget_day(last - std::chrono::days(back));
        if (!forgotten) co_return forgotten.error();
    }
    const auto kept = [this](const auto& day) { return !is_kept(day.first); };
    std::erase_if(days_, kept);
    const auto all = co_await last_days(0);
    if (!all) co_return all.error();
    std::size_t total = 0;
    for (const TrafficDayPtr& day : *all)
        total += day->reports;
    for (const TrafficDayPtr& day : *all) {
        if (total <= options_.reports_max || day->date == last) break;
        if (day->reports == 0) continue;
        const auto forgotten = co_await forget_day(day->date);
        if (!forgotten) co_return forgotten.error();
        total -= day->reports;
    }
    reports_.set(static_cast<double>(total));
    co_return Result<>();
}

}  // namespace skywire::tpd
