#include "services/transport_discovery/live_figures.hpp"

#include "base/test.hpp"
#include "services/transport_discovery/test_traffic.hpp"

namespace skywire::tpd {
namespace {

using namespace std::chrono_literals;

struct Rig : TestTraffic {
    Rig() : figures(world.context, tpd.traffic) {}

    /// Some seconds later, so that what was told is read.
    bool refresh() {
        world.clock.advance(6s);
        return world.loop.run(figures.refresh()).value();
    }
    Figures of(const transport::Entry& entry) {
        const Figures* const found = figures.find(entry.id);
        return found == nullptr ? Figures() : *found;
    }
    cxo::TelemetryRow row(
        const transport::Entry& entry, std::uint64_t sent, float latency, float throughput
    ) const {
        cxo::TelemetryRow made = TestTraffic::row(entry, sent, 0, latency);
        made.throughput = throughput;
        return made;
    }

    LiveFigures figures;
};

}  // namespace

TEST_CASE("tpd live figures: the later latency, the larger throughput, the bytes of today") {
    Rig rig;
    const auto entry = rig.add(1, 2);
    CHECK_FALSE(rig.refresh());
    CHECK(rig.figures.find(entry.id) == nullptr);
    rig.tell(1, {rig.row(entry, 100, 2.5F, 7.6F)});
    CHECK(rig.refresh());
    CHECK(rig.of(entry) == Figures{2500, 100, 8});
    CHECK_FALSE(rig.refresh());
    rig.tell(2, {rig.row(entry, 50, 3.5F, 5)});
    CHECK(rig.refresh());
    CHECK(rig.of(entry) == Figures{3500, 150, 8});
    // What has not measured says nothing against who has.
    rig.tell(1, {rig.row(entry, 100, 0, 9)});
    CHECK(rig.refresh());
    CHECK(rig.of(entry) == Figures{3500, 150, 9});
    // Nor does what cannot be.
    auto wrong = rig.row(entry, 100, 1, 9);
    wrong.latency_max = 0.5F;
    rig.tell(1, {wrong});
    CHECK_FALSE(rig.refresh());
}

TEST_CASE("tpd live figures: what says nothing new for ten minutes is told no more") {
    Rig rig;
    const auto entry = rig.add(1, 2);
    const auto other = rig.add(1, 3);
    const auto last = rig.row(entry, 100, 2.5F, 8);
    rig.tell(1, {last, rig.row(other, 1, 1, 1)});
    CHECK(rig.refresh());
    rig.world.clock.advance(9min);
    // The same sample again is no sign that it still holds.
    rig.tell(1, {last, rig.row(other, 1, 1, 2)});
    CHECK(rig.refresh());
    CHECK(rig.figures.find(entry.id) != nullptr);
    rig.world.clock.advance(1min);
    CHECK(rig.refresh());
    CHECK(rig.figures.find(entry.id) == nullptr);
    CHECK(rig.of(other) == Figures{1000, 1, 2});
    // An edge that went silent does not hold what the other says.
    rig.tell(2, {rig.row(entry, 0, 4, 3)});
    CHECK(rig.refresh());
    CHECK(rig.of(entry) == Figures{4000, 100, 3});
}

TEST_CASE("tpd live figures: midnight takes the bytes of the day alone") {
    Rig rig;
    const auto entry = rig.add(1, 2);
    const auto midnight = rig.tpd.traffic.today() + std::chrono::days(1);
    rig.world.clock.advance(midnight - rig.world.clock.wall() - 1min);
    rig.tell(1, {rig.row(entry, 100, 2.5F, 8)});
    CHECK(rig.refresh());
    rig.world.clock.advance(2min);
    CHECK(rig.refresh());
    CHECK(rig.of(entry) == Figures{2500, 0, 8});
    rig.tell(1, {rig.row(entry, 130, 3, 8)});
    CHECK(rig.refresh());
    CHECK(rig.of(entry) == Figures{3000, 30, 8});
    rig.world.clock.advance(11min);
    CHECK(rig.refresh());
    CHECK(rig.figures.find(entry.id) == nullptr);
}

TEST_CASE("tpd live figures: two services on one Redis have the same, whoever is told") {
    TestWorld world;
    store::RedisServer redis;
    TestStore first_store(world, TestStore::redis(redis));
    TestStore second_store(world, TestStore::redis(redis));
    TestTpd::Options options;
    options.shared = true;
    options.traffic.shared = true;
    TestTpd one(world, *first_store, options);
    TestTpd two(world, *second_store, options);
    const auto entry = signed_entry(visor(1), visor(2));
    CHECK(
        one.send_as(visor(1), http::Method::post, "/transports/", body_of({entry})).status == 201
    );
    LiveFigures figures(world.context, two.traffic);
    CHECK_FALSE(world.loop.run(figures.refresh()).value());
    cxo::TelemetryRow row;
    row.transport = entry.entry.id.bytes;
    row.sent = 100;
    row.latency_avg = 2;
    row.throughput = 30;
    world.loop.run(one.traffic.take(visor(1).public_key, {row})).value();
    world.clock.advance(31s);
    CHECK(world.loop.run(figures.refresh()).value());
    const Figures* const found = figures.find(entry.entry.id);
    REQUIRE(found != nullptr);
    CHECK(*found == Figures{2000, 100, 30});
    // Read again as it was.
    world.clock.advance(31s);
    CHECK_FALSE(world.loop.run(figures.refresh()).value());
}

TEST_CASE("tpd live figures: numbers beyond all reason are cut, a transport to oneself has one edge"
) {
    Rig rig;
    const auto entry = rig.add(1, 2);
    const auto self = rig.add(1, 1);
    rig.tell(1, {rig.row(entry, 1, 1, 3e38F), rig.row(self, 5, 2, 0.4F)});
    CHECK(rig.refresh());
    CHECK(rig.of(entry).throughput == 1'000'000'000'000'000);
    CHECK(rig.of(self) == Figures{2000, 5, 0});
}

}  // namespace skywire::tpd
