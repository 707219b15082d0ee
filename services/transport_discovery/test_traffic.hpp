#pragma once

#include "services/transport_discovery/test_tpd.hpp"

#include <string>
#include <vector>

/// For tests of traffic and latency.
namespace skywire::tpd {

inline transport::Entry entry_of(int a, int b, std::string_view type = transport::kStcpr) {
    return transport::make_entry(
        visor(a).public_key, visor(b).public_key, type, transport::kLabelUser
    );
}

/// A discovery with a store of its own, in which visors tell of their transports.
struct TestTraffic {
    explicit TestTraffic(TestTpd::Options options = {})
        : store(world, TestStore::memory()), tpd(world, *store, options) {}

    transport::Entry add(int a, int b, std::string_view type = transport::kStcpr) {
        const transport::Entry entry = entry_of(a, b, type);
        tpd.transports.table().put(entry, /*held=*/true, world.clock.now());
        return entry;
    }
    std::uint32_t unix_now() const {
        const auto since = world.clock.wall().time_since_epoch();
        return static_cast<std::uint32_t>(std::chrono::floor<std::chrono::seconds>(since).count());
    }
    cxo::TelemetryRow row(
        const transport::Entry& entry, std::uint64_t sent, std::uint64_t received, float latency = 0
    ) const {
        cxo::TelemetryRow row;
        row.transport = entry.id.bytes;
        row.sent = sent;
        row.received = received;
        row.latency_min = row.latency_max = row.latency_avg = latency;
        row.sampled = unix_now();
        return row;
    }
    Traffic::Taken tell(int number, std::vector<cxo::TelemetryRow> rows) {
        return world.loop.run(tpd.traffic.take(visor(number).public_key, std::move(rows))).value();
    }
    /// Today's, some seconds later: whatever was told before is in it.
    TrafficDayPtr day() {
        world.clock.advance(std::chrono::seconds(6));
        return world.loop.run(tpd.traffic.day(tpd.traffic.today())).value();
    }
    /// Valid while `day` says the same.
    const TransportDay* find(const transport::Entry& entry) { return day()->find(entry.id); }
    /// Where this visor is among the edges.
    static std::size_t side(const transport::Entry& entry, int number) {
        return entry.edges[0] == visor(number).public_key ? 0 : 1;
    }
    std::uint64_t samples(std::string outcome) {
        return world.counted(
            "transport_discovery_telemetry_samples_total", "outcome", std::move(outcome)
        );
    }

    TestWorld world;
    TestStore store;
    TestTpd tpd;
};

}  // namespace skywire::tpd
