// The supervisor's rules, shown with test services on a held clock. S-numbers: spec/e2e.md 8.1.

#include "base/test.hpp"
#include "framework/harness/harness.hpp"
#include "framework/harness/test_services.hpp"

using namespace skywire;
using namespace skywire::harness;
using namespace std::chrono_literals;
using framework::Command;
using framework::State;

namespace {

/// A deployment of test services from the text of its blocks.
std::string blocks(const std::string& list, const std::string& supervisor = "{}") {
    return R"({"services": [)" + list + R"(], "supervisor": )" + supervisor + "}";
}

/// The registry outlives the harness that uses it.
struct Types {
    framework::ServiceRegistry registry = test_registry();
};

struct Booted : private Types, public Harness {
    explicit Booted(const std::string& list, const std::string& supervisor = "{}")
        : Harness(Types::registry, blocks(list, supervisor)) {}
};

std::string detail_of(Harness& harness, const std::string& label, const std::string& event) {
    for (const auto& each : harness.deployment().timeline().events()) {
        if (each.label == label && each.event == event) return each.detail;
    }
    return {};
}

}  // namespace

TEST_CASE("supervisor: S07 services start as their edges allow, independent ones overlap") {
    Booted harness(R"(
        {"type": "test-service", "name": "a", "start_delay": "1s"},
        {"type": "test-service", "name": "b", "start_delay": "1s"},
        {"type": "test-service", "name": "c", "depends_on": ["a", "b"]},
        {"type": "test-service", "name": "d", "depends_on": ["c"]}
    )");
    REQUIRE(harness.boot());
    CHECK(harness.before("a starting", "b ready"));
    CHECK(harness.before("b starting", "a ready"));
    CHECK(harness.before("a ready", "c starting"));
    CHECK(harness.before("b ready", "c starting"));
    CHECK(harness.before("c ready", "d starting"));
    CHECK(harness.stop() == 0);
}

TEST_CASE("supervisor: a milestone opens a gate before the service that raises it is ready") {
    Booted harness(R"(
        {"type": "test-service", "name": "discovery", "addr": "127.0.0.1:9001",
         "depends_on": [{"label": "server", "milestone": "listening", "gate": "registered"}]},
        {"type": "test-service", "name": "server", "addr": "127.0.0.1:9002",
         "depends_on": ["discovery:listening"]}
    )");
    REQUIRE(harness.boot());
    CHECK(harness.before("discovery milestone listening", "server starting"));
    CHECK(harness.before("server milestone listening", "discovery milestone registered"));
    CHECK(harness.before("server starting", "discovery ready"));
    CHECK(harness.stop() == 0);
}

TEST_CASE("supervisor: S09 everything stops in reverse, after readiness is gone") {
    Booted harness(R"(
        {"type": "test-service", "name": "a"},
        {"type": "test-service", "name": "b", "depends_on": ["a"]},
        {"type": "test-service", "name": "c", "depends_on": ["b"]}
    )");
    REQUIRE(harness.boot());
    CHECK(harness.stop() == 0);
    CHECK(harness.before("- not-ready", "c draining"));
    CHECK(harness.before("c draining", "c stopping"));
    CHECK(harness.before("c stopped", "b draining"));
    CHECK(harness.before("b stopped", "a draining"));
    CHECK(harness.before("a stopped", "- down"));
}

TEST_CASE("supervisor: S10 a request under way ends within the drain, then the listener is gone") {
    Booted harness(
        R"(
        {"type": "test-service", "name": "a", "addr": "127.0.0.1:9001", "drain_timeout": "60s"}
    )",
        R"({"shutdown_timeout": "120s"})"
    );
    REQUIRE(harness.boot());
    const PendingResponse slow = harness.send(http::Method::get, "127.0.0.1:9001", "/slow?for=10s");
    harness.settle();
    harness.deployment().request_shutdown("test");
    harness.wait_event("a", "draining");
    CHECK_FALSE(harness.deployment().status().ready);
    CHECK_FALSE(slow.done());
    harness.advance_until("the answer", [&] { return slow.done(); });
    CHECK(slow.get().status == 200);
    CHECK(harness.wait_down() == 0);
    CHECK(harness.network().listening().empty());
    CHECK(harness.before("- not-ready", "a draining"));
}

TEST_CASE("supervisor: a drain that does not end is cut short and the stop goes on") {
    Booted harness(R"({"type": "test-service", "name": "a", "drain_delay": "10m"})");
    REQUIRE(harness.boot());
    CHECK(harness.stop() == 0);
    CHECK(harness.count("a drain-cut-short") == 1);
    CHECK(harness.before("a draining", "a stopped"));
}

