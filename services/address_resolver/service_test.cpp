// The whole service: a deployment of one resolver, with visors over HTTP and UDP.

#include "services/address_resolver/service.hpp"

#include "base/test.hpp"
#include "framework/deployment_config.hpp"
#include "framework/harness/harness.hpp"
#include "framework/harness/problems.hpp"
#include "http/signed_request.hpp"
#include "net/deadline.hpp"
#include "net/kcp_socket.hpp"
#include "net/test_loop.hpp"
#include "services/common/test_blocks.hpp"
#include "services/common/test_feed_visor.hpp"
#include "services/dmsg_discovery/service.hpp"
#include "services/dmsg_server/service.hpp"
#include "transport/raw_handshake.hpp"

using namespace std::chrono_literals;

namespace skywire::resolver {
namespace {

using harness::Harness;

constexpr const char* kAddress = "127.0.0.1:9093";

framework::ServiceRegistry registry() {
    framework::ServiceRegistry types;
    types.add(services::address_resolver_type());
    return types;
}

std::string file(std::string_view more) {
    return fmt::format(
        R"({{"services":[{{"type":"address-resolver","name":"ar","addr":"{}",)"
        R"("udp_addr":"127.0.0.1:30178"{}}}]}})",
        kAddress,
        more
    );
}

std::string problems_of(const std::string& members) {
    return harness::problems_of(registry(), file(members));
}

/// Requests of a visor with the next nonce.
http::Response send(
    Harness& harness,
    const crypto::KeyPair& keys,
    http::Method method,
    const std::string& path,
    std::string body = {}
) {
    const auto told = harness.get(kAddress, "/security/nonces/" + keys.public_key.to_text());
    const auto nonce = parse_json(told.body).value().at("next_nonce").to_number<std::uint64_t>();
    http::Fields fields;
    http::sign_request(fields, keys, body, nonce);
    fields.set("X-Real-IP", "203.0.113.7");
    return harness.send(method, kAddress, path, std::move(body), std::move(fields)).get();
}

/// A visor outside of the deployment, over the machine's UDP.
class Visor {
 public:
    explicit Visor(std::string_view name)
        : keys(crypto::deterministic_key_pair(name)),
          socket_(
              loop_.context,
              loop_.network.bind_udp(loop_.context.loop, net::Address::tcp("127.0.0.1", 0)).value(),
              {}
          ) {
        socket_.start();
    }
    ~Visor() { CHECK(loop_.run(socket_.stop(loop_.system_clock.now() + 1min)).empty()); }

    void bind(const net::Address& resolver) {
        stream_ = socket_.dial(resolver).value();
        REQUIRE(loop_.run(transport::dial_raw(*stream_, {keys, 0, {}})));
        write(R"({"port":"1","addresses":["127.0.0.1"]})");
        // The echo says that the bind has been taken.
        write("heartbeat");
        CHECK(read() == "heartbeat");
    }
    void write(std::string text) {
        const auto written = loop_.run(write_text(std::move(text)));
        REQUIRE(written);
    }
    std::string read() { return loop_.run(read_text()); }
    std::string address() const { return socket_.local().to_string(); }

 private:
    Task<Result<>> write_text(std::string text) {
        co_return co_await stream_->write(as_bytes(text));
    }
    Task<std::string> read_text() {
        Bytes buffer(4096);
        const auto size = co_await stream_->read_some(buffer);
        if (!size) co_return size.error().message();
        co_return std::string(as_text(ByteSpan(buffer).first(*size)));
    }

    net::TestLoop loop_;

 public:
    crypto::KeyPair keys;

