// The service as the supervisor runs it.

#include "services/route_finder/service.hpp"

#include "base/test.hpp"
#include "framework/harness/harness.hpp"
#include "framework/harness/problems.hpp"
#include "http/signed_request.hpp"
#include "net/test_loop.hpp"
#include "services/common/test_blocks.hpp"
#include "services/dmsg_discovery/service.hpp"
#include "services/dmsg_server/service.hpp"
#include "services/route_finder/test_graphs.hpp"
#include "services/transport_discovery/service.hpp"
#include "store/redis.hpp"
#include "store/redis_server.hpp"

namespace skywire::route_finder {
namespace {

using framework::State;
using harness::Harness;

constexpr const char* kAddress = "127.0.0.1:9092";

framework::ServiceRegistry registry(
    std::shared_ptr<transport::TransportView> view = std::make_shared<transport::TransportView>()
) {
    framework::ServiceRegistry made;
    made.add(services::dmsg_discovery_type());
    made.add(services::dmsg_server_type());
    made.add(services::route_finder_type(view));
    made.add(services::transport_discovery_type(std::move(view)));
    return made;
}

std::string block(const std::string& members) {
    return R"({"type":"route-finder","name":"rf","addr":"127.0.0.1:9092","testing":true)" +
           members + "}";
}

std::string file(const std::string& members) {
    return R"({"services":[)" + block(members) + "]}";
}

std::string problems_of(const std::string& members) {
    return harness::problems_of(registry(), file(members));
}

std::string question(int from, int to) {
    return R"({"Edges":[")" + visor(from).to_text() + ":" + visor(to).to_text() +
           R"("],"Opts":{"MaxHops":50}})";
}

}  // namespace

TEST_CASE("route-finder: follows a transport-discovery of the same process") {
    const auto view = std::make_shared<transport::TransportView>();
    net::TestLoop loop;
    std::vector<transport::Entry> listed = recorded_transports();
    const auto publication = view->publish("tpd", loop.context.loop, [&listed] { return listed; });
    Harness harness(registry(view), file(""));
    REQUIRE(harness.start());
    harness.advance_until("the list is there", [&] {
        loop.settle();
        return harness.post(kAddress, "/routes", question(1, 4)).status == 200;
    });
    publication->remove(joins(3, 4).id);
    harness.advance_until("it is gone", [&] {
        loop.settle();
        return harness.post(kAddress, "/routes", question(1, 4)).status == 404;
    });
    harness.wait_state("rf", State::ready);
    CHECK(harness.stop() == 0);
}

namespace {

constexpr const char* kTransports = "127.0.0.1:9091";

/// A signed request of the first recorded visor.
unsigned as_visor(
    Harness& harness, http::Method method, const std::string& target, const std::string& body
) {
    const auto keys = crypto::deterministic_key_pair("skywire-services-vector-visor1");
    const std::string nonces = "/security/nonces/" + keys.public_key.to_text();
    const auto nonce = parse_json(harness.get(kTransports, nonces).body).value();
    http::Fields fields;
    http::sign_request(fields, keys, body, nonce.at("next_nonce").to_number<std::uint64_t>());
    return harness.send(method, kTransports, target, body, std::move(fields)).get().status;
}

/// A transport-discovery, and a route-finder that is told of it in this way.
std::string with_discovery(const std::string& members) {
    return R"({"services":[{"type":"transport-discovery","name":"tpd","addr":"127.0.0.1:9091",)"
           R"("testing":true},)" +
           block(members) + "]}";
}

/// Registered, and gone again: D06 of spec/e2e.md section 8.2 with one hop.
void follows(Harness& harness) {
    const transport::Entry entry = joins(1, 2);
    CHECK(harness.post(kAddress, "/routes", question(1, 2)).status == 404);
    const std::string list = "[" + transport::to_json(entry) + "]";
    REQUIRE(as_visor(harness, http::Method::post, "/v3/transports/", list) == 201);
    harness.advance_until("the route is there", [&] {
        return harness.post(kAddress, "/routes", question(2, 1)).status == 200;
    });
    const std::string target = "/transports/id:" + entry.id.to_text();
    REQUIRE(as_visor(harness, http::Method::delete_, target, "") == 200);
    harness.advance_until("the route is gone", [&] {
        return harness.post(kAddress, "/routes", question(2, 1)).status == 404;
    });
}

}  // namespace

TEST_CASE("route-finder: knows what the transport-discovery beside it knows") {
    Harness harness(registry(), with_discovery(""));
    REQUIRE(harness.boot());
    CHECK(harness.before("tpd milestone http", "rf starting"));
    CHECK(harness.logged("the transport-discovery of this process"));
    follows(harness);
    // It follows the discovery through a restart.
    REQUIRE(harness.command("tpd", framework::Command::restart));
    harness.settle();
    follows(harness);
    CHECK(harness.stop() == 0);
}