TEST_CASE("supervisor: S11 a service that ignores its stop is named, the exit code is 1") {
    Booted harness(R"(
        {"type": "test-service", "name": "good"},
        {"type": "test-service", "name": "stuck", "ignore_stop": true, "depends_on": ["good"]}
    )");
    REQUIRE(harness.boot());
    CHECK(harness.stop() == 1);
    CHECK(detail_of(harness, "stuck", "unstopped") == "stop");
    CHECK(harness.before("stuck unstopped", "good stopped"));
    CHECK(harness.logged("stuck"));
}

TEST_CASE("supervisor: what a stop reports as not ended is named") {
    Booted harness(R"({"type": "test-service", "name": "a", "unstopped": ["reader", "writer"]})");
    REQUIRE(harness.boot());
    CHECK(harness.stop() == 1);
    CHECK(detail_of(harness, "a", "unstopped") == "reader, writer");
}

TEST_CASE("supervisor: shutdown_timeout bounds the whole, whatever the services' own timeouts") {
    Booted harness(
        R"(
        {"type": "test-service", "name": "a"},
        {"type": "test-service", "name": "b", "depends_on": ["a"], "drain_delay": "1h",
         "stop_delay": "1h", "drain_timeout": "50m", "stop_timeout": "50m"}
    )",
        R"({"shutdown_timeout": "3s"})"
    );
    REQUIRE(harness.boot());
    const SteadyTime began = harness.clock().now();
    CHECK(harness.stop() == 1);
    CHECK(harness.clock().now() - began <= 10s);
}

TEST_CASE("supervisor: S13 a service that ends unasked, cleanly, is restarted as a failure") {
    Booted harness(R"({"type": "test-service", "name": "a", "addr": "127.0.0.1:9001"})");
    REQUIRE(harness.boot());
    CHECK(harness.post("127.0.0.1:9001", "/exit").status == 204);
    harness.wait_event("a", "failed");
    CHECK(detail_of(harness, "a", "failed") == "it ended without being asked to");
    harness.wait_event("a", "restarting");
    const auto restarted = harness.last_event();
    harness.wait_event("a", "ready", {}, restarted);
    CHECK(harness.service("a").restarts == 1);
    CHECK(harness.stop() == 0);
}

TEST_CASE("supervisor: S14 backoff grows, then the service is given up and others keep serving") {
    Booted harness(R"(
        {"type": "test-service", "name": "bad", "fail_starts": 1000},
        {"type": "test-service", "name": "needs-it", "depends_on": ["bad"]},
        {"type": "test-service", "name": "other", "addr": "127.0.0.1:9001"}
    )");
    CHECK_FALSE(harness.boot());
    harness.wait_event("bad", "gave-up");
    CHECK(harness.count("bad restarting") == 4);
    CHECK(harness.service("bad").state == State::failed);
    CHECK(harness.service("needs-it").state == State::starting);
    CHECK(harness.service("needs-it").root_cause.starts_with("bad: "));
    CHECK(harness.get("127.0.0.1:9001", "/health").status == 200);
    CHECK(harness.stop() == 0);
}

TEST_CASE("supervisor: of two that wait for each other at different gates the first is the cause") {
    Booted harness(R"(
        {"type": "test-service", "name": "a", "start_delay": "10s",
         "depends_on": [{"label": "b", "gate": "registered"}]},
        {"type": "test-service", "name": "b", "depends_on": ["a:listening"]}
    )");
    REQUIRE(harness.start());
    harness.wait_event("b", "waiting");
    harness.wait_event("a", "starting");
    CHECK(harness.service("a").root_cause.starts_with("a: "));
    CHECK(harness.service("b").root_cause.starts_with("a: "));
    CHECK(harness.stop() == 0);
}

TEST_CASE("supervisor: one that has failed names its own reason, whatever its upstreams do") {
    Booted harness(R"(
        {"type": "test-service", "name": "a"},
        {"type": "test-service", "name": "bad", "depends_on": ["a"], "fail_starts": 1000},
        {"type": "test-service", "name": "needs-it", "depends_on": ["bad"]}
    )");
    CHECK_FALSE(harness.boot());
    harness.wait_event("bad", "gave-up");
    REQUIRE(harness.command("a", Command::stop));
    harness.wait_state("a", State::stopped);
    CHECK(harness.service("bad").root_cause.starts_with("bad: "));
    CHECK(harness.service("needs-it").root_cause.starts_with("bad: "));
    CHECK(harness.stop() == 0);
}

