#include "services/transport_discovery/feeds.hpp"

#include "base/test.hpp"
#include "services/common/test_feed.hpp"
#include "services/transport_discovery/test_tpd.hpp"

namespace skywire::tpd {
namespace {

using namespace std::chrono_literals;
using http::Method;
using services::FeedLayout;
using services::Paths;
using services::TestFeed;

constexpr const char* kWithSelf = "transports/all/with-self";
constexpr const char* kWithoutSelf = "transports/all/without-self";

struct Rig {
    Rig()
        : store(world, TestStore::memory()),
          tpd(world, *store),
          transports(world.context, tpd.transports, tpd.traffic),
          uptimes(uptimes_of(FeedLayout::newest)) {}

    UptimeContent uptimes_of(FeedLayout layout) {
        const auto on = [this](const VisorUptime& visor) { return tpd.reports.visor_on(visor); };
        return {world.context, tpd.transports, tpd.uptimes, on, layout};
    }
    /// Of the visor, now.
    void tell(int number, int other, std::uint64_t sent, float latency, float throughput) {
        const auto entry = signed_entry(visor(number), visor(other)).entry;
        cxo::TelemetryRow row;
        row.transport = entry.id.bytes;
        row.sent = sent;
        row.latency_avg = latency;
        row.throughput = throughput;
        const auto key = visor(number).public_key;
        REQUIRE_FALSE(world.loop.run(tpd.traffic.take(key, {row})).value().fresh.empty());
    }

    void put(int a, int b, std::string_view type = transport::kStcpr) {
        const auto entry = signed_entry(visor(a), visor(b), type);
        REQUIRE(
            tpd.send_as(visor(a), Method::post, "/transports/", body_of({entry})).status == 201
        );
    }
    void erase(int a, int b) {
        const auto entry = signed_entry(visor(a), visor(b));
        const std::string path = "/transports/id:" + entry.entry.id.to_text();
        REQUIRE(tpd.send_as(visor(a), Method::delete_, path).status == 200);
    }

