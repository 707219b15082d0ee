// The service as the supervisor runs it.

#include "services/network_visualizer/service.hpp"

#include "base/test.hpp"
#include "framework/harness/harness.hpp"
#include "framework/harness/problems.hpp"
#include "net/test_loop.hpp"
#include "services/common/test_blocks.hpp"
#include "services/dmsg_discovery/service.hpp"
#include "services/dmsg_server/service.hpp"
#include "services/network_visualizer/test_network.hpp"
#include "services/service_discovery/service.hpp"
#include "services/transport_discovery/service.hpp"

namespace skywire::network_visualizer {
namespace {

using framework::State;
using harness::Harness;

constexpr const char* kAddress = "127.0.0.1:8088";

framework::ServiceRegistry registry(
    std::shared_ptr<transport::TransportView> view = std::make_shared<transport::TransportView>()
) {
    framework::ServiceRegistry made;
    made.add(services::dmsg_discovery_type());
    made.add(services::dmsg_server_type());
    made.add(services::network_visualizer_type(view));
    made.add(services::service_discovery_type());
    made.add(services::transport_discovery_type(std::move(view)));
    return made;
}

std::string block(const std::string& members) {
    return R"({"type":"network-visualizer","name":"viz","addr":"127.0.0.1:8088")" + members + "}";
}

std::string file(const std::string& members) {
    return R"({"services":[)" + block(members) + "]}";
}

std::string deployment() {
    return R"({"services":[)" + services::dmsg_blocks() +
           R"(,{"type":"transport-discovery","name":"tpd","addr":"127.0.0.1:9091","testing":true},)"
           R"({"type":"service-discovery","name":"sd","addr":"127.0.0.1:9098","testing":true},)" +
           block("") + "]}";
}

std::string problems_of(const std::string& members) {
    return harness::problems_of(registry(), file(members));
}

json::value part(Harness& harness, const std::string& name) {
    const json::value health = parse_json(harness.get(kAddress, "/api/health").body).value();
    return health.at("parts").at(name);
}

}  // namespace

TEST_CASE("network-visualizer: finds the blocks beside it, and the list of the same process") {
    Harness harness(registry(), deployment());
    REQUIRE(harness.boot());
    harness.advance_until("all parts are there", [&] {
        const json::value health = parse_json(harness.get(kAddress, "/api/health").body).value();
        return health.at("status").as_string() == "healthy";
    });
    harness.wait_state("viz", State::ready);
    CHECK(part(harness, "services").at("place").as_string() == "http://127.0.0.1:9098");
    CHECK(part(harness, "dmsg").at("source").as_string() == "http");
    CHECK(part(harness, "transports").at("source").as_string() == "process");
    harness.advance_until("the server is there", [&] {
        const std::string body = harness.get(kAddress, "/api/dmsg/servers/clients").body;
        return body.find(services::kDmsgServerKeys.public_key.to_text()) != std::string::npos;
    });
    const auto health = parse_json(harness.get(kAddress, "/health").body).value();
    CHECK(health.at("service_name").as_string() == "network-visualizer");
    CHECK(harness.get(kAddress, "/").body.find("<canvas") != std::string::npos);
    CHECK(harness.stop() == 0);
}

TEST_CASE("network-visualizer: follows a transport-discovery of the same process") {
    const auto view = std::make_shared<transport::TransportView>();
    net::TestLoop loop;
    std::vector<transport::Entry> listed{joins(1, 2), joins(2, 3)};
    auto publication = view->publish("tpd", loop.context.loop, [&listed] { return listed; });
    Harness harness(registry(view), file(""));
    REQUIRE(harness.start());
    const auto items = [&] {
        loop.settle();
        return part(harness, "transports").at("items").as_int64();
    };
    harness.advance_until("the list is there", [&] { return items() == 2; });
    publication->put(joins(3, 4));
    publication->put(joins(4, 5));
    publication->remove(joins(1, 2).id);
    harness.advance_until("it has changed", [&] { return items() == 3; });
    const std::string body = harness.get(kAddress, "/api/transports").body;
    CHECK(body.find(joins(4, 5).id.to_text()) != std::string::npos);
    CHECK(body.find(joins(1, 2).id.to_text()) == std::string::npos);
    CHECK(part(harness, "transports").at("age_seconds").to_number<double>() == 0);
    // It ends: the last list stays, and grows old.
    publication.reset();
    harness.advance_until("the loss is told", [&] {
        return !part(harness, "transports").at("failure").as_string().empty();
    });
    harness.advance(std::chrono::seconds(30));
    CHECK(part(harness, "transports").at("age_seconds").to_number<double>() >= 30);
    CHECK(items() == 3);
    listed = {joins(7, 8)};
    publication = view->publish("tpd", loop.context.loop, [&listed] { return listed; });
    harness.advance_until("it is back", [&] {
        return items() == 1 && part(harness, "transports").at("failure").as_string().empty();
    });
    CHECK(harness.stop() == 0);
}

TEST_CASE("network-visualizer: without upstreams it serves, and says what is missing") {
    Harness harness(
        registry(nullptr),
        file(R"(,"service_discovery":"http://127.0.0.1:1","dmsg_discovery":"http://127.0.0.1:1/x")")
    );
    REQUIRE(harness.start());
    harness.advance_until("the failures are told", [&] {
        return !part(harness, "dmsg").at("failure").as_string().empty() &&
               !part(harness, "services").at("failure").as_string().empty();
    });
    CHECK(
        part(harness, "transports").at("failure").as_string().find("neither a URL") !=
        std::string::npos
    );
    CHECK(harness.get(kAddress, "/api/transports").status == 503);
    CHECK(harness.get(kAddress, "/").status == 200);
    harness.wait_state("viz", State::degraded);
    CHECK(harness.stop() == 0);
}

TEST_CASE("network-visualizer: a discovery that comes back is seen") {
    Harness harness(registry(), deployment());
    REQUIRE(harness.boot());
    harness.advance_until("it is there", [&] {
        return part(harness, "services").at("source").as_string() == "http";
    });
    REQUIRE(harness.command("sd", framework::Command::stop));
    harness.advance_until("the loss is told", [&] {
        return !part(harness, "services").at("failure").as_string().empty();
    });
    CHECK(harness.get(kAddress, "/api/services").status == 200);
    REQUIRE(harness.command("sd", framework::Command::start));
    harness.advance_until("it is back", [&] {
        return part(harness, "services").at("failure").as_string().empty();
    });
    CHECK(harness.stop() == 0);
}

namespace {

/// A block that is on dmsg with a key of its own.
std::string keyed(
    const std::string& type, const std::string& name, int port, const std::string& members = ""
) {
    return R"(,{"type":")" + type + R"(","name":")" + name + R"(","addr":"127.0.0.1:)" +
           std::to_string(port) + R"(","testing":true,"mode":"dual","secret_key":")" +
           crypto::deterministic_key_pair(name).secret_key.reveal_text() +
           R"(","dmsg":{"discovery":"http://127.0.0.1:9090","sessions_count":1})" + members + "}";
}

