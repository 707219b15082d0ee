// What services do at the wrong moment: what throws, what ignores its cancellation, what reports
// late. Each case is one that a supervisor may get wrong.

#include "base/test.hpp"
#include "framework/harness/scripted_service.hpp"
#include "net/timer.hpp"

#include <stdexcept>

using namespace skywire;
using namespace skywire::harness;
using namespace std::chrono_literals;
using framework::Command;
using framework::Service;
using framework::ServiceHost;
using framework::State;

namespace {

Task<Result<>> throw_error(ServiceHost&) {
    throw std::runtime_error("start threw");
    co_return Result<>();
}

Task<Result<>> throw_number(ServiceHost&) {
    throw 7;
    co_return Result<>();
}

Task<> throw_in_drain(ServiceHost&, SteadyTime) {
    throw 7;
    co_return;
}

Task<std::vector<std::string>> throw_in_stop(ServiceHost&, SteadyTime) {
    throw 7;
    co_return std::vector<std::string>();
}

/// Ends only once `until`, whatever is asked of it meanwhile.
Task<> ignore_everything(Clock& clock, SteadyTime until) {
    co_await asio::this_coro::throw_if_cancelled(false);
    while (clock.now() < until)
        co_await net::sleep_until(clock, until);
}

Task<> drain_for_long(ServiceHost& host, SteadyTime) {
    co_await ignore_everything(host.context().clock, host.context().clock.now() + 1h);
    host.note("drain", "ended");
}

Task<std::vector<std::string>> stop_until_deadline(ServiceHost& host, SteadyTime deadline) {
    co_await net::sleep_until(host.context().clock, deadline);
    co_return std::vector<std::string>{"reader"};
}

/// Two waits at once, for gates of which neither opens.
struct TwoGates {
    std::optional<Result<>> first;
    std::optional<Result<>> second;
};

Task<> enter_gate(ServiceHost& host, std::string gate, std::optional<Result<>>& into) {
    into = co_await host.wait_for_upstreams_of(std::move(gate));
}

Task<Result<>> wait_at_two_gates(ServiceHost& host) {
    TwoGates gates;
    asio::co_spawn(
        host.context().loop, enter_gate(host, "registered", gates.second), [](std::exception_ptr) {}
    );
    co_await enter_gate(host, "listening", gates.first);
    while (!gates.second)
        co_await net::sleep_for(host.context().clock, 10ms);
    host.reached("listening");
    host.reached("registered");
    co_return Result<>();
}

Task<Result<>> raise_what_is_none(ServiceHost& host) {
    host.reached("listening");
    host.reached("listening");
    host.reached("ready");
    host.reached("start");
    host.reached("no-such-milestone");
    co_await net::sleep_for(host.context().clock, 20s);
    co_return Result<>();
}

}  // namespace

