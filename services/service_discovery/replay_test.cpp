// The recorded requests of the network, by the rules of spec/services-http.md section 13.1.

#include "services/common/test_recorded.hpp"
#include "services/service_discovery/test_service_discovery.hpp"

#include <algorithm>

namespace skywire::service_discovery {
namespace {

using services::recorded;
using services::Recorded;
using services::TestStore;
using services::TestWorld;

std::string replaced(std::string text, const std::string& what, const std::string& with) {
    const auto at = text.find(what);
    if (at != std::string::npos) text.replace(at, what.size(), with);
    return text;
}

http::Response send(TestService& service, const Recorded& pair, std::string peer = "127.0.0.1") {
    http::Request request = pair.request;
    return service.send(
        request.method,
        std::move(request.target),
        std::move(request.body),
        std::move(request.fields),
        std::move(peer)
    );
}

void check_all_fields(const http::Response& ours, const Recorded& pair) {
    services::check_fields(
        ours,
        pair,
        {"Content-Type",
         "Allow",
         "Vary",
         "X-Content-Type-Options",
         "Access-Control-Allow-Origin",
         "Access-Control-Allow-Methods",
         "Access-Control-Allow-Headers",
         "Access-Control-Expose-Headers",
         "Access-Control-Max-Age"}
    );
}

/// Exactly, but for the order of a list.
void compare(const Recorded& pair, const http::Response& ours, const std::string& expected) {
    CHECK(static_cast<int>(ours.status) == pair.status);
    check_all_fields(ours, pair);
    services::check_body(ours.body_view(), expected);
}

void set_nonce(TestWorld& world, TestService& service, const std::string& who, std::uint64_t to) {
    store::Batch batch;
    batch.changes.emplace_back(store::SetValue{
        "service-discovery:nonces:" + keys_of(who).public_key.to_text(), std::to_string(to)
    });
    world.loop.run(service.store.raw().apply(std::move(batch))).value();
}

}  // namespace

TEST_CASE("sd replay: every recorded route and error") {
    TestWorld world;
    TestService service(world, TestStore::memory());
    const std::string visor1 = keys_of("visor1").public_key.to_text();
    std::size_t compared = 0;
    for (const Recorded& pair : recorded("services/sd_http_2025.json")) {
        const std::string& name = pair.name;
        INFO(name);
        ++compared;
        const http::Response ours = send(service, pair);
        const std::string body(ours.body_view());
        if (name == "nonce_not_curve") {
            CHECK(ours.status == 400);
            CHECK(body == "{\"error\":{\"message\":\"Invalid public key\",\"code\":400}}\n");
        } else if (name == "health") {
            services::check_health(ours, pair, "service-discovery");
            check_all_fields(ours, pair);
            CHECK(body.starts_with(R"({"service_name":"service-discovery","build_info":{)"));
        } else if (name == "post_no_geo_public") {
            // Registered without a place, so that its number is used up; the record goes on
            // without that.
            CHECK(ours.status == 200);
            CHECK(
                body == R"({"address":")" + keys_of("visor2").public_key.to_text() +
                            R"(:44","type":"vpn","version":"v1.3.29"})" + "\n"
            );
            set_nonce(world, service, "visor2", 1);
        } else if (name == "service_one_wrong_port" || name == "service_one") {
            // The port of the question does not matter; the last one registered is told.
            CHECK(ours.status == 200);
            CHECK(
                body == R"({"address":")" + visor1 +
                            R"(:45","type":"vpn","geo":{"lat":1.23,"lon":4.5,"country":"US",)"
                            R"("region":"TX"},"version":"v1.3.29"})" +
                            "\n"
            );
        } else if (name == "service_one_none") {
            CHECK(ours.status == 404);
            CHECK(body == "{\"error\":\"Not Found: service not found\"}\n");
        } else if (name == "services_quantity_one") {
            REQUIRE(services::sorted_elements(body).size() == 1);
            const auto all = services::sorted_elements(service.list("vpn"));
            CHECK(std::count(all.begin(), all.end(), services::sorted_elements(body).front()) == 1);
        } else {
            compare(
                pair,
                ours,
                replaced(
                    pair.body,
                    "\"" + visor1 + ":44\"",
                    name.starts_with("services_") ? "\"" + visor1 + ":45\""
                                                  : "\"" + visor1 + ":44\""
                )
            );
        }
    }
    CHECK(compared == 79);
}

TEST_CASE("sd replay: numbers and what the decoder takes") {
    TestWorld world;
    TestService service(world, TestStore::memory());
    const std::vector<Recorded> pairs = recorded("services/sd_json_2025.json");
    for (const Recorded& pair : pairs) {
        INFO(pair.name);
        compare(pair, send(service, pair), pair.body);
    }
    CHECK(pairs.size() == 14);
}

TEST_CASE("sd replay: the same over dmsg") {
    TestWorld world;
    TestService service(world, TestStore::memory());
    // What the recorded service had seen before.
    for (const Recorded& pair : recorded("services/sd_http_2025.json", "post_visor"))
        if (pair.name == "post_visor") CHECK(send(service, pair).status == 200);
    set_nonce(world, service, "visor1", 5);
    std::size_t compared = 0;
    for (const Recorded& pair : recorded("services/dmsg_http_2025.json", "sd_")) {
        INFO(pair.name);
        ++compared;
        const auto ours = send(service, pair, keys_of("visor1").public_key.to_text());
        if (pair.name == "sd_health") {
            services::check_health(ours, pair, "service-discovery");
            check_all_fields(ours, pair);
        } else {
            compare(pair, ours, pair.body);
        }
    }
    CHECK(compared == 3);
}

}  // namespace skywire::service_discovery