TEST_CASE("supervisor: one that the operator has stopped names that, whatever its upstreams do") {
    Booted harness(R"(
        {"type": "test-service", "name": "a"},
        {"type": "test-service", "name": "b", "depends_on": ["a"]},
        {"type": "test-service", "name": "c", "depends_on": ["a"]}
    )");
    REQUIRE(harness.boot());
    REQUIRE(harness.command("b", Command::stop));
    REQUIRE(harness.command("a", Command::stop));
    harness.wait_state("c", State::degraded);
    for (const auto& [label, cause] :
         {std::pair{"a", "a: stopped by the operator since 20"},
          std::pair{"b", "b: stopped by the operator since 20"},
          std::pair{"c", "a: stopped by the operator since 20"}}) {
        CAPTURE(label, harness.service(label).root_cause);
        CHECK(harness.service(label).root_cause.starts_with(cause));
    }
    CHECK(harness.stop() == 0);
}

TEST_CASE("supervisor: a wait that lasts is told in the log, once") {
    Booted harness(R"(
        {"type": "test-service", "name": "slow", "start_delay": "20s"},
        {"type": "test-service", "name": "quick", "start_delay": "4s"},
        {"type": "test-service", "name": "needs-slow", "depends_on": ["slow"]},
        {"type": "test-service", "name": "needs-quick", "depends_on": ["quick"]},
        {"type": "test-service", "name": "at-a-gate",
         "depends_on": [{"label": "slow", "gate": "registered"}]}
    )");
    REQUIRE(harness.boot());
    const auto lines = harness.log_lines();
    const auto told = [&lines](std::string_view label) {
        return std::ranges::count_if(lines, [&](const std::string& line) {
            return line.find(fmt::format("service.waiting service={} ", label)) !=
                   std::string::npos;
        });
    };
    CHECK(told("needs-slow") == 1);
    CHECK(told("needs-quick") == 0);
    CHECK(told("at-a-gate") == 1);
    CHECK(harness.stop() == 0);
}

TEST_CASE("supervisor: on_give_up stop-dependents stops them, exit ends the process with 1") {
    SECTION("stop-dependents") {
        Booted harness(R"(
            {"type": "test-service", "name": "a", "addr": "127.0.0.1:9001",
             "restart": {"max_in_window": 1, "on_give_up": "stop-dependents"}},
            {"type": "test-service", "name": "b", "depends_on": ["a"]},
            {"type": "test-service", "name": "c", "depends_on": ["b"]},
            {"type": "test-service", "name": "other"}
        )");
        REQUIRE(harness.boot());
        harness.post("127.0.0.1:9001", "/exit?error=broken");
        harness.wait_state("c", State::stopped);
        harness.wait_state("b", State::stopped);
        CHECK(harness.service("b").root_cause.starts_with("a: broken ("));
        CHECK(harness.service("c").root_cause.starts_with("a: broken ("));
        CHECK(harness.service("other").state == State::ready);
        CHECK(harness.stop() == 0);
    }
    SECTION("exit") {
        Booted harness(R"(
            {"type": "test-service", "name": "a", "addr": "127.0.0.1:9001",
             "restart": {"max_in_window": 1, "on_give_up": "exit"}},
            {"type": "test-service", "name": "other"}
        )");
        REQUIRE(harness.boot());
        harness.post("127.0.0.1:9001", "/exit?error=broken");
        CHECK(harness.wait_down() == 1);
        CHECK(harness.before("a gave-up", "- shutdown"));
    }
    SECTION("the last critical one") {
        Booted harness(R"(
            {"type": "test-service", "name": "a", "fail_starts": 1000},
            {"type": "test-service", "name": "extra", "critical": false}
        )");
        CHECK_FALSE(harness.boot());
        CHECK(harness.wait_down() == 1);
    }
    SECTION("the last one that others wait for") {
        Booted harness(R"(
            {"type": "test-service", "name": "a", "fail_starts": 1000},
            {"type": "test-service", "name": "b", "depends_on": ["a"]},
            {"type": "test-service", "name": "c", "depends_on": ["b"]}
        )");
        CHECK_FALSE(harness.boot());
        CHECK(harness.wait_down() == 1);
    }
}

