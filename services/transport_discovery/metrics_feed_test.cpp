#include "services/transport_discovery/metrics_feed.hpp"

#include "base/test.hpp"
#include "services/common/test_feed.hpp"
#include "services/transport_discovery/test_traffic.hpp"

namespace skywire::tpd {
namespace {

using namespace std::chrono_literals;
using services::FeedLayout;
using services::Paths;
using services::TestFeed;

constexpr const char* kToday = "metrics/day/2023-11-14";
constexpr const char* kTomorrow = "metrics/day/2023-11-15";

struct Rig : TestTraffic {
    explicit Rig(std::size_t leaf_max = MetricsContent::kLeafMax)
        : content(world.context, tpd.traffic, tpd.transports, FeedLayout::newest, leaf_max),
          feed(world.loop, content) {}

    /// Some seconds later.
    Paths update() {
        world.clock.advance(6s);
        return feed.update();
    }
    json::array list(const std::string& path) {
        return parse_json(feed.leaves.at(path)).value().as_array();
    }

    MetricsContent content;
    TestFeed feed;
};

}  // namespace

TEST_CASE("tpd metrics feed: what was told today, as GET /metrics has it") {
    Rig rig;
    CHECK(rig.update() == Paths{kToday});
    CHECK(rig.feed.leaves.at(kToday) == "[]");
    CHECK(rig.update().empty());
    const auto entry = rig.add(1, 2);
    CHECK(rig.update().empty());
    rig.tell(1, {rig.row(entry, 10, 20, 1.5)});
    rig.tell(2, {rig.row(entry, 20, 10)});
    CHECK(rig.update() == Paths{kToday});
    const auto answer = rig.tpd.get("/metrics?days=1&edges=true");
    CHECK(answer.body == rig.feed.leaves.at(kToday) + "\n");
    CHECK(
        rig.feed.leaves.at(kToday) ==
        fmt::format(
            R"([{{"id":"{}","type":"stcpr","live":true,"edges":["{}","{}"],)"
            R"("latency":{{"min":1500,"max":1500,"avg":1500}},)"
            R"("daily":[{{"date":"2023-11-14","a":{{"sent":{},"recv":{}}},"b":{{"sent":{},"recv":{}}}}}]}}])",
            entry.id.to_text(),
            entry.edges[0],
            entry.edges[1],
            TestTraffic::side(entry, 1) == 0 ? 10 : 20,
            TestTraffic::side(entry, 1) == 0 ? 20 : 10,
            TestTraffic::side(entry, 1) == 0 ? 20 : 10,
            TestTraffic::side(entry, 1) == 0 ? 10 : 20
        )
    );
    // Told again as it was.
    rig.tell(1, {rig.row(entry, 10, 20, 1.5)});
    rig.tpd.transports.table().erase(entry.id);
    CHECK(rig.update() == Paths{kToday});
    CHECK_FALSE(rig.list(kToday).at(0).at("live").as_bool());
}

TEST_CASE("tpd metrics feed: a day that is over stays as it is, for thirty days") {
    Rig rig;
    const auto entry = rig.add(1, 2);
    rig.tell(1, {rig.row(entry, 10, 20)});
    CHECK(rig.update() == Paths{kToday});
    rig.world.clock.advance(24h);
    // Its visors have given no sign of life: it ends, and comes again.
    rig.world.loop.settle();
    rig.add(1, 2);
    rig.tell(1, {rig.row(entry, 11, 20)});
    CHECK(rig.update() == Paths{kToday, kTomorrow});
    CHECK_FALSE(rig.list(kToday).at(0).at("live").as_bool());
    CHECK(rig.list(kTomorrow).at(0).at("live").as_bool());
    CHECK(rig.list(kTomorrow).at(0).at("daily").at(0).at("date").as_string() == "2023-11-15");
    rig.world.clock.advance(3min);
    rig.tell(1, {rig.row(entry, 12, 20)});
    CHECK(rig.update() == Paths{kTomorrow});
    // Whoever begins anew publishes the same.
    MetricsContent again(rig.world.context, rig.tpd.traffic, rig.tpd.transports);
    TestFeed other(rig.world.loop, again);
    CHECK(other.update() == Paths{kToday, kTomorrow});
    CHECK(other.leaves == rig.feed.leaves);
    rig.world.clock.advance(28 * 24h);
    // The second is over, too: nothing of it is live.
    CHECK(rig.update() == Paths{kTomorrow, "metrics/day/2023-12-13"});
    rig.world.clock.advance(24h);
    CHECK(
        rig.update() ==
        Paths{"metrics/day/2023-12-14", std::string("-") + kToday, "-metrics/day/2023-12-13"}
    );
}

TEST_CASE("tpd metrics feed: a large day comes in parts") {
    Rig rig(2'000);
    CHECK(rig.update() == Paths{kToday});
    std::vector<cxo::TelemetryRow> rows;
    rows.reserve(100);
    for (unsigned i = 0; i < 100; ++i)
        rows.push_back(rig.row(rig.add(1, 2, "type" + std::to_string(i)), 1'000'000 + i, 1));
    rig.tell(1, rows);
    rig.world.clock.advance(6s);
    // As a feed takes them: a leaf and a directory of one name, one behind the other.
    cxo::ObjectIndex index;
    cxo::Tree tree(index);
    const auto apply = [&] {
        auto changes = rig.world.loop.run(rig.content.changes()).value();
        tree = tree.apply(std::move(changes)).value().tree;
        std::size_t count = 0;
        tree.walk("metrics/day", [&](std::string_view path, ByteSpan leaf) {
            CHECK(path.starts_with(std::string(kToday) + "/part/00"));
            CHECK(leaf.size() <= 2'000);
            count += parse_json(cxo::read_leaf(leaf).value())->as_array().size();
            return true;
        });
        return count;
    };
    CHECK(apply() == rows.size());
    CHECK(tree.get(std::string(kToday) + "/part/0000"));
    CHECK(tree.count() > 2);
    // Fewer than before: what is too much is gone.
    const auto fewer = rig.world.loop.run(rig.content.changes()).value();
    CHECK(fewer.empty());
}

TEST_CASE("tpd metrics feed: what was told a moment ago is in it, though it was read just before") {
    Rig rig;
    const auto entry = rig.add(1, 2);
    CHECK(rig.update() == Paths{kToday});
    CHECK(rig.tpd.get("/metrics").body == "[]\n");
    rig.tell(1, {rig.row(entry, 10, 20)});
    CHECK(rig.feed.update() == Paths{kToday});
    CHECK(rig.list(kToday).size() == 1);
}

TEST_CASE("tpd metrics feed: the more there is, the longer it rests") {
    Rig rig;
    CHECK(rig.content.pause() == 2s);
    rig.tell(1, {rig.row(rig.add(1, 2), 10, 20)});
    (void)rig.update();
    CHECK(rig.content.pause() == 2s);
    CHECK(rig.content.period() == 30s);
}

TEST_CASE("tpd metrics feed: while the store is away nothing of it is lost") {
    Rig rig;
    rig.tell(1, {rig.row(rig.add(1, 2), 10, 20)});
    rig.world.faults.set("store", "memory");
    CHECK_FALSE(rig.world.loop.run(rig.content.changes()).has_value());
    rig.world.faults.clear("store", "memory");
    CHECK(rig.update() == Paths{kToday});
    CHECK(rig.list(kToday).size() == 1);
}

}  // namespace skywire::tpd
