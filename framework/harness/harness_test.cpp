#include "framework/harness/harness.hpp"

#include "base/test.hpp"
#include "framework/harness/test_services.hpp"

namespace skywire::harness {

using framework::State;
using namespace std::chrono_literals;

TEST_CASE("harness: a deployment boots in the order of its graph and stops in reverse") {
    Harness harness(test_registry(), R"({"services": [
        {"type": "test-service", "name": "b", "depends_on": ["a"], "addr": "127.0.0.1:9091"},
        {"type": "test-service", "name": "a", "addr": "127.0.0.1:9090"}]})");
    REQUIRE(harness.boot());
    INFO(harness.timeline_text());
    CHECK(harness.before("a ready", "b starting"));
    CHECK(harness.before("a milestone listening", "a milestone registered"));
    CHECK(harness.get("127.0.0.1:9090", "/health").status == 200);
    CHECK(harness.get("127.0.0.1:9091", "/health").status == 200);
    CHECK(
        harness.network().listening() == std::set<std::string>{"127.0.0.1:9090", "127.0.0.1:9091"}
    );
    CHECK(harness.stop() == 0);
    CHECK(harness.before("b stopped", "a stopped"));
    CHECK(harness.network().listening().empty());
}

TEST_CASE("harness: a slow start takes its time on the clock that the test holds") {
    Harness harness(test_registry(), R"({"services": [
        {"type": "test-service", "name": "a", "start_delay": "20s"}]})");
    harness.start().value();
    harness.settle();
    CHECK(harness.service("a").state == State::starting);
    harness.advance(19s);
    CHECK(harness.service("a").state == State::starting);
    harness.advance(1s);
    CHECK(harness.service("a").state == State::ready);
}

TEST_CASE("harness: faults by name hold up or fail a start") {
    Harness harness(test_registry(), R"({"services": [
        {"type": "test-service", "name": "a", "addr": "127.0.0.1:9090"}]})");
    harness.faults().set("bind", "127.0.0.1:9090", 2, "taken");
    harness.faults().set_delay("slow start", "a", 3s);
    REQUIRE(harness.boot());
    CHECK(harness.faults().hits("bind", "127.0.0.1:9090") == 2);
    CHECK(harness.count("a starting") == 3);
    CHECK(harness.service("a").restarts == 2);
}

TEST_CASE("harness: a service that ends unasked is started again") {
    Harness harness(test_registry(), R"({"services": [
        {"type": "test-service", "name": "a", "addr": "127.0.0.1:9090"}]})");
    REQUIRE(harness.boot());
    const auto seen = harness.last_event();
    CHECK(harness.post("127.0.0.1:9090", "/exit").status == 204);
    harness.wait_event("a", "ready", {}, seen);
    CHECK(harness.service("a").restarts == 1);
}

TEST_CASE("harness: requests under way end while it drains") {
    Harness harness(test_registry(), R"({"services": [
        {"type": "test-service", "name": "a", "addr": "127.0.0.1:9090"}]})");
    REQUIRE(harness.boot());
    const auto slow = harness.send(http::Method::get, "127.0.0.1:9090", "/slow?for=2s");
    harness.wait_event("a", "slow-request", "begun");
    CHECK_FALSE(slow.done());
    CHECK(harness.stop() == 0);
    const auto answer = slow.get();
    CHECK(answer.status == 200);
    CHECK(answer.body_view() == "slow\n");
}

TEST_CASE("harness: a service that ignores stop is named, and the exit code says so") {
    Harness harness(test_registry(), R"({"services": [
        {"type": "test-service", "name": "a", "ignore_stop": true},
        {"type": "test-service", "name": "b"}]})");
    REQUIRE(harness.boot());
    CHECK(harness.stop() == 1);
    CHECK(harness.logged("unstopped=\"a ("));
    CHECK_FALSE(harness.logged("b ("));
}

TEST_CASE("harness: what is waited for in vain throws with the timeline") {
    Harness harness(test_registry(), R"({"services": [{"type": "test-service", "name": "a"}]})");
    REQUIRE(harness.boot());
    std::string message;
    try {
        harness.advance_until("nothing", [] { return false; }, 1s, 5s);
    } catch (const std::runtime_error& error) {
        message = error.what();
    }
    CHECK(message.find("in vain for: nothing") != std::string::npos);
    CHECK(message.find("a ready") != std::string::npos);
}

TEST_CASE("harness: a file with errors throws them") {
    CHECK_THROWS_WITH(
        Harness(test_registry(), R"({"services": [{"type": "test-service", "adr": ":1"}]})"),
        Catch::Contains("adr")
    );
}

TEST_CASE("harness: the admin listener is there") {
    Harness harness(test_registry(), R"({"services": [{"type": "test-service", "name": "a"}]})");
    REQUIRE(harness.boot());
    CHECK(harness.get("admin", "/readyz").status == 200);
    CHECK(harness.get("admin", "/services/a").status == 200);
}

TEST_CASE("harness: it runs on the machine's clock as well") {
    Harness::Options options;
    options.hold_clock = false;
    Harness harness(
        test_registry(),
        R"({"services": [{"type": "test-service", "name": "a", "start_delay": "1ms"}]})",
        options
    );
    REQUIRE(harness.boot());
    CHECK_THROWS(harness.clock());
    CHECK(harness.stop() == 0);
}

TEST_CASE("harness: upstreams of a milestone hold back that milestone alone") {
    // The circle of discovery and server: a:listening before b before a:registered.
    Harness harness(test_registry(), R"({"services": [
        {"type": "test-service", "name": "a", "depends_on": [
            {"label": "b", "milestone": "registered", "gate": "registered"}]},
        {"type": "test-service", "name": "b", "depends_on": ["a:listening"]}]})");
    REQUIRE(harness.boot());
    INFO(harness.timeline_text());
    CHECK(harness.before("a milestone listening", "b starting"));
    CHECK(harness.before("b milestone registered", "a milestone registered"));
}

}  // namespace skywire::harness
