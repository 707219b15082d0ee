#include "base/test.hpp"
#include "services/transport_discovery/test_traffic.hpp"

namespace skywire::tpd {
namespace {

using namespace std::chrono_literals;

/// Two days: on the first visor 1 tells of two transports, on the second of one.
struct Rig : TestTraffic {
    Rig() : first(add(1, 2)), second(add(1, 3, transport::kSudph)) {
        tell(1, {row(first, 100, 50, 10), row(second, 7, 3)});
        tell(2, {row(first, 50, 90, 20)});
        world.clock.advance(24h);
        // Their visors have given no sign of life: they end, and come again.
        world.loop.settle();
        add(1, 2);
        add(1, 3, transport::kSudph);
        tell(1, {row(first, 130, 50)});
        world.clock.advance(6s);
    }
    json::value get(const std::string& target) {
        const auto response = tpd.get(target);
        INFO(target << ": " << response.body);
        CHECK(response.status == 200);
        CHECK(response.fields.get("Content-Type") == "application/json");
        return parse_json(response.body_view()).value();
    }
    std::size_t size(const std::string& target) { return get(target).as_array().size(); }

    transport::Entry first;
    transport::Entry second;
};

std::string key_of(int number) {
    return visor(number).public_key.to_text();
}

std::string text_of(const json::value& value) {
    return json::serialize(value);
}

}  // namespace

TEST_CASE("tpd metrics: each transport with its days") {
    Rig rig;
    const json::value all = rig.get("/metrics?edges=true");
    REQUIRE(all.as_array().size() == 2);
    const std::size_t at = rig.first.id < rig.second.id ? 0 : 1;
    const json::value& first = all.at(at);
    CHECK(first.at("id").as_string() == rig.first.id.to_text());
    CHECK(first.at("live").as_bool());
    CHECK(first.at("edges").at(0).as_string() == rig.first.edges[0].to_text());
    CHECK(text_of(first.at("latency")) == R"({"min":10000,"max":20000,"avg":15000})");
    REQUIRE(first.at("daily").as_array().size() == 2);
    const std::string_view own = TestTraffic::side(rig.first, 1) == 0 ? "a" : "b";
    CHECK(text_of(first.at("daily").at(0).at(own)) == R"({"sent":100,"recv":50})");
    CHECK(text_of(first.at("daily").at(1).at(own)) == R"({"sent":30,"recv":0})");
    CHECK(first.at("daily").at(1).as_object().size() == 2);
    CHECK(all.at(1 - at).at("type").as_string() == "sudph");
    CHECK_FALSE(all.at(1 - at).as_object().contains("latency"));

    CHECK(rig.size("/metrics?days=1") == 1);
    CHECK(rig.size("/metrics?days=99") == 2);
    CHECK(rig.size("/metrics?type=sudph") == 1);
    CHECK(rig.size("/metrics/" + rig.second.id.to_text() + ",zz") == 1);
    CHECK(rig.size("/metrics/zz") == 0);
    CHECK(rig.size("/metrics/visor/" + key_of(3)) == 1);
    CHECK(rig.size("/metrics/visor/" + key_of(1)) == 2);
    CHECK(rig.size("/metrics/visor/zz") == 0);
    const json::value bare = rig.get("/metrics?bandwidth=false&latency=false");
    CHECK_FALSE(bare.at(at).as_object().contains("latency"));
    CHECK(bare.at(at).at("daily").as_array().empty());
    rig.tpd.transports.table().erase(rig.second.id);
    CHECK(rig.size("/metrics?live=true") == 1);
    CHECK(rig.size("/metrics?live=false") == 1);
    CHECK(rig.size("/metrics?live=all") == 2);
    for (const std::string_view wrong : {"/metrics?days=x", "/metric?days=-1", "/metrics?days=1x"})
        CHECK(rig.tpd.get(std::string(wrong)).status == 400);
    CHECK(rig.tpd.refused("bad_query") == 3);
}

TEST_CASE("tpd metrics: sums, of all and of visors") {
    Rig rig;
    const json::value all = rig.get("/metric");
    REQUIRE(all.at("daily").as_array().size() == 2);
    CHECK(
        text_of(all.at("daily").at(0)) ==
        R"({"date":"2023-11-14","bandwidth":{"sent":157,"recv":143,"total":300},)"
        R"("latency":{"min":10000,"max":20000,"avg":15000},"by_type":{)"
        R"("stcpr":{"bandwidth":{"sent":150,"recv":140,"total":290},)"
        R"("latency":{"min":10000,"max":20000,"avg":15000}},)"
        R"("sudph":{"bandwidth":{"sent":7,"recv":3,"total":10}}}})"
    );
    CHECK(
        text_of(all.at("cumulative").at("bandwidth")) == R"({"sent":187,"recv":143,"total":330})"
    );
    CHECK(
        text_of(rig.get("/metric?days=1&latency=false").at("cumulative")) ==
        R"({"bandwidth":{"sent":30,"recv":0,"total":30}})"
    );
    CHECK(rig.get("/metric?type=dmsg").at("daily").as_array().empty());
    const json::value visors =
        rig.get("/metric/visor/" + key_of(2) + "," + key_of(3) + ",zz?days=2");
    REQUIRE(visors.as_object().size() == 2);
    CHECK(
        text_of(visors.at(key_of(2)).at("daily").at(0).at("bandwidth")) ==
        R"({"sent":50,"recv":90,"total":140})"
    );
    // The other edge of one that was told of has told nothing itself.
    CHECK(text_of(visors.at(key_of(3))) == R"({"daily":[],"cumulative":{}})");
}

TEST_CASE("tpd metrics: bandwidth of a transport and of a visor, the newest day first") {
    Rig rig;
    const json::value transport = rig.get("/bandwidth/transport/" + rig.first.id.to_text());
    REQUIRE(transport.as_array().size() == 2);
    CHECK(transport.at(0).at("transport_id").as_string() == rig.first.id.to_text());
    CHECK(transport.at(0).at("period").as_string() == "daily");
    CHECK(transport.at(0).at("period_key").as_string() == "2023-11-15");
    CHECK(transport.at(0).at("bandwidth").to_number<int>() == 30);
    CHECK(transport.at(0).at("updated_at").to_number<int>() == 1'700'086'400);
    CHECK(transport.at(1).at("bandwidth").to_number<int>() == 100 + 50);
    CHECK(rig.size("/bandwidth/transport/" + rig.first.id.to_text() + "?limit=1") == 1);
    const json::value of_visor = rig.get("/bandwidth/visor/" + key_of(1) + "?period=daily");
    REQUIRE(of_visor.as_array().size() == 2);
    CHECK(of_visor.at(1).at("bandwidth").to_number<int>() == 160);
    CHECK(rig.tpd.get("/bandwidth/visor/" + key_of(3)).body == "null\n");
    CHECK(rig.tpd.get("/bandwidth/visor/" + key_of(1) + "?limit=0").status == 400);
}

TEST_CASE("tpd metrics: while the store is away they say so") {
    Rig rig;
    rig.world.clock.advance(24h);
    rig.tell(1, {rig.row(rig.first, 1, 1)});
    rig.world.clock.advance(6s);
    rig.world.faults.set("store", "memory");
    for (const std::string& path :
         {std::string("/metric"), std::string("/metrics"), "/metric/visor/" + key_of(1)})
        CHECK(rig.tpd.get(path).status == 500);
    CHECK(rig.tpd.refused("store_unavailable") == 3);
    rig.world.faults.clear("store", "memory");
    CHECK(rig.size("/metrics") == 2);
}

}  // namespace skywire::tpd
