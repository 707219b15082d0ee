// The service as the supervisor runs it: a deployment of one block or two inside the test.

#include "services/service_discovery/service.hpp"

#include "base/test.hpp"
#include "dmsg/discovery_client.hpp"
#include "framework/harness/harness.hpp"
#include "framework/harness/problems.hpp"
#include "http/signed_request.hpp"
#include "services/common/dmsg_presence.hpp"
#include "services/common/test_blocks.hpp"
#include "services/common/test_feed_visor.hpp"
#include "services/dmsg_discovery/service.hpp"
#include "services/dmsg_server/service.hpp"
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
    return harness::problems_of(registry(), file(members));
}

/// A discovery in which an entry outlives its client, as after a kill -9.
class KeepingDiscovery final : public dmsg::DiscoveryClient {
 public:
    KeepingDiscovery(const net::Context& context, std::string_view url)
        : http_(context), below_(dmsg::make_http_discovery(context, http_, url).value()) {}

    Task<Result<dmsg::Entry>> entry(crypto::PublicKey key) override { return below_->entry(key); }
    Task<Result<std::vector<dmsg::Entry>>> available_servers() override {
        return below_->available_servers();
    }
    Task<Result<std::vector<dmsg::Entry>>> all_servers() override { return below_->all_servers(); }
    Task<Result<>> post(dmsg::Entry entry) override { return below_->post(std::move(entry)); }
    Task<Result<>> erase(dmsg::Entry) override { co_return Result<>(); }

 private:
    http::Client http_;
    std::unique_ptr<dmsg::DiscoveryClient> below_;
};

/// A visor that registers once, over dmsg, as those of 2024 do, and answers on its control port.
class Visor final : public framework::Service {
 public:
    Task<Result<>> start(framework::ServiceHost& host) override {
        const net::Context& context = host.context();
        presence_ = std::make_unique<services::DmsgPresence>(
            host,
            services::DmsgConfig(kVisor),
            std::make_unique<KeepingDiscovery>(context, "http://127.0.0.1:9090")
        );
        presence_->start();
        const auto ready = co_await presence_->client().wait_ready();
        if (!ready) co_return ready.error();
        net::Context over_dmsg(
            context.loop,
            context.clock,
            context.random,
            presence_->network(),
            context.workers,
            context.metrics,
            context.faults,
            context.logger
        );
        http::Client client(over_dmsg);
        Result<> registered = co_await register_once(client);
        client.close();
        co_return registered;
    }
    Task<> drain(SteadyTime) override { co_return; }
    Task<std::vector<std::string>> stop(SteadyTime deadline) override {
        std::vector<std::string> late;
        if (presence_) late = co_await presence_->stop(deadline);
        co_return late;
    }
    framework::HealthReport health() override { return {}; }

 private:
    static Task<Result<>> register_once(http::Client& client) {
        http::ClientRequest request;
        request.method = http::Method::post;
        request.address = net::Address::tcp(keys_of("sd").public_key.to_text(), 80);
        request.target = "/api/services";
        request.body = TestService::body_of(kVisor, "vpn", "");
        const auto answer = co_await client.send(std::move(request));
        if (!answer) co_return answer.error();
        if (answer->status != 200)
            co_return fail(errc::forbidden, std::string(answer->body_view()));
        co_return Result<>();
    }

    std::unique_ptr<services::DmsgPresence> presence_;
};

framework::ServiceType visor_type() {
    framework::ServiceType type;
    type.name = "visor";
    type.summary = "a visor of a test";
    type.facts = [](const framework::Block&) { return framework::BlockFacts(); };
    type.make = [](const framework::Block&) -> Result<std::unique_ptr<framework::Service>> {
        return std::make_unique<Visor>();
    };
    return type;
}

/// With a dmsg network and such a visor.
framework::ServiceRegistry dmsg_registry(framework::ServiceType visor) {
    framework::ServiceRegistry types = registry();
    types.add(services::dmsg_discovery_type());
    types.add(services::dmsg_server_type());
    types.add(std::move(visor));
    return types;
}