std::string publishers(const std::string& members = "") {
    const std::string discovery =
        R"(,"mode":"dual","dmsg":{"discovery":"http://127.0.0.1:9090","sessions_count":1},)"
        R"("secret_key":")" +
        crypto::deterministic_key_pair("dmsgd").secret_key.reveal_text() + '"';
    return R"({"services":[)" + services::dmsg_blocks(discovery) +
           keyed("transport-discovery", "tpd", 9091) + keyed("service-discovery", "sd", 9098) +
           "," + block(R"(,"dmsg":{"discovery":"http://127.0.0.1:9090"})" + members) + "]}";
}

std::string source(Harness& harness, const std::string& name) {
    return std::string(part(harness, name).at("source").as_string());
}

std::string feed_state(Harness& harness, const std::string& name) {
    return std::string(part(harness, name).at("feed").at("state").as_string());
}

/// One whose transports come over feeds, too.
framework::ServiceRegistry strangers() {
    framework::ServiceRegistry made;
    made.add(services::dmsg_discovery_type());
    made.add(services::dmsg_server_type());
    made.add(services::network_visualizer_type(nullptr));
    made.add(services::service_discovery_type());
    made.add(services::transport_discovery_type(std::make_shared<transport::TransportView>()));
    return made;
}

}  // namespace

