// Recorded requests and answers of the existing network: spec/services-http.md section 13.1.

#include "base/test.hpp"
#include "services/common/test_recorded.hpp"
#include "services/transport_discovery/test_tpd.hpp"

#include <stdexcept>

namespace skywire::tpd {
namespace {

using http::Method;
using services::recorded;
using services::Recorded;

http::Response send(TestTpd& tpd, const Recorded& pair) {
    http::Request request = pair.request;
    return tpd.send_from(
        net::Address::tcp("127.0.0.1", 40000),
        request.method,
        std::move(request.target),
        std::move(request.body),
        std::move(request.fields)
    );
}

void check_same(const http::Response& response, const Recorded& pair) {
    CHECK(static_cast<int>(response.status) == pair.status);
    services::check_body(response.body_view(), pair.body);
    services::check_fields(response, pair);
}

void check_health(const http::Response& response, const Recorded& pair) {
    services::check_health(response, pair, "transport-discovery");
    services::check_fields(response, pair);
}

void check_bad_key(const http::Response& response) {
    CHECK(response.status == 400);
    CHECK(response.body == "{\"error\":{\"message\":\"Invalid public key\",\"code\":400}}\n");
    CHECK(response.fields.get("Content-Type") == "application/json");
}

}  // namespace

TEST_CASE("transport-discovery: every recorded answer of the memory store") {
    TestWorld world;
    TestStore store(world, TestStore::memory());
    TestTpd tpd(world, *store);
    for (const Recorded& pair : recorded("services/tpd_http_2025_memory.json")) {
        INFO(pair.name);
        const auto response = send(tpd, pair);
        if (pair.name == "nonce_not_curve") {
            check_bad_key(response);
        } else if (pair.name == "health") {
            check_health(response, pair);
        } else {
            check_same(response, pair);
        }
    }
    // The transport between a visor and itself, and one without signatures, are among them.
    CHECK(tpd.transports.table().size() == 3);
    for (const LeftOut why : kLeftOut)
        CHECK(tpd.transports.left_out(why) == 0);
}

TEST_CASE("transport-discovery: every recorded answer of the database, and where ours differ") {
    for (const auto kind : {0, 1, 2}) {
        TestWorld world;
        std::optional<store::RedisServer> redis;
        if (kind == 2) redis.emplace();
        TestStore store(
            world,
            kind == 0   ? TestStore::memory()
            : kind == 1 ? TestStore::snapshot()
                        : TestStore::redis(*redis)
        );
        TestTpd::Options options;
        options.shared = kind == 2;
        TestTpd tpd(world, *store, options);
        const std::vector<Recorded> memory = recorded("services/tpd_http_2025_memory.json");
        const auto in_memory = [&](const std::string& name) -> const Recorded& {
            for (const Recorded& pair : memory)
                if (pair.name == name) return pair;
            throw std::runtime_error("no such pair");
        };
        // Ours answers 404 where the database had none, which does not advance the nonce.
        bool nonce_behind = false;
        for (const Recorded& pair : recorded("services/tpd_http_2025_postgres.json")) {
            const std::string& name = pair.name;
            INFO(kind << " " << name);
            const auto response = send(tpd, pair);
            if (name == "nonce_not_curve") {
                check_bad_key(response);
            } else if (name == "health") {
                check_health(response, pair);
            } else if (name == "register_again") {
                CHECK(response.status == 201);
                CHECK(response.body == pair.request.body);
            } else if (name == "get_by_edge_none") {
                check_same(response, in_memory(name));
                nonce_behind = true;
            } else if (name == "get_by_edge_bad" && nonce_behind) {
                CHECK(response.status == 401);
                CHECK(response.body.find("SW-Nonce does not match") != std::string::npos);
            } else if (name == "deregister_missing") {
                check_same(response, in_memory(name));
            } else {
                check_same(response, pair);
            }
        }
    }
}

TEST_CASE("transport-discovery: the recorded answers over dmsg") {
    TestWorld world;
    TestStore store(world, TestStore::memory());
    TestTpd tpd(world, *store);
    const net::Address peer = net::Address::tcp(visor(9).public_key.to_text(), 49152);
    for (const Recorded& pair : recorded("services/dmsg_http_2025.json", "tpd_")) {
        INFO(pair.name);
        const auto response = tpd.send_from(peer, Method::get, pair.request.target);
        if (pair.name == "tpd_health") {
            check_health(response, pair);
        } else {
            REQUIRE(pair.name == "tpd_nonce");
            // The key had made three requests before.
            CHECK(response.status == 200);
            const auto ours = parse_json(response.body).value();
            const auto theirs = parse_json(pair.body).value();
            CHECK(test::text(ours, "edge") == test::text(theirs, "edge"));
        }
    }
}

TEST_CASE("transport-discovery: the uptime-tracker's routes that are ours") {
    TestWorld world;
    world.clock.step_wall(WallTime(std::chrono::seconds(1'795'167'376)) - world.clock.wall());
    TestStore store(world, TestStore::memory());
    TestTpd tpd(world, *store);
    std::size_t replayed = 0;
    for (const Recorded& pair : recorded("services/ut_http_2025.json")) {
        const std::string& name = pair.name;
        const std::string& path = pair.request.target;
        const bool ours = path.starts_with("/v4/update") || path.starts_with("/security/") ||
                          path.ends_with("/update") || path.starts_with("/uptimes");
        if (!ours) continue;
        INFO(name);
        ++replayed;
        const auto response = send(tpd, pair);
        if (name == "nonce_not_curve") {
            check_bad_key(response);
        } else if (name == "update" || name == "update_again" || name == "update_no_version") {
            CHECK(response.status == 200);
            CHECK(response.body == "{\"status\":\"ok\"}\n");
        } else if (!path.starts_with("/uptimes")) {
            check_same(response, pair);
        } else {
            // The shape is the newer one: pk and on.
            CHECK(response.status == 200);
            const auto list = parse_json(response.body).value();
            REQUIRE(list.as_array().size() == 2);
            for (const json::value& visor : list.as_array()) {
                CHECK(visor.as_object().contains("pk"));
                CHECK(visor.at("on").as_bool());
            }
            const bool second = path.find("v=v2") != std::string::npos;
            CHECK(list.at(1).as_object().contains("version") == second);
            CHECK(list.at(1).as_object().contains("daily") == second);
        }
    }
    CHECK(replayed > 20);
    CHECK(tpd.get("/visors").status == 404);
}

TEST_CASE("transport-discovery: the recorded signatures of requests are accepted") {
    const json::value file = test::vectors("services/http_auth.json");
    for (const json::value& sample : file.at("sw_sig").as_array()) {
        const auto number = sample.at("nonce").to_number<std::uint64_t>();
        if (number != 0 || !test::text(sample, "body").empty()) continue;
        TestWorld world;
        TestStore store(world, TestStore::memory());
        TestTpd tpd(world, *store);
        http::Fields fields;
        const std::string key = test::text(sample, "key");
        fields.add("SW-Public", test::text(file.at("keys").at(key), "public"));
        fields.add("SW-Nonce", "0");
        fields.add("SW-Sig", test::text(sample, "sw_sig"));
        INFO(key);
        CHECK(tpd.send(Method::get, "/v4/update", "", fields).status == 200);
        // The same request again: its number has been used.
        CHECK(tpd.send(Method::get, "/v4/update", "", fields).status == 401);
    }
    TestWorld world;
    TestStore store(world, TestStore::memory());
    TestTpd tpd(world, *store);
    http::Fields fields;
    fields.add("NM-PK", test::text(file.at("nm_sign"), "nm_pk"));
    fields.add("NM-Sign", test::text(file.at("nm_sign"), "nm_sign"));
    const auto response = tpd.send(Method::delete_, "/transports/deregister", "[]", fields);
    CHECK(response.status == 200);
    CHECK(response.body == "null");
}

}  // namespace skywire::tpd