TEST_CASE("supervisor: S15 a restart takes along only the dependents whose edge says so") {
    Booted harness(R"(
        {"type": "test-service", "name": "a"},
        {"type": "test-service", "name": "told", "depends_on": ["a"]},
        {"type": "test-service", "name": "along",
         "depends_on": [{"label": "a", "on_restart": "restart"}]},
        {"type": "test-service", "name": "beyond",
         "depends_on": [{"label": "along", "on_restart": "restart"}]},
        {"type": "test-service", "name": "other"}
    )");
    REQUIRE(harness.boot());
    REQUIRE(harness.command("a", Command::restart));
    harness.advance_until("all ready again", [&] {
        for (const char* label : {"a", "told", "along", "beyond", "other"}) {
            if (harness.service(label).state != State::ready) return false;
        }
        return true;
    });
    CHECK(harness.count("a ready") == 2);
    CHECK(harness.count("along ready") == 2);
    CHECK(harness.count("beyond ready") == 2);
    CHECK(harness.count("told ready") == 1);
    CHECK(harness.count("other ready") == 1);
    CHECK(harness.before("beyond stopped", "along draining"));
    CHECK(harness.before("along stopped", "a draining"));
    std::vector<std::string> starts;
    for (const auto& event : harness.deployment().timeline().events()) {
        if (event.event == "starting") starts.push_back(event.label);
    }
    REQUIRE(starts.size() == 8);
    CHECK(
        std::vector(starts.end() - 3, starts.end()) ==
        std::vector<std::string>{"a", "along", "beyond"}
    );
    CHECK(harness.stop() == 0);
}

TEST_CASE("supervisor: S16 a port that is taken is named, tried again by policy, then used") {
    Booted harness(R"({"type": "test-service", "name": "a", "addr": "127.0.0.1:9001"})");
    harness.faults().set("bind", "127.0.0.1:9001", 3, "address in use");
    REQUIRE(harness.boot());
    CHECK(harness.count("a failed") == 3);
    CHECK(detail_of(harness, "a", "failed").find("address in use") != std::string::npos);
    CHECK(harness.stop() == 0);
}

TEST_CASE("supervisor: S17 a missing external is a cause, not a failed start") {
    Booted harness(R"(
        {"type": "test-service", "name": "a", "external": "127.0.0.1:9009"},
        {"type": "test-service", "name": "b"}
    )");
    REQUIRE(harness.start());
    harness.wait_event("b", "ready");
    // Far beyond start_timeout: waiting for what is outside is no start.
    harness.advance(5min);
    CHECK(harness.service("a").state == State::starting);
    CHECK(harness.service("a").reason.starts_with("external unreachable: tcp://127.0.0.1:9009"));
    CHECK(harness.count("a failed") == 0);
    asio::io_context there;
    auto listener =
        harness.network().listen(there.get_executor(), net::Address::tcp("127.0.0.1", 9009));
    REQUIRE(listener);
    harness.wait_state("a", State::ready);
    CHECK(harness.stop() == 0);
}

TEST_CASE("supervisor: start_timeout ends a start that hangs, time at a gate does not count") {
    SECTION("hangs") {
        Booted harness(R"(
            {"type": "test-service", "name": "a", "never_ready": true, "start_timeout": "2s"},
            {"type": "test-service", "name": "b"}
        )");
        REQUIRE(harness.start());
        harness.wait_event("a", "failed");
        CHECK(detail_of(harness, "a", "failed") == "not ready within start_timeout (2s)");
        CHECK(harness.stop() == 0);
    }
    SECTION("gate") {
        Booted harness(R"(
            {"type": "test-service", "name": "a", "start_timeout": "2s",
             "depends_on": [{"label": "slow", "gate": "registered"}]},
            {"type": "test-service", "name": "slow", "start_delay": "20s"}
        )");
        REQUIRE(harness.boot());
        CHECK(harness.count("a failed") == 0);
        CHECK(harness.before("slow ready", "a milestone registered"));
        CHECK(harness.stop() == 0);
    }
}

TEST_CASE("supervisor: slow start and slow stop faults hold a service up, a crash fault ends it") {
    Booted harness(R"(
        {"type": "test-service", "name": "a"},
        {"type": "test-service", "name": "b", "depends_on": ["a"]}
    )");
    harness.faults().set_delay("slow start", "a", 10s);
    harness.faults().set_delay("slow stop", "b", 2s);
    const SteadyTime began = harness.clock().now();
    REQUIRE(harness.boot());
    CHECK(harness.clock().now() - began >= 10s);
    harness.faults().set("crash", "b", 1, "gone");
    const auto before = harness.last_event();
    harness.wait_event("b", "failed", "crash b: gone", before);
    harness.wait_event("b", "ready", {}, before);
    CHECK(harness.stop() == 0);
}

