#include "base/test.hpp"
#include "services/transport_discovery/test_tpd.hpp"

namespace skywire::tpd {
namespace {

using namespace std::chrono_literals;
using http::Method;

json::value parsed(const http::Response& response) {
    CHECK(response.status == 200);
    CHECK(response.fields.get("Content-Type") == "application/json");
    return parse_json(response.body_view()).value();
}

void register_v3(TestTpd& tpd, int a, int b, std::string_view type) {
    const auto entry = signed_entry(visor(a), visor(b), type).entry;
    http::Fields fields;
    fields.add("SW-Visor-Version", "v1.4.0");
    CHECK(
        tpd.send_as(visor(a), Method::post, "/v3/transports/", body_of({entry}), fields).status ==
        201
    );
}

std::string key_of(int number) {
    return visor(number).public_key.to_text();
}

/// A day, from its first slot on.
struct Day : TestWorld {
    Day() { clock.step_wall(WallTime(std::chrono::sys_days(2026y / 11 / 20)) - clock.wall()); }
};

}  // namespace

TEST_CASE("reports: totals by type and by key") {
    TestWorld world;
    TestStore store(world, TestStore::memory());
    TestTpd tpd(world, *store);
    CHECK(tpd.get("/all-transports/stats").status == 404);
    CHECK(tpd.get("/all-transports/per-key-stats").body_view() == "{}\n");
    register_v3(tpd, 1, 2, "stcpr");
    register_v3(tpd, 1, 3, "sudph");
    register_v3(tpd, 1, 1, "dmsg");
    world.pass(2s);
    const auto stats = tpd.get("/all-transports/stats");
    CHECK(
        stats.body ==
        "{\"total\":3,\"by_type\":{\"dmsg\":1,\"stcpr\":1,\"sudph\":1},\"unique_visors\":3}\n"
    );
    CHECK(stats.fields.get("X-Tpd-Snapshot-Transports") == "3");
    CHECK(stats.fields.get("X-Tpd-Snapshot-At")->ends_with("Z"));
    const auto of_key = tpd.get("/transports/stats/" + key_of(1));
    CHECK(of_key.body == "{\"by_type\":{\"dmsg\":1,\"stcpr\":1,\"sudph\":1},\"total\":3}\n");
    CHECK(tpd.get("/transports/stats/" + key_of(9)).status == 404);
    CHECK(tpd.get("/transports/stats/zz").status == 400);
    const auto per_key = parsed(tpd.get("/all-transports/per-key-stats"));
    CHECK(per_key.as_object().size() == 3);
    CHECK(json::serialize(per_key.at(key_of(2))) == R"({"total":1,"stcpr":1})");
    CHECK(per_key.at(key_of(1)).at("total").to_number<int>() == 3);

    const auto hidden = tpd.get("/all-transports?selfTransports=hide").body;
    CHECK(transport::parse_entries(hidden).value()->size() == 2);
    CHECK(transport::parse_entries(tpd.get("/all-transports").body).value()->size() == 3);
}

TEST_CASE("reports: who was there when") {
    Day day;
    TestStore store(day, TestStore::memory());
    TestTpd tpd(day, *store);
    CHECK(tpd.get("/uptimes").body == "[]\n");
    CHECK(tpd.get("/uptimes/transports").body == "[]\n");
    // Two slots, three that were missed and are filled in, then a gap of two hours.
    const auto update = [&] {
        CHECK(tpd.send_as(visor(1), Method::get, "/v4/update?version=v1.3.29").status == 200);
    };
    update();
    day.pass(5min);
    update();
    update();
    day.pass(20min);
    update();
    day.pass(2h);
    update();
    register_v3(tpd, 2, 3, "stcpr");
    register_v3(tpd, 2, 4, "sudph");
    register_v3(tpd, 2, 4, "dmsg");
    day.pass(61s);

    const auto list = parsed(tpd.get("/uptimes?v=v3"));
    REQUIRE(list.as_array().size() == 2);
    const bool first_is_1 = list.at(0).at("pk").as_string() == key_of(1);
    const json::value& one = list.at(first_is_1 ? 0 : 1);
    const json::value& two = list.at(first_is_1 ? 1 : 0);
    CHECK(one.at("on").as_bool());
    CHECK(one.at("version").as_string() == "v1.3.29");
    CHECK(one.at("daily").at("2026-11-20").as_string() == "2.43");
    const std::string timeline(one.at("timeline").at("2026-11-20").as_string());
    CHECK(timeline.size() == Timeline::kSlots);
    CHECK(timeline.substr(0, 31) == "......" + std::string(23, ' ') + ". ");
    CHECK(two.at("version").as_string() == "v1.4.0");
    CHECK(two.at("on").as_bool());

    CHECK(parsed(tpd.get("/uptimes?visors=" + key_of(2) + ";" + key_of(7))).as_array().size() == 1);
    CHECK_FALSE(parsed(tpd.get("/uptimes")).at(0).as_object().contains("version"));
    const auto unknown = tpd.get("/uptimes?v=v9");
    CHECK(unknown.status == 400);
    CHECK(unknown.body == "{\"error\":\"unknown version: v9\"}\n");
    const auto post = [&](std::string path, std::string body) {
        return tpd.send(Method::post, std::move(path), std::move(body));
    };
    CHECK(
        parsed(post("/uptimes", R"({"pks":[")" + key_of(1) + R"("],"v":"v2"})"))
            .as_array()
            .size() == 1
    );
    CHECK(post("/uptimes", "{").body == "{\"error\":\"invalid JSON body\"}\n");
    CHECK(post("/uptimes", R"({"pks":7})").status == 400);
    CHECK(post("/uptimes", R"({"v":"v9"})").body == "{\"error\":\"unknown version: v9\"}\n");

    // Only stcpr and sudph have heartbeats.
    CHECK(parsed(tpd.get("/uptimes/transports?v=v2")).as_array().size() == 2);
    const auto typed = parsed(tpd.get("/uptimes/transports?type=sudph&edges=true"));
    REQUIRE(typed.as_array().size() == 1);
    CHECK(typed.at(0).at("on").as_bool());
    CHECK(typed.at(0).as_object().contains("edge_a"));
    const std::string id(typed.at(0).at("id").as_string());
    CHECK(parsed(tpd.get("/uptimes/transports?tp=" + id)).as_array().size() == 1);
    CHECK(parsed(tpd.get("/metrics/uptime/" + id + ",x")).as_array().size() == 1);
    CHECK(parsed(tpd.get("/metrics/uptime/visor/" + key_of(3))).as_array().size() == 1);
    CHECK(
        parsed(post("/uptimes/transports", R"({"ids":[")" + id + R"("],"edges":true})"))
            .as_array()
            .size() == 1
    );
    CHECK(
        tpd.get("/metrics/uptime").body ==
        "{\"total_transports\":3,\"online\":3,\"by_type\":{\"dmsg\":{\"total\":1,\"online\":1},"
        "\"stcpr\":{\"total\":1,\"online\":1},\"sudph\":{\"total\":1,\"online\":1}}}\n"
    );

    // They have ended; a visor without live transports and heartbeats is off.
    day.pass(7min);
    const json::value later_1 = parsed(tpd.get("/uptimes"));
    for (const json::value& each : later_1.as_array())
        CHECK_FALSE(each.at("on").as_bool());
    const json::value later_2 = parsed(tpd.get("/uptimes/transports?v=v2"));
    for (const json::value& each : later_2.as_array())
        CHECK_FALSE(each.at("on").as_bool());
}

TEST_CASE("uptimes: a transport's days as one value, and what is damaged or old") {
    const Date first = std::chrono::sys_days(2026y / 11 / 14);
    Days days;
    days[first].set(3);
    days[first + std::chrono::days(6)].set(287);
    const std::string bytes = to_bytes(days);
    CHECK(bytes.size() == 4 + 7 * 36);
    const Days read = days_of(bytes, first);
    REQUIRE(read.size() == 2);
    CHECK(read.begin()->second.bytes == days.begin()->second.bytes);
    CHECK(read.rbegin()->second.seen(287));
    CHECK(days_of(bytes, first + std::chrono::days(1)).size() == 1);
    CHECK(days_of(bytes, first + std::chrono::days(8)).empty());
    CHECK(days_of(bytes.substr(0, 50), first).size() == 1);
    for (const std::string& bad : {std::string(), std::string("abc"), std::string(1000, '\xff')})
        CHECK(days_of(bad, first).empty());
    CHECK(to_bytes({}).empty());
}

TEST_CASE("reports: days past showing are forgotten") {
    Day day;
    TestStore store(day, TestStore::memory());
    TestTpd tpd(day, *store);
    CHECK(tpd.send_as(visor(1), Method::get, "/v4/update").status == 200);
    register_v3(tpd, 2, 3, "stcpr");
    const std::string transports = "transport-discovery:tp-uptime:_index";
    CHECK(day.loop.run(store.raw().members(transports)).value().size() == 1);
    const std::string online = "transport-discovery:uptime:online:2026-11-20";
    CHECK(day.loop.run(store.raw().members(online)).value().size() == 2);
    day.clock.advance(6 * 24h);
    CHECK(parsed(tpd.get("/uptimes?v=v2")).as_array().size() == 2);
    CHECK(parsed(tpd.get("/uptimes/transports?v=v2")).as_array().size() == 1);
    day.clock.advance(2 * 24h + 1h);
    CHECK(tpd.get("/uptimes/transports").body == "[]\n");
    day.loop.run(tpd.uptimes.sweep()).value();
    CHECK(day.loop.run(store.raw().members(transports)).value().empty());
    CHECK(day.loop.run(store.raw().members(online)).value().empty());
    CHECK(tpd.get("/uptimes").body == "[]\n");
}

TEST_CASE("uptimes: a visor cannot fill the store with transports that nobody has") {
    Day day;
    TestStore store(day, TestStore::memory());
    const auto ids_of = [](unsigned from, std::size_t count) {
        std::vector<transport::TransportId> ids(count);
        for (transport::TransportId& id : ids) {
            id.bytes[0] = static_cast<std::byte>(from >> 8U);
            id.bytes[1] = static_cast<std::byte>(from++);
        }
        return ids;
    };
    const std::string key = "transport-discovery:tp-uptime:_index";
    const auto kept = [&] { return day.loop.run(store.raw().count(key)).value(); };
    Uptimes uptimes(
        day.context, store.raw(), {.transports_max = 20, .new_max = 7, .new_scarce = 3}
    );
    const auto tell = [&](std::vector<transport::TransportId> ids, int by) {
        day.loop.run(uptimes.transports_seen(std::move(ids), visor(by).public_key)).value();
        return kept();
    };
    CHECK(tell(ids_of(0, 5), 1) == 5);
    CHECK(tell(ids_of(5, 5), 1) == 7);
    CHECK(tell(ids_of(7, 5), 1) == 7);
    CHECK(day.loop.metrics.counter("transport_discovery_uptime_left_out_total", "").value() == 5);
    // Others have theirs, where half is taken a little each.
    CHECK(tell(ids_of(100, 7), 2) == 14);
    CHECK(tell(ids_of(200, 7), 3) == 17);
    CHECK(tell(ids_of(300, 7), 4) == 20);
    CHECK(tell(ids_of(400, 7), 5) == 20);
    // What is kept goes on.
    day.clock.advance(24h);
    CHECK(tell(ids_of(0, 1), 6) == 20);
    const auto seen = day.loop.run(uptimes.transports()).value();
    CHECK(std::ranges::count_if(*seen, [](const auto& each) {
              return each.days.size() == 2;
          }) == 1);
    // A week after the last heartbeat there is room again, and each day everybody's own.
    day.clock.advance(8 * 24h);
    day.loop.run(uptimes.sweep()).value();
    CHECK(tell(ids_of(500, 9), 1) == 7);
}

TEST_CASE("uptimes: transports that the store has not taken do not count as told of") {
    Day day;
    services::StoreConfig config = TestStore::memory();
    config.limits.entries_max = 20;
    TestStore store(day, config);
    const auto fill = [&](bool there) {
        for (int i = 0; i < 15; ++i) {
            store::Batch batch;
            const std::string key = "filler:" + std::to_string(i);
            if (there) batch.changes.emplace_back(store::SetValue{key, "x"});
            if (!there) batch.changes.emplace_back(store::Erase{key});
            day.loop.run(store.raw().apply(std::move(batch))).value();
        }
    };
    std::vector<transport::TransportId> ids(5);
    for (std::size_t i = 0; i < ids.size(); ++i)
        ids[i].bytes[0] = static_cast<std::byte>(i);
    Uptimes uptimes(
        day.context, store.raw(), {.transports_max = 20, .new_max = 7, .new_scarce = 3}
    );
    const auto tell = [&] {
        return day.loop.run(uptimes.transports_seen(ids, visor(1).public_key));
    };
    fill(true);
    for (int heartbeat = 0; heartbeat < 3; ++heartbeat)
        CHECK(tell().error() == make_error_code(errc::limit_reached));
    fill(false);
    CHECK(tell());
    CHECK(day.loop.run(uptimes.transports()).value()->size() == 5);
}

TEST_CASE("reports: versions") {
    TestWorld world;
    TestStore store(world, TestStore::memory());
    TestTpd tpd(world, *store);
    CHECK(tpd.get("/version").body == "{}\n");
    world.pass(61s);
    tpd.send_as(visor(1), Method::get, "/v4/update?version=v1.3.29");
    tpd.send_as(visor(2), Method::get, "/v4/update?version=v1.3.29");
    tpd.send_as(visor(3), Method::get, "/v4/update");
    CHECK(tpd.get("/version").body == "{\"unknown\":1,\"v1.3.29\":2}\n");
    CHECK(tpd.get("/version?on=false").body == "{}\n");
    CHECK(parsed(tpd.get("/versions")).as_array().size() == 3);
    const auto one = parsed(tpd.get("/versions/" + key_of(1) + "?status=true"));
    REQUIRE(one.as_array().size() == 1);
    CHECK(one.at(0).at("version").as_string() == "v1.3.29");
    CHECK(one.at(0).at("on").as_bool());
    // A heartbeat without a version keeps the one before, a longer one is cut.
    world.pass(5min);
    tpd.send_as(visor(1), Method::get, "/v4/update");
    tpd.send_as(visor(2), Method::get, "/v4/update?version=" + std::string(500, 'x'));
    CHECK(parsed(tpd.get("/versions/" + key_of(1))).at(0).at("version").as_string() == "v1.3.29");
    CHECK(parsed(tpd.get("/versions/" + key_of(2))).at(0).at("version").as_string().size() == 64);
}

TEST_CASE("reports: bandwidth and latency without data") {
    TestWorld world;
    TestStore store(world, TestStore::memory());
    TestTpd tpd(world, *store);
    const std::string id = "a872fa00-6ac5-0fe1-a6b8-b7c074ea5d97";
    CHECK(tpd.get("/bandwidth/transport/" + id).body == "null\n");
    CHECK(tpd.get("/bandwidth/transport/x").status == 400);
    CHECK(tpd.get("/bandwidth/visor/" + key_of(1) + "?period=daily&limit=3").body == "null\n");
    CHECK(tpd.get("/bandwidth/visor/" + key_of(1) + "?period=hourly").status == 400);
    CHECK(tpd.get("/bandwidth/visor/0").status == 400);
    CHECK(tpd.get("/metric").body == "{\"daily\":[],\"cumulative\":{}}\n");
    CHECK(
        tpd.get("/metric/visor/" + key_of(1) + ",zz").body ==
        "{\"" + key_of(1) + "\":{\"daily\":[],\"cumulative\":{}}}\n"
    );
    for (const std::string& path :
         {std::string("/metrics"), "/metrics/" + id, "/metrics/visor/" + key_of(1)})
        CHECK(tpd.get(path).body == "[]\n");
    for (const std::string_view what : {"now", "sessions", "timeline", "dates"}) {
        const auto response = tpd.get("/uptime/" + std::string(what));
        CHECK(response.status == 503);
        CHECK(response.body == "uptime recorder not configured\n");
    }
}

TEST_CASE("reports: the rate limit, where it is set") {
    TestWorld world;
    TestStore store(world, TestStore::memory());
    TestTpd::Options options;
    options.rate_limit = {30, 3};
    TestTpd tpd(world, *store, options);
    const auto from = [&](std::string host, std::uint16_t port, std::string path) {
        return tpd.send_from(
            net::Address::tcp(std::move(host), port), Method::get, std::move(path)
        );
    };
    for (int i = 0; i < 3; ++i)
        CHECK(from("192.0.2.1", 1, "/all-transports").status == 200);
    const auto refused = from("192.0.2.1", 1, "/all-transports");
    CHECK(refused.status == 429);
    CHECK(refused.body == "Rate limit exceeded: maximum 30 requests per minute\n");
    CHECK(tpd.refused("rate_limit") == 1);
    // Each connection by itself; over dmsg each key.
    CHECK(from("192.0.2.1", 2, "/all-transports").status == 200);
    for (std::uint16_t port = 1; port < 4; ++port)
        CHECK(from(key_of(1), port, "/version").status == 200);
    CHECK(from(key_of(1), 9, "/version").status == 429);
    for (const std::string_view free : {"/health", "/security/nonces/zz", "/uptime/now"})
        CHECK(from("192.0.2.1", 1, std::string(free)).status != 429);
    world.clock.advance(2s);
    CHECK(from("192.0.2.1", 1, "/all-transports").status == 200);
}

}  // namespace skywire::tpd