    TestWorld world;
    TestStore store;
    TestTpd tpd;
    TransportsContent transports;
    UptimeContent uptimes;
};

std::string entry_text(int a, int b, std::string_view type = transport::kStcpr) {
    const auto edges = transport::sorted_edges(visor(a).public_key, visor(b).public_key);
    return fmt::format(
        R"({{"edges":["{}","{}"],"type":"{}","label":"user"}})", edges[0], edges[1], type
    );
}

}  // namespace

TEST_CASE("tpd feeds: all transports, with those to oneself and without") {
    Rig rig;
    TestFeed feed(rig.world.loop, rig.transports);
    CHECK(feed.update() == Paths{kWithSelf, kWithoutSelf});
    CHECK(feed.leaves.at(kWithSelf) == "[]");
    rig.put(1, 2);
    CHECK(feed.update() == Paths{kWithSelf, kWithoutSelf});
    CHECK(feed.leaves.at(kWithSelf) == "[" + entry_text(1, 2) + "]");
    CHECK(feed.leaves.at(kWithoutSelf) == feed.leaves.at(kWithSelf));
    rig.put(3, 3);
    CHECK(feed.update() == Paths{kWithSelf});
    // Registered again as it was.
    rig.put(1, 2);
    CHECK(feed.raw_changes() == 0);
    rig.erase(1, 2);
    CHECK(feed.update() == Paths{kWithSelf, kWithoutSelf});
    CHECK(feed.leaves.at(kWithSelf) == "[" + entry_text(3, 3) + "]");
    CHECK(feed.leaves.at(kWithoutSelf) == "[]");
}

TEST_CASE("tpd feeds: a list of many slabs is whole") {
    Rig rig;
    std::vector<transport::Entry> entries;
    const auto a = visor(0).public_key;
    for (int i = 1; i < 1300; ++i)
        entries.push_back(
            transport::make_entry(a, a, "type" + std::to_string(i), transport::kLabelAutomatic)
        );
    for (const auto& entry : entries)
        rig.tpd.transports.table().put(entry, false, rig.world.clock.now());
    TestFeed feed(rig.world.loop, rig.transports);
    (void)feed.update();
    const json::value list = parse_json(feed.leaves.at(kWithSelf)).value();
    CHECK(list.as_array().size() == entries.size());
    CHECK(feed.leaves.at(kWithoutSelf) == "[]");
    CHECK(rig.transports.pause() == 200ms);
}

TEST_CASE("tpd feeds: entries have what visors tell of them, for as long as it holds") {
    Rig rig;
    TestFeed feed(rig.world.loop, rig.transports);
    rig.put(1, 2);
    rig.put(1, 3);
    rig.tell(1, 2, 1'000, 1.5F, 2'500);
    CHECK(feed.update() == Paths{kWithSelf, kWithoutSelf});
    const auto list = [&] { return parse_json(feed.leaves.at(kWithSelf)).value().as_array(); };
    const auto find = [&](int other) {
        const std::string key = visor(other).public_key.to_text();
        for (const json::value& each : list())
            for (const json::value& edge : each.at("edges").as_array())
                if (edge.as_string() == key) return each.as_object();
        return json::object();
    };
    const auto told = find(2);
    CHECK(told.at("latency_ms").to_number<double>() == 1.5);
    CHECK(told.at("bandwidth").to_number<int>() == 1'000);
    CHECK(told.at("throughput_bps").to_number<int>() == 2'500);
    CHECK(
        feed.leaves.at(kWithSelf).find(R"("label":"user","latency_ms":1.5,"bandwidth":1000,)"
                                       R"("throughput_bps":2500})") != std::string::npos
    );
    CHECK(find(3).size() == 3);
    CHECK(feed.leaves.at(kWithSelf) == feed.leaves.at(kWithoutSelf));
    // HTTP has entries alone.
    CHECK(rig.tpd.get("/all-transports").body.find("latency") == std::string::npos);
    // After ten minutes it is not known any more.
    rig.world.pass(10min + 2s, 1min);
    rig.put(1, 2);
    rig.put(1, 3);
    CHECK(feed.update() == Paths{kWithSelf, kWithoutSelf});
    CHECK(find(2).size() == 3);
}

TEST_CASE("tpd feeds: figures alone are told by their own pace, together with what is new") {
    Rig rig;
    TestFeed feed(rig.world.loop, rig.transports);
    rig.put(1, 2);
    rig.tell(1, 2, 1, 1, 0);
    CHECK(feed.update() == Paths{kWithSelf, kWithoutSelf});
    // The day is read anew after five seconds.
    rig.world.clock.advance(6s);
    rig.tell(1, 2, 2, 2, 0);
    CHECK(feed.update() == Paths{kWithSelf, kWithoutSelf});
    rig.world.clock.advance(1s);
    for (std::uint64_t i = 3; i < 100; ++i)
        rig.tell(1, 2, i, 2, 0);
    // Not due yet, however much is told; a registration is told at once, with the figures as they
    // were.
    CHECK(feed.raw_changes() == 0);
    rig.put(1, 3);
    CHECK(feed.update() == Paths{kWithSelf, kWithoutSelf});
    CHECK(feed.leaves.at(kWithSelf).find(R"("bandwidth":2})") != std::string::npos);
    rig.world.clock.advance(6s);
    CHECK(feed.update() == Paths{kWithSelf, kWithoutSelf});
    CHECK(feed.leaves.at(kWithSelf).find(R"("bandwidth":99})") != std::string::npos);
    rig.world.clock.advance(6s);
    CHECK(feed.raw_changes() == 0);
}

TEST_CASE("tpd feeds: large leaves rest, by what they cost and by what they weigh") {
    CHECK(rest_after({}, 5min) == 2s);
    CHECK(rest_after({1s, 0}, 5min) == 20s);
    CHECK(rest_after({1s, std::size_t{6} << 20}, 5min) == 96s);
    CHECK(rest_after({1h, 0}, 5min) == 5min);
}

TEST_CASE("tpd feeds: uptimes in the old layout, a list for each window, as HTTP has it") {
    Rig rig;
    UptimeContent content = rig.uptimes_of(FeedLayout::old);
    TestFeed feed(rig.world.loop, content);
    const Paths all{"uptimes/days/1", "uptimes/days/7", "uptimes/days/30"};
    CHECK(feed.update() == all);
    CHECK(feed.leaves.at("uptimes/days/30") == "[]");
    for (int number = 1; number < 3; ++number)
        REQUIRE(
            rig.tpd.send_as(visor(number), Method::get, "/v4/update?version=v1.3.29").status == 200
        );
    rig.world.pass(1min, 1min);
    CHECK(feed.update() == all);
    const auto answer = [&] {
        std::string body = rig.tpd.get("/uptimes?v=v3").body;
        body.pop_back();
        return body;
    };
    for (const std::string& path : all)
        CHECK(feed.leaves.at(path) == answer());
    CHECK(parse_json(answer())->as_array().size() == 2);
    rig.world.pass(1min, 1min);
    CHECK(feed.raw_changes() == 0);
    // On the next day the shortest window has them without days.
    rig.world.pass(24h, 1h);
    REQUIRE(rig.tpd.send_as(visor(1), Method::get, "/v4/update").status == 200);
    rig.world.pass(1min, 1min);
    CHECK(feed.update() == all);
    CHECK(feed.leaves.at("uptimes/days/7") == answer());
    const json::value day = parse_json(feed.leaves.at("uptimes/days/1")).value();
    std::size_t with_days = 0;
    for (const json::value& each : day.as_array())
        with_days += each.as_object().contains("daily") ? 1 : 0;
    CHECK(with_days == 1);
}

TEST_CASE("tpd feeds: of uptimes both layouts are the newest") {
    Rig rig;
    REQUIRE(rig.tpd.send_as(visor(1), Method::get, "/v4/update").status == 200);
    rig.world.pass(1min, 1min);
    UptimeContent content = rig.uptimes_of(FeedLayout::both);
    TestFeed feed(rig.world.loop, content);
    TestFeed newest(rig.world.loop, rig.uptimes);
    CHECK(feed.update() == newest.update());
    CHECK(feed.leaves == newest.leaves);
}

TEST_CASE("tpd feeds: uptimes of visors, in windows") {
    Rig rig;
    TestFeed feed(rig.world.loop, rig.uptimes);
    CHECK(feed.update().empty());
    const auto key = visor(1).public_key.to_text();
    REQUIRE(rig.tpd.send_as(visor(1), Method::get, "/v4/update?version=v1.3.29").status == 200);
    rig.world.pass(1min, 1min);
    CHECK(
        feed.update() ==
        Paths{"uptimes/days/1/" + key, "uptimes/days/7/" + key, "uptimes/days/30/" + key}
    );
    const json::value leaf = parse_json(feed.leaves.at("uptimes/days/1/" + key)).value();
    CHECK(leaf.at("pk").as_string() == key);
    CHECK(leaf.at("on").as_bool());
    CHECK(leaf.at("v").as_string() == "v1.3.29");
    const auto& days = leaf.at("d").as_object();
    REQUIRE(days.size() == 1);
    CHECK(days.begin()->value().as_string() == "0.35");
    Bytes bitmap;
    const auto& text = leaf.at("tb").as_object().begin()->value().as_string();
    REQUIRE(from_base64(std::string_view(text), bitmap));
    CHECK(cxo::read_day(bitmap).value().count() == 1);
    // Nothing new.
    rig.world.pass(1min, 1min);
    CHECK(feed.raw_changes() == 0);
    // Off, and the day goes on.
    rig.world.pass(6min, 1min);
    CHECK(feed.update().size() == 3);
    CHECK_FALSE(parse_json(feed.leaves.at("uptimes/days/1/" + key))->at("on").as_bool());
    // On the next day the window of a day is empty, on the ninth all is forgotten.
    rig.world.pass(24h, 1h);
    CHECK(feed.update() == Paths{"uptimes/days/1/" + key});
    CHECK(parse_json(feed.leaves.at("uptimes/days/1/" + key))->at("d").as_object().empty());
    rig.world.pass(9 * 24h, 1h);
    (void)feed.update();
    const bool forgotten =
        feed.leaves.empty() || parse_json(feed.leaves.begin()->second)->at("d").as_object().empty();
    CHECK(forgotten);
}

}  // namespace skywire::tpd