 private:
    net::KcpSocket socket_;
    std::unique_ptr<net::Stream> stream_;
};

}  // namespace

TEST_CASE("address-resolver: serves visors over HTTP and at both UDP addresses") {
    Harness harness(registry(), file(R"(,"testing":true,"public_udp_addr":"ar.example:30178")"));
    REQUIRE(harness.boot());
    CHECK(harness.before("ar milestone http", "ar ready"));
    const auto health = harness.get(kAddress, "/health");
    CHECK(health.body.starts_with(R"({"service_name":"address-resolver","build_info":{)"));
    CHECK(health.body.ends_with(R"(,"udp_address":"ar.example:30178"})"));

    Visor one("one");
    Visor two("two");
    one.bind(harness.network().real_udp_address("127.0.0.1:30178").value());
    two.bind(harness.network().real_udp_address(kAddress).value());
    const auto resolved = send(
        harness, two.keys, http::Method::get, "/resolve/sudph/" + one.keys.public_key.to_text()
    );
    CHECK(resolved.status == 200);
    CHECK(
        resolved.body ==
        R"({"remote_addr":")" + one.address() + R"(","port":"1","addresses":["127.0.0.1"]})"
    );
    CHECK(
        one.read() ==
        R"({"PK":")" + two.keys.public_key.to_text() + R"(","Addr":")" + two.address() + R"("})"
    );

    const std::string body = R"({"port":"7777","addresses":["203.0.113.7"]})";
    CHECK(send(harness, one.keys, http::Method::post, "/bind/stcpr", body).status == 200);
    const auto list = harness.get(kAddress, "/transports");
    CHECK(list.body.find(R"("stcpr":[")" + one.keys.public_key.to_text()) != std::string::npos);
    CHECK(list.body.find(R"("sudph":[)") != std::string::npos);
    CHECK(
        harness.get(kAddress, "/sudph-sessions").body ==
        R"({"accepted":2,"closed":0,"in_memory":2,"in_memory_closed":0,)"
        R"("in_memory_wrapper_reachable":2,"kcp_listener_sessions":2,"closed_in_listener_map":0,)"
        R"("kcp_curr_estab":2,"kcp_passive_opens":2,"kcp_active_opens":0,"sudph_conns_bound":2})"
    );
    CHECK(harness.stop() == 0);
}

TEST_CASE("address-resolver: the types of 2026 bind as stcpr does") {
    Harness harness(registry(), file(R"(,"testing":true)"));
    REQUIRE(harness.boot());
    const auto keys = crypto::deterministic_key_pair("visor");
    const std::string key = keys.public_key.to_text();
    const std::string body = R"({"port":"7777","addresses":["203.0.113.7"],"cert_hash":"h"})";
    CHECK(send(harness, keys, http::Method::post, "/bind/quic", body).status == 200);
    CHECK(send(harness, keys, http::Method::post, "/bind/wt", body).status == 200);
    for (const std::string type : {"squicr", "quic", "wt"}) {
        const std::string target = fmt::format("/resolve/{}/{}", type, key);
        const auto resolved = send(harness, keys, http::Method::get, target);
        CHECK(resolved.status == 200);
        CHECK(resolved.body.find(R"("cert_hash":"h")") != std::string::npos);
    }
    CHECK(
        harness.get(kAddress, "/transports").body ==
        R"({"squicr":[")" + key + R"("],"wt":[")" + key + R"("]})"
    );
    CHECK(send(harness, keys, http::Method::delete_, "/bind/wt", "{}\n").status == 200);
    CHECK(send(harness, keys, http::Method::get, "/resolve/wt/" + key).status == 404);
    const auto ipv6 =
        send(harness, keys, http::Method::post, "/bind/stcpr", R"({"port":"1","addresses":["x"]})");
    CHECK(ipv6.status == 400);
    CHECK(harness.stop() == 0);
}

TEST_CASE("address-resolver: a restart loses no binding, and no nonce comes back") {
    Harness harness(registry(), file(""));
    REQUIRE(harness.boot());
    const auto keys = crypto::deterministic_key_pair("visor");
    const std::string key = keys.public_key.to_text();
    const std::string body = R"({"port":"7777","addresses":["203.0.113.7"]})";
    REQUIRE(send(harness, keys, http::Method::post, "/bind/stcpr", body).status == 200);
    REQUIRE(harness.command("ar", framework::Command::restart));
    CHECK(send(harness, keys, http::Method::get, "/resolve/stcpr/" + key).status == 200);
    const auto told = harness.get(kAddress, "/security/nonces/" + key);
    CHECK(parse_json(told.body).value().at("next_nonce").to_number<std::uint64_t>() > 1000);
    CHECK(harness.stop() == 0);
}

TEST_CASE("address-resolver: a UDP address that is taken fails the start, and the next try goes") {
    Harness harness(registry(), file(R"(,"testing":true)"));
    harness.faults().set("bind", "127.0.0.1:30178", 1);
    REQUIRE(harness.boot());
    CHECK(harness.service("ar").restarts == 1);
    CHECK(harness.stop() == 0);
}

TEST_CASE("address-resolver: its series reach the metrics listener") {
    Harness harness(registry(), file(R"(,"testing":true,"metrics_addr":"127.0.0.1:9193")"));
    REQUIRE(harness.boot());
    Visor visor("visor");
    visor.bind(harness.network().real_udp_address("127.0.0.1:30178").value());
    const auto keys = crypto::deterministic_key_pair("other");
    send(harness, keys, http::Method::get, "/resolve/sudph/" + keys.public_key.to_text());
    const std::string text = harness.get("127.0.0.1:9193", "/metrics").body;
    for (const std::string_view part :
         {"address_resolver_clients_count{service=\"ar\"} 1",
          "kcp_sessions{service=\"ar\"} 1",
          "address_resolver_resolves_total{service=\"ar\",outcome=\"none\"} 1",
          "address_resolver_udp_messages_total{service=\"ar\",kind=\"heartbeat\"} 1"}) {
        INFO(part << " in\n" << text);
        CHECK(text.find(part) != std::string::npos);
    }
    CHECK(harness.stop() == 0);
}

TEST_CASE("address-resolver: the rules of its block") {
    CHECK(problems_of(R"(,"testing":true)").empty());
    CHECK(problems_of(R"(,"charts_addr":":8080")").find("warning") != std::string::npos);
    CHECK(problems_of(R"(,"whitelist_keys":["zz"])").find("error") != std::string::npos);
    CHECK(problems_of(R"(,"public_udp_addr":"udp://x")").find("error") != std::string::npos);
    CHECK(problems_of(R"(,"held_timeout":"-1s")").find("error") != std::string::npos);
    const std::string secret =
        R"(,"secret_key":"0f2e20323d36e3846ceb418ce3617f8e781c4b82071703baef56ea5c1a271e00")";
    CHECK(problems_of(R"(,"mode":"dmsg")" + secret).find("public_udp_addr") != std::string::npos);
}

TEST_CASE("address-resolver: facts name the UDP ports, one where both are the same") {
    const auto types = registry();
    const auto udp_ports = [&](const std::string& text) {
        const auto loaded = framework::load_deployment("test.json", text, types);
        REQUIRE(loaded.config);
        const auto facts = types.find("address-resolver")->facts(*loaded.config->blocks[0].block);
        std::vector<std::string> ports;
        for (const auto& port : facts.ports)
            if (port.transport == framework::PortUse::Transport::udp)
                ports.push_back(port.key + " " + port.address.to_string());
        return ports;
    };
    CHECK(
        udp_ports(file("")) ==
        std::vector<std::string>{"udp_addr 127.0.0.1:30178", "addr 127.0.0.1:9093"}
    );
    CHECK(
        udp_ports(R"({"services":[{"type":"address-resolver","addr":":9093","udp_addr":":9093"}]})"
        ) == std::vector<std::string>{"udp_addr :9093"}
    );
    CHECK(
        udp_ports(R"({"services":[{"type":"address-resolver"}]})") ==
        std::vector<std::string>{"udp_addr :30178", "addr :9093"}
    );
}

TEST_CASE("address-resolver: a visor's feed over dmsg binds for as long as it is connected") {
    const auto visor = crypto::deterministic_key_pair("visor");
    const auto own = crypto::deterministic_key_pair("resolver");
    services::FeedVisorOptions options(visor, own.public_key);
    options.port = 66;
    options.path = "stcpr";
    options.leaf = R"({"port":"7777","addresses":["10.0.0.4"],"public_ip":"203.0.113.7"})";
    framework::ServiceRegistry types = registry();
    types.add(services::dmsg_discovery_type());
    types.add(services::dmsg_server_type());
    types.add(services::feed_visor_type(std::move(options)));
    Harness harness(
        std::move(types),
        fmt::format(
            R"({{"services":[{},{{"type":"address-resolver","name":"ar","addr":"{}",)"
            R"("udp_addr":"127.0.0.1:30178","testing":true,"secret_key":"{}",)"
            R"("dmsg":{{"discovery":"http://127.0.0.1:9090"}}}},)"
            R"({{"type":"visor","name":"visor","depends_on":["ar"]}}]}})",
            services::dmsg_blocks(),
            kAddress,
            own.secret_key.reveal_text()
        )
    );
    REQUIRE(harness.boot());
    const auto bound = [&] {
        const auto list = harness.get(kAddress, "/transports");
        return list.body == R"({"stcpr":[")" + visor.public_key.to_text() + R"("]})";
    };
    harness.advance_until("it is bound", bound, 1s, 1min);
    for (int i = 0; i < 20; ++i) {
        harness.advance(1min);
        CHECK(bound());
    }
    REQUIRE(harness.command("visor", framework::Command::stop));
    harness.advance_until("its binding has ended", [&] { return !bound(); }, 5s, 6min);
    CHECK(harness.stop() == 0);
}

}  // namespace skywire::resolver
