// The service as the supervisor runs it, alone and with a dmsg network beside it.

#include "services/config_bootstrapper/service.hpp"

#include "base/temporary_folder.hpp"
#include "base/test.hpp"
#include "framework/harness/harness.hpp"
#include "framework/harness/problems.hpp"
#include "services/common/test_blocks.hpp"
#include "services/dmsg_discovery/service.hpp"
#include "services/dmsg_server/service.hpp"

#include <fstream>

namespace skywire::config_bootstrapper {
namespace {

using harness::Harness;

constexpr const char* kAddress = "127.0.0.1:9082";
const crypto::KeyPair kDiscovery = crypto::deterministic_key_pair("discovery");

framework::ServiceRegistry registry() {
    framework::ServiceRegistry made;
    made.add(services::dmsg_discovery_type());
    made.add(services::dmsg_server_type());
    made.add(services::config_bootstrapper_type());
    return made;
}

std::string block(const std::string& members) {
    return R"({"type":"config-bootstrapper","name":"conf","addr":"127.0.0.1:9082")" + members + "}";
}

std::string file(const std::string& members) {
    return R"({"services":[)" + block(members) + "]}";
}

std::string problems_of(const std::string& members) {
    return harness::problems_of(registry(), file(members));
}

/// With a dmsg-discovery and a dmsg-server, both with keys.
std::string network(const std::string& members) {
    const std::string discovery =
        R"(,"dmsg":{"discovery":"http://127.0.0.1:9090"},"secret_key":")" +
        kDiscovery.secret_key.reveal_text() + '"';
    return R"({"services":[)" + services::dmsg_blocks(discovery) + ',' + block(members) + "]}";
}

json::object page(Harness& harness, const std::string& target) {
    const auto response = harness.get(kAddress, target);
    REQUIRE(response.status == 200);
    CHECK(response.fields.get("Content-Type") == "application/json");
    return parse_json(response.body).value().as_object();
}

}  // namespace

TEST_CASE("config-bootstrapper: the recorded requests") {
    const json::value recorded = test::vectors("services/conf_http_2025.json");
    Harness harness(
        registry(), file(R"(,
        "stun_servers":["127.0.0.1:3478","192.0.2.1:3478"],
        "route_setup_nodes":["0385ec4b3c20106b5af1d250b36fb542c327d3f4b663d30cbb59621c888d6406f4"],
        "transport_setup":["03a6066585a6593084488ae9b4bed08d779c46a5f1eef878dc3cc5a4a029164bdb"],
        "survey_whitelist":["03646a3e8067747cea718a88258fe43a286c9c7df4cbe232d9c9cc1944ebde59ec"])")
    );
    REQUIRE(harness.boot());
    for (const json::value& pair : recorded.at("pairs").as_array()) {
        const std::string path = test::text(pair.at("request"), "path");
        INFO(path);
        const std::string body = test::text(pair.at("response"), "body");
        const auto response = harness.get(kAddress, path);
        CHECK(response.status == 200);
        CHECK(response.fields.get("Content-Type") == "application/json");
        if (path != "/health") {
            CHECK(response.body == body);
            continue;
        }
        const json::value health = parse_json(response.body).value();
        const json::value members = parse_json(body).value();
        for (const auto& member : members.as_object())
            CHECK(health.as_object().contains(member.key()));
    }
    CHECK(harness.get(kAddress, "/nope").status == 404);
    CHECK(harness.post(kAddress, "/").status == 405);
    CHECK(harness.stop() == 0);
}

TEST_CASE("config-bootstrapper: answers with the blocks beside it, and with their servers") {
    Harness harness(
        registry(), network(R"(,"mode":"dual","dmsg":{"discovery":"http://127.0.0.1:9090"})")
    );
    REQUIRE(harness.start());
    const std::string url = "dmsg://" + kDiscovery.public_key.to_text() + ":80";
    harness.advance_until("all is known", [&] {
        const auto response = harness.get(kAddress, "/dmsghttp");
        return response.body.find(url) != std::string::npos &&
               response.body.find(services::kDmsgServerKeys.public_key.to_text()) !=
                   std::string::npos;
    });
    const auto all = page(harness, "/");
    CHECK(all.at("dmsg_discovery_dmsg").as_string() == url);
    CHECK(all.at("dmsg_discovery").as_string() == "http://127.0.0.1:9090");
    CHECK(all.at("transport_discovery").as_string() == "http://tpd.skywire.skycoin.com");
    CHECK_FALSE(all.contains("transport_discovery_dmsg"));
    const json::value& server = all.at("dmsg_servers").as_array().at(0);
    CHECK(server.at("static").as_string() == services::kDmsgServerKeys.public_key.to_text());
    CHECK(server.at("server").at("address").as_string().ends_with(":8081"));
    // Its own key was made for it, and it is on dmsg with that.
    harness.wait_event("conf", "milestone", "dmsg");
    const auto health = page(harness, "/health");
    CHECK(health.at("service_name").as_string() == "config-bootstrapper");
    CHECK(health.at("dmsg_address").as_string().ends_with(":80"));
    CHECK(harness.stop() == 0);
}

TEST_CASE("config-bootstrapper: asks a service that its block names for its key") {
    Harness harness(registry(), network(R"(,"route_finder":"http://127.0.0.1:9090")"));
    REQUIRE(harness.start());
    const std::string url = "dmsg://" + kDiscovery.public_key.to_text() + ":80";
    harness.advance_until("it is known", [&] {
        const auto response = harness.get(kAddress, "/");
        return response.body.find(R"("route_finder_dmsg":")" + url) != std::string::npos;
    });
    CHECK(harness.stop() == 0);
}

TEST_CASE("config-bootstrapper: its input file wins, may be missing, and must make sense") {
    const test::TemporaryFolder folder;
    const std::string path = folder / "config.json";
    const std::string members =
        R"(,"stun_servers":["192.0.2.1:3478"],"config_path":")" + path + '"';
    {
        Harness harness(registry(), file(members));
        REQUIRE(harness.boot());
        CHECK(harness.logged("config_path.missing"));
        CHECK(page(harness, "/").at("stun_servers").as_array().at(0) == "192.0.2.1:3478");
        CHECK(harness.stop() == 0);
    }
    std::ofstream(path) << R"({"stun_servers":["192.0.2.2:3478"]})";
    {
        Harness harness(registry(), file(members));
        REQUIRE(harness.boot());
        CHECK(page(harness, "/").at("stun_servers").as_array().at(0) == "192.0.2.2:3478");
        CHECK(harness.stop() == 0);
    }
    std::ofstream(path) << "{";
    {
        Harness harness(registry(), file(members));
        CHECK_FALSE(harness.boot());
        CHECK(harness.service("conf").root_cause.find(path) != std::string::npos);
    }
}

TEST_CASE("config-bootstrapper: the rules of its block") {
    CHECK(problems_of("") == "");
    CHECK(problems_of(R"(,"domain":"example.org","dns_server":"9.9.9.9")") == "");
    CHECK(
        problems_of(R"(,"transport_discovery_dmsg":"http://192.0.2.1")").find("dmsg://KEY:PORT") !=
        std::string::npos
    );
    CHECK(problems_of(R"(,"route_setup_nodes":["zz"])").find("error") != std::string::npos);
    CHECK(problems_of(R"(,"stun_servers":["nowhere"])").find("error") != std::string::npos);
}

}  // namespace skywire::config_bootstrapper
