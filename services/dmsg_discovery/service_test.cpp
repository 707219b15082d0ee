// The service as the supervisor runs it: a deployment of one block inside the test.

#include "services/dmsg_discovery/service.hpp"

#include "base/test.hpp"
#include "dmsg/entry.hpp"
#include "framework/harness/harness.hpp"
#include "framework/harness/problems.hpp"
#include "services/dmsg_discovery/test_discovery.hpp"
#include "store/redis_server.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

namespace skywire::discovery {
namespace {

using namespace std::chrono_literals;
using framework::State;
using harness::Harness;

constexpr const char* kAddress = "127.0.0.1:9090";

framework::ServiceRegistry registry() {
    framework::ServiceRegistry made;
    made.add(services::dmsg_discovery_type());
    return made;
}

std::string file(const std::string& members) {
    return R"({"services":[{"type":"dmsg-discovery","name":"dmsgd","addr":"127.0.0.1:9090")" +
           members + "}]}";
}

Harness::Options recording_time() {
    Harness::Options options;
    options.wall = kRecordingTime;
    return options;
}

std::string problems_of(const std::string& members) {
    return harness::problems_of(registry(), file(members));
}

http::Response post(Harness& harness, const dmsg::Entry& entry) {
    return harness.post(kAddress, "/dmsg-discovery/entry/", dmsg::to_json(entry));
}

}  // namespace

TEST_CASE("dmsg-discovery: is ready once HTTP answers, and stops in order") {
    const auto types = registry();
    Harness harness(types, file(R"(,"testing":true)"), recording_time());
    REQUIRE(harness.boot());
    CHECK(harness.before("dmsgd milestone http", "dmsgd ready"));
    const auto health = harness.get(kAddress, "/health");
    CHECK(health.status == 200);
    CHECK(health.body.starts_with(R"({"service_name":"dmsg-discovery","build_info":{)"));
    CHECK(health.body.find("dmsg_address") == std::string::npos);
    const auto keys = crypto::deterministic_key_pair("client");
    CHECK(post(harness, client_entry(keys, 0)).status == 200);
    CHECK(harness.get(kAddress, path_of(keys)).body == dmsg::to_json(client_entry(keys, 0)));
    CHECK(harness.stop() == 0);
}

TEST_CASE("dmsg-discovery: gauges and counters reach its metrics listener") {
    const auto types = registry();
    Harness harness(
        types, file(R"(,"testing":true,"metrics_addr":"127.0.0.1:9190")"), recording_time()
    );
    REQUIRE(harness.boot());
    const auto keys = crypto::deterministic_key_pair("client");
    post(harness, client_entry(keys, 0));
    post(harness, client_entry(keys, 0));
    harness.advance(10s);
    const std::string text = harness.get("127.0.0.1:9190", "/metrics").body;
    for (const std::string_view part :
         {"dmsg_discovery_clients_count{service=\"dmsgd\"} 1",
          "dmsg_discovery_servers_count{service=\"dmsgd\"} 0",
          "vm_request_ongoing_count{service=\"dmsgd\"}",
          "outcome=\"first\"} 1",
          "outcome=\"wrong_sequence\"} 1"}) {
        INFO(part << " in\n" << text);
        CHECK(text.find(part) != std::string::npos);
    }
    CHECK(harness.stop() == 0);
}

TEST_CASE("dmsg-discovery: a snapshot brings the entries back after a restart") {
    const auto types = registry();
    Harness harness(types, file(""), recording_time());
    REQUIRE(harness.boot());
    CHECK(harness.logged("memory+sqlite"));
    const auto keys = crypto::deterministic_key_pair("client");
    CHECK(post(harness, client_entry(keys, 3)).status == 200);
    REQUIRE(harness.command("dmsgd", framework::Command::restart));
    CHECK(harness.get(kAddress, path_of(keys)).body == dmsg::to_json(client_entry(keys, 3)));
    CHECK(harness.stop() == 0);
    CHECK(std::filesystem::exists(harness.folder() + "/dmsgd.sqlite"));
}

TEST_CASE("dmsg-discovery: a large answer is compressed for a client that asks for it") {
    const auto types = registry();
    Harness harness(types, file(R"(,"testing":true)"), recording_time());
    REQUIRE(harness.boot());
    for (int i = 0; i < 30; ++i) {
        const auto keys = crypto::deterministic_key_pair(fmt::format("client {}", i));
        CHECK(post(harness, client_entry(keys, 0)).status == 200);
    }
    http::Fields fields;
    fields.add("Accept-Encoding", "gzip");
    const auto asked =
        harness.send(http::Method::get, kAddress, "/dmsg-discovery/entries", "", std::move(fields))
            .get();
    CHECK(asked.fields.get("Content-Encoding") == "gzip");
    const auto plain = harness.get(kAddress, "/dmsg-discovery/entries");
    CHECK_FALSE(plain.fields.get("Content-Encoding"));
    CHECK(asked.body.size() < plain.body.size());
    CHECK(harness.stop() == 0);
}

TEST_CASE("dmsg-discovery: a body of more than a mebibyte is refused before it is read") {
    const auto types = registry();
    Harness harness(types, file(R"(,"testing":true)"), recording_time());
    REQUIRE(harness.boot());
    const auto refused = harness
                             .send(
                                 http::Method::post,
                                 kAddress,
                                 "/dmsg-discovery/entry/",
                                 std::string(1024 * 1024 + 1, 'x')
                             )
                             .result();
    // The answer may be cut off by the reset that the unread rest of the body causes.
    if (refused) {
        CHECK(refused->status == 413);
        CHECK(refused->body.find("Request Entity Too Large") != std::string::npos);
    }
    CHECK(harness.get(kAddress, "/health").status == 200);
    CHECK(harness.stop() == 0);
}

TEST_CASE("dmsg-discovery: waits for Redis, degrades without it and recovers") {
    const auto types = registry();
    store::RedisServer::Options tcp;
    tcp.tcp = true;
    store::RedisServer redis(tcp);
    redis.stop();
    Harness::Options options = recording_time();
    options.hold_clock = false;
    Harness harness(
        types,
        file(fmt::format(R"(,"redis":"{}","health":{{"interval":"50ms"}})", redis.url())),
        options
    );
    harness.network().pass_through(net::Address::tcp("127.0.0.1", redis.port()));
    REQUIRE(harness.start());
    harness.advance_until("Redis is missed", [&] {
        return harness.service("dmsgd").root_cause.find("redis") != std::string::npos;
    });
    CHECK(harness.service("dmsgd").state == State::starting);

    redis.start();
    harness.wait_state("dmsgd", State::ready);
    const auto keys = crypto::deterministic_key_pair("client");
    CHECK(post(harness, client_entry(keys, 0)).status == 200);

    redis.stop();
    harness.wait_state("dmsgd", State::degraded);
    CHECK(harness.service("dmsgd").root_cause.find("redis") != std::string::npos);
    const auto refused = post(harness, client_entry(keys, 1));
    CHECK(refused.status == 503);
    CHECK(refused.body == R"({"message":"something unexpected happened","code":503})");
    CHECK(harness.get(kAddress, "/health").status == 200);

    redis.start();
    harness.wait_state("dmsgd", State::ready);
    // It kept nothing, so any sequence is the first one again.
    CHECK(post(harness, client_entry(keys, 1)).status == 200);
    CHECK(harness.stop() == 0);
}

TEST_CASE("dmsg-discovery: an address that is taken fails the start, and the next try succeeds") {
    const auto types = registry();
    Harness harness(types, file(R"(,"metrics_addr":"127.0.0.1:9190")"), recording_time());
    harness.faults().set("bind", "127.0.0.1:9190", 1);
    REQUIRE(harness.boot());
    CHECK(harness.service("dmsgd").restarts == 1);
    CHECK(harness.get(kAddress, "/health").status == 200);
    CHECK(harness.stop() == 0);
}

TEST_CASE("dmsg-discovery: a start that is cut off while Redis hangs is taken down by stop") {
    store::RedisServer redis;
    const auto types = registry();
    const auto loaded = framework::load_deployment(
        "test.json", file(fmt::format(R"(,"redis":"{}")", redis.url())), types
    );
    REQUIRE(loaded.config);
    redis.pause();
    ManualClock clock(kRecordingTime);
    net::TestLoop loop(&clock);
    services::TestHost host(loop.context);
    const auto made = types.find("dmsg-discovery")->make(*loaded.config->blocks[0].block);
    REQUIRE(made);
    framework::Service& service = **made;
    asio::cancellation_signal cancel;
    bool ended = false;
    asio::co_spawn(
        loop.ioc,
        service.start(host),
        asio::bind_cancellation_slot(
            cancel.slot(), [&ended](std::exception_ptr, const Result<>&) { ended = true; }
        )
    );
    loop.settle();
    CHECK_FALSE(ended);
    cancel.emit(asio::cancellation_type::terminal);
    loop.run_until([&] { return ended; });
    CHECK(host.milestones.empty());
    // The command that Redis never answered is waited for until the deadline, which is now.
    loop.run(service.stop(clock.now()));
    CHECK(service.health().checks.empty());
    redis.resume();
}

TEST_CASE("dmsg-discovery: the rules of its block") {
    CHECK(problems_of(R"(,"testing":true)").empty());
    CHECK(problems_of(R"(,"mode":"dmsg")").find("mode=dmsg is refused") != std::string::npos);
    CHECK(problems_of(R"(,"mode":"dual")").empty());
    CHECK(problems_of(R"(,"feed_layout":"old")").empty());
    CHECK(
        problems_of(R"(,"feed_layout":"both")").find("must be one of newest, old, is") !=
        std::string::npos
    );
    CHECK(problems_of(R"(,"charts_addr":":8080")").find("warning") != std::string::npos);
    CHECK(problems_of(R"(,"enable_load_testing":true)").find("warning") != std::string::npos);
    CHECK(problems_of(R"(,"whitelist_keys":["zz"])").find("error") != std::string::npos);
    const std::string servers =
        R"(,"dmsg_servers":[{"version":"","sequence":0,"timestamp":0,"static":)"
        R"("02857a87410b3709eddb99bc00508cc7cfeb588d5ed87e3ef9d2aac838ad49470a",)"
        R"("server":{"address":"127.0.0.1:8081","availableSessions":0}}])";
    CHECK(problems_of(servers).empty());
}

}  // namespace skywire::discovery