TEST_CASE("hard: a factory that fails or throws is a failed start, by policy") {
    const Scripts scripts;
    std::string expected = "no such thing";
    SECTION("fails") {
        scripts.odd->make = [](const auto&) -> Result<std::unique_ptr<Service>> {
            return fail(errc::malformed, "no such thing");
        };
    }
    SECTION("throws") {
        scripts.odd->make = [](const auto&) -> Result<std::unique_ptr<Service>> {
            throw std::runtime_error("no such thing");
        };
    }
    SECTION("throws what is no exception") {
        scripts.odd->make = [](const auto&) -> Result<std::unique_ptr<Service>> { throw 7; };
        expected = "no std::exception";
    }
    Harness harness(scripts.registry(), blocks(R"(
        {"type": "odd", "name": "a"}, {"type": "test-service", "name": "b"})"));
    CHECK_FALSE(harness.boot());
    harness.wait_event("a", "gave-up");
    CHECK(detail_of(harness, "a", "failed").find(expected) != std::string::npos);
    CHECK(harness.count("a failed") == 5);
    CHECK(harness.stop() == 0);
}

TEST_CASE("hard: a start that throws is a failed start") {
    const Scripts scripts;
    scripts.odd->start = throw_error;
    scripts.odder->start = throw_number;
    Harness harness(scripts.registry(), blocks(R"(
        {"type": "odd", "name": "a"}, {"type": "odder", "name": "b"},
        {"type": "test-service", "name": "c"})"));
    CHECK_FALSE(harness.boot());
    harness.wait_event("a", "gave-up");
    harness.wait_event("b", "gave-up");
    CHECK(detail_of(harness, "a", "failed") == "start threw");
    CHECK(detail_of(harness, "b", "failed").find("no std::exception") != std::string::npos);
    CHECK(harness.stop() == 0);
}

TEST_CASE("hard: a health check that throws is a failed check") {
    const Scripts scripts;
    scripts.odd->health = []() -> framework::HealthReport { throw 7; };
    Harness harness(scripts.registry(), blocks(R"({"type": "odd", "name": "a"})"));
    REQUIRE(harness.boot());
    harness.wait_state("a", State::degraded);
    CHECK(harness.service("a").reason.starts_with("health: "));
    CHECK(harness.stop() == 0);
}

TEST_CASE("hard: a drain that throws is said and the stop goes on, a stop that throws is named") {
    const Scripts scripts;
    scripts.odd->drain = throw_in_drain;
    scripts.odder->stop = throw_in_stop;
    Harness harness(scripts.registry(), blocks(R"(
        {"type": "odd", "name": "a"}, {"type": "odder", "name": "b"})"));
    REQUIRE(harness.boot());
    CHECK(harness.stop() == 1);
    CHECK(harness.count("a drain-failed") == 1);
    CHECK(harness.count("a stopped") == 1);
    CHECK(detail_of(harness, "b", "unstopped").starts_with("stop: "));
}

TEST_CASE("hard: what throws when told of its upstream has failed") {
    const Scripts scripts;
    scripts.odd->upstream = [](framework::UpstreamEvent event) {
        if (event == framework::UpstreamEvent::down) throw std::runtime_error("upset");
    };
    Harness harness(scripts.registry(), blocks(R"(
        {"type": "test-service", "name": "a"},
        {"type": "odd", "name": "b", "depends_on": ["a"]})"));
    REQUIRE(harness.boot());
    REQUIRE(harness.command("a", Command::restart));
    harness.wait_event("b", "failed");
    CHECK(detail_of(harness, "b", "failed").find("upset") != std::string::npos);
    harness.wait_state("b", State::ready);
    CHECK(harness.stop() == 0);
}

TEST_CASE("hard: a service is not destroyed under a drain that ignores its cancellation") {
    const Scripts scripts;
    scripts.odd->drain = drain_for_long;
    Harness harness(scripts.registry(), blocks(R"(
        {"type": "odd", "name": "a"}, {"type": "test-service", "name": "b"})"));
    REQUIRE(harness.boot());
    const auto stopped = harness.command("a", Command::stop);
    CHECK_FALSE(stopped);
    CHECK(detail_of(harness, "a", "unstopped") == "drain");
    // Its coroutine goes on using the service.
    harness.advance(2h);
    CHECK(harness.service("b").state == State::ready);
    CHECK(harness.stop() == 1);
}

TEST_CASE("hard: what a stop names at its deadline is what the report says") {
    const Scripts scripts;
    scripts.odd->stop = stop_until_deadline;
    Harness harness(scripts.registry(), blocks(R"({"type": "odd", "name": "a"})"));
    REQUIRE(harness.boot());
    CHECK(harness.stop() == 1);
    CHECK(detail_of(harness, "a", "unstopped") == "reader");
}

TEST_CASE("hard: a service whose start was never called is not asked to stop") {
    SECTION("a start that fails before") {
        Harness harness(test_registry(), blocks(R"(
            {"type": "test-service", "name": "a"}, {"type": "test-service", "name": "b"})"));
        harness.faults().set("start", "a", 2);
        REQUIRE(harness.boot());
        CHECK(harness.count("a failed") == 2);
        CHECK(harness.stop() == 0);
    }
    SECTION("shutdown before") {
        Harness harness(test_registry(), blocks(R"({"type": "test-service", "name": "a"})"));
        harness.faults().set_delay("slow start", "a", 10s);
        REQUIRE(harness.start());
        harness.wait_event("a", "starting");
        CHECK(harness.stop() == 0);
    }
    SECTION("an upstream that goes before") {
        Harness harness(test_registry(), blocks(R"(
            {"type": "test-service", "name": "a"},
            {"type": "test-service", "name": "b", "depends_on": ["a"]})"));
        harness.faults().set_delay("slow start", "b", 10s);
        REQUIRE(harness.start());
        harness.wait_event("b", "starting");
        REQUIRE(harness.command("a", Command::restart));
        harness.wait_state("b", State::ready);
        CHECK(harness.stop() == 0);
    }
}

TEST_CASE("hard: a milestone counts once, and only those of the type count") {
    const Scripts scripts;
    scripts.odd->start = raise_what_is_none;
    Harness harness(scripts.registry(), blocks(R"(
        {"type": "odd", "name": "a"},
        {"type": "test-service", "name": "early", "depends_on": ["a:listening"]},
        {"type": "test-service", "name": "late", "depends_on": ["a"]})"));
    REQUIRE(harness.boot());
    CHECK(harness.count("a milestone") == 1);
    CHECK(harness.before("early starting", "a ready"));
    CHECK(harness.before("a ready", "late starting"));
    CHECK(harness.service("a").milestones == std::vector<std::string>{"listening", "ready"});
    CHECK(harness.logged("no-such-milestone"));
    CHECK(harness.stop() == 0);
}

TEST_CASE("hard: a service may wait at two gates at once") {
    const Scripts scripts;
    scripts.odd->start = wait_at_two_gates;
    Harness harness(scripts.registry(), blocks(R"(
        {"type": "odd", "name": "a", "start_timeout": "2s", "depends_on": [
            {"label": "b", "gate": "listening"}, {"label": "c", "gate": "registered"}]},
        {"type": "test-service", "name": "b", "start_delay": "10s"},
        {"type": "test-service", "name": "c", "start_delay": "20s"})"));
    REQUIRE(harness.start());
    harness.settle();
    harness.advance(5s);
    const std::string reason = harness.service("a").reason;
    CHECK(reason.find("waiting for b:ready") != std::string::npos);
    CHECK(reason.find("waiting for c:ready") != std::string::npos);
    harness.wait_state("a", State::ready);
    CHECK(harness.count("a failed") == 0);
    CHECK(harness.stop() == 0);
}
