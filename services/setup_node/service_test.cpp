// The service as the supervisor runs it, with a dmsg-discovery and a dmsg-server beside it.

#include "services/setup_node/service.hpp"

#include "base/test.hpp"
#include "dmsg/client.hpp"
#include "framework/harness/harness.hpp"
#include "framework/harness/problems.hpp"
#include "http/client.hpp"
#include "net/test_loop.hpp"
#include "router/setup_calls.hpp"
#include "rpc/client.hpp"
#include "services/common/test_blocks.hpp"
#include "services/dmsg_discovery/service.hpp"
#include "services/dmsg_server/service.hpp"

namespace skywire::setup_node {
namespace {

using namespace std::chrono_literals;
using harness::Harness;

const crypto::KeyPair kKeys = crypto::deterministic_key_pair("setup-node");

framework::ServiceRegistry registry() {
    framework::ServiceRegistry made;
    made.add(services::dmsg_discovery_type());
    made.add(services::dmsg_server_type());
    made.add(services::setup_node_type(nullptr));
    return made;
}

std::string block(const std::string& members) {
    return R"({"type":"setup-node","name":"sn","secret_key":")" + kKeys.secret_key.reveal_text() +
           '"' + members + '}';
}

std::string file(const std::string& members = {}) {
    return R"({"services":[)" + services::dmsg_blocks() + ',' +
           block(R"(,"dmsg":{"discovery":"http://127.0.0.1:9090"})" + members) + "]}";
}

std::string problems_of(const std::string& text) {
    return harness::problems_of(registry(), text);
}

std::string problems_of_block(const std::string& members) {
    return problems_of(R"({"services":[)" + block(members) + "]}");
}

/// A client of the deployment on a loop of the test.
class Visitor {
 public:
    explicit Visitor(Harness& harness)
        : context_(
              loop.ioc.get_executor(),
              loop.system_clock,
              loop.random,
              harness.network(),
              loop.workers,
              loop.metrics,
              loop.faults,
              log::Logger()
          ),
          network_(harness.network()),
          dmsg_context_(
              loop.ioc.get_executor(),
              loop.system_clock,
              loop.random,
              network_,
              loop.workers,
              loop.metrics,
              loop.faults,
              log::Logger()
          ),
          http_(context_),
          over_dmsg_(dmsg_context_),
          client_(
              context_,
              dmsg::ClientOptions(crypto::deterministic_key_pair("visitor")),
              dmsg::make_http_discovery(context_, http_, "http://127.0.0.1:9090").value()
          ) {
        network_.attach(&client_);
        client_.start();
        loop.run(client_.wait_ready()).value();
    }
    ~Visitor() {
        over_dmsg_.close();
        CHECK(loop.run(client_.stop(loop.system_clock.now() + 10s)).empty());
        http_.close();
    }
    Visitor(const Visitor&) = delete;
    Visitor& operator=(const Visitor&) = delete;

    http::Response get(const std::string& target) {
        http::ClientRequest request;
        request.address = net::Address::tcp(kKeys.public_key.to_text(), 80);
        request.target = target;
        return loop.run(over_dmsg_.send(std::move(request))).value();
    }
    Result<router::EdgeRules> ask(const router::BidirectionalRoute& route) {
        auto stream = loop.run(client_.dial({kKeys.public_key, router::kSetupNodePort})).value();
        rpc::Client calls(context_, std::move(stream));
        auto answer = loop.run(calls.call<router::EdgeRules>(
            std::string(router::kDialRouteGroup),
            rpc::body_of(route),
            loop.system_clock.now() + 1min
        ));
        loop.run(calls.close());
        return answer;
    }
    const crypto::PublicKey& key() const { return client_.key(); }

    net::TestLoop loop;

 private:
    net::Context context_;
    dmsg::DmsgNetwork network_;
    net::Context dmsg_context_;
    http::Client http_;
    http::Client over_dmsg_;
    dmsg::Client client_;
};

}  // namespace

TEST_CASE("setup-node: is found by its entry, and tells of itself over dmsg") {
    Harness::Options options;
    options.hold_clock = false;
    Harness harness(
        registry(),
        file(R"(,"metrics_addr":"127.0.0.1:9190","health":{"interval":"50ms"})"),
        options
    );
    REQUIRE(harness.boot());
    CHECK(harness.before("dmsgs milestone registered", "sn starting"));
    // Its start waits for this only for a while.
    harness.wait_event("sn", "milestone", "dmsg");
    CHECK(harness.count("sn milestone dmsg") == 1);
    const auto entry =
        harness.get("127.0.0.1:9090", "/dmsg-discovery/entry/" + kKeys.public_key.to_text());
    CHECK(entry.status == 200);
    {
        Visitor visitor(harness);
        const auto health = visitor.get("/health");
        CHECK(health.status == 200);
        const auto body = parse_json(health.body).value().as_object();
        CHECK(body.at("service_name").as_string() == "setup-node");
        CHECK(body.at("dmsg_address").as_string() == kKeys.public_key.to_text() + ":80");

        router::BidirectionalRoute route;
        route.descriptor = {visitor.key(), services::kDmsgServerKeys.public_key, 49153, 1};
        route.keep_alive = 30s;
        const auto refused = visitor.ask(route);
        CHECK(refused.error().message() == "bidirectional route does not have forward hops");
        const auto stats = visitor.get("/stats");
        CHECK(stats.status == 200);
        const auto counts = parse_json(stats.body).value().as_object();
        CHECK(counts.at("failed").to_number<int>() == 1);
        CHECK(counts.at("failures_by_reason").at("invalid_route").to_number<int>() == 1);
        CHECK(stats.body.find(visitor.key().to_text()) == std::string::npos);
        CHECK(visitor.get("/metrics").status == 404);
    }
    const std::string text = harness.get("127.0.0.1:9190", "/metrics").body;
    CHECK(
        text.find(R"(setup_node_requests_total{service="sn",outcome="invalid_route"} 1)") !=
        std::string::npos
    );
    harness.advance_until("a warning", [&] {
        const auto health = harness.get("admin", "/health");
        return health.body_view().find("transport_discovery is not set") != std::string::npos;
    });
    CHECK(harness.stop() == 0);
    CHECK(harness.before("sn stopped", "dmsgs stopping"));
}

TEST_CASE("setup-node: starts without a server, and says what is missing") {
    const std::string alone =
        R"({"services":[{"type":"dmsg-discovery","name":"dmsgd","addr":"127.0.0.1:9090",)"
        R"("testing":true},)" +
        block(R"(,"dmsg":{"discovery":"http://127.0.0.1:9090"})") + "]}";
    Harness harness(registry(), alone);
    REQUIRE(harness.start());
    harness.wait_state("sn", framework::State::degraded);
    CHECK(harness.service("sn").root_cause.find("dmsg") != std::string::npos);
    CHECK(harness.count("sn milestone dmsg") == 0);
    CHECK(harness.stop() == 0);
}

TEST_CASE("setup-node: the rules of its block") {
    const std::string discovery = R"(,"dmsg":{"discovery":"http://127.0.0.1:9090"})";
    CHECK(problems_of_block(discovery).find("error") == std::string::npos);
    CHECK(problems_of_block("").find("needs dmsg.discovery") != std::string::npos);
    CHECK(
        problems_of(R"({"services":[{"type":"setup-node","dmsg":{"discovery":"http://a:1"}}]})")
            .find("needs a secret_key") != std::string::npos
    );
    CHECK(
        problems_of_block(
            discovery + R"(,"public_key":")" + services::kDmsgServerKeys.public_key.to_text() + '"'
        )
            .find("is not that of") != std::string::npos
    );
    CHECK(
        problems_of_block(discovery + R"(,"cascade":{"enabled":true})").find("warning") !=
        std::string::npos
    );
    // The reference's own file, as a block.
    const std::string reference =
        R"(,"dmsg":{"sessions_count":1,"discovery":"http://127.0.0.1:9090","servers":[)"
        R"({"version":"","sequence":0,"timestamp":0,"static":")" +
        services::kDmsgServerKeys.public_key.to_text() +
        R"(","server":{"address":"127.0.0.1:8080","availableSessions":0}}]},)"
        R"("transport_discovery":"http://127.0.0.1:9094","log_level":"info")";
    CHECK(problems_of_block(reference).find("error") == std::string::npos);
    CHECK(
        problems_of_block(discovery + R"(,"transport_discovery_dmsg":"http://127.0.0.1:1")")
            .find("error") != std::string::npos
    );
}

}  // namespace skywire::setup_node
