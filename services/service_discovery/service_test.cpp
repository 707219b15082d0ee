// The service as the supervisor runs it: a deployment of one block or two inside the test.

#include "services/service_discovery/service.hpp"

#include "base/test.hpp"
#include "framework/harness/harness.hpp"
#include "http/signed_request.hpp"
#include "services/service_discovery/test_service_discovery.hpp"
#include "store/redis_server.hpp"

namespace skywire::service_discovery {
namespace {

using harness::Harness;

constexpr const char* kAddress = "127.0.0.1:9098";
const crypto::KeyPair kVisor = keys_of("visor1");

framework::ServiceRegistry registry() {
    framework::ServiceRegistry made;
    made.add(services::service_discovery_type());
    return made;
}

std::string block(const std::string& name, const std::string& address, const std::string& members) {
    return R"({"type":"service-discovery","name":")" + name + R"(","addr":")" + address + "\"" +
           members + "}";
}

std::string file(const std::string& members) {
    return R"({"services":[)" + block("sd", kAddress, members) + "]}";
}

http::Response post(
    Harness& harness,
    const std::string& address,
    const crypto::KeyPair& keys,
    const std::string& type = "vpn"
) {
    const auto nonce = harness.get(address, "/security/nonces/" + keys.public_key.to_text()).body;
    const std::string body = TestService::body_of(keys, type, "");
    http::Fields fields;
    http::sign_request(
        fields,
        keys,
        body,
        parse_json(nonce)->as_object().at("next_nonce").to_number<std::uint64_t>()
    );
    return harness.send(http::Method::post, address, "/api/services", body, std::move(fields))
        .get();
}

bool lists(Harness& harness, const std::string& address, const crypto::KeyPair& keys) {
    const std::string body = harness.get(address, "/api/services?type=vpn").body;
    return body.find(keys.public_key.to_text()) != std::string::npos;
}

std::string problems_of(const std::string& members) {
    std::string all;
    for (const auto& problem :
         framework::load_deployment("t.json", file(members), registry()).problems)
        all += problem.to_string("t.json") + "\n";
    return all;
}

}  // namespace

TEST_CASE("service-discovery: serves, counts and stops") {
    Harness harness(registry(), file(R"(,"testing":true,"metrics_addr":"127.0.0.1:9198")"));
    REQUIRE(harness.boot());
    CHECK(harness.before("sd milestone http", "sd ready"));
    CHECK(post(harness, kAddress, kVisor).status == 200);
    CHECK(lists(harness, kAddress, kVisor));
    const auto health = harness.get(kAddress, "/health");
    CHECK(health.body.starts_with(R"({"service_name":"service-discovery","build_info":{)"));
    CHECK(health.fields.get("Vary") == "Origin");
    harness.advance(11s);
    const std::string text = harness.get("127.0.0.1:9198", "/metrics").body;
    for (const std::string_view part :
         {"service_discovery_services_registered_by_type_count{service=\"sd\"} 1",
          "service_discovery_service_types_count{service=\"sd\"} 1",
          "service_discovery_service_type_vpn_count{service=\"sd\"} 1",
          "service_discovery_service_type_visor_count{service=\"sd\"} 0",
          "service_discovery_service_type_skysocks_count{service=\"sd\"} 0",
          "service_discovery_registrations_total{service=\"sd\",outcome=\"held\"} 1",
          "request_auth_accepted_total{service=\"sd\"} 1",
          "owners_held{service=\"sd\"} 1"}) {
        INFO(part << " in\n" << text);
        CHECK(text.find(part) != std::string::npos);
    }
    CHECK(harness.stop() == 0);
}

TEST_CASE("service-discovery: a restart brings the entries back, and opens no used nonce") {
    Harness harness(registry(), file(""));
    REQUIRE(harness.boot());
    CHECK(post(harness, kAddress, kVisor).status == 200);
    const std::string path = "/security/nonces/" + kVisor.public_key.to_text();
    CHECK(harness.get(kAddress, path).body.find("\"next_nonce\":1}") != std::string::npos);
    REQUIRE(harness.command("sd", framework::Command::restart));
    CHECK(lists(harness, kAddress, kVisor));
    CHECK(harness.get(kAddress, path).body.find("\"next_nonce\":1048577}") != std::string::npos);
    CHECK(post(harness, kAddress, kVisor).status == 200);
    CHECK(harness.stop() == 0);
}

TEST_CASE("service-discovery: of two on one Redis each lists what the other has registered") {
    if (!store::RedisServer::installed()) return;
    store::RedisServer server;
    // Replicas are processes of their own.
    const std::string text = file(R"(,"redis":")" + server.url() + "\"");
    Harness::Options options;
    options.hold_clock = false;
    Harness one(registry(), text, options);
    Harness two(registry(), text, options);
    REQUIRE(one.boot());
    REQUIRE(two.boot());
    for (int i = 0; i < 10; ++i) {
        const auto keys = crypto::deterministic_key_pair("visor " + std::to_string(i));
        CHECK(post(i % 2 == 0 ? one : two, kAddress, keys).status == 200);
        CHECK(lists(one, kAddress, keys));
        CHECK(lists(two, kAddress, keys));
    }
    const std::string list = "/api/services?type=vpn";
    CHECK(one.get(kAddress, list).body == two.get(kAddress, list).body);
    // A nonce that one has used is used for the other, too.
    const std::string nonce = "/security/nonces/" + kVisor.public_key.to_text();
    CHECK(post(one, kAddress, kVisor).status == 200);
    CHECK(two.get(kAddress, nonce).body.find("\"next_nonce\":1}") != std::string::npos);
    CHECK(one.stop() == 0);
    CHECK(two.stop() == 0);
}

TEST_CASE("service-discovery: its block is checked, and keys of other vintages are taken") {
    CHECK(problems_of("").empty());
    CHECK(
        problems_of(R"(,"geoip":"http://geo.example","held_timeout":"0s","test_mode":true)").empty()
    );
    CHECK(problems_of(R"(,"default_geo":{"lat":52.5,"lon":13.4,"country":"DE"})").empty());
    CHECK(problems_of(R"(,"enable_cxo":true)").find("the CXO feed") != std::string::npos);
    CHECK(
        problems_of(R"(,"geoip":"https://geo.example")").find("warning: sd: geoip") !=
        std::string::npos
    );
    CHECK(problems_of(R"(,"default_geo":{"lat":91})").find("lat") != std::string::npos);
    CHECK(problems_of(R"(,"held_timeout":"-1s")").find("held_timeout") != std::string::npos);
    CHECK(problems_of(R"(,"redis":"rediss://x")").find("redis") != std::string::npos);
}

}  // namespace skywire::service_discovery