TEST_CASE("supervisor: bad health is debounced, dependents name the root cause, recovery clears it"
) {
    Booted harness(R"(
        {"type": "test-service", "name": "a", "addr": "127.0.0.1:9001"},
        {"type": "test-service", "name": "b", "depends_on": ["a"]}
    )");
    REQUIRE(harness.boot());
    harness.post("127.0.0.1:9001", "/report?status=fail&detail=disk%20full");
    harness.wait_state("a", State::degraded);
    CHECK(harness.service("a").reason == "test: disk full");
    CHECK(harness.service("a").root_cause.starts_with("a: test: disk full since 20"));
    CHECK(harness.deployment().status().ready);
    CHECK(harness.deployment().status().state == State::degraded);
    harness.post("127.0.0.1:9001", "/report?status=pass");
    harness.wait_state("a", State::ready);
    CHECK(harness.service("a").root_cause.empty());
    CHECK(harness.stop() == 0);
}

TEST_CASE("supervisor: a dependent is degraded while its upstream is down, and says whose fault") {
    Booted harness(R"(
        {"type": "test-service", "name": "a"},
        {"type": "test-service", "name": "b", "depends_on": ["a"]},
        {"type": "test-service", "name": "c",
         "depends_on": [{"label": "a", "on_restart": "ignore"}]}
    )");
    REQUIRE(harness.boot());
    REQUIRE(harness.command("a", Command::stop));
    harness.wait_state("b", State::degraded);
    CHECK(harness.service("b").root_cause.starts_with("a: "));
    CHECK(harness.service("c").state == State::ready);
    REQUIRE(harness.command("a", Command::start));
    harness.wait_state("b", State::ready);
    CHECK(harness.stop() == 0);
}

TEST_CASE("supervisor: commands that make no sense are refused with a sentence") {
    Booted harness(R"({"type": "test-service", "name": "a"})");
    REQUIRE(harness.boot());
    CHECK(harness.command("nobody", Command::stop).error() == make_error_code(errc::not_found));
    CHECK(harness.command("a", Command::start).error() == make_error_code(errc::wrong_state));
    REQUIRE(harness.command("a", Command::stop));
    CHECK(harness.service("a").state == State::stopped);
    REQUIRE(harness.command("a", Command::start));
    REQUIRE(harness.command("a", Command::restart));
    CHECK(harness.service("a").state == State::ready);
    CHECK(harness.stop() == 0);
}

TEST_CASE("supervisor: an operator's start begins anew after the policy has given up") {
    Booted harness(R"(
        {"type": "test-service", "name": "a", "fail_starts": 5},
        {"type": "test-service", "name": "b"}
    )");
    CHECK_FALSE(harness.boot());
    harness.wait_event("a", "gave-up");
    REQUIRE(harness.command("a", Command::start));
    CHECK(harness.service("a").state == State::ready);
    CHECK(harness.stop() == 0);
}

TEST_CASE("supervisor: shutdown during a start, a backoff and a wait ends all three") {
    Booted harness(R"(
        {"type": "test-service", "name": "starting", "never_ready": true},
        {"type": "test-service", "name": "waiting", "depends_on": ["starting"]},
        {"type": "test-service", "name": "failing", "fail_starts": 1000,
         "restart": {"min": "1h", "max": "1h"}},
        {"type": "test-service", "name": "at-gate",
         "depends_on": [{"label": "starting", "gate": "registered"}]}
    )");
    REQUIRE(harness.start());
    harness.wait_event("failing", "restarting");
    CHECK(harness.stop() == 0);
    CHECK(harness.before("starting stopped", "- down"));
}

TEST_CASE("supervisor: one block of a file runs alone, its edges become checks of addresses") {
    const std::string text = blocks(R"(
        {"type": "test-service", "name": "a", "addr": "127.0.0.1:9001"},
        {"type": "test-service", "name": "b", "depends_on": ["a"]}
    )");
    Harness::Options options;
    options.only = {"b"};
    const framework::ServiceRegistry registry = test_registry();
    Harness harness(registry, text, options);
    REQUIRE(harness.start());
    harness.wait_event("b", "waiting");
    harness.advance(1min);
    CHECK(harness.service("b").state == State::starting);
    CHECK(harness.service("b").reason.starts_with("waiting for a at 127.0.0.1:9001"));
    CHECK(harness.count("a failed") == 0);
    CHECK(harness.stop() == 0);
}