TEST_CASE("route-finder: knows what a transport-discovery lists at its URL") {
    // Two views: as if in two processes.
    framework::ServiceRegistry types;
    types.add(services::dmsg_server_type());
    types.add(services::route_finder_type(std::make_shared<transport::TransportView>()));
    types.add(services::transport_discovery_type(std::make_shared<transport::TransportView>()));
    Harness harness(types, with_discovery(R"(,"transport_discovery":"http://127.0.0.1:9091")"));
    REQUIRE(harness.boot());
    CHECK(harness.logged("http://127.0.0.1:9091"));
    follows(harness);
    // A new transport is known without any time having passed: who asks has just made it.
    const std::string list = "[" + transport::to_json(joins(1, 2)) + "]";
    REQUIRE(as_visor(harness, http::Method::post, "/v3/transports/", list) == 201);
    CHECK(harness.post(kAddress, "/routes", question(1, 2)).status == 200);
    CHECK(harness.stop() == 0);
}

TEST_CASE("route-finder: reads the records that a transport-discovery keeps in Redis") {
    store::RedisServer::Options tcp;
    tcp.tcp = true;
    store::RedisServer redis(tcp);
    net::TestLoop loop;
    store::RedisOptions options;
    options.url = store::RedisUrl::parse(redis.url()).value();
    const auto store = store::make_redis_store(loop.context, options);
    Harness::Options machine;
    machine.hold_clock = false;
    Harness harness(
        registry(), file(fmt::format(R"(,"redis":"{}","refresh":"100ms")", redis.url())), machine
    );
    harness.network().pass_through(net::Address::tcp("127.0.0.1", redis.port()));
    REQUIRE(harness.boot());
    CHECK(harness.post(kAddress, "/routes", question(1, 2)).status == 404);
    const transport::Entry entry = joins(1, 2);
    const std::string id = entry.id.to_text();
    store::Batch batch;
    batch.changes.push_back(store::AddToSet{"transport-discovery:tp:_index", id});
    batch.changes.push_back(store::SetValue{
        "transport-discovery:tp:" + id,
        fmt::format(
            R"({{"id":"{}","edge_a":"{}","edge_b":"{}","type":"stcpr","label":"user"}})",
            id,
            entry.edges[0],
            entry.edges[1]
        ),
        {}
    });
    batch.changes.push_back(store::SetValue{"transport-discovery:change:1", id, {}});
    CHECK(loop.run(store->increment("transport-discovery:changes")).value() == 1);
    const auto applied = loop.run(store->apply(std::move(batch)));
    CHECK(applied);
    harness.advance_until("the record is there", [&] {
        return harness.post(kAddress, "/routes", question(1, 2)).status == 200;
    });
    CHECK(loop.run(store->close(loop.context.clock.now() + std::chrono::seconds(5))));
    CHECK(harness.stop() == 0);
}

TEST_CASE("route-finder: serves without its list, and its health says so") {
    Harness harness(registry(), file(R"(,"transport_discovery":"http://127.0.0.1:9091")"));
    REQUIRE(harness.start());
    harness.wait_state("rf", State::degraded);
    CHECK(harness.service("rf").root_cause.find("http://127.0.0.1:9091") != std::string::npos);
    CHECK(harness.post(kAddress, "/routes", question(1, 2)).status == 503);
    CHECK(harness.get(kAddress, "/health").status == 200);
    CHECK(harness.stop() == 0);
}

TEST_CASE("route-finder: /health names its dmsg address and servers") {
    const auto keys = crypto::deterministic_key_pair("route-finder");
    const std::string finder = block(
        R"(,"mode":"dual","dmsg":{"discovery":"http://127.0.0.1:9090"},"secret_key":")" +
        keys.secret_key.reveal_text() + '"'
    );
    const auto view = std::make_shared<transport::TransportView>();
    net::TestLoop loop;
    const auto publication =
        view->publish("tpd", loop.context.loop, [] { return std::vector<transport::Entry>(); });
    Harness harness(
        registry(view), R"({"services":[)" + services::dmsg_blocks() + "," + finder + "]}"
    );
    REQUIRE(harness.start());
    harness.wait_event("rf", "milestone", "dmsg");
    // The recorded answer over dmsg: the same handler serves both.
    const json::value file = test::vectors("services/dmsg_http_2025.json");
    const auto health = parse_json(harness.get(kAddress, "/health").body).value();
    bool seen = false;
    for (const json::value& pair : file.at("pairs").as_array()) {
        if (pair.at("name").as_string() != "rf_health") continue;
        seen = true;
        const auto recorded = parse_json(test::text(pair.at("response"), "body")).value();
        for (const auto& member : recorded.as_object())
            CHECK(health.as_object().contains(member.key()));
    }
    CHECK(seen);
    CHECK(health.at("dmsg_address").as_string() == keys.public_key.to_text() + ":80");
    CHECK(
        health.at("dmsg_servers").as_array().at(0).as_string() ==
        services::kDmsgServerKeys.public_key.to_text()
    );
    CHECK(harness.stop() == 0);
}

TEST_CASE("route-finder: the rules of its block") {
    CHECK(problems_of("").empty());
    CHECK(problems_of(R"(,"transport_discovery":"http://192.0.2.1:9091","refresh":"2s")") == "");
    CHECK(
        problems_of(R"(,"transport_discovery":"https://host")").find("error") != std::string::npos
    );
    const std::string over_dmsg =
        R"(,"transport_discovery":"dmsg://)" + visor(1).to_text() + R"(:80")";
    CHECK(problems_of(over_dmsg).find("needs a secret_key") != std::string::npos);
    CHECK(problems_of(over_dmsg + R"(,"keyfile":"/tmp/rf.key")").empty());
    CHECK(problems_of(R"(,"refresh":"1ms")").find("error") != std::string::npos);
    CHECK(problems_of(R"(,"charts_addr":":8080")").find("warning") != std::string::npos);
    CHECK(problems_of(R"(,"entry_timeout":600000000000)").empty());
}

}  // namespace skywire::route_finder
