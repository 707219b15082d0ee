// The service as the supervisor runs it, with a dmsg-discovery beside it.

#include "services/dmsg_server/service.hpp"

#include "base/test.hpp"
#include "dmsg/server/server_rig.hpp"
#include "framework/harness/harness.hpp"
#include "framework/harness/problems.hpp"
#include "http/websocket.hpp"
#include "services/dmsg_discovery/service.hpp"

namespace skywire::dmsg_server {
namespace {

using namespace std::chrono_literals;
using harness::Harness;

const crypto::KeyPair kKeys = crypto::deterministic_key_pair("server");

framework::ServiceRegistry registry() {
    framework::ServiceRegistry made;
    made.add(services::dmsg_discovery_type());
    made.add(services::dmsg_server_type());
    return made;
}

std::string block(const std::string& members = {}) {
    return R"({"type":"dmsg-server","name":"dmsgs","local_address":"127.0.0.1:8081",)"
           R"("public_address":"127.0.0.1:8081","health_endpoint_address":"127.0.0.1:8082",)"
           R"("discovery":"http://127.0.0.1:9090","secret_key":")" +
           kKeys.secret_key.reveal_text() + '"' + members + '}';
}

std::string file(const std::string& members = {}) {
    return R"({"services":[{"type":"dmsg-discovery","name":"dmsgd","addr":"127.0.0.1:9090",)"
           R"("testing":true},)" +
           block(members) + "]}";
}

std::string problems_of(const std::string& members) {
    return harness::problems_of(registry(), file(members));
}

/// The server's entry as the discovery has it.
http::Response entry(Harness& harness) {
    return harness.get("127.0.0.1:9090", "/dmsg-discovery/entry/" + kKeys.public_key.to_text());
}

}  // namespace

TEST_CASE("dmsg-server: registers with the discovery beside it, and leaves in order") {
    const auto types = registry();
    Harness harness(types, file());
    REQUIRE(harness.boot());
    CHECK(harness.before("dmsgd milestone http", "dmsgs starting"));
    CHECK(harness.before("dmsgs milestone registered", "dmsgs ready"));
    const auto found = entry(harness);
    REQUIRE(found.status == 200);
    const auto parsed = dmsg::ReceivedEntry::parse(found.body);
    REQUIRE(parsed);
    CHECK(parsed->entry().server->address == "127.0.0.1:8081");
    CHECK(parsed->entry().server->available_sessions == 2048);
    CHECK(harness.stop() == 0);
    CHECK(harness.before("dmsgs stopped", "dmsgd stopping"));
}

TEST_CASE("dmsg-server: /health and /metrics tell of its sessions") {
    const auto types = registry();
    Harness harness(types, file(R"(,"metrics_addr":"127.0.0.1:8083","max_sessions":5)"));
    REQUIRE(harness.boot());
    const auto health = harness.get("127.0.0.1:8082", "/health");
    CHECK(health.status == 200);
    const auto body = parse_json(health.body).value().as_object();
    CHECK(body.at("service_name").as_string() == "dmsg-server");
    CHECK(body.at("public_key").as_string() == kKeys.public_key.to_text());
    CHECK(body.at("dmsg_discovery").as_string() == "http://127.0.0.1:9090");
    CHECK(body.at("dmsg_server").as_object().at("client_sessions").to_number<int>() == 0);
    const std::string text = harness.get("127.0.0.1:8083", "/metrics").body;
    for (const std::string_view name :
         {"dmsg_server_clients_count",
          "dmsg_server_packets_per_minute",
          "dmsg_server_packets_per_second",
          "dmsg_server_vm_active_sessions_count",
          "dmsg_server_vm_session_success_total",
          "dmsg_server_vm_session_fail_total",
          "dmsg_server_vm_active_streams_count",
          "dmsg_server_vm_stream_success_total",
          "dmsg_server_vm_stream_fail_total",
          "dmsg_server_registrations_total{service=\"dmsgs\",outcome=\"ok\"} 1",
          "dmsg_server_sessions_refused_total{service=\"dmsgs\",reason=\"sessions\"} 0"}) {
        INFO(name << " in\n" << text);
        CHECK(text.find(name) != std::string::npos);
    }
    CHECK(harness.stop() == 0);
}

TEST_CASE("dmsg-server: a browser's session comes in at ws_address, nothing else does") {
    const auto types = registry();
    Harness::Options options;
    options.hold_clock = false;
    Harness harness(
        types,
        file(R"(,"ws_address":"127.0.0.1:8084","public_address_ws":"ws://127.0.0.1:8084/dmsg")"),
        options
    );
    REQUIRE(harness.boot());
    // Its start waits for this only for a while.
    harness.wait_event("dmsgs", "milestone", "registered");
    CHECK_THAT(entry(harness).body, Catch::Contains(R"("address_ws":"ws://127.0.0.1:8084/dmsg")"));
    net::TestLoop loop;
    const auto address = harness.network().real_address("127.0.0.1:8084");
    REQUIRE(address);
    dmsg::test::TestClient client(loop.context, "a");
    loop.run([](net::TestLoop& on, net::Address at, dmsg::test::TestClient& joining) -> Task<> {
        auto carrier = co_await on.context.network.dial(on.context.loop, at);
        auto socket = co_await http::open_websocket(
            on.context, std::move(carrier.value()), at.to_string(), "/dmsg"
        );
        const auto joined = co_await joining.connect(std::move(socket.value()), kKeys.public_key);
        CHECK(joined);
        CHECK((co_await joining.session().mux().ping()).has_value());
    }(loop, *address, client));
    loop.run([](net::TestLoop& on, net::Address at) -> Task<> {
        auto carrier = co_await on.context.network.dial(on.context.loop, at);
        const auto raw = co_await dmsg::handshake_as_client(
            on.context,
            std::move(carrier.value()),
            crypto::deterministic_key_pair("raw"),
            kKeys.public_key
        );
        CHECK(raw.has_error());
    }(loop, *address));
    loop.run(client.close());
    CHECK(harness.stop() == 0);
}

TEST_CASE("dmsg-server: clients meet through a deployment that runs on several loops") {
    const auto types = registry();
    Harness::Options options;
    options.hold_clock = false;
    Harness harness(types, file(), options);
    REQUIRE(harness.boot());
    net::TestLoop loop;
    const auto address = harness.network().real_address("127.0.0.1:8081");
    REQUIRE(address);
    std::vector<std::unique_ptr<dmsg::test::TestClient>> clients;
    for (const std::string_view seed : {"a", "b", "c"}) {
        clients.push_back(std::make_unique<dmsg::test::TestClient>(loop.context, seed));
        loop.run([](net::TestLoop& on, net::Address at, dmsg::test::TestClient& client) -> Task<> {
            auto carrier = co_await on.context.network.dial(on.context.loop, at);
            const auto joined =
                co_await client.connect(std::move(carrier.value()), kKeys.public_key);
            CHECK(joined);
            CHECK((co_await client.session().mux().ping()).has_value());
        }(loop, *address, *clients.back()));
    }
    for (std::size_t i = 0; i < clients.size(); ++i) {
        auto& from = *clients[i];
        auto& to = *clients[(i + 1) % clients.size()];
        auto near = loop.run(from.dial(to.key()));
        REQUIRE(near);
        std::unique_ptr<dmsg::Stream> far;
        loop.run([](dmsg::test::TestClient& at, std::unique_ptr<dmsg::Stream>& into) -> Task<> {
            into = co_await at.accept();
        }(to, far));
        const Bytes bytes = dmsg::test::pattern(100'000);
        CHECK(loop.run(dmsg::test::write_bytes(**near, bytes)));
        CHECK(loop.run(dmsg::test::read_exactly(*far, bytes.size())).value() == bytes);
        const auto seen = loop.run(
            dmsg::look_up_ip(loop.context, from.session(), from.keys(), 50'000, SteadyTime::max())
        );
        CHECK(seen.value() == "127.0.0.1");
    }
    for (const auto& client : clients)
        loop.run(client->close());
    CHECK(harness.stop() == 0);
}

TEST_CASE("dmsg-server: a discovery that goes away is a warning, and is found again") {
    const auto types = registry();
    Harness harness(types, file());
    REQUIRE(harness.boot());
    REQUIRE(harness.command("dmsgd", framework::Command::stop));
    harness.advance(65s);
    CHECK(harness.get("127.0.0.1:8082", "/health").status == 200);
    REQUIRE(harness.command("dmsgd", framework::Command::start));
    harness.advance_until("the entry is back", [&] { return entry(harness).status == 200; }, 1s);
    CHECK(harness.stop() == 0);
}

TEST_CASE("dmsg-server: an address that cannot be had is named where an operator looks") {
    const auto types = registry();
    Harness harness(types, file(R"(,"restart":{"policy":"never"})"));
    harness.faults().set("bind", "127.0.0.1:8082");
    CHECK_FALSE(harness.boot());
    CHECK(harness.service("dmsgs").reason.find("health_endpoint_address") != std::string::npos);
    // With nothing left that may run, the process ends by itself about now.
    (void)harness.stop();
}

TEST_CASE("dmsg-server: the rules of its block") {
    CHECK(problems_of("").empty());
    CHECK(
        problems_of(
            R"(,"peers":[{"public_key":")" + kKeys.public_key.to_text() +
            R"(","address":"127.0.0.1:9"}])"
        )
            .find("no peer of its own") != std::string::npos
    );
    CHECK(problems_of(R"(,"enable_route_setup":true)").find("warning") != std::string::npos);
    // One error: that the keys of the file are missing is no other.
    const std::string unread = problems_of(R"(,"config_path":"x.json")");
    CHECK(unread.find("\"config_path\" \"x.json\"") != std::string::npos);
    CHECK(std::count(unread.begin(), unread.end(), '\n') == 1);
    CHECK(
        problems_of(R"(,"public_address_ws":"http://x/dmsg")").find("no ws or wss URL") !=
        std::string::npos
    );
    const auto without = [](const std::string& text) {
        std::string all;
        for (const auto& problem :
             framework::load_deployment("test.json", text, registry()).problems)
            all += problem.to_string("test.json") + "\n";
        return all;
    };
    const std::string bare = without(R"({"services":[{"type":"dmsg-server"}]})");
    CHECK(bare.find("needs a secret_key") != std::string::npos);
    CHECK(bare.find("needs `discovery`") != std::string::npos);
    CHECK(bare.find("names no host") != std::string::npos);
    const std::string clash = without(
        R"({"services":[{"type":"dmsg-server","local_address":"127.0.0.1:1",)"
        R"("health_endpoint_address":"127.0.0.1:1","discovery":"http://127.0.0.1:9",)"
        R"("secret_key":")" +
        kKeys.secret_key.reveal_text() + R"("}]})"
    );
    CHECK(clash.find("127.0.0.1:1") != std::string::npos);
}

}  // namespace skywire::dmsg_server
