#include "services/transport_discovery/traffic.hpp"

#include "base/test.hpp"
#include "services/common/test_throwing_store.hpp"
#include "services/transport_discovery/test_traffic.hpp"

namespace skywire::tpd {
namespace {

using namespace std::chrono_literals;

std::string set_of(TestTraffic& rig, int back = 0) {
    return traffic_set_key(rig.tpd.traffic.today() - std::chrono::days(back));
}

TestTpd::Options options_of(Traffic::Options traffic) {
    TestTpd::Options options;
    options.traffic = traffic;
    return options;
}

}  // namespace

TEST_CASE("tpd traffic: what counters have grown by is of the day on which it is told") {
    TestTraffic rig;
    const auto entry = rig.add(1, 2);
    const std::size_t one = TestTraffic::side(entry, 1);
    const std::size_t two = 1 - one;
    CHECK(rig.tell(1, {rig.row(entry, 100, 50)}).fresh.size() == 1);
    CHECK(rig.find(entry)->traffic[one].sent == 100);
    CHECK_FALSE(rig.find(entry)->traffic[two].told);
    CHECK(rig.find(entry)->carried() == 150);
    rig.tell(2, {rig.row(entry, 40, 110)});
    rig.tell(1, {rig.row(entry, 150, 50)});
    // Of each direction the larger figure, not both.
    CHECK(rig.find(entry)->traffic[one].sent == 150);
    CHECK(rig.find(entry)->traffic[two].received == 110);
    CHECK(rig.find(entry)->carried() == 150 + 50);
    // It began anew.
    rig.tell(1, {rig.row(entry, 7, 60)});
    CHECK(rig.find(entry)->traffic[one].sent == 157);
    CHECK(rig.find(entry)->traffic[one].received == 60);
    rig.world.clock.advance(24h);
    CHECK(rig.find(entry) == nullptr);
    rig.tell(1, {rig.row(entry, 10, 60)});
    CHECK(rig.find(entry)->traffic[one].sent == 3);
    CHECK(rig.find(entry)->traffic[one].received == 0);
    const auto days = rig.world.loop.run(rig.tpd.traffic.last_days(2)).value();
    REQUIRE(days.size() == 2);
    CHECK(days[0]->find(entry.id)->traffic[one].sent == 157);
    CHECK(days[0]->reports == 2);
}

TEST_CASE("tpd traffic: a visor tells of its own transports alone") {
    TestTraffic rig;
    const auto own = rig.add(1, 2);
    const auto foreign = rig.add(2, 3);
    const auto unknown = entry_of(1, 4);
    const auto self = rig.add(1, 1);
    const auto taken = rig.tell(
        1,
        {rig.row(own, 1, 1),
         rig.row(foreign, 1, 1),
         rig.row(unknown, 1, 1),
         rig.row(self, 5, 5),
         rig.row(own, 9, 9)}
    );
    CHECK(taken.fresh.size() == 2);
    CHECK(taken.known);
    CHECK(taken.again);
    CHECK(rig.samples("not_an_edge") == 1);
    CHECK(rig.samples("unknown_transport") == 1);
    CHECK(rig.samples("duplicate") == 1);
    CHECK(rig.find(own)->traffic[TestTraffic::side(own, 1)].sent == 1);
    CHECK(rig.find(foreign) == nullptr);
    CHECK(rig.find(self)->traffic[0].sent == 5);
    CHECK_FALSE(rig.find(self)->traffic[1].told);
    CHECK_FALSE(rig.tell(1, {rig.row(foreign, 2, 2)}).known);
    // Of one that has ended the last word may come late.
    rig.tpd.transports.table().erase(own.id);
    CHECK(rig.tell(1, {rig.row(own, 4, 1)}).fresh.size() == 1);
    CHECK(rig.find(own)->traffic[TestTraffic::side(own, 1)].sent == 4);
    // The other edge has never told of it.
    CHECK(rig.tell(2, {rig.row(own, 4, 1)}).fresh.empty());
}

TEST_CASE("tpd traffic: samples of another time are not taken") {
    TestTraffic rig;
    const auto entry = rig.add(1, 2);
    auto row = rig.row(entry, 1, 1);
    row.sampled -= 24 * 3600 + 1;
    CHECK(rig.tell(1, {row}).fresh.empty());
    row.sampled += 2 * 24 * 3600 + 2;
    CHECK(rig.tell(1, {row}).fresh.empty());
    CHECK(rig.samples("wrong_time") == 2);
    row.sampled = 0xffff'ffff;
    CHECK(rig.tell(1, {row}).fresh.empty());
    // Those of builds that tell no time.
    row.sampled = 0;
    CHECK(rig.tell(1, {row}).fresh.size() == 1);
    CHECK(rig.tell(1, {row}).fresh.empty());
    CHECK(rig.samples("same") == 1);
}

TEST_CASE("tpd traffic: a sample from before the last one changes nothing") {
    TestTraffic rig;
    const auto entry = rig.add(1, 2);
    const auto old = rig.row(entry, 100, 0);
    rig.tell(1, {old});
    rig.world.clock.advance(1s);
    rig.tell(1, {rig.row(entry, 130, 0)});
    // Another replica has it only now.
    const auto late = rig.tell(1, {old});
    CHECK(late.fresh.empty());
    CHECK(late.known);
    CHECK(rig.samples("older") == 1);
    rig.tell(1, {rig.row(entry, 140, 0)});
    CHECK(rig.find(entry)->traffic[TestTraffic::side(entry, 1)].sent == 140);
}

TEST_CASE("tpd traffic: latencies of a day, and those that cannot be") {
    TestTraffic rig;
    const auto entry = rig.add(1, 2);
    rig.tell(1, {rig.row(entry, 1, 1, 10)});
    rig.tell(2, {rig.row(entry, 1, 1, 40)});
    CHECK(rig.find(entry)->latency == Latency{10'000, 40'000, 50'000, 2});
    CHECK(rig.find(entry)->latency.mean() == 25'000);
    auto row = rig.row(entry, 2, 1, 30);
    const auto told = [&](float min, float avg, float max) {
        row.latency_min = min;
        row.latency_avg = avg;
        row.latency_max = max;
        ++row.sent;
        CHECK(rig.tell(1, {row}).fresh.size() == 1);
    };
    told(0, 30, 0);
    told(20, 30, 60);
    CHECK(rig.find(entry)->latency == Latency{10'000, 60'000, 110'000, 4});
    const std::string_view wrong = "transport_discovery_telemetry_wrong_latency_total";
    CHECK(rig.world.loop.metrics.counter(wrong, "").value() == 0);
    told(40, 30, 60);
    told(20, 30, 25);
    told(20, 30, 3e38F);
    CHECK(rig.world.loop.metrics.counter(wrong, "").value() == 3);
    // Nothing was measured; next to nothing was.
    told(0, 0, 0);
    told(0, 1e-9F, 0);
    CHECK(rig.find(entry)->latency == Latency{1, 60'000, 110'001, 5});
    CHECK(rig.find(entry)->traffic[TestTraffic::side(entry, 1)].sent == row.sent);
}

TEST_CASE("tpd traffic: days and counters outlast the service, nothing is counted twice") {
    TestWorld world;
    TestStore store(world, TestStore::memory());
    const auto entry = entry_of(1, 2);
    cxo::TelemetryRow row;
    row.transport = entry.id.bytes;
    const auto run = [&](std::uint64_t sent) {
        TestTpd tpd(world, *store);
        tpd.transports.table().put(entry, /*held=*/true, world.clock.now());
        row.sent = sent;
        world.loop.run(tpd.traffic.take(visor(1).public_key, {row})).value();
        const auto day = world.loop.run(tpd.traffic.day(tpd.traffic.today())).value();
        return day->find(entry.id)->traffic[TestTraffic::side(entry, 1)].sent;
    };
    CHECK(run(100) == 100);
    CHECK(run(100) == 100);
    CHECK(run(130) == 130);
    CHECK(run(20) == 150);
}

TEST_CASE("tpd traffic: two services on one Redis have the same days") {
    TestWorld world;
    store::RedisServer redis;
    TestStore first_store(world, TestStore::redis(redis));
    TestStore second_store(world, TestStore::redis(redis));
    TestTpd::Options options = options_of({.shared = true});
    options.shared = true;
    TestTpd one(world, *first_store, options);
    TestTpd two(world, *second_store, options);
    auto entry = signed_entry(visor(1), visor(2));
    CHECK(
        one.send_as(visor(1), http::Method::post, "/transports/", body_of({entry})).status == 201
    );
    cxo::TelemetryRow row;
    row.transport = entry.entry.id.bytes;
    const auto take = [&](TestTpd& tpd, std::uint64_t sent) {
        row.sent = sent;
        world.loop.run(tpd.traffic.take(visor(1).public_key, {row})).value();
    };
    const auto sent = [&](TestTpd& tpd) {
        const auto day = world.loop.run(tpd.traffic.day(tpd.traffic.today())).value();
        const TransportDay* found = day->find(entry.entry.id);
        return found == nullptr ? 0 : found->traffic[TestTraffic::side(entry.entry, 1)].sent;
    };
    CHECK(sent(two) == 0);
    take(one, 100);
    // The visor speaks to both.
    take(two, 100);
    take(two, 150);
    take(one, 150);
    take(one, 160);
    first_store.wait_idle();
    second_store.wait_idle();
    world.clock.advance(31s);
    CHECK(sent(one) == 160);
    CHECK(sent(two) == 160);
}

TEST_CASE("tpd traffic: a visor has no more transports than are kept, and no day more than that") {
    TestTraffic rig(options_of({.reports_max = 20}));
    std::vector<cxo::TelemetryRow> rows;
    rows.reserve(15);
    for (int i = 0; i < 15; ++i)
        rows.push_back(rig.row(rig.add(1, 100 + i), 1, 1));
    // Half of what is kept may be today's, and half of that is anybody's.
    CHECK(rig.tell(1, rows).fresh.size() == 5);
    CHECK(rig.day()->reports == 5);
    CHECK(rig.samples("full") == 10);
    // Who comes late has a part all the same, until there is no more.
    for (int i = 2; i < 9; ++i) {
        const auto one = rig.row(rig.add(i, 50), 1, 1);
        const auto two = rig.row(rig.add(i, 51), 1, 1);
        CHECK(rig.tell(i, {one, two}).fresh.size() == (i < 7 ? 1 : 0));
    }
    CHECK(rig.day()->reports == 10);
    // Who is known goes on.
    for (auto& row : rows)
        row.sent = 2;
    CHECK(rig.tell(1, rows).fresh.size() == 5);

    // Of one list only so many are looked at.
    TestTraffic large;
    rows.clear();
    rows.reserve(Traffic::kTransportsMax + 2);
    for (std::size_t i = 0; i < Traffic::kTransportsMax + 2; ++i)
        rows.push_back(large.row(large.add(1, 2, "type" + std::to_string(i)), 1, 1));
    CHECK(large.tell(1, rows).fresh.size() == Traffic::kTransportsMax);
    CHECK(large.samples("too_many") == 2);
}

TEST_CASE("tpd traffic: a reading that ends with an exception is made good by the next one") {
    TestTraffic rig;
    const auto entry = rig.add(1, 2);
    const std::size_t one = TestTraffic::side(entry, 1);
    services::ThrowingStore store(rig.store.raw());
    Traffic traffic(rig.world.context, store, rig.tpd.transports, {});
    const auto tell = [&](std::uint64_t sent) {
        rig.world.clock.advance(6s);
        std::vector<cxo::TelemetryRow> rows(1, rig.row(entry, sent, 0));
        rig.world.loop.run(traffic.take(visor(1).public_key, std::move(rows))).value();
    };
    const auto sent = [&] {
        rig.world.clock.advance(6s);
        const auto day = rig.world.loop.run(traffic.day(traffic.today())).value();
        return day->find(entry.id)->traffic[one].sent;
    };
    tell(100);
    CHECK(sent() == 100);
    tell(150);
    store.throw_after(0);
    CHECK_THROWS_AS(sent(), std::bad_alloc);
    CHECK(sent() == 150);
}

TEST_CASE("tpd traffic: many that are new leave room for those who are not") {
    TestTraffic rig;
    const auto tell = [&](int number, std::uint64_t sent) {
        return rig.tell(number, {rig.row(rig.add(number, number), sent, 1)}).fresh.size();
    };
    CHECK(tell(1, 1) == 1);
    rig.world.clock.advance(24h);
    for (int i = 0; i < static_cast<int>(Traffic::kEdgesMax) / 2; ++i)
        tell(10 + i, 1);
    CHECK(rig.samples("taken") == Traffic::kEdgesMax / 2 + 1);
    CHECK(rig.samples("full") == 0);
    CHECK(tell(2, 1) == 0);
    CHECK(tell(1, 2) == 1);
    CHECK(rig.samples("full") == 1);
}

TEST_CASE("tpd traffic: days end by their number, and the oldest first where there is too much") {
    TestTraffic rig(options_of({.days = 3, .reports_max = 10}));
    std::vector<transport::Entry> entries;
    entries.reserve(4);
    for (int i = 0; i < 4; ++i)
        entries.push_back(rig.add(i, 10 + i));
    const auto tell = [&](std::uint64_t sent) {
        for (int i = 0; i < 4; ++i)
            CHECK(rig.tell(i, {rig.row(entries[static_cast<std::size_t>(i)], sent, 0)}).known);
    };
    const auto sweep = [&] { rig.world.loop.run(rig.tpd.traffic.sweep()).value(); };
    const auto members = [&](int back) {
        return rig.world.loop.run(rig.store.raw().members(set_of(rig, back))).value().size();
    };
    tell(1);
    rig.world.clock.advance(24h);
    tell(2);
    sweep();
    CHECK(members(1) == 4);
    rig.world.clock.advance(24h);
    tell(3);
    // Twelve, of ten.
    sweep();
    CHECK(members(2) == 0);
    CHECK(members(1) == 4);
    rig.world.clock.advance(2 * 24h);
    sweep();
    CHECK(members(3) == 0);
    CHECK(members(2) == 4);
    rig.world.clock.advance(24h);
    CHECK(rig.world.loop.run(rig.tpd.traffic.last_days(0)).value().size() == 3);
    sweep();
    CHECK(members(3) == 0);
    const auto day = rig.tpd.traffic.today() - std::chrono::days(40);
    CHECK(rig.world.loop.run(rig.tpd.traffic.day(day)).value()->transports.empty());
}

TEST_CASE("tpd traffic: stored figures are read as they were written, damaged ones not at all") {
    const Seen one{entry_of(1, 2).id, EdgeKey(visor(2).public_key), "stcpr"};
    const Seen two{entry_of(1, 3).id, EdgeKey(visor(3).public_key), ""};
    const bool ordered = one.id < two.id;
    const DayReports reports{
        {ordered ? one : two, 1, kTrafficMax, {1, 2, 3, 4}, 5, 9, 10},
        {ordered ? two : one, 6, 7, {}, 8, 0, 0}
    };
    const LastList last{{one, 1, 2, 3, 4}};
    const std::string bytes = write_traffic(reports);
    CHECK(day_reports_of(bytes) == reports);
    CHECK(last_list_of(write_traffic(last)) == last);
    CHECK(day_reports_of(write_traffic(DayReports())) == DayReports());
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        const auto read = day_reports_of(bytes.substr(0, size));
        CHECK((!read || read->size() < reports.size()));
    }
    CHECK_FALSE(day_reports_of("\x03" + bytes.substr(1)));
    // As they were written before the last sample was kept: 12 bytes fewer each.
    const std::string first = write_traffic(DayReports{reports[0]});
    DayReport before = reports[0];
    before.throughput = 0;
    before.latency_last = 0;
    CHECK(day_reports_of("\x01" + first.substr(1, first.size() - 13)) == DayReports{before});
    CHECK_FALSE(day_reports_of(write_traffic(DayReports{reports[1], reports[0]})));

    TestTraffic rig;
    const auto entry = rig.add(1, 2);
    rig.tell(1, {rig.row(entry, 10, 10)});
    store::Batch batch;
    const std::string key = traffic_key(visor(1).public_key.to_text(), rig.tpd.traffic.today());
    batch.changes.emplace_back(store::SetValue{key, "damaged"});
    rig.world.loop.run(rig.store.raw().apply(std::move(batch))).value();
    CHECK(rig.day()->transports.empty());
    rig.tell(1, {rig.row(entry, 15, 10)});
    CHECK(rig.find(entry)->traffic[TestTraffic::side(entry, 1)].sent == 5);
}

}  // namespace skywire::tpd
