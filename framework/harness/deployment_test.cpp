#include "base/test.hpp"
#include "framework/harness/harness.hpp"
#include "framework/harness/test_services.hpp"

namespace skywire::framework {

using harness::Harness;
using harness::test_registry;
using namespace std::chrono_literals;

TEST_CASE("deployment: start, ready and end are logged, with each service's time") {
    Harness harness(test_registry(), R"({"services": [
        {"type": "test-service", "name": "a", "start_delay": "2s"},
        {"type": "test-service", "name": "b"}]})");
    REQUIRE(harness.boot());
    CHECK(harness.logged("process.starting"));
    CHECK(harness.logged("admin.listening"));
    CHECK(harness.logged("process.ready"));
    CHECK(harness.logged("a=2000.0ms b=0.0ms"));
    CHECK(harness.stop() == 0);
    CHECK(harness.logged("process.stopped exit_code=0"));
}

TEST_CASE("deployment: an unknown label is refused with the nearest one, and nothing runs") {
    Harness::Options options;
    options.only = {"dmsgdd"};
    Harness harness(
        test_registry(),
        R"({"services": [{"type": "test-service", "name": "dmsgd", "addr": "127.0.0.1:9090"}]})",
        options
    );
    const auto started = harness.start();
    REQUIRE_FALSE(started);
    CHECK(started.error().message().find("did you mean \"dmsgd\"?") != std::string::npos);
    CHECK(harness.network().listening().empty());
    CHECK(harness.deployment().wait() == 1);
}

TEST_CASE("deployment: an admin address that is taken is an error, and nothing runs") {
    Harness harness(test_registry(), R"({
        "supervisor": {"admin_addr": "127.0.0.1:7000"},
        "services": [{"type": "test-service", "name": "a", "addr": "127.0.0.1:9090"}]})");
    harness.faults().set("bind", "127.0.0.1:7000");
    const auto started = harness.start();
    REQUIRE_FALSE(started);
    CHECK(started.error().message().find("admin listener") != std::string::npos);
    CHECK(harness.network().listening().empty());
    CHECK(harness.deployment().wait() == 1);
}

TEST_CASE("deployment: a token file that cannot be read is an error") {
    Harness harness(test_registry(), R"({
        "supervisor": {"admin_addr": "127.0.0.1:7000",
                       "admin_token_file": "/nonexistent/token"},
        "services": [{"type": "test-service", "name": "a"}]})");
    const auto started = harness.start();
    REQUIRE_FALSE(started);
    CHECK(started.error().message().find("/nonexistent/token") != std::string::npos);
}

TEST_CASE("deployment: shutdown asked for before the start ends it at once") {
    Harness harness(test_registry(), R"({"services": [
        {"type": "test-service", "name": "a", "never_ready": true}]})");
    harness.deployment().request_shutdown("early");
    harness.start().value();
    CHECK(harness.wait_down() == 0);
    CHECK(harness.deployment().ready_outcome() == false);
}

TEST_CASE("deployment: it goes down by itself when every critical service has given up") {
    Harness harness(test_registry(), R"({"services": [
        {"type": "test-service", "name": "a", "fail_starts": 1000}]})");
    harness.start().value();
    CHECK(harness.wait_down() == 1);
    CHECK(harness.logged("process.not_ready label=a"));
}

TEST_CASE("deployment: a service that waits for another thing shows its cause") {
    Harness harness(test_registry(), R"({"services": [
        {"type": "test-service", "name": "a", "external": "127.0.0.1:6379"},
        {"type": "test-service", "name": "b", "addr": "127.0.0.1:6380"}]})");
    harness.start().value();
    harness.wait_state("b", State::ready);
    harness.advance(60s);
    const ServiceStatus status = harness.service("a");
    CHECK(status.state == State::starting);
    CHECK(status.reason.find("external unreachable: tcp://127.0.0.1:6379") != std::string::npos);
    CHECK(harness.count("a starting") == 0);
}

TEST_CASE("deployment: log levels fall back by themselves") {
    Harness harness(test_registry(), R"({"services": [
        {"type": "test-service", "name": "a", "addr": "127.0.0.1:9090"}]})");
    REQUIRE(harness.boot());
    REQUIRE(harness.deployment().logs().set_level("a", log::Level::debug, 60s));
    harness.post("127.0.0.1:9090", "/log?text=one");
    CHECK(harness.logged("test.debug text=\"\\\"one"));
    harness.advance(30s);
    harness.advance(31s);
    harness.post("127.0.0.1:9090", "/log?text=two");
    CHECK(harness.logged("test.info text=\"\\\"two"));
    CHECK_FALSE(harness.logged("test.debug text=\"\\\"two"));
}

TEST_CASE("deployment: event-loop lag is measured for each loop") {
    Harness harness(test_registry(), R"({"services": [{"type": "test-service", "name": "a"}]})");
    REQUIRE(harness.boot());
    harness.advance(1s);
    const auto text = harness.get("admin", "/metrics");
    CHECK(text.body_view().find("skywire_loop_lag_seconds_count{loop=\"0\"}") != std::string::npos);
    CHECK(text.body_view().find("skywire_loop_lag_seconds_count{loop=\"1\"}") != std::string::npos);
}

}  // namespace skywire::framework
