// Operators, policies and shutdown at the wrong moment: commands into failures and into each other,
// giving up, services that hold the end up.

#include "base/test.hpp"
#include "framework/harness/scripted_service.hpp"
#include "framework/metrics_text.hpp"
#include "net/timer.hpp"

#include <atomic>
#include <latch>
#include <mutex>
#include <optional>
#include <stdexcept>

#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>

using namespace skywire;
using namespace skywire::harness;
using namespace std::chrono_literals;
using framework::Command;
using framework::ServiceHost;
using framework::State;

namespace {

bool contains(const std::vector<std::string>& names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

/// Ends only once `until`, whatever is asked of it meanwhile.
Task<> ignore_everything(Clock& clock, SteadyTime until) {
    co_await asio::this_coro::throw_if_cancelled(false);
    while (clock.now() < until)
        co_await net::sleep_until(clock, until);
}

Task<Result<>> start_for_ever(ServiceHost& host) {
    co_await ignore_everything(host.context().clock, SteadyTime::max());
    co_return Result<>();
}

Task<Result<>> probe_throws(net::Context) {
    throw std::runtime_error("the probe threw");
    co_return Result<>();
}

Task<std::vector<std::string>> exit_in_stop(ServiceHost& host, SteadyTime) {
    host.exited(fail(errc::closed, "closed while stopping"));
    co_return std::vector<std::string>();
}

}  // namespace

TEST_CASE("hard: what still runs is what has been started and is not down") {
    Harness harness(test_registry(), blocks(R"(
        {"type": "test-service", "name": "a"},
        {"type": "test-service", "name": "waits", "external": "127.0.0.1:9009"},
        {"type": "test-service", "name": "off"})"));
    REQUIRE(harness.start());
    harness.wait_state("a", State::ready);
    harness.wait_state("off", State::ready);
    REQUIRE(harness.command("a", Command::restart));
    REQUIRE(harness.command("off", Command::stop));
    const auto running = harness.deployment().still_running();
    CHECK(running == std::vector<std::string>{"a"});
    CHECK(harness.stop() == 0);
    CHECK(harness.deployment().still_running().empty());
}

TEST_CASE("hard: the series of a service say how long its start took and how often it restarted") {
    Harness harness(test_registry(), blocks(R"(
        {"type": "test-service", "name": "a", "start_delay": "2s"})"));
    REQUIRE(harness.boot());
    const auto series = [&] {
        return framework::service_metrics_text(harness.deployment().metrics(), "a");
    };
    CHECK(harness.service("a").start_took >= 2s);
    CHECK(series().find("skywire_service_start_seconds{service=\"a\"} 0\n") == std::string::npos);
    REQUIRE(harness.command("a", Command::restart));
    CHECK(series().find("skywire_service_restarts{service=\"a\"} 1\n") != std::string::npos);
    CHECK(harness.stop() == 0);
}

TEST_CASE("hard: an operator's start ends the wait before the next try") {
    Harness harness(test_registry(), blocks(R"(
        {"type": "test-service", "name": "a", "fail_starts": 1,
         "restart": {"min": "10h", "max": "10h"}})"));
    REQUIRE(harness.start());
    harness.wait_event("a", "restarting");
    REQUIRE(harness.command("a", Command::start));
    CHECK(harness.service("a").state == State::ready);
    CHECK(harness.stop() == 0);
}

TEST_CASE("hard: what the operator stops while it fails stays stopped") {
    Harness harness(test_registry(), blocks(R"(
        {"type": "test-service", "name": "a", "addr": "127.0.0.1:9001", "stop_delay": "2s",
         "restart": {"max_in_window": 1, "on_give_up": "exit"}},
        {"type": "test-service", "name": "b"})"));
    REQUIRE(harness.boot());
    harness.post("127.0.0.1:9001", "/exit?error=broken");
    harness.wait_event("a", "failed");
    REQUIRE(harness.command("a", Command::stop));
    harness.settle();
    CHECK(harness.service("a").state == State::stopped);
    CHECK(harness.service("a").reason == "by the operator");
    CHECK(harness.count("a restarting") == 0);
    CHECK(harness.service("b").state == State::ready);
    CHECK(harness.stop() == 0);
}

TEST_CASE("hard: what the operator restarts while it fails starts, whatever its policy says") {
    Harness harness(test_registry(), blocks(R"(
        {"type": "test-service", "name": "a", "addr": "127.0.0.1:9001", "stop_delay": "2s",
         "restart": {"max_in_window": 1, "on_give_up": "exit"}},
        {"type": "test-service", "name": "b"})"));
    REQUIRE(harness.boot());
    harness.post("127.0.0.1:9001", "/exit?error=broken");
    harness.wait_event("a", "failed");
    REQUIRE(harness.command("a", Command::restart));
    CHECK(harness.service("a").state == State::ready);
    CHECK(harness.count("a gave-up") == 0);
    CHECK(harness.service("b").state == State::ready);
    CHECK(harness.stop() == 0);
}

TEST_CASE("hard: restart policies at the edge of their ranges") {
    Harness harness(test_registry(), blocks(R"(
        {"type": "test-service", "name": "a", "fail_starts": 3, "restart": {"window": "0s"}},
        {"type": "test-service", "name": "b", "fail_starts": 1000,
         "restart": {"max_in_window": 0}},
        {"type": "test-service", "name": "c", "fail_starts": 3,
         "restart": {"min": "0s", "max": "0s", "factor": 100, "jitter": 1}})"));
    CHECK_FALSE(harness.boot());
    harness.wait_state("a", State::ready);
    harness.wait_event("b", "gave-up");
    harness.wait_state("c", State::ready);
    CHECK(harness.stop() == 0);
}

TEST_CASE("hard: a service that is not critical does not take the process down") {
    Harness harness(test_registry(), blocks(R"(
        {"type": "test-service", "name": "a", "critical": false, "fail_starts": 1000},
        {"type": "test-service", "name": "b", "critical": false})"));
    REQUIRE(harness.start());
    harness.wait_event("a", "gave-up");
    harness.advance(1min);
    CHECK(harness.service("b").state == State::ready);
    CHECK(harness.stop() == 0);
}

TEST_CASE("hard: stop-dependents, then the operator starts the service again") {
    const std::string text = blocks(R"(
        {"type": "test-service", "name": "a", "addr": "127.0.0.1:9001",
         "restart": {"max_in_window": 1, "on_give_up": "stop-dependents"}},
        {"type": "test-service", "name": "b", "depends_on": ["a"]},
        {"type": "test-service", "name": "c", "depends_on": ["b"]},
        {"type": "test-service", "name": "off", "depends_on": ["a"]},
        {"type": "test-service", "name": "other"})");
    Harness harness(test_registry(), text);
    REQUIRE(harness.boot());
    REQUIRE(harness.command("off", Command::stop));
    harness.post("127.0.0.1:9001", "/exit?error=broken");
    harness.wait_state("c", State::stopped);
    harness.wait_state("b", State::stopped);
    CHECK(harness.service("b").reason.find('a') != std::string::npos);
    CHECK_FALSE(harness.service("c").reason.empty());
    REQUIRE(harness.command("a", Command::start));
    harness.wait_state("b", State::ready);
    harness.wait_state("c", State::ready);
    // That one was the operator's own wish.
    CHECK(harness.service("off").state == State::stopped);
    CHECK(harness.stop() == 0);
}

TEST_CASE("hard: where nothing critical is left after stop-dependents, the process ends with 1") {
    Harness harness(test_registry(), blocks(R"(
        {"type": "test-service", "name": "a", "addr": "127.0.0.1:9001",
         "restart": {"max_in_window": 1, "on_give_up": "stop-dependents"}},
        {"type": "test-service", "name": "b", "depends_on": ["a"]})"));
    REQUIRE(harness.boot());
    harness.post("127.0.0.1:9001", "/exit?error=broken");
    CHECK(harness.wait_down() == 1);
    CHECK(harness.before("b stopped", "- down"));
}

TEST_CASE("hard: a service that does not stop at a restart is given up, as its policy says") {
    Harness harness(test_registry(), blocks(R"(
        {"type": "test-service", "name": "a", "ignore_stop": true,
         "restart": {"on_give_up": "exit"}},
        {"type": "test-service", "name": "b"})"));
    REQUIRE(harness.boot());
    const auto restarted = harness.command("a", Command::restart);
    CHECK_FALSE(restarted);
    CHECK(harness.wait_down() == 1);
    CHECK(harness.count("a starting") == 1);
    CHECK(harness.count("a gave-up") == 1);
    CHECK(harness.count("b stopped") == 1);
}

TEST_CASE("hard: what waits for a dependent that does not stop is stopped in time all the same") {
    Harness harness(
        test_registry(),
        blocks(
            R"(
            {"type": "test-service", "name": "a", "stop_delay": "100ms"},
            {"type": "test-service", "name": "b", "depends_on": ["a"], "ignore_stop": true,
             "stop_timeout": "50m"})",
            R"({"shutdown_timeout": "10s"})"
        )
    );
    REQUIRE(harness.boot());
    const SteadyTime began = harness.clock().now();
    CHECK(harness.stop() == 1);
    CHECK(harness.clock().now() - began <= 11s);
    CHECK(harness.count("a stopped") == 1);
    CHECK(harness.count("b unstopped") == 1);
}

TEST_CASE("hard: a drain as long as the shutdown leaves time to stop") {
    Harness harness(
        test_registry(),
        blocks(
            R"({"type": "test-service", "name": "a", "drain_delay": "1h", "drain_timeout": "1m"})",
            R"({"shutdown_timeout": "10s"})"
        )
    );
    REQUIRE(harness.boot());
    CHECK(harness.stop() == 0);
    CHECK(harness.count("a stopped") == 1);
}

TEST_CASE("hard: shutdown ends within its time where a start ignores its cancellation") {
    const Scripts scripts;
    scripts.odd->start = start_for_ever;
    Harness harness(
        scripts.registry(),
        blocks(
            R"({"type": "odd", "name": "a", "stop_timeout": "50m"},
               {"type": "test-service", "name": "b"})",
            R"({"shutdown_timeout": "5s"})"
        )
    );
    REQUIRE(harness.start());
    harness.wait_event("b", "ready");
    const SteadyTime began = harness.clock().now();
    CHECK(harness.stop() == 1);
    CHECK(harness.clock().now() - began <= 6s);
    CHECK(detail_of(harness, "a", "unstopped") == "start");
    CHECK(harness.logged("a (start"));
}

TEST_CASE("hard: two restarts at once, and a stop into a restart, both end") {
    Harness harness(test_registry(), blocks(R"(
        {"type": "test-service", "name": "a", "start_delay": "1s", "stop_delay": "1s"},
        {"type": "test-service", "name": "b",
         "depends_on": [{"label": "a", "on_restart": "restart"}], "stop_delay": "500ms"})"));
    REQUIRE(harness.boot());
    std::vector<std::optional<Result<>>> outcomes(3);
    std::mutex mutex;
    const auto begin = [&](std::size_t number, Command command) {
        harness.deployment().begin_command("a", command, [&, number](Result<> result) {
            const std::scoped_lock lock(mutex);
            outcomes[number] = std::move(result);
        });
    };
    const auto ended = [&](std::size_t number) {
        const std::scoped_lock lock(mutex);
        return outcomes[number].has_value();
    };
    SECTION("at once") {
        begin(0, Command::restart);
        begin(1, Command::restart);
        harness.advance_until("both", [&] { return ended(0) && ended(1); });
        CHECK(outcomes[0]->has_value());
        CHECK(outcomes[1]->has_value());
        CHECK(harness.count("a starting") == 2);
    }
    SECTION("the second into the start of the first") {
        const auto seen = harness.last_event();
        begin(0, Command::restart);
        harness.wait_event("a", "starting", {}, seen);
        begin(1, Command::restart);
        harness.advance_until("both", [&] { return ended(0) && ended(1); });
        CHECK(outcomes[0]->has_value());
        CHECK(outcomes[1]->has_value());
        CHECK(harness.count("a starting") == 3);
        CHECK(harness.count("a failed") == 0);
    }
    SECTION("a stop") {
        const auto seen = harness.last_event();
        begin(0, Command::restart);
        harness.wait_event("a", "starting", {}, seen);
        begin(1, Command::stop);
        harness.advance_until("both", [&] { return ended(0) && ended(1); }, 50ms, 20s);
        CHECK_FALSE(outcomes[0]->has_value());
        CHECK(outcomes[1]->has_value());
        CHECK(harness.service("a").state == State::stopped);
        REQUIRE(harness.command("a", Command::start));
    }
    SECTION("shutdown") {
        begin(0, Command::restart);
        harness.deployment().request_shutdown("test");
        harness.advance_until("the command", [&] { return ended(0); });
        CHECK(harness.wait_down() == 0);
        CHECK_FALSE(outcomes[0]->has_value());
    }
    if (!harness.deployment().is_down()) {
        harness.wait_state("a", State::ready);
        harness.wait_state("b", State::ready);
        CHECK(harness.stop() == 0);
    }
}

TEST_CASE("hard: an end that comes while it stops is none, one during shutdown is not restarted") {
    SECTION("in its stop") {
        const Scripts scripts;
        scripts.odd->stop = exit_in_stop;
        Harness harness(scripts.registry(), blocks(R"({"type": "odd", "name": "a"})"));
        REQUIRE(harness.boot());
        REQUIRE(harness.command("a", Command::restart));
        harness.advance(5s);
        CHECK(harness.count("a failed") == 0);
        CHECK(harness.service("a").state == State::ready);
        CHECK(harness.stop() == 0);
    }
    SECTION("while it drains") {
        Harness harness(test_registry(), blocks(R"(
            {"type": "test-service", "name": "a", "drain_delay": "3s", "exit_after": "5s",
             "exit_error": "late"})"));
        REQUIRE(harness.boot());
        harness.advance(4s);
        CHECK(harness.stop() == 0);
        CHECK(harness.count("a failed") == 0);
        CHECK(harness.count("a restarting") == 0);
    }
    SECTION("while it waits for its turn") {
        Harness harness(test_registry(), blocks(R"(
            {"type": "test-service", "name": "a", "exit_after": "5s"},
            {"type": "test-service", "name": "b", "depends_on": ["a"], "stop_delay": "4s"})"));
        REQUIRE(harness.boot());
        harness.advance(4s);
        CHECK(harness.stop() == 0);
        CHECK(harness.count("a restarting") == 0);
    }
}

TEST_CASE("hard: a restart around the circle of two services ends") {
    Harness harness(test_registry(), blocks(R"(
        {"type": "test-service", "name": "discovery", "depends_on": [
            {"label": "server", "milestone": "listening", "gate": "registered",
             "on_restart": "restart"}]},
        {"type": "test-service", "name": "server", "depends_on": [
            {"label": "discovery", "milestone": "listening", "on_restart": "restart"}]})"));
    REQUIRE(harness.boot());
    for (const char* label : {"discovery", "server"}) {
        REQUIRE(harness.command(label, Command::restart));
        harness.wait_state("discovery", State::ready);
        harness.wait_state("server", State::ready);
    }
    CHECK(harness.count("discovery starting") == 3);
    CHECK(harness.count("server starting") == 3);
    CHECK(harness.count("server failed") == 0);
    CHECK(harness.stop() == 0);
}

TEST_CASE("hard: nothing starts beside an upstream that is being stopped") {
    Harness harness(test_registry(), blocks(R"(
        {"type": "test-service", "name": "a", "drain_delay": "4s"},
        {"type": "test-service", "name": "b", "depends_on": ["a"]})"));
    REQUIRE(harness.boot());
    REQUIRE(harness.command("b", Command::stop));
    harness.deployment().begin_command("a", Command::stop, [](Result<>) {});
    harness.wait_event("a", "draining");
    const auto seen = harness.last_event();
    harness.deployment().begin_command("b", Command::start, [](Result<>) {});
    harness.wait_event("a", "stopped", {}, seen);
    harness.settle();
    CHECK(harness.service("b").state == State::starting);
    CHECK(harness.service("b").reason == "waiting for a:ready");
    CHECK(harness.stop() == 0);
}

TEST_CASE("hard: an external whose check throws is one that is not there") {
    const Scripts scripts;
    scripts.odd->externals.push_back({"thing", "thing", probe_throws});
    Harness harness(scripts.registry(), blocks(R"(
        {"type": "odd", "name": "a"}, {"type": "test-service", "name": "b"})"));
    REQUIRE(harness.start());
    harness.wait_event("b", "ready");
    harness.advance(10s);
    CHECK(harness.service("a").reason == "thing unreachable: thing: the probe threw");
    CHECK(harness.stop() == 0);
}

TEST_CASE("hard: a block of another process comes, goes and comes back") {
    Harness other(test_registry(), blocks(R"(
        {"type": "test-service", "name": "a", "addr": "127.0.0.1:9001"})"));
    REQUIRE(other.boot());
    const auto real = other.network().real_address("127.0.0.1:9001");
    REQUIRE(real);

    const Scripts scripts;
    Harness::Options options;
    options.only = {"b"};
    Harness harness(
        scripts.registry(),
        blocks(fmt::format(
            R"({{"type": "test-service", "name": "a", "addr": "{}"}},
               {{"type": "odd", "name": "silent"}},
               {{"type": "test-service", "name": "b", "depends_on": ["a", "silent"]}})",
            real->to_string()
        )),
        options
    );
    harness.network().pass_through(*real);
    harness.faults().set("dial", real->to_string());
    REQUIRE(harness.start());
    harness.wait_event("b", "waiting");
    const auto upstreams = harness.service("b").upstreams;
    REQUIRE(upstreams.size() == 2);
    CHECK(upstreams[0].state == State::failed);
    // What has no address to ask cannot be waited for.
    CHECK(upstreams[1].there);
    CHECK(upstreams[1].state == State::ready);

    for (int round = 0; round < 2; ++round) {
        harness.faults().clear("dial", real->to_string());
        harness.wait_state("b", State::ready);
        CHECK(harness.service("b").root_cause.empty());
        harness.faults().set("dial", real->to_string());
        harness.wait_state("b", State::degraded);
        CHECK(harness.service("b").root_cause.starts_with("a at " + real->to_string()));
    }
    CHECK(harness.count("b starting") == 1);
    CHECK(harness.stop() == 0);
    CHECK(other.stop() == 0);
}

TEST_CASE("hard: a service that blocks its event loop is named, and shutdown ends in time") {
    const Scripts scripts;
    std::latch released(1);
    std::atomic<bool> blocks_now = false;
    std::atomic<bool> blocked = false;
    scripts.odd->health = [&]() -> framework::HealthReport {
        if (!blocks_now) return {};
        blocked = true;
        released.wait();
        return {};
    };
    ManualClock clock;
    SeededRandom random(1);
    TestFaults faults;
    EphemeralNetwork network(faults);
    const framework::ServiceRegistry registry = scripts.registry();
    auto loaded = framework::load_deployment(
        "deployment.json",
        blocks(
            R"({"type": "odd", "name": "blocked", "depends_on": ["base"],
                "health": {"interval": "10ms"}},
               {"type": "test-service", "name": "base"})",
            R"({"shutdown_timeout": "500ms"})"
        ),
        registry
    );
    REQUIRE(loaded.config);
    framework::Deployment::Options options;
    options.loops = 2;
    options.with_admin = false;
    framework::Deployment deployment(
        framework::World{clock, random, network, faults, [](std::string_view) {}},
        std::move(*loaded.config),
        options
    );
    REQUIRE(deployment.start());
    asio::io_context own;
    asio::steady_timer pause(own);
    const auto wait_for = [&pause](const std::function<bool()>& holds) {
        while (!holds()) {
            pause.expires_after(2ms);
            pause.wait();
        }
    };
    const auto happened = [&deployment](std::string_view label, std::string_view event) {
        return deployment.timeline().find(label, event) != 0;
    };
    REQUIRE(deployment.wait_ready());
    blocks_now = true;
    wait_for([&] {
        clock.advance(10ms);
        return blocked.load();
    });
    deployment.request_shutdown("test");
    wait_for([&] { return happened("", "shutdown"); });
    // What is left for those behind it begins; then all of it is over.
    clock.advance(400ms);
    wait_for([&] { return happened("base", "stopped"); });
    CHECK_FALSE(deployment.is_down());
    clock.advance(100ms);
    wait_for([&] { return deployment.is_down(); });
    CHECK(happened("blocked", "unstopped"));
    CHECK(contains(deployment.still_running(), "blocked"));
    released.count_down();
    CHECK(deployment.wait() == 1);
}