/// A dmsg network of one server, a service-discovery on it, and a visor that comes last.
std::string dmsg_file() {
    return R"({"services":[)" + services::dmsg_blocks() + ',' +
           block(
               "sd",
               kAddress,
               R"(,"testing":true,"dmsg":{"discovery":"http://127.0.0.1:9090"},"secret_key":")" +
                   keys_of("sd").secret_key.reveal_text() + "\""
           ) +
           R"(,{"type":"visor","name":"visor","depends_on":["sd"]}]})";
}

}  // namespace

TEST_CASE(
    "service-discovery: a visor registers over dmsg, lives while it answers, and is found gone"
) {
    Harness harness(dmsg_registry(visor_type()), dmsg_file());
    REQUIRE(harness.boot());
    CHECK(lists(harness, kAddress, kVisor));
    for (int i = 0; i < 20; ++i) {
        harness.advance(1min);
        CHECK(lists(harness, kAddress, kVisor));
    }
    REQUIRE(harness.command("visor", framework::Command::stop));
    harness.advance(4min);
    CHECK(lists(harness, kAddress, kVisor));
    harness.advance_until(
        "the visor is found gone", [&] { return !lists(harness, kAddress, kVisor); }, 5s, 6min
    );
    CHECK(harness.stop() == 0);
}

TEST_CASE("service-discovery: a visor's feed over dmsg is listed for as long as it is connected") {
    services::FeedVisorOptions options(kVisor, keys_of("sd").public_key);
    options.port = 68;
    options.path = "vpn";
    options.leaf = TestService::body_of(kVisor, "vpn", "");
    Harness harness(dmsg_registry(services::feed_visor_type(std::move(options))), dmsg_file());
    REQUIRE(harness.boot());
    harness.advance_until(
        "its service is listed", [&] { return lists(harness, kAddress, kVisor); }, 1s, 1min
    );
    for (int i = 0; i < 20; ++i) {
        harness.advance(1min);
        CHECK(lists(harness, kAddress, kVisor));
    }
    REQUIRE(harness.command("visor", framework::Command::stop));
    harness.advance_until(
        "what it offered has ended", [&] { return !lists(harness, kAddress, kVisor); }, 5s, 6min
    );
    CHECK(harness.stop() == 0);
}

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
    CHECK(problems_of(R"(,"enable_cxo":false)").empty());
    CHECK(problems_of(R"(,"cxo_port":0,"cxo_tcp_addr":"127.0.0.1:8870")").empty());
    for (const char* layout : {"newest", "old", "Both"})
        CHECK(problems_of(fmt::format(R"(,"feed_layout":"{}")", layout)).empty());
    CHECK(
        problems_of(R"(,"feed_layout":"older")").find("must be one of newest, old, both") !=
        std::string::npos
    );
    const auto layout_of = [types = registry()](const std::string& members) {
        const std::string key = kVisor.secret_key.reveal_text();
        const auto loaded = framework::load_deployment(
            "test.json", file(R"(,"secret_key":")" + key + '"' + members), types
        );
        return read_config(*loaded.config.value().blocks.at(0).block).feed.value().layout;
    };
    using services::FeedLayout;
    CHECK(layout_of("") == FeedLayout::newest);
    CHECK(layout_of(R"(,"feed_layout":"old")") == FeedLayout::old);
    CHECK(layout_of(R"(,"feed_layout":"Both")") == FeedLayout::both);
    CHECK(problems_of(R"(,"cxo_port":80)").find("cxo_port: dmsg port 80") != std::string::npos);
    CHECK(problems_of(R"(,"cxo_port":7)").find("control messages") != std::string::npos);
    CHECK(problems_of(R"(,"cxo_tcp_addr":"127.0.0.1:9098")").find("addr") != std::string::npos);
    CHECK(
        problems_of(R"(,"geoip":"https://geo.example")").find("warning: sd: geoip") !=
        std::string::npos
    );
    CHECK(problems_of(R"(,"default_geo":{"lat":91})").find("lat") != std::string::npos);
    CHECK(problems_of(R"(,"held_timeout":"-1s")").find("held_timeout") != std::string::npos);
    CHECK(problems_of(R"(,"redis":"rediss://x")").find("redis") != std::string::npos);
}

}  // namespace skywire::service_discovery
