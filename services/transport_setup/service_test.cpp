// The service as the supervisor runs it, with a dmsg-discovery and a dmsg-server beside it.

#include "services/transport_setup/service.hpp"

#include "base/test.hpp"
#include "framework/harness/harness.hpp"
#include "framework/harness/problems.hpp"
#include "services/common/test_blocks.hpp"
#include "services/dmsg_discovery/service.hpp"
#include "services/dmsg_server/service.hpp"

namespace skywire::transport_setup {
namespace {

using harness::Harness;

constexpr const char* kAddress = "127.0.0.1:9080";
const crypto::KeyPair kKeys = crypto::deterministic_key_pair("transport-setup");

framework::ServiceRegistry registry() {
    framework::ServiceRegistry made;
    made.add(services::dmsg_discovery_type());
    made.add(services::dmsg_server_type());
    made.add(services::transport_setup_type());
    return made;
}

std::string block(const std::string& members) {
    return R"({"type":"transport-setup","name":"tps","secret_key":")" +
           kKeys.secret_key.reveal_text() + '"' + members + '}';
}

std::string file(const std::string& members) {
    return R"({"services":[)" + services::dmsg_blocks() + ',' +
           block(R"(,"dmsg":{"discovery":"http://127.0.0.1:9090"})" + members) + "]}";
}

std::string problems_of(const std::string& members) {
    return harness::problems_of(registry(), R"({"services":[)" + block(members) + "]}");
}

}  // namespace

TEST_CASE("transport-setup: serves its routes and its health") {
    Harness harness(
        registry(), file(R"(,"addr":"127.0.0.1:9080","metrics_addr":"127.0.0.1:9180")")
    );
    REQUIRE(harness.boot());
    CHECK(harness.before("tps milestone http", "tps milestone dmsg"));
    const auto health = harness.get(kAddress, "/health");
    CHECK(health.status == 200);
    const auto body = parse_json(health.body).value().as_object();
    CHECK(body.at("service_name").as_string() == "transport-setup");
    CHECK(body.at("dmsg_address").as_string() == kKeys.public_key.to_text() + ":80");
    CHECK(harness.post(kAddress, "/add", "{").body == "{\"error\":\"unexpected EOF\"}\n");
    const std::string from = crypto::deterministic_key_pair("nobody").public_key.to_text();
    const auto nobody = harness.get(kAddress, "/" + from + "/transports");
    CHECK(nobody.status == 500);
    CHECK(
        nobody.body ==
        "{\"error\":\"error dialing remote visor: dmsg error 100 - entry is not found in "
        "discovery\"}\n"
    );
    const std::string text = harness.get("127.0.0.1:9180", "/metrics").body;
    CHECK(
        text.find(R"(transport_setup_requests_total{service="tps",outcome="unreachable"} 1)") !=
        std::string::npos
    );
    CHECK_FALSE(harness.logged("http.open_to_all"));
    CHECK(harness.stop() == 0);
}

TEST_CASE("transport-setup: a port alone is open to all, and says so; no port is no plain HTTP") {
    Harness harness(registry(), file(R"(,"port":9080)"));
    REQUIRE(harness.boot());
    CHECK(harness.logged("http.open_to_all"));
    CHECK(harness.stop() == 0);

    Harness silent(
        registry(),
        file(
            R"(,"port":0,"dmsg_whitelist":[")" + services::kDmsgServerKeys.public_key.to_text() +
            R"("])"
        )
    );
    REQUIRE(silent.boot());
    CHECK_FALSE(silent.network().listening().contains(":9080"));
    CHECK(silent.stop() == 0);
}

TEST_CASE("transport-setup: the rules of its block") {
    const std::string discovery = R"(,"dmsg":{"discovery":"http://127.0.0.1:9090"})";
    CHECK(problems_of(discovery + R"(,"addr":"127.0.0.1:80")").find("error") == std::string::npos);
    CHECK(problems_of(R"(,"port":80)").find("needs dmsg.discovery") != std::string::npos);
    CHECK(problems_of(discovery).find("nobody can ask") != std::string::npos);
    CHECK(problems_of(discovery + R"(,"port":70000)").find("error") != std::string::npos);
    CHECK(
        problems_of(
            discovery + R"(,"port":80,"public_key":")" +
            services::kDmsgServerKeys.public_key.to_text() + '"'
        )
            .find("is not that of") != std::string::npos
    );
}

}  // namespace skywire::transport_setup