TEST_CASE("network-visualizer: reads the feeds of its deployment, and asks where one is lost") {
    Harness harness(strangers(), publishers());
    REQUIRE(harness.boot());
    for (const char* name : {"services", "dmsg", "transports"}) {
        INFO(name);
        harness.advance_until("the feed is live", [&] {
            return source(harness, name) == "cxo" && feed_state(harness, name) == "live";
        });
    }
    harness.wait_state("viz", State::ready);
    CHECK(part(harness, "dmsg").at("place").as_string().ends_with(":54"));
    // The server, and who is with it.
    harness.advance_until("all clients are there", [&] {
        const std::string body = harness.get(kAddress, "/api/dmsg/servers/clients").body;
        for (const char* name : {"dmsgd", "tpd", "sd"})
            if (body.find(crypto::deterministic_key_pair(name).public_key.to_text()) ==
                std::string::npos)
                return false;
        return body.find(services::kDmsgServerKeys.public_key.to_text()) != std::string::npos;
    });
    CHECK(
        harness.get(kAddress, "/api/dmsg/servers/clients").fields.get("X-Skywire-Source") == "cxo"
    );
    CHECK(part(harness, "services").at("age_seconds").to_number<double>() == 0);
    REQUIRE(harness.command("sd", framework::Command::stop));
    harness.advance_until("the loss is told", [&] {
        return feed_state(harness, "services") == "lost" &&
               !part(harness, "services").at("failure").as_string().empty();
    });
    CHECK(harness.get(kAddress, "/api/services").status == 200);
    CHECK(part(harness, "services").at("feed").at("detail").as_string().size() > 0);
    CHECK(source(harness, "dmsg") == "cxo");
    REQUIRE(harness.command("sd", framework::Command::start));
    harness.advance_until("it is back", [&] {
        return source(harness, "services") == "cxo" && feed_state(harness, "services") == "live" &&
               part(harness, "services").at("failure").as_string().empty();
    });
    CHECK(harness.stop() == 0);
}

TEST_CASE(
    "network-visualizer: where a feed alone is lost its list comes over HTTP, and both are told"
) {
    Harness harness(strangers(), publishers());
    REQUIRE(harness.boot());
    const auto live = [&] {
        return source(harness, "services") == "cxo" && feed_state(harness, "services") == "live";
    };
    harness.advance_until("the feed is live", live);
    REQUIRE(harness.command("dmsgs", framework::Command::stop));
    harness.advance_until("the list is asked for", [&] {
        return source(harness, "services") == "http" && feed_state(harness, "services") == "lost";
    });
    const auto number = [](const json::value& from, const char* name) {
        return from.at(name).to_number<double>();
    };
    const json::value before = part(harness, "services");
    CHECK(before.at("failure").as_string().empty());
    CHECK(before.at("feed").at("detail").as_string().size() > 0);
    harness.advance(std::chrono::seconds(30));
    const json::value after = part(harness, "services");
    CHECK(number(after.at("feed"), "seconds") >= number(before.at("feed"), "seconds") + 30);
    // The list itself is not that old.
    harness.advance_until("the list is asked for again", [&] {
        return number(part(harness, "services"), "age_seconds") < 1;
    });
    CHECK(harness.get(kAddress, "/api/services").fields.get("X-Skywire-Source") == "http");
    REQUIRE(harness.command("dmsgs", framework::Command::start));
    harness.advance_until("the feed is back", live);
    CHECK(harness.stop() == 0);
}

TEST_CASE("network-visualizer: without feeds it asks") {
    Harness harness(strangers(), publishers(R"(,"enable_cxo":false)"));
    REQUIRE(harness.boot());
    harness.advance_until("all is there", [&] {
        return source(harness, "services") == "http" && source(harness, "dmsg") == "http" &&
               source(harness, "transports") == "http";
    });
    CHECK(feed_state(harness, "services") == "none");
    CHECK(harness.stop() == 0);
}

TEST_CASE("network-visualizer: the rules of its block") {
    CHECK(problems_of("") == "");
    CHECK(problems_of(R"(,"transport_discovery":"http://192.0.2.1:9091","refresh":"2s")") == "");
    for (const char* key : {"service_discovery", "dmsg_discovery", "transport_discovery"}) {
        const std::string member = R"(,")" + std::string(key) + R"(":")";
        CHECK(problems_of(member + R"(https://host")").find("error") != std::string::npos);
        const std::string over_dmsg = member + "dmsg://" + key_text(1) + R"(:80")";
        CHECK(problems_of(over_dmsg).find("needs dmsg.discovery") != std::string::npos);
    }
    CHECK(problems_of(R"(,"refresh":"1ms")").find("error") != std::string::npos);
}

}  // namespace skywire::network_visualizer
