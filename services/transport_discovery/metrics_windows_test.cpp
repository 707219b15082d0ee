#include "services/transport_discovery/metrics_windows.hpp"

#include "base/test.hpp"
#include "services/common/test_feed.hpp"
#include "services/transport_discovery/metrics_feed.hpp"
#include "services/transport_discovery/test_traffic.hpp"

namespace skywire::tpd {
namespace {

using namespace std::chrono_literals;
using services::FeedLayout;
using services::Paths;
using services::TestFeed;

constexpr const char* kDay = "metrics/days/1";
constexpr const char* kWeek = "metrics/days/7";
constexpr const char* kMonth = "metrics/days/30";

struct Rig : TestTraffic {
    explicit Rig(FeedLayout layout)
        : content(world.context, tpd.traffic, tpd.transports, layout), feed(world.loop, content) {}

    /// Some seconds later.
    Paths update() {
        world.clock.advance(6s);
        return feed.update();
    }
    /// What HTTP says of so many days.
    std::string answer(int days) {
        world.clock.advance(6s);
        std::string body = tpd.get(fmt::format("/metrics?edges=true&days={}", days)).body;
        body.pop_back();
        return body;
    }

    MetricsContent content;
    TestFeed feed;
};

}  // namespace

TEST_CASE("tpd metrics windows: the old leaves say what GET /metrics says of so many days") {
    Rig rig(FeedLayout::old);
    CHECK(rig.update() == Paths{kDay, kWeek, kMonth});
    CHECK(rig.feed.leaves.at(kDay) == "[]");
    CHECK(rig.update().empty());
    const auto entry = rig.add(1, 2);
    rig.tell(1, {rig.row(entry, 10, 20, 1.5)});
    CHECK(rig.update() == Paths{kDay, kWeek, kMonth});
    for (const auto& [path, days] : {std::pair{kDay, 1}, {kWeek, 7}, {kMonth, 30}})
        CHECK(rig.feed.leaves.at(path) == rig.answer(days));
    rig.world.clock.advance(24h);
    rig.world.loop.settle();
    rig.add(1, 3);
    rig.tell(1, {rig.row(rig.add(1, 3), 5, 5)});
    CHECK(rig.update() == Paths{kDay, kWeek, kMonth});
    CHECK(parse_json(rig.feed.leaves.at(kDay))->as_array().size() == 1);
    CHECK(parse_json(rig.feed.leaves.at(kWeek))->as_array().size() == 2);
    CHECK(rig.feed.leaves.at(kWeek) == rig.answer(7));
    // Told again as it was.
    rig.tpd.transports.table().put(entry_of(1, 2), /*held=*/true, rig.world.clock.now());
    CHECK(rig.update() == Paths{kWeek, kMonth});
    CHECK(rig.update().empty());
    // The first day leaves the week.
    rig.world.clock.advance(6 * 24h);
    rig.world.loop.settle();
    CHECK(rig.update() == Paths{kDay, kWeek, kMonth});
    CHECK(parse_json(rig.feed.leaves.at(kWeek))->as_array().size() == 1);
    CHECK(parse_json(rig.feed.leaves.at(kMonth))->as_array().size() == 2);
}

TEST_CASE("tpd metrics windows: both layouts stand side by side") {
    Rig rig(FeedLayout::both);
    rig.tell(1, {rig.row(rig.add(1, 2), 10, 20)});
    CHECK(rig.update() == Paths{"metrics/day/2023-11-14", kDay, kWeek, kMonth});
    CHECK(rig.feed.leaves.at(kDay) == rig.feed.leaves.at("metrics/day/2023-11-14"));
    // As a feed takes them.
    cxo::ObjectIndex index;
    const cxo::Tree tree(index);
    MetricsContent again(rig.world.context, rig.tpd.traffic, rig.tpd.transports, FeedLayout::both);
    auto changes = rig.world.loop.run(again.changes()).value();
    const auto applied = tree.apply(std::move(changes)).value();
    CHECK(applied.tree.count() == 4);
}

TEST_CASE("tpd metrics windows: while the store is away nothing of it is lost") {
    Rig rig(FeedLayout::old);
    CHECK(rig.update() == Paths{kDay, kWeek, kMonth});
    rig.tell(1, {rig.row(rig.add(1, 2), 10, 20)});
    rig.world.clock.advance(6s);
    rig.world.faults.set("store", "memory");
    CHECK_FALSE(rig.world.loop.run(rig.content.changes()).has_value());
    rig.world.faults.clear("store", "memory");
    CHECK(rig.update() == Paths{kDay, kWeek, kMonth});
}

TEST_CASE("tpd metrics windows: what is too large is a leaf that no feed takes, until it fits") {
    TestTraffic rig;
    MetricsWindows windows(rig.world.context, rig.tpd.traffic, rig.tpd.transports, 600);
    const auto update = [&] {
        rig.world.clock.advance(6s);
        std::vector<cxo::Change> changes;
        rig.world.loop.run(windows.add(changes)).value();
        return changes;
    };
    CHECK(update().size() == 3);
    for (int i = 2; i < 5; ++i)
        rig.tell(1, {rig.row(rig.add(1, i), 10, 20)});
    const auto changes = update();
    REQUIRE(changes.size() == 3);
    for (const cxo::Change& change : changes)
        CHECK((change.value && change.value->empty()));
    // It is told once.
    rig.tell(1, {rig.row(entry_of(1, 2), 11, 20)});
    CHECK(update().empty());
    rig.world.clock.advance(24h);
    rig.tell(1, {rig.row(entry_of(1, 2), 12, 20)});
    const auto after = update();
    REQUIRE(after.size() == 1);
    CHECK(after[0].path == kDay);
    CHECK(cxo::read_gzip(after[0].value.value()).value().starts_with("[{"));
}

}  // namespace skywire::tpd
