// Recorded requests and answers of the existing network: spec/services-http.md section 13.1.

#include "base/test.hpp"
#include "services/transport_discovery/test_tpd.hpp"

#include <algorithm>

namespace skywire::tpd {
namespace {

using http::Method;

Method method_of(std::string_view name) {
    for (const Method method : {Method::get, Method::post, Method::delete_})
        if (http::method_name(method) == name) return method;
    throw std::runtime_error("a method without a name here");
}

http::Response send(TestTpd& tpd, const json::value& request) {
    http::Fields fields;
    if (const json::value* headers = request.as_object().if_contains("headers"))
        for (const auto& header : headers->as_object())
            fields.add(std::string(header.key()), std::string(header.value().as_string()));
    return tpd.send(
        method_of(test::text(request, "method")),
        test::text(request, "path"),
        test::text(request, "body"),
        std::move(fields)
    );
}

/// The elements of a list, sorted; other texts as they are.
std::string as_set(const std::string& body) {
    const auto parsed = parse_json(body);
    if (!parsed || !parsed->is_array()) return body;
    std::vector<std::string> elements;
    for (const json::value& element : parsed->as_array())
        elements.push_back(json::serialize(element));
    std::sort(elements.begin(), elements.end());
    std::string text;
    for (const std::string& element : elements)
        text += element + "\n";
    return text;
}

void check_fields(const http::Response& response, const json::value& recorded) {
    const json::object& fields = recorded.at("headers").as_object();
    for (const std::string_view name : {"Content-Type", "Allow", "X-Content-Type-Options"}) {
        INFO(name);
        const json::value* value = fields.if_contains(name);
        const auto ours = response.fields.get(name);
        REQUIRE(ours.has_value() == (value != nullptr));
        if (ours && value != nullptr) CHECK(*ours == std::string_view(value->as_string()));
    }
}

void check_same(const http::Response& response, const json::value& recorded) {
    CHECK(response.status == recorded.at("status").to_number<unsigned>());
    CHECK(as_set(std::string(response.body_view())) == as_set(test::text(recorded, "body")));
    check_fields(response, recorded);
}

/// Members that were recorded, but for those that differ from run to run, in their order.
void check_health(const http::Response& response, const json::value& recorded) {
    CHECK(response.status == 200);
    check_fields(response, recorded);
    const auto ours = parse_json(response.body_view()).value();
    CHECK(ours.as_object().at("service_name").as_string() == "transport-discovery");
    CHECK(ours.as_object().contains("build_info"));
    CHECK(ours.as_object().contains("started_at"));
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
    const json::value recorded_pairs = test::vectors("services/tpd_http_2025_memory.json");
    for (const json::value& pair : recorded_pairs.at("pairs").as_array()) {
        const std::string name = test::text(pair, "name");
        INFO(name);
        const auto response = send(tpd, pair.at("request"));
        if (name == "nonce_not_curve") {
            check_bad_key(response);
        } else if (name == "health") {
            check_health(response, pair.at("response"));
        } else {
            check_same(response, pair.at("response"));
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
        const json::value memory = test::vectors("services/tpd_http_2025_memory.json");
        const auto in_memory = [&](std::string_view name) -> const json::value& {
            for (const json::value& pair : memory.at("pairs").as_array())
                if (pair.at("name").as_string() == name) return pair.at("response");
            throw std::runtime_error("no such pair");
        };
        // Ours answers 404 where the database had none, which does not advance the nonce.
        bool nonce_behind = false;
        const json::value recorded_pairs = test::vectors("services/tpd_http_2025_postgres.json");
        for (const json::value& pair : recorded_pairs.at("pairs").as_array()) {
            const std::string name = test::text(pair, "name");
            INFO(kind << " " << name);
            const auto response = send(tpd, pair.at("request"));
            if (name == "nonce_not_curve") {
                check_bad_key(response);
            } else if (name == "health") {
                check_health(response, pair.at("response"));
            } else if (name == "register_again") {
                CHECK(response.status == 201);
                CHECK(response.body == test::text(pair.at("request"), "body"));
            } else if (name == "get_by_edge_none") {
                check_same(response, in_memory(name));
                nonce_behind = true;
            } else if (name == "get_by_edge_bad" && nonce_behind) {
                CHECK(response.status == 401);
                CHECK(response.body.find("SW-Nonce does not match") != std::string::npos);
            } else if (name == "deregister_missing") {
                check_same(response, in_memory(name));
            } else {
                check_same(response, pair.at("response"));
            }
        }
    }
}

TEST_CASE("transport-discovery: the recorded answers over dmsg") {
    TestWorld world;
    TestStore store(world, TestStore::memory());
    TestTpd tpd(world, *store);
    const net::Address peer = net::Address::tcp(visor(9).public_key.to_text(), 49152);
    const json::value recorded_pairs = test::vectors("services/dmsg_http_2025.json");
    for (const json::value& pair : recorded_pairs.at("pairs").as_array()) {
        const std::string name = test::text(pair, "name");
        if (!name.starts_with("tpd_")) continue;
        INFO(name);
        const auto response =
            tpd.send_from(peer, Method::get, test::text(pair.at("request"), "path"));
        if (name == "tpd_health") {
            check_health(response, pair.at("response"));
        } else {
            REQUIRE(name == "tpd_nonce");
            // The key had made three requests before.
            CHECK(response.status == 200);
            const auto ours = parse_json(response.body).value();
            const auto recorded = parse_json(test::text(pair.at("response"), "body")).value();
            CHECK(test::text(ours, "edge") == test::text(recorded, "edge"));
        }
    }
}

TEST_CASE("transport-discovery: the uptime-tracker's routes that are ours") {
    TestWorld world;
    world.clock.step_wall(WallTime(std::chrono::seconds(1'795'167'376)) - world.clock.wall());
    TestStore store(world, TestStore::memory());
    TestTpd tpd(world, *store);
    std::size_t replayed = 0;
    const json::value recorded_pairs = test::vectors("services/ut_http_2025.json");
    for (const json::value& pair : recorded_pairs.at("pairs").as_array()) {
        const std::string name = test::text(pair, "name");
        const std::string path = test::text(pair.at("request"), "path");
        const bool ours = path.starts_with("/v4/update") || path.starts_with("/security/") ||
                          path.ends_with("/update") || path.starts_with("/uptimes");
        if (!ours) continue;
        INFO(name);
        ++replayed;
        const json::value& recorded = pair.at("response");
        const auto response = send(tpd, pair.at("request"));
        if (name == "nonce_not_curve") {
            check_bad_key(response);
        } else if (name == "update" || name == "update_again" || name == "update_no_version") {
            CHECK(response.status == 200);
            CHECK(response.body == "{\"status\":\"ok\"}\n");
        } else if (!path.starts_with("/uptimes")) {
            check_same(response, recorded);
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
